"""Where votes and money meet: what the market asks for, of whom, and what the vote came to.

Nothing here moves money. Read first: `votes.py`; next: `judgement.py`.
"""

import jax
import jax.numpy as jnp
from flax import struct

from d2m_jax.ledger.accounts import get_job, integer
from d2m_jax.ledger.codes import Phase
from d2m_jax.ledger.rules import Rules
from d2m_jax.ledger.state import Ledger, rounds_of
from d2m_jax.ledger.votes import get_unit
from d2m_jax.ledger.votes_state import Stage, Votes


@struct.dataclass
class Decision:
    """What the vote on one unit came to; from `Votes`, or made by a simulation."""

    serial: jax.Array  # [] int32 request that it answers
    is_over: jax.Array  # [] bool
    accepted: jax.Array  # [] int32 digest, 0 none
    is_open: jax.Array  # [] bool, the content of the digest is known
    since: jax.Array  # [] int32 block of the last draw
    drawn: jax.Array  # [C] bool, had a seat
    papers: jax.Array  # [C] int32 digest that each node revealed, 0 none
    content: jax.Array  # [L] int32, see `contents.py`


def decision_of(votes: Votes, job: int | jax.Array) -> Decision:
    """What the votes of slot `job` have come to so far."""
    row = get_unit(votes, integer(job))
    return Decision(
        serial=row.serial,
        is_over=row.stage >= Stage.DECIDED,
        accepted=row.accepted,
        is_open=row.is_open,
        since=row.since,
        drawn=row.first_set > 0,
        papers=row.digests,
        content=row.content,
    )


def wanted(ledger: Ledger, rules: Rules, job: int | jax.Array) -> tuple[jax.Array, jax.Array]:
    """The request of slot `job`: its serial and its unit, each [] int32; (0, 0) for nothing.

    MATCHED and TRAINING ask for the next round, VERIFY for the verification as soon as the buyer
    has opened its examples, DISPUTED for the disputed unit again, unless the court decides.
    """
    row, rounds = get_job(ledger, integer(job)), rounds_of(ledger, rules)
    trains = (row.phase == Phase.MATCHED) | (row.phase == Phase.TRAINING)
    verifies = (row.phase == Phase.VERIFY) & row.opened
    disputes = (row.phase == Phase.DISPUTED) & (rules.bisection == 0)
    unit = jnp.where(disputes, rounds + 1 + row.disputed_unit, rounds)
    unit = jnp.where(trains, row.round, unit)
    asks = trains | verifies | disputes
    return jnp.where(asks, row.serial, 0), jnp.where(asks, unit, 0)


def electorate(ledger: Ledger, job: int | jax.Array) -> jax.Array:
    """[C] units: what each node that may be drawn has pledged to slot `job`, else 0.

    Registered and not banned; what else a node has at stake does not weigh.
    """
    span = ledger.layout.nodes
    in_order = ledger.registered[span] & ~ledger.banned[span]
    return jnp.where(in_order, get_job(ledger, integer(job)).pledged, 0)
