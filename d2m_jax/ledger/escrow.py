"""What a job holds: matching that locks deposits, the one way out, time-outs and reuse of slots.

`finish` is the only function that empties the pools of a job; settlement, refund, abort and
time-out all go through it. Read next: `settlement.py`.
"""

from dataclasses import replace

import jax
import jax.numpy as jnp

from d2m_jax.core.trees import choose
from d2m_jax.ledger.accounts import (
    add_stakes,
    check_actor,
    check_job,
    check_phase,
    commit,
    credit,
    edit_job,
    first_failure,
    get_job,
    integer,
    is_finished,
    pay_many,
)
from d2m_jax.ledger.codes import Phase, Reason
from d2m_jax.ledger.registry import eligible_sellers
from d2m_jax.ledger.rules import Rules
from d2m_jax.ledger.state import Jobs, Ledger, Result, empty_jobs


def finish(
    ledger: Ledger,
    job: jax.Array,
    row: Jobs,
    phase: Phase | jax.Array,
    seller_pay: jax.Array,
    fee_paid: jax.Array,
) -> Ledger:
    """Pays a job out and closes it; nothing stays behind.

    Sellers get `seller_pay`, the treasury `fee_paid`, the buyer all that is left in escrow and the
    three pools, each seller its locked deposit, the disputer its bond (if there still is one).

    Args:
        ledger: before.
        job: slot.
        row: the job with its pools and locked deposits.
        phase: SETTLED, REFUNDED or ABORTED.
        seller_pay: [N] int32 with a sum of at most `row.seller_pool`.
        fee_paid: [] int32, at most the fee pool, or the `slot_fee`.
    """
    layout = ledger.layout
    paid = seller_pay.sum(dtype=jnp.int32)
    refund = (row.seller_pool - paid) + (row.fee_pool - fee_paid) + row.compute_pool
    ledger = pay_many(ledger, layout.sellers.start, seller_pay)
    ledger = add_stakes(ledger, layout.sellers.start, row.locked)
    ledger = credit(ledger, integer(layout.treasury), fee_paid)
    ledger = credit(ledger, row.buyer, refund + row.escrow)
    ledger = credit(ledger, row.disputer, row.bond)
    zero = integer(0)
    return edit_job(
        ledger,
        job,
        phase=integer(phase),
        since=ledger.block,
        escrow=zero,
        seller_pool=zero,
        compute_pool=zero,
        fee_pool=zero,
        bond=zero,
        locked=jnp.zeros_like(row.locked),
        seller_paid=paid,
        fee_paid=fee_paid,
        refunded=refund,
    )


def slot_fee(row: Jobs) -> jax.Array:
    """[] int32: what the treasury keeps of a job that ends before its sellers are matched.

    The fee of the price, at least one unit (our choice): a slot taken for tags that nobody has
    must not be free, or one buyer could hold all of them.
    """
    return jnp.maximum(row.fee_pool, 1)


def match(ledger: Ledger, rules: Rules, *, actor: int | jax.Array, job: int | jax.Array) -> Result:
    """Anybody has the eligible sellers of a closed auction matched and their deposits locked.

    With fewer than `rules.min_sellers` the job is aborted and the buyer gets all back but the
    `slot_fee`: the receipt is OK and the phase says ABORTED.

    Checks, in order: UNKNOWN_PARTY, UNKNOWN_JOB, ALREADY_DONE or WRONG_PHASE.
    """
    actor, job = integer(actor), integer(job)
    row = get_job(ledger, job)
    reason = first_failure(
        [check_actor(ledger, actor), check_job(ledger, job), *check_phase(row, Phase.CLOSED)]
    )
    matched = eligible_sellers(ledger, rules, row.tags)
    enough = matched.sum(dtype=jnp.int32) >= jnp.maximum(rules.min_sellers, 1)
    nothing = jnp.zeros_like(row.locked)
    aborted = finish(ledger, job, row, Phase.ABORTED, nothing, slot_fee(row))

    locked = jnp.where(matched, rules.seller_deposit, 0)
    running = add_stakes(ledger, ledger.layout.sellers.start, -locked)
    running = edit_job(
        running,
        job,
        phase=integer(Phase.MATCHED),
        since=ledger.block,
        matched=matched,
        locked=locked,
    )
    return commit(reason, choose(enough, running, aborted), ledger)


def time_out(
    ledger: Ledger, rules: Rules, *, actor: int | jax.Array, job: int | jax.Array
) -> Result:
    """Anybody ends a job that made no progress for `rules.timeout` blocks: the buyer is refunded.

    Compute already paid stays paid, deposits are released, an open bond goes back to its owner;
    the `slot_fee` is kept if nobody had the sellers matched, which anybody may.
    An auction and a challenge window need no time-out: anybody can close and settle them.

    Checks, in order: UNKNOWN_PARTY, UNKNOWN_JOB, ALREADY_DONE or WRONG_PHASE, TOO_EARLY.
    """
    actor, job = integer(actor), integer(job)
    row = get_job(ledger, job)
    waiting = (Phase.CLOSED, Phase.MATCHED, Phase.TRAINING, Phase.VERIFY, Phase.DISPUTED)
    reason = first_failure(
        [
            check_actor(ledger, actor),
            check_job(ledger, job),
            *check_phase(row, *waiting),
            (Reason.TOO_EARLY, ledger.block - row.since < rules.timeout),
        ]
    )
    nothing = jnp.zeros_like(row.locked)
    fee = jnp.where(row.phase == Phase.CLOSED, slot_fee(row), 0)
    new = finish(ledger, job, row, Phase.REFUNDED, nothing, fee)
    return commit(reason, new, ledger)


def reset_job(
    ledger: Ledger, rules: Rules, *, actor: int | jax.Array, job: int | jax.Array
) -> Result:
    """Anybody clears a finished slot for the next auction; accounts and registry stay.

    Checks, in order: UNKNOWN_PARTY, UNKNOWN_JOB, WRONG_PHASE (the job is not finished).
    """
    del rules
    actor, job = integer(actor), integer(job)
    row = get_job(ledger, job)
    reason = first_failure(
        [
            check_actor(ledger, actor),
            check_job(ledger, job),
            (Reason.WRONG_PHASE, ~is_finished(row.phase)),
        ]
    )
    idle = jax.tree.map(lambda x: x[0], empty_jobs(1, ledger.layout.num_sellers))
    return commit(reason, edit_job(ledger, job, **vars(idle)), ledger)


def advance(ledger: Ledger, rules: Rules, *, blocks: int | jax.Array) -> Result:
    """Lets `blocks` blocks pass.

    Checks: BAD_VALUE (negative, or past the last int32 block).
    """
    del rules
    blocks = integer(blocks)
    bad = (blocks < 0) | (blocks > jnp.iinfo(jnp.int32).max - ledger.block)
    reason = first_failure([(Reason.BAD_VALUE, bad)])
    return commit(reason, replace(ledger, block=ledger.block + blocks), ledger)
