"""Auctions, one per job slot and tag set: open ascending bids, prices, and the close that matches.

The D2M paper says: bids within a set window, higher bids from new buyers replace the best one, the
highest wins (reviews S2, S3 of the reference). Formats, prices and increments are our choice.
Sealed bids are in `seals.py`. Read next: `seals.py`, then `escrow.py`.
"""

from dataclasses import replace

import jax
import jax.numpy as jnp

from d2m_jax.core.money import BPS, largest, mul_bps, total
from d2m_jax.core.trees import choose
from d2m_jax.ledger.accounts import (
    Check,
    add_stakes,
    at,
    check_actor,
    check_job,
    check_phase,
    commit,
    credit,
    edit_job,
    first_failure,
    get_job,
    integer,
    pay_many,
    put,
    put_job,
    read,
)
from d2m_jax.ledger.codes import Phase, Reason
from d2m_jax.ledger.escrow import finish
from d2m_jax.ledger.registry import eligible_sellers, offers, pledges
from d2m_jax.ledger.rules import Rules
from d2m_jax.ledger.state import NOBODY, Jobs, Ledger, Result


def check_buyer(ledger: Ledger, actor: jax.Array) -> Check:
    """NOT_AUTHORISED unless the actor is a buyer."""
    return Reason.NOT_AUTHORISED, actor >= ledger.layout.num_buyers


def check_tags(ledger: Ledger, row: Jobs, tags: jax.Array) -> list[Check]:
    """WRONG_TAGS (not those of the auction), TAGS_TAKEN (opening, another slot auctions them)."""
    is_open = row.phase == Phase.AUCTION
    elsewhere = (ledger.jobs.phase == Phase.AUCTION) & (ledger.jobs.tags == tags)
    return [
        (Reason.WRONG_TAGS, is_open & (tags != row.tags)),
        (Reason.TAGS_TAKEN, ~is_open & elsewhere.any()),
    ]


def minimum_bid(
    ledger: Ledger, rules: Rules, job: int | jax.Array, buyer: int | jax.Array
) -> jax.Array:
    """[] units: the smallest bid that an ascending auction would accept from the buyer now.

    The reserve, or above the buyer's own standing bid by max(1, min_increment_bps of it), capped
    at the largest amount. It need not lead.
    """
    standing = read(get_job(ledger, integer(job)).bids, integer(buyer))
    step = jnp.maximum(mul_bps(standing, rules.min_increment_bps), 1)
    most = largest(standing.dtype)
    raised = jnp.where(standing > most - step, most, standing + step)
    return jnp.where(standing > 0, raised, jnp.maximum(rules.reserve, 1))


def bid(
    ledger: Ledger,
    rules: Rules,
    *,
    buyer: int | jax.Array,
    job: int | jax.Array,
    tags: int | jax.Array,
    amount: int | jax.Array,
    tau_bps: int | jax.Array,
    model: int | jax.Array = 0,
    metric: int | jax.Array = 0,
) -> Result:
    """Ascending: a buyer bids, or raises its own highest bid; only the difference is taken.

    The first valid bid on an idle slot opens its auction with the buyer's tags. A bid need not
    lead: it may tell the second price. Strictly higher than all others it leads; a tie stays with
    who led before. The leader may raise itself: that cannot move its price. Every accepted bid
    starts the window anew (soft close). Threshold, model and metric are those of the buyer's last
    accepted bid.

    Checks, in order: UNKNOWN_PARTY, UNKNOWN_JOB, NOT_AUTHORISED (not a buyer), WRONG_FORMAT (bids
    are sealed here), ALREADY_DONE or WRONG_PHASE (slot neither idle nor in auction), TOO_LATE
    (window over), BAD_VALUE (tags below 1 or tau outside [0, 10000]), WRONG_TAGS (not those of the
    auction), TAGS_TAKEN (opening, but another slot auctions them), BID_TOO_LOW (see
    `minimum_bid`), NOT_ENOUGH_MONEY (for the difference to the own standing bid).

    Args:
        ledger: before.
        rules: terms.
        buyer: account that bids and pays.
        job: slot.
        tags: bitmask that sellers must cover.
        amount: units, the whole new bid.
        tau_bps: threshold on the metric.
        model: digest of the model that is to be trained.
        metric: digest of the metric, with its examples.
    """
    buyer, job, tags = integer(buyer), integer(job), integer(tags)
    amount, tau_bps = ledger.units(amount), integer(tau_bps)
    row = get_job(ledger, job)
    is_open = row.phase == Phase.AUCTION
    standing = read(row.bids, buyer)
    step = jnp.maximum(mul_bps(standing, rules.min_increment_bps), 1)
    too_low = (amount < jnp.maximum(rules.reserve, 1)) | (amount <= standing)
    too_low |= (standing > 0) & (amount - standing < step)
    balance = read(ledger.balances, buyer)
    reason = first_failure(
        [
            check_actor(ledger, buyer),
            check_job(ledger, job),
            check_buyer(ledger, buyer),
            (Reason.WRONG_FORMAT, rules.sealed != 0),
            *check_phase(row, Phase.IDLE, Phase.AUCTION),
            (Reason.TOO_LATE, is_open & (ledger.block - row.since >= rules.auction_window)),
            (Reason.BAD_VALUE, (tags < 1) | (tau_bps < 0) | (tau_bps > BPS)),
            *check_tags(ledger, row, tags),
            (Reason.BID_TOO_LOW, too_low),
            (Reason.NOT_ENOUGH_MONEY, amount - standing > balance),
        ]
    )
    new = edit_job(
        credit(ledger, buyer, standing - amount),
        job,
        phase=integer(Phase.AUCTION),
        since=ledger.block,
        tags=tags,
        buyer=jnp.where(amount > row.bids.max(initial=0), buyer, row.buyer),
        bids=put(row.bids, buyer, amount),
        deposits=put(row.deposits, buyer, amount),
        taus=put(row.taus, buyer, tau_bps),
        models=put(row.models, buyer, integer(model)),
        metrics=put(row.metrics, buyer, integer(metric)),
    )
    return commit(reason, new, ledger)


def winner_of(row: Jobs, rules: Rules) -> jax.Array:
    """[] int32: the leader; of revealed bids the highest, ties to the lowest account; -1 nobody."""
    best = jnp.argmax(row.bids).astype(jnp.int32)
    revealed = jnp.where(row.bids.max(initial=0) > 0, best, NOBODY)
    return jnp.where(rules.sealed != 0, revealed, row.buyer)


def price_of(row: Jobs, rules: Rules, winner: jax.Array) -> jax.Array:
    """[] units: the winner's bid, or max(reserve, best of the others) and at most its bid."""
    is_winner = jnp.arange(row.bids.shape[0], dtype=jnp.int32) == winner
    best = jnp.where(is_winner, row.bids, 0).max(initial=0)
    others = jnp.where(is_winner, 0, row.bids).max(initial=0)
    second = jnp.maximum(jnp.maximum(rules.reserve, 1), others)
    return jnp.where(rules.second_price != 0, jnp.minimum(second, best), best)


def pools_of(price: jax.Array, rules: Rules) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The price in three parts that add up: (sellers, fee, compute), each [] units."""
    sellers, fee = mul_bps(price, rules.seller_bps), mul_bps(price, rules.fee_bps)
    return sellers, fee, price - sellers - fee


def close_auction(
    ledger: Ledger, rules: Rules, *, actor: int | jax.Array, job: int | jax.Array
) -> Result:
    """Anybody closes an auction whose windows are over: price, deposits back, sellers matched.

    In one step, so that nobody can leave between the price and the match:

    1. Winner and price (`winner_of`, `price_of`). Threshold, model and metric of the job become the
       winner's.
    2. Every deposit goes back, the winner's less the price. Of a seal that was not revealed
       floor(deposit * unrevealed_bps / 10000) is burned. Bids and seals stay to be read.
    3. seller pool = price * seller_bps, fee = price * fee_bps, compute pool = the rest.
    4. The sellers that may work and consent (`eligible_sellers` with the seller pool, tau and the
       block `since` of the auction) are matched, seller_deposit of each is locked. Every node
       pledges what it has offered, if it still may: sealed, as of the first reveal, when the salts
       from which chance comes were not yet known; ascending, as of now. MATCHED, and the first
       round is asked for.
    5. Fewer sellers than max(min_sellers, 1), or nodes than max(min_nodes, 1): ABORTED, and the
       winner gets its whole price back, no fee. Nobody revealed: ABORTED with buyer -1 and price 0.

    Checks, in order: UNKNOWN_PARTY, UNKNOWN_JOB, ALREADY_DONE or WRONG_PHASE, TOO_EARLY (fewer
    blocks since `since` than auction_window, sealed: than auction_window + reveal_window).
    """
    actor, job = integer(actor), integer(job)
    row = get_job(ledger, job)
    late = ledger.block - row.since - rules.auction_window
    reason = first_failure(
        [
            check_actor(ledger, actor),
            check_job(ledger, job),
            *check_phase(row, Phase.AUCTION),
            (Reason.TOO_EARLY, late < jnp.where(rules.sealed != 0, rules.reveal_window, 0)),
        ]
    )
    sold, burned = _sold(ledger, rules, row)
    new = pay_many(ledger, 0, row.deposits - burned - at(sold.buyer, sold.price, burned.shape[0]))
    new = replace(new, burned=ledger.burned + total(burned))
    running = _matched(new, rules, sold, row.since)
    enough = running.matched.sum(dtype=jnp.int32) >= jnp.maximum(rules.min_sellers, 1)
    nodes = (running.pledged > 0).sum(dtype=jnp.int32)
    enough &= (nodes >= jnp.maximum(rules.min_nodes, 1)) & (sold.buyer >= 0)

    new = put_job(new, job, sold, row)
    nothing = jnp.zeros_like(row.locked)
    aborted = finish(new, rules, job, sold, Phase.ABORTED, nothing, ledger.units(0))
    layout = ledger.layout
    begun = add_stakes(new, layout.sellers.start, -running.locked)
    begun = add_stakes(begun, layout.nodes.start, -running.pledged)
    begun = put_job(begun, job, running, sold)
    return commit(reason, choose(enough, begun, aborted), ledger)


def _sold(ledger: Ledger, rules: Rules, row: Jobs) -> tuple[Jobs, jax.Array]:
    """The job with its buyer, price and pools, and what is burned of each buyer's deposit [B]."""
    winner = winner_of(row, rules)
    price = price_of(row, rules, winner)
    seller_pool, fee, compute_pool = pools_of(price, rules)
    lost = jnp.where((row.seals != 0) & (row.bids == 0), row.deposits, 0)

    def of_winner(column: jax.Array) -> jax.Array:
        return jnp.where(winner >= 0, read(column, winner), 0)

    sold = replace(
        row,
        buyer=winner,
        tau_bps=of_winner(row.taus),
        model=of_winner(row.models),
        metric=of_winner(row.metrics),
        price=price,
        deposits=jnp.zeros_like(row.deposits),
        offered=jnp.where(rules.sealed != 0, row.offered, offers(ledger, rules, row.since)),
        seller_pool=seller_pool,
        fee_pool=fee,
        compute_pool=compute_pool,
    )
    return sold, mul_bps(lost, rules.unrevealed_bps)


def _matched(ledger: Ledger, rules: Rules, sold: Jobs, since: jax.Array) -> Jobs:
    """The job with all that may and consent at work."""
    matched = eligible_sellers(
        ledger, rules, sold.tags, pool=sold.seller_pool, tau_bps=sold.tau_bps, since=since
    )
    return replace(
        sold,
        phase=integer(Phase.MATCHED),
        since=ledger.block,
        serial=sold.serial + 1,
        matched=matched,
        locked=jnp.where(matched, rules.seller_deposit, 0),
        pledged=pledges(ledger, sold.offered, since),
    )
