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
from d2m_jax.ledger.state import Jobs, Ledger, Result, empty_jobs


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

    Sellers get `seller_pay`, the treasury `fee_paid`, nodes what they earned. Of what was slashed
    from nodes burn_bps is burned, the rest shared among the nodes by what they earned. The buyer
    gets all that is left, each seller and node its pledge, the disputer its bond (if there still is
    one). A job that is paid releases its model.

    Args:
        ledger: before.
        rules: terms.
        job: slot.
        row: the job with its pools and pledges.
        phase: SETTLED, REFUNDED or ABORTED.
        seller_pay: [N] int32 with a sum of at most `row.seller_pool`.
        fee_paid: [] int32, at most the fee pool.
    """
    layout = ledger.layout
    paid = seller_pay.sum(dtype=jnp.int32)
    burned, kept = burn_share(row.held.sum(dtype=jnp.int32), rules)
    node_pay = row.earned + split_pot(kept, row.earned)
    compute_paid = node_pay.sum(dtype=jnp.int32)
    pools = row.seller_pool + row.fee_pool + row.compute_pool
    refund = pools + row.earned.sum(dtype=jnp.int32) + kept - paid - fee_paid - compute_paid
    ledger = replace(ledger, burned=ledger.burned + burned)
    ledger = pay_many(ledger, layout.sellers.start, seller_pay)
    ledger = pay_many(ledger, layout.nodes.start, node_pay)
    ledger = add_stakes(ledger, layout.sellers.start, row.locked)
    ledger = add_stakes(ledger, layout.nodes.start, row.pledged)
    ledger = credit(ledger, integer(layout.treasury), fee_paid)
    ledger = credit(ledger, row.buyer, refund)
    ledger = credit(ledger, row.disputer, row.bond)
    zero = integer(0)
    return edit_job(
        ledger,
        job,
        phase=integer(phase),
        since=ledger.block,
        seller_pool=zero,
        compute_pool=zero,
        fee_pool=zero,
        bond=zero,
        locked=jnp.zeros_like(row.locked),
        pledged=jnp.zeros_like(row.pledged),
        held=jnp.zeros_like(row.held),
        earned=jnp.zeros_like(row.earned),
        released=integer(phase) == Phase.SETTLED,
        compensation=kept,
        compute_paid=compute_paid,
        seller_paid=paid,
        fee_paid=fee_paid,
        refunded=refund,
    )


def burn_share(slashed: jax.Array, rules: Rules) -> tuple[jax.Array, jax.Array]:
    """(burned, kept): what of a slashed sum is burned and what goes to the injured side."""
    burned = mul_bps(slashed, rules.burn_bps)
    return burned, slashed - burned


def time_out(
    ledger: Ledger, rules: Rules, *, actor: int | jax.Array, job: int | jax.Array
) -> Result:
    """Anybody ends a job that made no progress for `rules.timeout` blocks: the buyer is refunded.

    Honest compute is paid, pledges are released, an open bond goes back to its owner. But if all
    rounds are done and the buyer has not opened its examples, it pays as if tau were reached: the
    seller pool in equal parts to the matched sellers (none for harm), and the fee (SETTLED).
    An auction and a challenge window need no time-out: anybody can close and settle them.

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
    equal = (row.matched & ~row.excluded).astype(jnp.int32)
    pay = jnp.where(hides, split_pot(row.seller_pool, equal), 0)
    phase = jnp.where(hides, integer(Phase.SETTLED), integer(Phase.REFUNDED))
    new = finish(ledger, rules, job, row, phase, pay, jnp.where(hides, row.fee_pool, 0))
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
    layout = ledger.layout
    size = layout.num_sellers, layout.num_buyers, layout.num_nodes
    idle = jax.tree.map(lambda x: x[0], empty_jobs(1, *size))
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
