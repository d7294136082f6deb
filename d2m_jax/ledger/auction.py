"""Open ascending auctions, one per job slot and tag set, with the best bid in escrow.

The D2M paper says: bids within a set window, higher bids from new buyers replace the best one, the
highest wins (reviews S2, S3 of the reference). Prices, increments and the second-price option are
our choice. Read next: `escrow.py`.
"""

import jax
import jax.numpy as jnp

from d2m_jax.core.money import BPS, INT_MAX, mul_bps
from d2m_jax.ledger.accounts import (
    check_actor,
    check_job,
    check_phase,
    commit,
    credit,
    edit_job,
    first_failure,
    get_job,
    integer,
)
from d2m_jax.ledger.codes import Phase, Reason
from d2m_jax.ledger.rules import Rules
from d2m_jax.ledger.state import Jobs, Ledger, Result


def _raise(rules: Rules, best: jax.Array) -> jax.Array:
    """Smallest increment over the best bid: its share, at least one unit."""
    return jnp.maximum(mul_bps(best, rules.min_increment_bps), 1)


def minimum_bid(ledger: Ledger, rules: Rules, job: int | jax.Array) -> jax.Array:
    """[] int32: the smallest bid that the slot would accept now (capped at the largest int32)."""
    row = get_job(ledger, integer(job))
    step = _raise(rules, row.best_bid)
    outbid = jnp.where(row.best_bid > INT_MAX - step, INT_MAX, row.best_bid + step)
    opening = jnp.maximum(rules.reserve, 1)
    return jnp.where(row.phase == Phase.AUCTION, outbid, opening)


def bid(
    ledger: Ledger,
    rules: Rules,
    *,
    buyer: int | jax.Array,
    job: int | jax.Array,
    tags: int | jax.Array,
    amount: int | jax.Array,
    tau_bps: int | jax.Array,
) -> Result:
    """A buyer bids; the money is locked and the outbid buyer gets its own back at once.

    The first valid bid on an idle slot opens its auction with the buyer's tags; the window counts
    from there. The threshold tau is that of the best bidder. In a running auction the best bidder
    may not raise itself (it would set its own second price).

    Checks, in order: UNKNOWN_PARTY, UNKNOWN_JOB, NOT_AUTHORISED (not a buyer), ALREADY_DONE or
    WRONG_PHASE (slot neither idle nor in auction), TOO_LATE (window over), BAD_VALUE (tags below 1
    or tau outside [0, 10000]), WRONG_TAGS (not those of the auction), TAGS_TAKEN (opening, but
    another slot auctions them), ALREADY_LEADING, BID_TOO_LOW, NOT_ENOUGH_MONEY.

    Args:
        ledger: before.
        rules: terms.
        buyer: account that bids and pays.
        job: slot.
        tags: bitmask that sellers must cover.
        amount: units.
        tau_bps: threshold on the metric.
    """
    buyer, job, tags = integer(buyer), integer(job), integer(tags)
    amount, tau_bps = integer(amount), integer(tau_bps)
    row = get_job(ledger, job)
    is_open = row.phase == Phase.AUCTION
    elsewhere = (ledger.jobs.phase == Phase.AUCTION) & (ledger.jobs.tags == tags)
    too_low = jnp.where(
        is_open,
        (amount <= row.best_bid) | (amount - row.best_bid < _raise(rules, row.best_bid)),
        amount < jnp.maximum(rules.reserve, 1),
    )
    balance = ledger.balances[jnp.clip(buyer, 0, ledger.balances.shape[0] - 1)]
    reason = first_failure(
        [
            check_actor(ledger, buyer),
            check_job(ledger, job),
            (Reason.NOT_AUTHORISED, buyer >= ledger.layout.num_buyers),
            *check_phase(row, Phase.IDLE, Phase.AUCTION),
            (Reason.TOO_LATE, is_open & (ledger.block - row.since >= rules.auction_window)),
            (Reason.BAD_VALUE, (tags < 1) | (tau_bps < 0) | (tau_bps > BPS)),
            (Reason.WRONG_TAGS, is_open & (tags != row.tags)),
            (Reason.TAGS_TAKEN, ~is_open & elsewhere.any()),
            (Reason.ALREADY_LEADING, is_open & (buyer == row.buyer)),
            (Reason.BID_TOO_LOW, too_low),
            (Reason.NOT_ENOUGH_MONEY, amount > balance),
        ]
    )
    # An idle row has no escrow and nobody to refund, so both cases are one formula.
    new = credit(credit(ledger, row.buyer, row.escrow), buyer, -amount)
    new = edit_job(
        new,
        job,
        phase=integer(Phase.AUCTION),
        since=jnp.where(is_open, row.since, ledger.block),
        tags=tags,
        buyer=buyer,
        tau_bps=tau_bps,
        second_bid=row.best_bid,
        best_bid=amount,
        escrow=amount,
    )
    return commit(reason, new, ledger)


def price_of(row: Jobs, rules: Rules) -> jax.Array:
    """[] int32: what the winner pays, its bid or max(reserve, second bid)."""
    second = jnp.maximum(jnp.maximum(rules.reserve, 1), row.second_bid)
    return jnp.where(rules.second_price != 0, jnp.minimum(second, row.best_bid), row.best_bid)


def pools_of(price: jax.Array, rules: Rules) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The price in three parts that add up: (sellers, fee, compute), each [] int32."""
    sellers, fee = mul_bps(price, rules.seller_bps), mul_bps(price, rules.fee_bps)
    return sellers, fee, price - sellers - fee


def close_auction(
    ledger: Ledger, rules: Rules, *, actor: int | jax.Array, job: int | jax.Array
) -> Result:
    """Anybody closes an auction whose window is over: the price is fixed and split into pools.

    seller pool = price * seller_bps, fee = price * fee_bps, compute pool = the rest, so the parts
    add up exactly. What the winner bid above the price goes back to it.

    Checks, in order: UNKNOWN_PARTY, UNKNOWN_JOB, ALREADY_DONE or WRONG_PHASE, TOO_EARLY.
    """
    actor, job = integer(actor), integer(job)
    row = get_job(ledger, job)
    reason = first_failure(
        [
            check_actor(ledger, actor),
            check_job(ledger, job),
            *check_phase(row, Phase.AUCTION),
            (Reason.TOO_EARLY, ledger.block - row.since < rules.auction_window),
        ]
    )
    price = price_of(row, rules)
    seller_pool, fee, compute_pool = pools_of(price, rules)
    new = credit(ledger, row.buyer, row.escrow - price)
    new = edit_job(
        new,
        job,
        phase=integer(Phase.CLOSED),
        since=ledger.block,
        price=price,
        escrow=integer(0),
        seller_pool=seller_pool,
        fee_pool=fee,
        compute_pool=compute_pool,
    )
    return commit(reason, new, ledger)
