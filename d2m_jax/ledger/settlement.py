"""Rounds and the end of a job: nodes paid and slashed, sellers rated, metric reported, all paid.

Read next: `disputes.py`.
"""

from dataclasses import replace

import jax
import jax.numpy as jnp

from d2m_jax.core.money import BPS, mul_bps, mul_div, split_pot
from d2m_jax.core.outcomes import Outcome
from d2m_jax.ledger.accounts import (
    check_actor,
    check_arbiter,
    check_job,
    check_phase,
    commit,
    credit,
    edit_job,
    first_failure,
    get_job,
    integer,
)
from d2m_jax.ledger.auction import pools_of
from d2m_jax.ledger.codes import Phase, Reason, Verdict
from d2m_jax.ledger.escrow import burn_share, finish
from d2m_jax.ledger.rules import Rules
from d2m_jax.ledger.state import MAX_WEIGHT, Jobs, Ledger, Result


def settle_round(
    ledger: Ledger,
    rules: Rules,
    *,
    actor: int | jax.Array,
    job: int | jax.Array,
    outcomes: jax.Array,
) -> Result:
    """The arbiter books one round of CONE, all nodes in one step: the order of reveal is nothing.

    slash_c  = pledged_c * (slash_wrong_bps | slash_silent_bps), from the pledge into what is held
    reward   = min(reward_cap, money of a round // #matching), earned by each node that matched

    Both wait for the end of the job: a dispute that is upheld gives back what was slashed wrongly.
    Of a node that was wrong it is noted what it would have got if those that were wrong had been
    right: missed = min(reward_cap, money of a round // #wrong). What is not spent stays in the
    compute pool and goes back to the buyer in the end (reference 3.6).

    Outcomes of nodes without a pledge count as not drawn; a banned node is slashed but not paid.
    The last of `rules.num_rounds` rounds moves the job on to VERIFY.

    Checks, in order: UNKNOWN_PARTY, UNKNOWN_JOB, NOT_AUTHORISED (not the arbiter), ALREADY_DONE or
    WRONG_PHASE (not MATCHED or TRAINING), BAD_VALUE (an outcome is no `Outcome`).

    Args:
        ledger: before.
        rules: terms.
        actor: the arbiter's account.
        job: slot.
        outcomes: [C] int32, see `Outcome`.
    """
    actor, job, outcomes = integer(actor), integer(job), integer(outcomes)
    row = get_job(ledger, job)
    span = ledger.layout.nodes
    reason = first_failure(
        [
            check_actor(ledger, actor),
            check_job(ledger, job),
            check_arbiter(ledger, actor),
            *check_phase(row, Phase.MATCHED, Phase.TRAINING),
            (Reason.BAD_VALUE, jnp.any((outcomes < 0) | (outcomes > max(Outcome)))),
        ]
    )
    matching = (row.pledged > 0) & ~ledger.banned[span] & (outcomes == Outcome.MATCHED)
    pledged, held = slash_pledges(row, rules, outcomes)
    is_wrong = (row.pledged > 0) & ~ledger.banned[span] & (outcomes == Outcome.WRONG)
    reward, missed = (_reward_of(who, row, rules) for who in (matching, is_wrong))
    rounds = row.round + 1
    is_last = rounds >= rules.num_rounds
    new = edit_job(
        ledger,
        job,
        phase=jnp.where(is_last, integer(Phase.VERIFY), integer(Phase.TRAINING)),
        since=ledger.block,
        round=rounds,
        compute_pool=row.compute_pool - reward.sum(dtype=jnp.int32),
        pledged=pledged,
        held=held,
        earned=row.earned + reward,
        missed=row.missed + missed,
    )
    return commit(reason, new, ledger)


def _reward_of(who: jax.Array, row: Jobs, rules: Rules) -> jax.Array:
    """[C] int32: the money of a round in equal parts to those [C], capped."""
    share = round_money(row, rules) // jnp.maximum(who.sum(dtype=jnp.int32), 1)
    return jnp.where(who, jnp.minimum(rules.reward_cap, share), 0)


def slash_pledges(row: Jobs, rules: Rules, outcomes: jax.Array) -> tuple[jax.Array, jax.Array]:
    """([C] pledged, [C] held) after wrong and silent nodes have lost their shares."""
    severity = jnp.where(outcomes == Outcome.WRONG, rules.slash_wrong_bps, 0)
    severity = jnp.where(outcomes == Outcome.SILENT, rules.slash_silent_bps, severity)
    slashed = mul_bps(row.pledged, severity)
    return row.pledged - slashed, row.held + slashed


def round_money(row: Jobs, rules: Rules) -> jax.Array:
    """[] int32: what the price holds for the compute of one unit of work."""
    return pools_of(row.price, rules)[2] // jnp.maximum(rules.num_rounds, 1)


def rate_sellers(
    ledger: Ledger,
    rules: Rules,
    *,
    actor: int | jax.Array,
    job: int | jax.Array,
    verdicts: jax.Array,
) -> Result:
    """The arbiter books what the defence said of the sellers, once a round; no money moves.

    reputation <- max(floor, (1 - gain) * reputation + gain * [accepted]) in basis points, for the
    matched sellers that were sampled (reference 5.2, step 10).

    Checks, in order: UNKNOWN_PARTY, UNKNOWN_JOB, NOT_AUTHORISED (not the arbiter), ALREADY_DONE or
    WRONG_PHASE (not TRAINING or VERIFY), ALREADY_DONE (rated since the last round), BAD_VALUE (a
    verdict is no `Verdict`).

    Args:
        ledger: before.
        rules: terms.
        actor: the arbiter's account.
        job: slot.
        verdicts: [N] int32, see `Verdict`.
    """
    actor, job, verdicts = integer(actor), integer(job), integer(verdicts)
    row = get_job(ledger, job)
    reason = first_failure(
        [
            check_actor(ledger, actor),
            check_job(ledger, job),
            check_arbiter(ledger, actor),
            *check_phase(row, Phase.TRAINING, Phase.VERIFY),
            (Reason.ALREADY_DONE, row.rated >= row.round),
            (Reason.BAD_VALUE, jnp.any((verdicts < 0) | (verdicts > max(Verdict)))),
        ]
    )
    gain = rules.reputation_gain_bps
    accepted = jnp.where(verdicts == Verdict.ACCEPTED, gain, 0)
    moved = mul_bps(ledger.reputation_bps, BPS - gain) + accepted
    moved = jnp.clip(moved, rules.reputation_floor_bps, BPS)
    rated = row.matched & (verdicts != Verdict.NOT_SAMPLED)
    new = replace(ledger, reputation_bps=jnp.where(rated, moved, ledger.reputation_bps))
    new = edit_job(new, job, rated=row.round)
    return commit(reason, new, ledger)


def slash_seller(
    ledger: Ledger,
    rules: Rules,
    *,
    actor: int | jax.Array,
    job: int | jax.Array,
    target: int | jax.Array,
) -> Result:
    """The arbiter punishes a matched seller on evidence of harm (never for being excluded alone).

    It loses slash_harm_bps of its locked deposit (part burned, the rest to the buyer), its pay in
    this job, and is banned.

    Checks, in order: UNKNOWN_PARTY, UNKNOWN_JOB, NOT_AUTHORISED (not the arbiter), ALREADY_DONE or
    WRONG_PHASE (not MATCHED, TRAINING, VERIFY or CHALLENGE), UNKNOWN_PARTY (the target is not
    matched), ALREADY_DONE (slashed before).

    Args:
        ledger: before.
        rules: terms.
        actor: the arbiter's account.
        job: slot.
        target: account of the seller.
    """
    actor, job, target = integer(actor), integer(job), integer(target)
    row = get_job(ledger, job)
    guilty = _sellers_named(ledger, target)
    reason = first_failure(
        [
            check_actor(ledger, actor),
            check_job(ledger, job),
            check_arbiter(ledger, actor),
            *check_phase(row, Phase.MATCHED, Phase.TRAINING, Phase.VERIFY, Phase.CHALLENGE),
            (Reason.UNKNOWN_PARTY, ~jnp.any(guilty & row.matched)),
            (Reason.ALREADY_DONE, jnp.any(guilty & row.excluded)),
        ]
    )
    return commit(reason, punish(ledger, rules, job, row, guilty), ledger)


def punish(ledger: Ledger, rules: Rules, job: jax.Array, row: Jobs, guilty: jax.Array) -> Ledger:
    """What harm costs the guilty [N]: part of what the job has locked, pay and good standing."""
    slashed = jnp.where(guilty, mul_bps(row.locked, rules.slash_harm_bps), 0)
    burned, kept = burn_share(slashed, rules)  # of each, so that one after another is the same
    new = credit(ledger, row.buyer, kept.sum(dtype=jnp.int32))
    span = ledger.layout.sellers
    new = replace(
        new,
        burned=ledger.burned + burned.sum(dtype=jnp.int32),
        banned=ledger.banned.at[span].set(ledger.banned[span] | guilty),
    )
    return edit_job(new, job, locked=row.locked - slashed, excluded=row.excluded | guilty)


def _sellers_named(ledger: Ledger, account: jax.Array) -> jax.Array:
    """[N] bool: the seller that owns the account, if one does."""
    index = jnp.arange(ledger.tags.shape[0], dtype=jnp.int32)
    return index + ledger.layout.sellers.start == account


def report_metric(
    ledger: Ledger,
    rules: Rules,
    *,
    actor: int | jax.Array,
    job: int | jax.Array,
    metric_bps: int | jax.Array,
    weights: jax.Array,
    base_metric_bps: int | jax.Array = 0,
) -> Result:
    """The arbiter reports the metric that CONE agreed on, and the sellers' payment weights.

    The challenge window opens (phase CHALLENGE) whether tau is reached or missed: what everybody
    will get is then known, and a false metric, too high or too low, can still be disputed. No money
    moves before `settle`. Before the last round (TRAINING) only a metric that reaches tau may be
    reported: early stop.

    Checks, in order: UNKNOWN_PARTY, UNKNOWN_JOB, NOT_AUTHORISED (not the arbiter), ALREADY_DONE or
    WRONG_PHASE (not TRAINING or VERIFY), BAD_VALUE (a metric outside [0, 10000], a weight outside
    [0, MAX_WEIGHT]), TOO_EARLY (rounds are left and the metric misses tau, or the buyer has not
    opened its examples).

    Args:
        ledger: before.
        rules: terms.
        actor: the arbiter's account.
        job: slot.
        metric_bps: metric of the model on the buyer's verdict set.
        weights: [N] int32 in [0, MAX_WEIGHT]; those of unmatched sellers count as 0.
        base_metric_bps: metric of the initial model (partial payment).
    """
    actor, job, weights = integer(actor), integer(job), integer(weights)
    metric, base = integer(metric_bps), integer(base_metric_bps)
    row = get_job(ledger, job)
    bad_metric = (metric < 0) | (metric > BPS) | (base < 0) | (base > BPS)
    reason = first_failure(
        [
            check_actor(ledger, actor),
            check_job(ledger, job),
            check_arbiter(ledger, actor),
            *check_phase(row, Phase.TRAINING, Phase.VERIFY),
            (
                Reason.BAD_VALUE,
                bad_metric | jnp.any((weights < 0) | (weights > MAX_WEIGHT)),
            ),
            (Reason.TOO_EARLY, (row.phase == Phase.TRAINING) & (metric < row.tau_bps)),
            (Reason.TOO_EARLY, ~row.opened),
        ]
    )
    new = edit_job(
        ledger,
        job,
        phase=integer(Phase.CHALLENGE),
        since=ledger.block,
        metric_bps=metric,
        base_bps=base,
        weights=jnp.where(row.matched, weights, 0),
    )
    return commit(reason, new, ledger)


def is_missed(row: Jobs) -> jax.Array:
    """[] bool: the reported metric is below the buyer's threshold."""
    return row.metric_bps < row.tau_bps


def earned_by_sellers(row: Jobs, rules: Rules) -> jax.Array:
    """[] int32: what of the seller pool the sellers get together, if the metric stands.

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

    Metric >= tau (SETTLED): the seller pool is split exactly by the reported weights (slashed
    sellers get nothing; with no weight at all it goes back to the buyer), the fee goes to the
    treasury. Metric < tau (REFUNDED): the buyer gets both back, less what the sellers earned
    (`earned_by_sellers`) and the fee with `rules.refund_fee` = 0; honest compute is paid
    (reference 3.6). In both cases unused compute money goes to the buyer and pledges are released:
    pay + refund = price (+ slashed stake that was not burned).

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
    missed = is_missed(row)
    pay = split_pot(earned_by_sellers(row, rules), jnp.where(row.excluded, 0, row.weights))
    fee = jnp.where(missed & (rules.refund_fee != 0), 0, row.fee_pool)
    phase = jnp.where(missed, integer(Phase.REFUNDED), integer(Phase.SETTLED))
    new = finish(ledger, rules, job, row, phase, pay, fee)
    return commit(reason, new, ledger)
