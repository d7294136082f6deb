"""Exact integer arithmetic, and the small tools every transition is written with.

Nothing here knows what a job is for. Read next: `auction.py`.
"""

from collections.abc import Sequence
from dataclasses import replace

import jax
import jax.numpy as jnp

from d2m_jax.ledger.codes import FINISHED, Phase, Reason
from d2m_jax.ledger.rules import BPS
from d2m_jax.ledger.state import Jobs, Ledger

Check = tuple[Reason, jax.Array]


def mul_bps(amount: jax.Array, bps: jax.Array) -> jax.Array:
    """floor(amount * bps / 10000), exact for 0 <= amount < 2**31 and 0 <= bps <= 10000.

    Formula: (a // 10000) * b + (a % 10000) * b // 10000, no step of which leaves int32.

    Args:
        amount: [...] int32 units.
        bps: [...] int32 basis points.
    """
    return (amount // BPS) * bps + (amount % BPS) * bps // BPS


def mul_div(amount: jax.Array, numerator: jax.Array, denominator: jax.Array) -> jax.Array:
    """floor(amount * numerator / denominator) without a 64-bit product.

    Schoolbook binary long division over the 31 bits of `amount`; quotient and remainder stay below
    2**32. Assumes 0 <= amount, 0 <= numerator <= denominator and denominator >= 1, all below 2**31.

    Args:
        amount: [...] int32 units.
        numerator: [...] int32.
        denominator: [...] int32.

    Returns:
        [...] int32, at most `amount`.

    Cost: 31 steps of a few operations per element.
    """
    amount, top, bottom = (
        jnp.asarray(x, jnp.int32).astype(jnp.uint32) for x in (amount, numerator, denominator)
    )
    shape = jnp.broadcast_shapes(amount.shape, top.shape, bottom.shape)

    def step(i: jax.Array, carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        quotient, rest = carry
        bit = (amount >> (jnp.uint32(30) - i.astype(jnp.uint32))) & jnp.uint32(1)
        rest = rest * jnp.uint32(2)
        carry_out = rest >= bottom
        quotient = quotient * jnp.uint32(2) + carry_out.astype(jnp.uint32)
        rest = rest - jnp.where(carry_out, bottom, jnp.uint32(0)) + bit * top
        carry_out = rest >= bottom
        quotient = quotient + carry_out.astype(jnp.uint32)
        return quotient, rest - jnp.where(carry_out, bottom, jnp.uint32(0))

    zero = jnp.zeros(shape, jnp.uint32)
    quotient, _ = jax.lax.fori_loop(0, 31, step, (zero, zero))
    return quotient.astype(jnp.int32)


def split_pot(pot: jax.Array, weights: jax.Array) -> jax.Array:
    """Splits a pot by integer weights so that the parts add up exactly.

    Part i = floor(pot * c_i / c_N) - floor(pot * c_{i-1} / c_N), with c the cumulative weights:
    each part is less than one unit from its exact share, and a zero weight gets nothing. With no
    weight at all every part is zero and the caller keeps the pot.

    Args:
        pot: [] int32 units, any int32 >= 0.
        weights: [N] int32 >= 0 with a sum below 2**31.

    Returns:
        [N] int32 parts that sum to `pot`, or zeros.
    """
    cumulative = jnp.cumsum(weights, dtype=jnp.int32)
    total = cumulative[-1]
    cut = mul_div(pot, cumulative, jnp.maximum(total, 1))
    return jnp.diff(cut, prepend=jnp.int32(0))


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


def get_job(ledger: Ledger, job: jax.Array) -> Jobs:
    """Row `job` of the slots; an index out of range reads some other row (check it apart)."""
    index = jnp.clip(job, 0, ledger.jobs.phase.shape[0] - 1)
    return jax.tree.map(lambda x: x[index], ledger.jobs)


def edit_job(ledger: Ledger, job: jax.Array, **fields: jax.Array) -> Ledger:
    """Writes the named fields of slot `job`; an index out of range writes nothing."""
    here = jnp.arange(ledger.jobs.phase.shape[0], dtype=jnp.int32) == job

    def write(new: jax.Array, old: jax.Array) -> jax.Array:
        mask = here.reshape(here.shape + (1,) * (old.ndim - 1))
        return jnp.where(mask, new[None], old)

    written = {name: write(new, getattr(ledger.jobs, name)) for name, new in fields.items()}
    return replace(ledger, jobs=replace(ledger.jobs, **written))


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


def choose(condition: jax.Array, yes: Ledger, no: Ledger) -> Ledger:
    """`yes` or `no`, leaf by leaf; leaves that are the same object need no selection."""
    return jax.tree.map(lambda y, n: y if y is n else jnp.where(condition, y, n), yes, no)


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


def check_arbiter(ledger: Ledger, actor: jax.Array) -> Check:
    """NOT_AUTHORISED unless the actor is the treasury account."""
    return Reason.NOT_AUTHORISED, actor != ledger.layout.treasury


def check_job(ledger: Ledger, job: jax.Array) -> Check:
    """UNKNOWN_JOB unless the slot exists."""
    return Reason.UNKNOWN_JOB, (job < 0) | (job >= ledger.jobs.phase.shape[0])


def check_phase(row: Jobs, *allowed: Phase) -> list[Check]:
    """ALREADY_DONE when the job is finished, WRONG_PHASE unless its phase is one of `allowed`."""
    right = jnp.any(jnp.stack([row.phase == int(phase) for phase in allowed]))
    return [(Reason.ALREADY_DONE, is_finished(row.phase)), (Reason.WRONG_PHASE, ~right)]
