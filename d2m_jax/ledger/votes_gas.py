"""Gas of a vote, measured on the votes' contract: a table by kind of action.

Counted beside the ledger, as in `gas.py`. The numbers are those of `contracts/votes_gas.py`.
"""

import jax
import jax.numpy as jnp

from d2m_jax.ledger.accounts import integer
from d2m_jax.ledger.votes_machine import VoteKind

# Fixed, per node of the pool, per seat of the set. In the steady state: every storage slot has been
# used before, the electorate is that of the last unit. Rule "lead", uniform sortition.
VOTE_GAS: dict[VoteKind, tuple[int, int, int]] = {
    VoteKind.WAIT: (0, 0, 0),
    VoteKind.OPEN_UNIT: (81131, 1846, 0),
    VoteKind.DRAW: (65331, 1370, 8193),
    VoteKind.COMMIT_VOTE: (45980, 0, 0),
    VoteKind.REVEAL_VOTE: (66275, 0, 0),
    VoteKind.TALLY: (42311, 0, 0),
    VoteKind.OPEN_CONTENT: (44992, 0, 0),
}
NEW_NODE = 34200  # and more for a node that was never drawn in the slot: two storage slots
NEW_DIGEST = 15149  # and more for who reveals a digest first


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
        num_seats: [...] int32 seats of the set that is drawn.
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
    once = gas_of_vote(VoteKind.OPEN_UNIT, num_nodes=num_nodes)
    return once + sets + gas_of_vote(VoteKind.OPEN_CONTENT) + NEW_DIGEST
