"""The vote as a state machine: actions as data, one at a time. Read first: `votes.py`."""

import enum
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from d2m_jax.core.money import INT_MAX, units
from d2m_jax.ledger import votes as transitions
from d2m_jax.ledger.accounts import integer
from d2m_jax.ledger.codes import Reason
from d2m_jax.ledger.votes_state import Terms, Votes


class VoteKind(enum.IntEnum):
    """The kinds of action, in the order of the branches of `apply_vote`."""

    WAIT = 0
    OPEN_UNIT = 1
    DRAW = 2
    COMMIT_VOTE = 3
    REVEAL_VOTE = 4
    TALLY = 5
    OPEN_CONTENT = 6


@struct.dataclass
class VoteAction:
    """One action; fields that its kind does not use are ignored."""

    kind: jax.Array  # [] int32, see VoteKind
    node: jax.Array  # [] int32 that votes
    job: jax.Array  # [] int32 slot
    amount: jax.Array  # [] int32 blocks, or the serial of a unit
    value: jax.Array  # [] int32 unit, commitment or digest
    salt: jax.Array  # [] int32
    payload: jax.Array  # [max(C, L)] stakes, seats or content: as money


@struct.dataclass
class Clocked:
    """Votes with the block they are at, for who has no ledger beside them."""

    block: jax.Array  # [] int32
    votes: Votes


def make_vote_action(votes: Votes, kind: int | jax.Array, **fields: Any) -> VoteAction:
    """An action with typed fields; what is missing is 0, a shorter payload is padded with zeros.

    | kind | fields |
    |---|---|
    | WAIT | amount = blocks |
    | OPEN_UNIT | job, amount = serial, value = unit, payload[:C] = stakes |
    | DRAW | job, payload[:C] = seats |
    | COMMIT_VOTE | node, job, value = commitment |
    | REVEAL_VOTE | node, job, value = digest, salt |
    | TALLY | job |
    | OPEN_CONTENT | job, payload[:L] = content |
    """
    length = max(votes.urn.shape[1], votes.content.shape[1])
    vector = units(fields.pop("payload", ())).reshape(-1)
    names = ("node", "job", "amount", "value", "salt")
    return VoteAction(
        kind=integer(kind),
        payload=jnp.pad(vector, (0, length - vector.shape[0])),
        **{name: integer(fields.get(name, 0)) for name in names},
    )


def apply_vote(state: Clocked, terms: Terms, action: VoteAction) -> tuple[Clocked, jax.Array]:
    """One action on the votes; a refused one changes nothing, and the receipt says why.

    Args:
        state: before.
        terms: of the vote.
        action: what, by whom, on what; a kind outside `VoteKind` gets UNKNOWN_ACTION.

    Returns:
        The state after, and the receipt: [] int32, see `Reason`.
    """
    v, a, t = state.votes, action, terms
    now, num_nodes, length = state.block, v.urn.shape[1], v.content.shape[1]

    def do(result: tuple[Votes, jax.Array]) -> tuple[Clocked, jax.Array]:
        return Clocked(now, result[0]), result[1]

    def wait() -> tuple[Clocked, jax.Array]:
        bad = (a.amount < 0) | (now > INT_MAX - a.amount)
        after = Clocked(jnp.where(bad, now, now + a.amount), v)
        return after, jnp.where(bad, integer(Reason.BAD_VALUE), integer(Reason.OK))

    stakes = seats = a.payload[:num_nodes]
    where = {"block": now, "job": a.job}
    opening = {"job": a.job, "serial": a.amount, "unit": a.value, "stakes": stakes}
    vote = {**where, "node": a.node}
    opened = {"digest": a.value, "salt": a.salt}
    t_ = transitions
    branches = [
        wait,
        lambda: do(t_.open_unit(v, t, **opening)),
        lambda: do(t_.draw(v, t, **where, seats=seats)),
        lambda: do(t_.commit_vote(v, t, **vote, commitment=a.value)),
        lambda: do(t_.reveal_vote(v, t, **vote, **opened)),
        lambda: do(t_.tally(v, t, **where)),
        lambda: do(t_.open_content(v, t, job=a.job, content=a.payload[:length])),
        lambda: (state, integer(Reason.UNKNOWN_ACTION)),
    ]
    known = (a.kind >= 0) & (a.kind < len(VoteKind))
    return jax.lax.switch(jnp.where(known, a.kind, len(VoteKind)), branches)
