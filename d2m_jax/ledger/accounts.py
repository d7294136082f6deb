"""The small tools every transition is written with.

Nothing here knows what a job is for; exact products are in `core/money.py`. Read next:
`auction.py`.
"""

from collections.abc import Sequence
from dataclasses import replace

import jax
import jax.numpy as jnp

from d2m_jax.core.trees import choose
from d2m_jax.ledger.codes import FINISHED, Phase, Reason
from d2m_jax.ledger.state import Jobs, Ledger

Check = tuple[Reason, jax.Array]


def at(index: jax.Array, amount: jax.Array, size: int) -> jax.Array:
    """[size] vector with `amount` at `index` and zero elsewhere (all zero for index -1).

    A comparison with an iota: under `vmap` cheaper than a scatter for our small vectors.
    """
    return jnp.where(jnp.arange(size, dtype=jnp.int32) == index, amount, jnp.zeros_like(amount))


def credit(ledger: Ledger, account: jax.Array, amount: jax.Array) -> Ledger:
    """Adds `amount` (negative to debit) to one balance; the caller has checked that it may."""
    moved = at(account, amount, ledger.balances.shape[0])
    return replace(ledger, balances=ledger.balances + moved)


def add_stakes(ledger: Ledger, start: int, amounts: jax.Array) -> Ledger:
    """Adds a vector of amounts to the stakes of consecutive accounts from `start` on."""
    size = ledger.stakes.shape[0]
    padded = jnp.pad(amounts, (start, size - start - amounts.shape[0]))
    return replace(ledger, stakes=ledger.stakes + padded)


def pay_many(ledger: Ledger, start: int, amounts: jax.Array) -> Ledger:
    """Adds a vector of amounts to the balances of consecutive accounts from `start` on."""
    size = ledger.balances.shape[0]
    padded = jnp.pad(amounts, (start, size - start - amounts.shape[0]))
    return replace(ledger, balances=ledger.balances + padded)


def read(entries: jax.Array, index: jax.Array) -> jax.Array:
    """The entries at `index` of the first axis; one out of range reads some other."""
    return entries[jnp.clip(index, 0, entries.shape[0] - 1)]


def put(entries: jax.Array, index: jax.Array, value: jax.Array | bool | int) -> jax.Array:
    """The entries with that at `index` of the first axis replaced; out of range none is."""
    here = jnp.arange(entries.shape[0], dtype=jnp.int32) == index
    here = here.reshape(here.shape + (1,) * (entries.ndim - 1))
    return jnp.where(here, jnp.expand_dims(value, 0) if jnp.ndim(value) else value, entries)


def get_job(ledger: Ledger, job: jax.Array) -> Jobs:
    """Row `job` of the slots; an index out of range reads some other row (check it apart).

    Of a single slot that is the slot, whatever the index: no leaf is searched.
    """
    if ledger.jobs.phase.shape[0] == 1:
        return jax.tree.map(lambda x: x.reshape(x.shape[1:]), ledger.jobs)
    index = jnp.clip(job, 0, ledger.jobs.phase.shape[0] - 1)
    return jax.tree.map(
        lambda x: jax.lax.dynamic_index_in_dim(x, index, keepdims=False), ledger.jobs
    )


def edit_job(ledger: Ledger, job: jax.Array, **fields: jax.Array) -> Ledger:
    """Writes the named fields of slot `job`; an index out of range writes nothing."""
    written = {name: put(getattr(ledger.jobs, name), job, new) for name, new in fields.items()}
    return replace(ledger, jobs=replace(ledger.jobs, **written))


def put_job(ledger: Ledger, job: jax.Array, row: Jobs, before: Jobs) -> Ledger:
    """Writes the fields of slot `job` in which `row` is not the same object as `before`."""
    changed = {k: new for k, new in vars(row).items() if new is not getattr(before, k)}
    return edit_job(ledger, job, **changed)


def first_failure(checks: Sequence[Check]) -> jax.Array:
    """The reason of the first check that is true, else OK.

    Args:
        checks: (reason, [] bool that is true when the action must be refused), in order.

    Returns:
        [] int32 receipt.
    """
    reason = jnp.int32(Reason.OK)
    for code, failed in reversed(checks):
        reason = jnp.where(failed, jnp.int32(code), reason)
    return reason


def commit(reason: jax.Array, new: Ledger, old: Ledger) -> tuple[Ledger, jax.Array]:
    """The new ledger if the receipt is OK, else the old one, with the receipt."""
    return choose(reason == Reason.OK, new, old), reason


def integer(value: object) -> jax.Array:
    """Any integer argument as an int32 array, so that one compilation serves all."""
    return jnp.asarray(value, jnp.int32)


def is_finished(phase: jax.Array) -> jax.Array:
    """Whether a job is settled, refunded or aborted."""
    return phase >= min(FINISHED)


def check_actor(ledger: Ledger, actor: jax.Array) -> Check:
    """UNKNOWN_PARTY unless the actor is an account."""
    return Reason.UNKNOWN_PARTY, (actor < 0) | (actor >= ledger.balances.shape[0])


def check_job(ledger: Ledger, job: jax.Array) -> Check:
    """UNKNOWN_JOB unless the slot exists."""
    return Reason.UNKNOWN_JOB, (job < 0) | (job >= ledger.jobs.phase.shape[0])


def check_phase(row: Jobs, *allowed: Phase) -> list[Check]:
    """ALREADY_DONE when the job is finished, WRONG_PHASE unless its phase is one of `allowed`."""
    right = jnp.any(jnp.stack([row.phase == int(phase) for phase in allowed]))
    return [(Reason.ALREADY_DONE, is_finished(row.phase)), (Reason.WRONG_PHASE, ~right)]
