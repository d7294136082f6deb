"""CONE's vote as the ledger sees it: a digest, who revealed what, and what the digest stands for.

A digest is its number in `cone.Consensus.digests`: 1 is the right one. Read next: `booking.py`.
"""

import jax
import jax.numpy as jnp

from d2m_jax import cone
from d2m_jax.ledger import Decision, Ledger
from d2m_jax.market.state import Slot

RIGHT = 1  # number of the right digest


def as_decision(
    ledger: Ledger, job: Slot, consensus: cone.Consensus, content: jax.Array
) -> Decision:
    """The vote on the unit that a job waits for, over in this block; what it accepted is told.

    Args:
        ledger: with the job's request for the unit.
        job: slot.
        consensus: of the vote.
        content: [L] int32 of the accepted digest.
    """
    return Decision(
        serial=ledger.jobs.serial[job],
        is_over=jnp.bool_(True),
        accepted=consensus.accepted + 1,
        is_open=consensus.accepted >= 0,
        since=ledger.block,
        drawn=consensus.drawn,
        papers=consensus.digests,
        content=content,
    )
