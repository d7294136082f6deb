"""Gas of a vote by itself: the rows of the table in `gas.py` that are the votes' own.

For a unit of several sets; one in which a single set decides is in `gas.gas_of_round`.
"""

import jax
import jax.numpy as jnp

from d2m_jax.ledger.accounts import integer
from d2m_jax.ledger.codes import Kind
from d2m_jax.ledger.gas import GAS, NEW_DIGEST, NEW_NODE
from d2m_jax.ledger.votes_machine import VoteKind

__all__ = ["NEW_DIGEST", "NEW_NODE", "VOTE_GAS", "gas_of_unit", "gas_of_vote"]

# Fixed, per node of the pool, per seat of the set. Rule "lead", uniform sortition.
VOTE_GAS: dict[VoteKind, tuple[int, int, int]] = {
    kind: (GAS[Kind[kind.name]][0], *GAS[Kind[kind.name]][3:5]) for kind in VoteKind
}


def gas_of_vote(
    kind: int | jax.Array,
    *,
    num_nodes: int | jax.Array = 0,
    num_seats: int | jax.Array = 0,
) -> jax.Array:
    """[...] int32: gas of one accepted action of a vote.

    Formula: fixed + a C + b seats. The contract ends at 1,024 nodes.

    Args:
        kind: [...] int32, see `VoteKind`.
        num_nodes: [...] int32, C.
        num_seats: [...] int32 seats of the set that is drawn, or of all sets of the last unit.
    """
    rows = jnp.asarray([VOTE_GAS[k] for k in VoteKind], jnp.int32)[integer(kind)]
    counts = [integer(x) for x in (1, num_nodes, num_seats)]
    return sum((rows[..., i] * x for i, x in enumerate(counts)), start=jnp.int32(0))


def gas_of_unit(num_nodes: int | jax.Array, seats: jax.Array) -> jax.Array:
    """[] int32: a unit in which all who are drawn commit and reveal, and one tells the content.

    Args:
        num_nodes: C.
        seats: [A] int32 seats of each set, 0 for a set that is not needed.
    """
    seats = integer(seats)
    per_set = gas_of_vote(VoteKind.DRAW, num_nodes=num_nodes, num_seats=seats)
    per_set += gas_of_vote(VoteKind.TALLY)
    per_seat = gas_of_vote(VoteKind.COMMIT_VOTE) + gas_of_vote(VoteKind.REVEAL_VOTE)
    sets = jnp.where(seats > 0, per_set + seats * per_seat, 0).sum(dtype=jnp.int32)
    once = gas_of_vote(VoteKind.OPEN_UNIT, num_nodes=num_nodes, num_seats=seats.sum())
    return once + sets + gas_of_vote(VoteKind.OPEN_CONTENT) + NEW_DIGEST
