"""What a job holds: the one way out, time-outs and reuse of slots.

`finish` is the only function that empties the pools of a job; settlement, refund, abort and
time-out all go through it. Read next: `settlement.py`.
"""

from dataclasses import replace

import jax
import jax.numpy as jnp

from d2m_jax.core.money import INT_MAX, mul_bps, split_pot, total, units
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
    put_job,
)
from d2m_jax.ledger.codes import Phase, Reason
from d2m_jax.ledger.rules import Rules
from d2m_jax.ledger.state import MONEY, NOBODY, Jobs, Ledger, Result, empty_jobs


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
        seller_pay: [N] units with a sum of at most `row.seller_pool`, of a spoilt job also of at
            most `row.forfeited`.
        fee_paid: [] units, at most the fee pool.
    """
    layout = ledger.layout
    paid = total(seller_pay)
    rest = row.forfeited - jnp.where(row.spoilt, paid, 0)
    burned_rest = jnp.minimum(rest, mul_bps(row.compensation, rules.burn_bps))
    held, earned = total(row.held), total(row.earned)
    kept = jnp.minimum(burn_share(held, rules)[1], earned)
    node_pay = row.earned + split_pot(kept, row.earned)
    pools = row.seller_pool + row.fee_pool + row.compute_pool + earned
    spent = paid + fee_paid + total(node_pay) + burned_rest
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
        compute_paid=row.compute_paid + total(node_pay),
        seller_paid=paid,
        fee_paid=fee_paid,
        refunded=refund,
    )


def burn_share(slashed: jax.Array, rules: Rules) -> tuple[jax.Array, jax.Array]:
    """(burned, kept): what of a slashed sum is burned and what goes to the injured side."""
    burned = mul_bps(slashed, rules.burn_bps)
    return burned, slashed - burned


def spoilt_pay(row: Jobs) -> jax.Array:
    """[N] units: what the sellers get for work on a model that was spoilt.

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
    a challenge window need no time-out: anybody can close and settle them. Before the court the
    time-out waits for the case, and then content_window blocks for who could book it; what has won
    there by right is not refunded: the dispute is rejected (`uphold`). What has fallen there is
    booked (`cases.book_case`) and never timed out.

    Checks, in order: UNKNOWN_PARTY, UNKNOWN_JOB, ALREADY_DONE or WRONG_PHASE, TOO_EARLY.
    """
    actor, job = integer(actor), integer(job)
    row = get_job(ledger, job)
    waiting = (Phase.MATCHED, Phase.TRAINING, Phase.VERIFY, Phase.DISPUTED)
    in_court = (row.phase == Phase.DISPUTED) & (rules.bisection != 0)
    is_heard = (row.ruled >= 0) & (ledger.block - row.ruled >= rules.content_window) & row.stood
    reason = first_failure(
        [
            check_actor(ledger, actor),
            check_job(ledger, job),
            *check_phase(row, *waiting),
            (Reason.TOO_EARLY, ledger.block - row.since < rules.timeout),
            (Reason.TOO_EARLY, in_court & ~is_heard),
        ]
    )
    hides = (row.phase == Phase.VERIFY) & ~row.opened
    equal = split_pot(row.seller_pool, row.matched.astype(jnp.int32))
    pay = jnp.where(hides, equal, jnp.where(row.spoilt, spoilt_pay(row), 0))
    phase = jnp.where(hides, integer(Phase.SETTLED), integer(Phase.REFUNDED))
    over = finish(ledger, rules, job, row, phase, pay, jnp.where(hides, row.fee_pool, 0))
    new = choose(in_court, uphold(ledger, job, row), over)
    return commit(reason, new, ledger)


def without_dispute(row: Jobs, block: jax.Array) -> Jobs:
    """The job in its challenge window, as if nobody had disputed; the bond has been moved."""
    return replace(
        row,
        phase=integer(Phase.CHALLENGE),
        since=block,
        bond=jnp.zeros_like(row.bond),
        disputer=integer(NOBODY),
        disputed_unit=integer(NOBODY),
    )


def uphold(ledger: Ledger, job: jax.Array, row: Jobs) -> Ledger:
    """The result stands, since nobody has disproved it: the bond of its disputer is burned."""
    after = replace(without_dispute(row, ledger.block), serial=row.serial + 1)
    return replace(put_job(ledger, job, after, row), burned=ledger.burned + row.bond)


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
    one = ledger.layout._replace(num_jobs=1)
    idle = jax.tree.map(lambda x: x[0], empty_jobs(one, ledger.balances.dtype))
    return commit(reason, edit_job(ledger, job, **vars(replace(idle, serial=row.serial))), ledger)


def advance(ledger: Ledger, rules: Rules, *, blocks: int | jax.Array) -> Result:
    """Lets `blocks` blocks pass.

    Checks: BAD_VALUE (negative, or past the last int32 block).
    """
    del rules
    blocks = units(blocks, jnp.int32)
    bad = (blocks < 0) | (blocks > INT_MAX - ledger.block)
    reason = first_failure([(Reason.BAD_VALUE, bad)])
    return commit(reason, replace(ledger, block=ledger.block + blocks), ledger)
