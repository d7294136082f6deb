"""Sealed bids: a commitment with a deposit, then the bid itself. Read next: `escrow.py`."""

import jax
import jax.numpy as jnp

from d2m_jax.core.money import BPS, units
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
    put,
    read,
)
from d2m_jax.ledger.auction import check_buyer, check_tags
from d2m_jax.ledger.codes import Phase, Reason
from d2m_jax.ledger.mixing import mix
from d2m_jax.ledger.registry import offers
from d2m_jax.ledger.rules import Rules
from d2m_jax.ledger.state import Ledger, Result


def commitment_of(
    *,
    job: int | jax.Array,
    buyer: int | jax.Array,
    amount: int | jax.Array,
    tau_bps: int | jax.Array,
    model: int | jax.Array,
    metric: int | jax.Array,
    salt: int | jax.Array,
) -> jax.Array:
    """[...] int32: the commitment of a sealed bid, never 0.

    The `mixing.mix` of the seven numbers, in the order of the arguments.
    """
    return mix(job, buyer, units(amount), tau_bps, model, metric, salt)


def digest_of(content: int | jax.Array, salt: int | jax.Array) -> jax.Array:
    """[...] int32: digest of a content that is opened later, never 0; the same mix of two words."""
    return mix(content, salt)


def seal(
    ledger: Ledger,
    rules: Rules,
    *,
    buyer: int | jax.Array,
    job: int | jax.Array,
    tags: int | jax.Array,
    deposit: int | jax.Array,
    commitment: int | jax.Array,
) -> Result:
    """Sealed: a buyer commits to a bid and moves a deposit, which will have to cover the bid.

    The first valid seal on an idle slot opens its auction with the buyer's tags; the windows count
    from there. A deposit above the bid hides it. One seal per buyer and job.

    Checks, in order: UNKNOWN_PARTY, UNKNOWN_JOB, NOT_AUTHORISED (not a buyer), WRONG_FORMAT (bids
    are open here), ALREADY_DONE or WRONG_PHASE (slot neither idle nor in auction), TOO_LATE
    (auction_window over), BAD_VALUE (tags below 1 or commitment 0), WRONG_TAGS (not those of the
    auction), TAGS_TAKEN (opening, but another slot auctions them), ALREADY_DONE (sealed before),
    BID_TOO_LOW (deposit below the reserve), NOT_ENOUGH_MONEY.

    Args:
        ledger: before.
        rules: terms.
        buyer: account that bids and pays.
        job: slot.
        tags: bitmask that sellers must cover.
        deposit: units.
        commitment: see `commitment_of`.
    """
    buyer, job, tags = integer(buyer), integer(job), integer(tags)
    deposit, commitment = ledger.units(deposit), integer(commitment)
    row = get_job(ledger, job)
    is_open = row.phase == Phase.AUCTION
    balance = read(ledger.balances, buyer)
    reason = first_failure(
        [
            check_actor(ledger, buyer),
            check_job(ledger, job),
            check_buyer(ledger, buyer),
            (Reason.WRONG_FORMAT, rules.sealed == 0),
            *check_phase(row, Phase.IDLE, Phase.AUCTION),
            (Reason.TOO_LATE, is_open & (ledger.block - row.since >= rules.auction_window)),
            (Reason.BAD_VALUE, (tags < 1) | (commitment == 0)),
            *check_tags(ledger, row, tags),
            (Reason.ALREADY_DONE, read(row.seals, buyer) != 0),
            (Reason.BID_TOO_LOW, deposit < jnp.maximum(rules.reserve, 1)),
            (Reason.NOT_ENOUGH_MONEY, deposit > balance),
        ]
    )
    new = edit_job(
        credit(ledger, buyer, -deposit),
        job,
        phase=integer(Phase.AUCTION),
        since=jnp.where(is_open, row.since, ledger.block),
        tags=tags,
        deposits=put(row.deposits, buyer, deposit),
        seals=put(row.seals, buyer, commitment),
    )
    return commit(reason, new, ledger)


def reveal(
    ledger: Ledger,
    rules: Rules,
    *,
    buyer: int | jax.Array,
    job: int | jax.Array,
    amount: int | jax.Array,
    tau_bps: int | jax.Array,
    model: int | jax.Array,
    metric: int | jax.Array,
    salt: int | jax.Array,
) -> Result:
    """Sealed: a buyer opens its seal, between the end of the auction window and the close.

    The first accepted reveal of a job fixes what the nodes offer (`registry.offers`): chance comes
    from the salts, and who registers or tops up when they are known is no candidate.

    Checks, in order: UNKNOWN_PARTY, UNKNOWN_JOB, NOT_AUTHORISED (not a buyer), WRONG_FORMAT (bids
    are open here), ALREADY_DONE or WRONG_PHASE (slot not in auction), TOO_EARLY (auction_window not
    over), TOO_LATE (reveal_window over), BAD_VALUE (tau outside [0, 10000], or not what was sealed;
    also without a seal), BID_TOO_LOW (below the reserve), NOT_ENOUGH_MONEY (above the deposit),
    ALREADY_DONE (revealed before).

    Args:
        ledger: before.
        rules: terms.
        buyer: account that sealed.
        job: slot.
        amount: units, the bid.
        tau_bps: threshold on the metric.
        model: digest of the model that is to be trained.
        metric: digest of the metric, with its examples.
        salt: what made the commitment hard to guess.
    """
    buyer, job = integer(buyer), integer(job)
    amount, tau_bps = ledger.units(amount), integer(tau_bps)
    model, metric = integer(model), integer(metric)
    row = get_job(ledger, job)
    opened = commitment_of(
        job=job,
        buyer=buyer,
        amount=amount,
        tau_bps=tau_bps,
        model=model,
        metric=metric,
        salt=salt,
    )
    late = ledger.block - row.since - rules.auction_window
    is_bad = (tau_bps < 0) | (tau_bps > BPS) | (read(row.seals, buyer) != opened)
    reason = first_failure(
        [
            check_actor(ledger, buyer),
            check_job(ledger, job),
            check_buyer(ledger, buyer),
            (Reason.WRONG_FORMAT, rules.sealed == 0),
            *check_phase(row, Phase.AUCTION),
            (Reason.TOO_EARLY, late < 0),
            (Reason.TOO_LATE, late >= rules.reveal_window),
            (Reason.BAD_VALUE, is_bad),
            (Reason.BID_TOO_LOW, amount < jnp.maximum(rules.reserve, 1)),
            (Reason.NOT_ENOUGH_MONEY, amount > read(row.deposits, buyer)),
            (Reason.ALREADY_DONE, read(row.bids, buyer) != 0),
        ]
    )
    new = edit_job(
        ledger,
        job,
        bids=put(row.bids, buyer, amount),
        taus=put(row.taus, buyer, tau_bps),
        models=put(row.models, buyer, model),
        metrics=put(row.metrics, buyer, metric),
        offered=jnp.where(row.frozen, row.offered, offers(ledger, rules, row.since)),
        frozen=jnp.ones_like(row.frozen),
    )
    return commit(reason, new, ledger)
