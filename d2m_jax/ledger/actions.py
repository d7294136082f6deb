"""Actions as data. Read next: `moves.py`."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from d2m_jax.core.money import units
from d2m_jax.ledger.accounts import integer
from d2m_jax.ledger.state import Layout

EXTRA = 3  # words of `Action.extra`


@struct.dataclass
class Action:
    """One action; fields that its kind does not use are ignored.

    The amount and `extra`, where a seller's ask stands, have the type of new money.
    """

    kind: jax.Array  # [] int32, see Kind
    actor: jax.Array  # [] int32 account that acts
    job: jax.Array  # [] int32 slot
    target: jax.Array  # [] int32 digest of a seller's data
    amount: jax.Array  # [] units or blocks
    tags: jax.Array  # [] int32 bitmask
    value: jax.Array  # [] int32 tau, size, unit, digest or commitment
    extra: jax.Array  # [3] int32 digests of model and metric and a salt, or the terms of a seller
    payload: jax.Array  # [max(C, 2 N + 5)] int32 seats or a content


def make_action(
    layout: Layout,
    kind: int | jax.Array,
    *,
    actor: int | jax.Array = 0,
    job: int | jax.Array = 0,
    target: int | jax.Array = 0,
    amount: int | jax.Array = 0,
    tags: int | jax.Array = 0,
    value: int | jax.Array = 0,
    extra: Any = (),
    payload: Any = (),
) -> Action:
    """An action with typed fields; a shorter extra or payload is padded with zeros.

    Which field means what, per kind:

    | kind | fields |
    |---|---|
    | WAIT | amount = blocks |
    | REGISTER_SELLER | actor, tags, value = size, target = commitment, amount = deposit, \
    extra = ask, max_tau |
    | REGISTER_NODE | actor, amount = stake |
    | TOP_UP, REQUEST_WITHDRAWAL | actor, amount |
    | WITHDRAW | actor |
    | SET_ASK | actor, amount = ask, value = max_tau |
    | BID | actor = buyer, job, tags, amount, value = tau_bps, extra = model, metric |
    | SEAL | actor = buyer, job, tags, amount = deposit, value = commitment |
    | REVEAL | actor = buyer, job, amount, value = tau_bps, extra = model, metric, salt |
    | CLOSE_AUCTION, SETTLE, TIME_OUT, RESET_JOB, TAKE | actor, job |
    | BOOK_ROUND, BOOK_VERIFICATION, BOOK_DISPUTE | actor, job |
    | OPEN_DISPUTE | actor, job, value = unit |
    | CLOSE_CASE | actor, job, value = digest of the content that has won, 0 nobody's, \
    target = account that made the claim, extra = 1 if the claim of what was accepted has won, \
    1 if a step was judged by which it is wrong |
    | BOOK_CASE | actor, job, payload[:L] = content, all 0: none is shown |
    | OPEN_METRIC | actor, job, value = content, extra = salt |
    | OPEN_UNIT, TALLY | actor, job |
    | DRAW | actor, job, payload[:C] = seats |
    | COMMIT_VOTE | actor, job, value = commitment |
    | REVEAL_VOTE | actor, job, value = digest, extra = salt |
    | OPEN_CONTENT | actor, job, payload[:L] = content |
    """
    vector, words = integer(payload).reshape(-1), units(extra).reshape(-1)
    return Action(
        kind=integer(kind),
        actor=integer(actor),
        job=integer(job),
        target=integer(target),
        amount=units(amount),
        tags=integer(tags),
        value=integer(value),
        extra=jnp.pad(words, (0, EXTRA - words.shape[0])),
        payload=jnp.pad(vector, (0, layout.payload_size - vector.shape[0])),
    )
