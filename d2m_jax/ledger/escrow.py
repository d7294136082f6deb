"""What a job holds: the one way out, time-outs and reuse of slots.

`finish` is the only function that empties the pools of a job; settlement, refund, abort and
time-out all go through it. Read next: `settlement.py`.
"""

from dataclasses import replace

import jax
import jax.numpy as jnp

from d2m_jax.core.money import mul_bps, split_pot
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
from d2m_jax.ledger.rules import Rules
from d2m_jax.ledger.state import MONEY, Jobs, Ledger, Result, empty_jobs


def finish(
    ledger: Ledger,
    rules: Rules,
    job: jax.Array,
    row: Jobs,
    phase: Phase | jax.Array,
    seller_pay: jax.Array,
    fee_paid: jax.Array,
) -> Ledger:
    """Pays a job out and closes it; nothing stays behind.

    Sellers get `seller_pay`, of a spoilt job out of what the guilty forfeited, else out of their
    pool; the treasury gets `fee_paid`, nodes what they earned. Of what was slashed from nodes and
    is held burn_bps is burned, the rest shared among the nodes by what they earned, at most as much
    again: more is burned, too, so that nobody lives on the silence of others. Of what is left of
    the forfeited burn_bps of the forfeited pledges is burned. The buyer gets all that is left,
    each seller and node its pledge, the disputer its bond (if there still is one). A job that is
    paid releases its model.

    Args:
        ledger: before.
        rules: terms.
        job: slot.
        row: the job with its pools and pledges.
        phase: SETTLED, REFUNDED or ABORTED.
        seller_pay: [N] int32 with a sum of at most `row.seller_pool`, of a spoilt job also of at
            most `row.forfeited`.
        fee_paid: [] int32, at most the fee pool.
    """
    layout = ledger.layout
    paid = seller_pay.sum(dtype=jnp.int32)
    rest = row.forfeited - jnp.where(row.spoilt, paid, 0)
    burned_rest = jnp.minimum(rest, mul_bps(row.compensation, rules.burn_bps))
    held, earned = row.held.sum(dtype=jnp.int32), row.earned.sum(dtype=jnp.int32)
    kept = jnp.minimum(burn_share(held, rules)[1], earned)
    node_pay = row.earned + split_pot(kept, row.earned)
    pools = row.seller_pool + row.fee_pool + row.compute_pool + earned
    spent = paid + fee_paid + node_pay.sum(dtype=jnp.int32) + burned_rest
    refund = pools + row.forfeited + kept - spent
    ledger = replace(ledger, burned=ledger.burned + held - kept + burned_rest)
    ledger = pay_many(ledger, layout.sellers.start, seller_pay)
    ledger = pay_many(ledger, layout.nodes.start, node_pay)
    ledger = add_stakes(ledger, layout.sellers.start, row.locked)
    ledger = add_stakes(ledger, layout.nodes.start, row.pledged)
    ledger = credit(ledger, integer(layout.treasury), fee_paid)
    ledger = credit(ledger, row.buyer, refund)
    ledger = credit(ledger, row.disputer, row.bond)
    emptied = {name: jnp.zeros_like(getattr(row, name)) for name in MONEY}
    return edit_job(
        ledger,
        job,
        **emptied,
        phase=integer(phase),
        since=ledger.block,
        released=integer(phase) == Phase.SETTLED,
        compensation=row.compensation + kept - burned_rest,
        compute_paid=row.compute_paid + node_pay.sum(dtype=jnp.int32),
        seller_paid=paid,
        fee_paid=fee_paid,
        refunded=refund,
    )


def burn_share(slashed: jax.Array, rules: Rules) -> tuple[jax.Array, jax.Array]:
    """(burned, kept): what of a slashed sum is burned and what goes to the injured side."""
    burned = mul_bps(slashed, rules.burn_bps)
    return burned, slashed - burned


def spoilt_pay(row: Jobs) -> jax.Array:
    """[N] int32: what the sellers get for work on a model that was spoilt.

    min(forfeited, seller pool) by the weights of the matched, in equal parts if none has a weight.
    """
    alike = ~jnp.any(row.matched & (row.weights > 0))
    shares = jnp.where(alike, 1, row.weights)
    pot = jnp.minimum(row.forfeited, row.seller_pool)
    return split_pot(pot, jnp.where(row.matched, shares, 0))


def time_out(
    ledger: Ledger, rules: Rules, *, actor: int | jax.Array, job: int | jax.Array
) -> Result:
    """Anybody ends a job that made no progress for `rules.timeout` blocks: the buyer is refunded.

    Honest compute is paid, pledges are released, an open bond goes back to its owner; of a spoilt
    job the sellers are paid (`spoilt_pay`). But if all rounds are done and the buyer has not opened
    its examples, it pays as if tau were reached: the seller pool in equal parts to the matched
    sellers, and the fee (SETTLED). Evidence of harm that was not settled is dropped. An auction and
    a challenge window need no time-out: anybody can close and settle them.

    Checks, in order: UNKNOWN_PARTY, UNKNOWN_JOB, ALREADY_DONE or WRONG_PHASE, TOO_EARLY.
    """
    actor, job = integer(actor), integer(job)
    row = get_job(ledger, job)
    waiting = (Phase.MATCHED, Phase.TRAINING, Phase.VERIFY, Phase.DISPUTED)
    reason = first_failure(
        [
            check_actor(ledger, actor),
            check_job(ledger, job),
            *check_phase(row, *waiting),
            (Reason.TOO_EARLY, ledger.block - row.since < rules.timeout),
        ]
    )
    hides = (row.phase == Phase.VERIFY) & ~row.opened
    equal = split_pot(row.seller_pool, row.matched.astype(jnp.int32))
    pay = jnp.where(hides, equal, jnp.where(row.spoilt, spoilt_pay(row), 0))
    phase = jnp.where(hides, integer(Phase.SETTLED), integer(Phase.REFUNDED))
    new = finish(ledger, rules, job, row, phase, pay, jnp.where(hides, row.fee_pool, 0))
    return commit(reason, new, ledger)


def reset_job(
    ledger: Ledger, rules: Rules, *, actor: int | jax.Array, job: int | jax.Array
) -> Result:
    """Anybody clears a finished slot for the next auction; accounts and registry stay.

    The serial stays, too: no request for a unit ever comes back.

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
    idle = jax.tree.map(lambda x: x[0], empty_jobs(ledger.layout._replace(num_jobs=1)))
    return commit(reason, edit_job(ledger, job, **vars(replace(idle, serial=row.serial))), ledger)


def advance(ledger: Ledger, rules: Rules, *, blocks: int | jax.Array) -> Result:
    """Lets `blocks` blocks pass.

    Checks: BAD_VALUE (negative, or past the last int32 block).
    """
    del rules
    blocks = integer(blocks)
    bad = (blocks < 0) | (blocks > jnp.iinfo(jnp.int32).max - ledger.block)
    reason = first_failure([(Reason.BAD_VALUE, bad)])
    return commit(reason, replace(ledger, block=ledger.block + blocks), ledger)
