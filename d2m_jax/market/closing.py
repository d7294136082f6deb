"""The end of a job: CONE votes on the metric, disputes are heard, the ledger settles or refunds.

What the D2M paper says is that the arbiter resolves disputes; the steps are our choice. Read next:
`ledger/settlement.py` and `ledger/disputes.py`.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from d2m_jax import cone, incentives, sampling
from d2m_jax import ledger as books
from d2m_jax.config.hparams import HParams
from d2m_jax.core.trees import choose
from d2m_jax.core.types import Key, Number
from d2m_jax.ledger import Finding, Ledger, Rules, Ruling
from d2m_jax.ledger.rules import BPS
from d2m_jax.market.state import Closing, MarketState


class Case(NamedTuple):
    """What all steps of the end of a job look at."""

    state: MarketState  # after the last round
    hparams: HParams
    rules: Rules
    job: int  # slot
    true_bps: jax.Array  # [] int32, the metric of the model, in basis points
    vote: Callable[..., cone.Consensus]  # (key, state, hparams) -> Consensus
    pay: Callable[[jax.Array], jax.Array]  # scores [N] -> integer weights [N]


class Lots(NamedTuple):
    """Uniform draws in [0, 1) that decide what people do."""

    notice: jax.Array  # [] whether a wrong acceptance is noticed
    lie: jax.Array  # [] whether who loses disputes for no reason
    keep: jax.Array  # [] whether the buyer keeps its examples back


class Verification(NamedTuple):
    """How the vote on the metric went, and what was told to the ledger."""

    consensus: cone.Consensus
    reported: jax.Array  # [] int32, basis points
    decided: jax.Array  # [] bool, the ledger took the report
    slashed: jax.Array  # [N] bool, sellers punished on evidence of harm
    weights: jax.Array  # [N] int32, of the payment


class Complaint(NamedTuple):
    """A dispute, if there is one."""

    wrong: jax.Array  # [C] bool, nodes that voted for an accepted wrong result
    disputed: jax.Array  # [] bool

    @property
    def has_reason(self) -> jax.Array:
        """[] bool: a wrong result was accepted."""
        return self.wrong.any()


def close_job(
    key: Key,
    state: MarketState,
    hparams: HParams,
    rules: Rules,
    metric: jax.Array,
    *,
    vote: Callable[..., cone.Consensus],
    job: int,
    pay: Callable[[jax.Array], jax.Array] = incentives.to_weights,
) -> tuple[Ledger, Closing]:
    """Verifies, hears at most one dispute, and ends the job.

    1. CONE votes on the metric; nodes are paid and slashed as for a round. A false metric says
       `conduct.false_metric`, high or low; without a decision, or if the buyer withholds the
       examples (`conduct.withheld_metric`), the job times out.
    2. Sellers with evidence of harm lose deposit and pay.
    3. Who loses by the metric (the buyer when it reaches tau, else an honest seller) disputes, with
       probability `vigilance`, if a wrong result was accepted in training or verification; else,
       with probability `false_dispute`, for no reason. A fresh set, larger than the one in
       question, re-executes; it is paid by who loses.
    4. A spoilt model fails the job; if only the metric was false, the true one is reported instead.
    5. After the challenge window everybody is paid, or the buyer is refunded.

    Args:
        key: consumed.
        state: after the last round.
        hparams: numbers.
        rules: the ledger's terms.
        metric: [] float32 true metric of the model on the buyer's verdict examples.
        vote: `(key, state, hparams) -> Consensus`.
        job: slot.
        pay: scores [N] -> integer weights [N], one of `incentives.PAYMENTS`.

    Returns:
        The final ledger and what happened.
    """
    vote_key, lots_key, again_key = jax.random.split(key, 3)
    lots = Lots(*jax.random.uniform(lots_key, (3,)))
    case = Case(state, hparams, rules, job, in_bps(metric), vote, pay)
    ledger, found = verify(vote_key, case, lots)
    ledger, complaint = complain(case, ledger, found, lots)
    ledger, upheld, corrected = judge(again_key, case, ledger, found, complaint)
    ledger = settle_or_refund(case, ledger)
    closing = Closing(
        metric=metric,
        reported_bps=jnp.where(found.decided, found.reported, -1),
        accepted_digest=jnp.where(found.decided, found.consensus.accepted, -1),
        disputed=complaint.disputed,
        was_true=complaint.has_reason,
        upheld=upheld,
        corrected=corrected,
        slashed=found.slashed,
        weights=found.weights,
    )
    return ledger, closing


def in_bps(share: Number) -> jax.Array:
    """A share of one in basis points, rounded, int32."""
    return jnp.floor(jnp.asarray(share) * BPS + 0.5).astype(jnp.int32)


def verify(key: Key, case: Case, lots: Lots) -> tuple[Ledger, Verification]:
    """CONE votes on the metric, sellers with evidence of harm are slashed, the result is told."""
    state, conduct, rules = case.state, case.hparams.conduct, case.rules
    consensus = case.vote(key, state, case.hparams)
    withheld = lots.keep < conduct.withheld_metric
    consensus = consensus._replace(  # without examples nobody can work, and nobody is to blame
        accepted=jnp.where(withheld, -1, consensus.accepted),
        outcome=jnp.where(withheld, books.Outcome.NOT_DRAWN, consensus.outcome),
    )
    actor = state.ledger.layout.treasury
    ledger, _ = books.settle_round(
        state.ledger, rules, actor=actor, job=case.job, outcomes=consensus.outcome
    )
    ledger, slashed = slash_harmful(ledger, rules, state, case.job)
    weights = case.pay(jnp.where(slashed, 0.0, state.scores))
    reported = jnp.where(consensus.accepted > 0, in_bps(conduct.false_metric), case.true_bps)
    told, receipt = report(case, ledger, reported, weights)
    decided = (consensus.accepted >= 0) & (receipt == books.Reason.OK)
    ledger = choose(decided, told, ledger)
    return ledger, Verification(consensus, reported, decided, slashed, weights)


def report(
    case: Case, ledger: Ledger, metric_bps: jax.Array, weights: jax.Array
) -> tuple[Ledger, jax.Array]:
    """The metric is told to the ledger; with partial payment what an untrained model has, too."""
    base = jnp.where(case.rules.partial_payment != 0, in_bps(case.state.base_metric), 0)
    return books.report_metric(
        ledger,
        case.rules,
        actor=ledger.layout.treasury,
        job=case.job,
        metric_bps=metric_bps,
        weights=weights,
        base_metric_bps=base,
    )


def complain(
    case: Case, ledger: Ledger, found: Verification, lots: Lots
) -> tuple[Ledger, Complaint]:
    """Who loses by the metric disputes, with a reason or without; liars can be accused."""
    state, conduct, consensus = case.state, case.hparams.conduct, found.consensus
    is_false = (consensus.accepted > 0) & found.decided
    wrong = state.wrong_nodes | ((consensus.outcome == books.Outcome.MATCHED) & is_false)
    has_reason = wrong.any()
    wants = jnp.where(has_reason, lots.notice < conduct.vigilance, lots.lie < conduct.false_dispute)
    voters = consensus.outcome != books.Outcome.NOT_DRAWN
    accused = jnp.argmax(jnp.where(has_reason, wrong, voters))
    last = ledger.jobs.round[case.job] - 1
    opened, receipt = books.open_dispute(
        ledger,
        case.rules,
        actor=_loser(ledger, state, found.reported, has_reason, case.job),
        job=case.job,
        accused=ledger.layout.node(accused),
        disputed_round=jnp.where(state.wrong_round >= 0, state.wrong_round, last),
    )
    disputed = wants & (receipt == books.Reason.OK)
    return choose(disputed, opened, ledger), Complaint(wrong, disputed)


def judge(
    key: Key, case: Case, ledger: Ledger, found: Verification, complaint: Complaint
) -> tuple[Ledger, jax.Array, jax.Array]:
    """A fresh and larger set decides; its honest nodes tell the truth of the matter.

    Returns:
        The ledger, whether the dispute is upheld, and whether the true metric was told instead.
    """
    larger = cone.larger(case.hparams.cone, found.consensus.executions, ledger.layout.num_nodes)
    again = case.vote(key, case.state._replace(ledger=ledger), case.hparams.replace(cone=larger))
    only_metric = complaint.has_reason & (case.state.wrong_round < 0)
    ledger, upheld = hear(ledger, case.rules, again, complaint.wrong, only_metric, job=case.job)
    upheld &= complaint.disputed
    corrects = upheld & only_metric
    corrected, _ = report(case, ledger, case.true_bps, found.weights)
    return choose(corrects, corrected, ledger), upheld, corrects


def settle_or_refund(case: Case, ledger: Ledger) -> Ledger:
    """The challenge window passes and everybody is paid; what is stuck times out."""
    actor, rules, job = ledger.layout.treasury, case.rules, case.job
    ledger, _ = books.advance(ledger, rules, blocks=rules.challenge_window)
    ledger, _ = books.settle(ledger, rules, actor=actor, job=job)
    ledger, _ = books.advance(ledger, rules, blocks=rules.timeout)
    return books.time_out(ledger, rules, actor=actor, job=job)[0]


def hear(
    ledger: Ledger,
    rules: Rules,
    again: cone.Consensus,
    wrong: jax.Array,
    only_metric: jax.Array,
    *,
    job: int,
) -> tuple[Ledger, jax.Array]:
    """Books what the fresh set found: the loser pays those who executed again, liars are slashed.

    Without a decision the dispute stays open, times out, and the buyer is refunded.

    Args:
        ledger: with the dispute; without one nothing happens.
        rules: terms.
        again: the vote of the fresh set.
        wrong: [C] bool, who voted for an accepted wrong result; nobody: a false dispute.
        only_metric: [] bool, the model is right and only its metric was false.
        job: slot.

    Returns:
        The ledger and whether the dispute, if there is one, is upheld.
    """
    has_reason = wrong.any()
    upheld = jnp.where(has_reason, again.accepted == 0, again.accepted > 0)
    won = jnp.where(only_metric, Ruling.REPORT_AGAIN, Ruling.UPHELD)
    resolved, _ = books.resolve_dispute(
        ledger,
        rules,
        actor=ledger.layout.treasury,
        job=job,
        ruling=jnp.where(upheld, won, Ruling.REJECTED),
        findings=jnp.where(upheld & wrong, Finding.GUILTY, again.outcome),
    )
    return choose(again.accepted >= 0, resolved, ledger), upheld


def _loser(
    ledger: Ledger,
    state: MarketState,
    reported: jax.Array,
    has_reason: jax.Array,
    job: int,
) -> jax.Array:
    """[] int32: the account that a reported metric leaves unpaid; nobody (-1) if there is none.

    The buyer pays when tau is reached. Below tau the sellers are not paid: the first of those that
    are matched and (when there is a reason) do not side with the liars.
    """
    layout = ledger.layout
    unpaid = ledger.jobs.matched[job] & ~(has_reason & state.roles.bad_seller)
    seller = jnp.where(unpaid.any(), layout.seller(jnp.argmax(unpaid)), books.NOBODY)
    return jnp.where(reported < ledger.jobs.tau_bps[job], seller, ledger.jobs.buyer[job])


def slash_harmful(
    ledger: Ledger,
    rules: Rules,
    state: MarketState,
    job: int,
) -> tuple[Ledger, jax.Array]:
    """Slashes the matched sellers against whom the defence holds evidence of harm.

    Returns:
        The ledger and the [N] bool of those slashed.
    """
    layout = ledger.layout
    evidence = sampling.slashable(state.learning.defence)

    def one(ledger: Ledger, seller: jax.Array) -> tuple[Ledger, jax.Array]:
        new, receipt = books.slash_seller(
            ledger, rules, actor=layout.treasury, job=job, target=layout.seller(seller)
        )
        slashed = evidence[seller] & (receipt == books.Reason.OK)
        return choose(slashed, new, ledger), slashed

    return jax.lax.scan(one, ledger, jnp.arange(layout.num_sellers, dtype=jnp.int32))
