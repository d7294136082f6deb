"""The end of a job: sellers, nodes and the treasury are paid, harm is punished.

Read next: `disputes.py`.
"""

from dataclasses import replace

import jax
import jax.numpy as jnp

from d2m_jax.core.money import mul_bps, mul_div, split_pot, total
from d2m_jax.ledger.accounts import (
    check_actor,
    check_job,
    check_phase,
    commit,
    credit,
    first_failure,
    get_job,
    integer,
)
from d2m_jax.ledger.codes import Phase, Reason
from d2m_jax.ledger.escrow import burn_share, finish, spoilt_pay
from d2m_jax.ledger.rules import Rules
from d2m_jax.ledger.state import Jobs, Ledger, Result


def is_missed(row: Jobs) -> jax.Array:
    """[] bool: the verified metric is below the buyer's threshold."""
    return row.metric_bps < row.tau_bps


def earned_by_sellers(row: Jobs, rules: Rules) -> jax.Array:
    """[] units: what of the seller pool the sellers get together, if the metric stands.

    All of it when tau is reached. Below: work_bps of it for the work that was accepted, or with
    `rules.partial_payment` floor(pool * clip((metric - base) / (tau - base), 0, 1)) (reference
    3.6) if that is more.
    """
    way = jnp.maximum(row.metric_bps - row.base_bps, 0)
    length = jnp.maximum(row.tau_bps - row.base_bps, jnp.maximum(way, 1))
    part = jnp.where(rules.partial_payment != 0, mul_div(row.seller_pool, way, length), 0)
    work = mul_bps(row.seller_pool, rules.work_bps)
    return jnp.where(is_missed(row), jnp.maximum(part, work), row.seller_pool)


def settle(ledger: Ledger, rules: Rules, *, actor: int | jax.Array, job: int | jax.Array) -> Result:
    """Anybody settles an undisputed job after the challenge window, once.

    Metric >= tau (SETTLED): the seller pool is split exactly by the verified weights (with no
    weight at all it goes back to the buyer), the fee goes to the treasury. Metric < tau (REFUNDED):
    the buyer gets both back, less what the sellers earned (`earned_by_sellers`) and the fee with
    `rules.refund_fee` = 0; honest compute is paid (reference 3.6). In both cases sellers against
    which there is evidence of harm get nothing and are punished (`punish`), unused compute money
    goes to the buyer and pledges are released: pay + refund = price (+ slashed stake that was not
    burned).

    A round was overturned, and so the model is spoilt (REFUNDED): the sellers are paid by the
    guilty (`spoilt_pay`), whatever the verification of a spoilt model says of them; no fee.

    Checks, in order: UNKNOWN_PARTY, UNKNOWN_JOB, ALREADY_DONE or WRONG_PHASE, TOO_EARLY.
    """
    actor, job = integer(actor), integer(job)
    row = get_job(ledger, job)
    reason = first_failure(
        [
            check_actor(ledger, actor),
            check_job(ledger, job),
            *check_phase(row, Phase.CHALLENGE),
            (Reason.TOO_EARLY, ledger.block - row.since < rules.challenge_window),
        ]
    )
    failed = is_missed(row) | row.spoilt
    pay = split_pot(earned_by_sellers(row, rules), jnp.where(row.excluded, 0, row.weights))
    pay = jnp.where(row.spoilt, spoilt_pay(row), pay)
    no_fee = row.spoilt | (failed & (rules.refund_fee != 0))
    fee = jnp.where(no_fee, 0, row.fee_pool)
    phase = jnp.where(failed, integer(Phase.REFUNDED), integer(Phase.SETTLED))
    punished, left = punish(ledger, rules, row)
    new = finish(punished, rules, job, left, phase, pay, fee)
    return commit(reason, new, ledger)


def punish(ledger: Ledger, rules: Rules, row: Jobs) -> tuple[Ledger, Jobs]:
    """What harm costs the excluded sellers of a job that is not spoilt, and what is then locked.

    slash_harm_bps of the locked deposit of each, burn_bps of which is burned, the rest goes to the
    buyer; and the seller is banned.
    """
    guilty = row.excluded & ~row.spoilt
    loss = jnp.where(guilty, mul_bps(row.locked, rules.slash_harm_bps), 0)
    burned, kept = burn_share(loss, rules)
    span = ledger.layout.sellers
    new = replace(
        credit(ledger, row.buyer, total(kept)),
        burned=ledger.burned + total(burned),
        banned=ledger.banned.at[span].set(ledger.banned[span] | guilty),
    )
    return new, replace(row, locked=row.locked - loss)
