"""A whole unit of work in one step: what single commitments, reveals and counts come to.

For simulations. Read first: `votes.py`.
"""

from dataclasses import replace

import jax
import jax.numpy as jnp
from flax import struct

from d2m_jax.core.trees import choose
from d2m_jax.ledger.accounts import first_failure, integer
from d2m_jax.ledger.codes import Reason
from d2m_jax.ledger.contents import commitment_of
from d2m_jax.ledger.votes import (
    can_be,
    check_slot,
    counted,
    get_unit,
    is_new,
    is_unknown,
    opened,
    put_unit,
    seated,
)
from d2m_jax.ledger.votes_state import Stage, Terms, Votes


@struct.dataclass
class Ballots:
    """What chance gives and what the nodes do, were all sets drawn."""

    seats: jax.Array  # [A, C] int32 lots of each node in each set
    digests: jax.Array  # [C] int32 that a node commits to
    salts: jax.Array  # [C] int32
    reveals: jax.Array  # [C] bool, who does reveal


def settle_votes(
    votes: Votes,
    terms: Terms,
    *,
    block: int | jax.Array,
    job: int | jax.Array,
    serial: int | jax.Array,
    unit: int | jax.Array,
    stakes: jax.Array,
    ballots: Ballots,
) -> tuple[Votes, jax.Array, jax.Array]:
    """Opens a unit and holds its vote to the end, as a fold of the single actions would.

    Every node commits in the block of the draw and reveals, if it does, when the commit window is
    over; a set is counted as soon as all have revealed, else after its reveal window.

    Checks, in order: UNKNOWN_JOB, WRONG_PHASE (the market asks for none), ALREADY_DONE (it is open,
    or over), BAD_VALUE (no such unit, or seats that chance cannot give in a set that is drawn).

    Args:
        votes, terms: as for `open_unit`.
        block: now.
        job, serial, unit, stakes: as for `open_unit`.
        ballots: of every node; A as in the terms.

    Returns:
        The votes after, the block in which the last set is counted, and the receipt.

    Cost: A counts, each a sort of C.
    """
    block, job, serial, unit = map(integer, (block, job, serial, unit))
    row = get_unit(votes, job)
    checks = [
        check_slot(votes, job),
        (Reason.WRONG_PHASE, serial < 1),
        (Reason.ALREADY_DONE, serial == row.serial),
        (Reason.BAD_VALUE, is_unknown(unit, terms)),
    ]
    start = opened(row, terms, serial, unit, jnp.asarray(stakes))

    def one_set(
        carry: tuple[Votes, jax.Array, jax.Array], seats: jax.Array
    ) -> tuple[tuple[Votes, jax.Array, jax.Array], None]:
        before, now, fair = carry
        goes_on = (before.stage == Stage.OPEN) & fair
        fair &= ~goes_on | can_be(before, terms, seats)
        after, later = _whole_set(before, terms, now, job, seats, ballots)
        return choose(goes_on & fair, (after, later, fair), (before, now, fair)), None

    (row, later, fair), _ = jax.lax.scan(one_set, (start, block, jnp.bool_(True)), ballots.seats)
    reason = first_failure([*checks, (Reason.BAD_VALUE, ~fair)])
    done, _ = put_unit(reason, row, votes, job)
    return done, jnp.where(reason == Reason.OK, later, block), reason


def _whole_set(
    row: Votes, terms: Terms, block: jax.Array, job: jax.Array, seats: jax.Array, ballots: Ballots
) -> tuple[Votes, jax.Array]:
    """One set drawn, voted and counted, and the block of the count."""
    row = seated(row, terms, block, seats)
    new, nodes = is_new(row), jnp.arange(seats.shape[0], dtype=jnp.int32)
    promised = jax.vmap(commitment_of, (None, None, 0, 0, 0))(
        row, job, nodes, ballots.digests, ballots.salts
    )
    told = new & ballots.reveals & (ballots.digests != 0)
    row = replace(
        row,
        commitments=jnp.where(new, promised, row.commitments),
        digests=jnp.where(told, ballots.digests, row.digests),
    )
    silent = jnp.where(jnp.any(new & ~told), terms.reveal_window, 0)
    waited = jnp.where(jnp.any(new), terms.commit_window + silent, 0)
    return counted(row, terms), block + waited
