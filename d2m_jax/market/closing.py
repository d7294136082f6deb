"""The end of a job: CONE votes on the metric, disputes are heard, the ledger settles or refunds.

What the D2M paper says is that the arbiter resolves disputes; the steps are our choice. Read next:
`disputes.py`, `ledger/settlement.py` and `ledger/disputes.py`.
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
from d2m_jax.ledger import Ledger, Rules
from d2m_jax.ledger.rules import BPS
from d2m_jax.market import disputes
from d2m_jax.market.auction import EXAMPLES
from d2m_jax.market.state import Closing, MarketState, Slot


class Case(NamedTuple):
    """What all steps of the end of a job look at."""

    state: MarketState  # after the last round
    hparams: HParams
    rules: Rules
    job: Slot
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


def close_job(
    key: Key,
    state: MarketState,
    hparams: HParams,
    rules: Rules,
    metric: jax.Array,
    *,
    vote: Callable[..., cone.Consensus],
    job: Slot,
    pay: Callable[[jax.Array], jax.Array] = incentives.to_weights,
    dispute: disputes.Dispute = disputes.revote,
) -> tuple[Ledger, Closing]:
    """Verifies and hears at most one dispute; `settle_or_refund` ends the job.

    1. CONE votes on the metric; nodes are judged as for a round. A false metric says
       `conduct.false_metric`, high or low; without a decision the job times out. A buyer that
       withholds its examples (`conduct.withheld_metric`) pays as if tau were reached.
    2. Sellers with evidence of harm lose deposit and pay.
    3. A wrong result that was accepted in training or verification may be disputed; so may, for no
       reason, a right one, by who loses by the metric (the buyer when it reaches tau, else an
       honest seller). Who disputes when, and what decides, is the way of the market:
       `disputes.py`.
    4. A spoilt model fails the job; if only the metric was false, the true one is reported instead.

    Args:
        key: consumed.
        state: after the last round.
        hparams: numbers.
        rules: the ledger's terms.
        metric: [] float32 true metric of the model on the buyer's verdict examples.
        vote: `(key, state, hparams) -> Consensus`.
        job: slot.
        pay: scores [N] -> integer weights [N], one of `incentives.PAYMENTS`.
        dispute: one of `DISPUTES`, its numbers bound.

    Returns:
        The ledger in the challenge window, or stuck; and what happened.
    """
    vote_key, lots_key, again_key = jax.random.split(key, 3)
    lots = Lots(*jax.random.uniform(lots_key, (3,)))
    case = Case(state, hparams, rules, job, in_bps(metric), vote, pay)
    ledger, found = verify(vote_key, case, lots)
    matter = bring(case, ledger, found, lots)
    heard = dispute(again_key, matter)
    ledger, corrected = correct(case, found, matter, heard)
    closing = Closing(
        metric=metric,
        reported_bps=jnp.where(found.decided, found.reported, -1),
        accepted_digest=jnp.where(found.decided, found.consensus.accepted, -1),
        disputed=heard.disputed,
        was_true=matter.has_reason,
        upheld=heard.upheld,
        corrected=corrected,
        slashed=found.slashed,
        weights=found.weights,
        messages=heard.messages,
        delay=heard.delay,
        gas=heard.gas,
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
    ledger = choose(withheld, ledger, open_examples(ledger, rules, case.job))
    ledger, slashed = slash_harmful(ledger, rules, state, case.job)
    weights = case.pay(jnp.where(slashed, 0.0, state.scores))
    reported = jnp.where(consensus.accepted > 0, in_bps(conduct.false_metric), case.true_bps)
    told, receipt = report(case, ledger, reported, weights)
    decided = (consensus.accepted >= 0) & (receipt == books.Reason.OK)
    ledger = choose(decided, told, ledger)
    return ledger, Verification(consensus, reported, decided, slashed, weights)


def open_examples(ledger: Ledger, rules: Rules, job: Slot) -> Ledger:
    """The buyer of the job opens its examples."""
    content, salt = EXAMPLES
    return books.open_metric(
        ledger, rules, actor=ledger.jobs.buyer[job], job=job, content=content, salt=salt
    )[0]


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


def bring(case: Case, ledger: Ledger, found: Verification, lots: Lots) -> disputes.Matter:
    """What can be disputed: a wrong result that was accepted in training or verification."""
    state, conduct, consensus = case.state, case.hparams.conduct, found.consensus
    is_false = (consensus.accepted > 0) & found.decided
    wrong = state.wrong_nodes | ((consensus.outcome == books.Outcome.MATCHED) & is_false)
    last = ledger.jobs.round[case.job] - 1
    larger = cone.larger(case.hparams.cone, consensus.executions, ledger.layout.num_nodes)

    def again(key: Key, ledger: Ledger) -> cone.Consensus:
        return case.vote(key, state._replace(ledger=ledger), case.hparams.replace(cone=larger))

    return disputes.Matter(
        ledger=ledger,
        rules=case.rules,
        job=case.job,
        round=jnp.where(state.wrong_round >= 0, state.wrong_round, last),
        wrong=wrong,
        only_metric=wrong.any() & (state.wrong_round < 0),
        honest=state.roles.behaviour == cone.Behaviour.HONEST,
        voters=consensus.outcome != books.Outcome.NOT_DRAWN,
        loser=_loser(ledger, state, found.reported, wrong.any(), case.job),
        vigilance=conduct.vigilance,
        false_dispute=conduct.false_dispute,
        lots=(lots.notice, lots.lie),
        again=again,
        block_time=case.hparams.cone.t_block,
    )


def correct(
    case: Case, found: Verification, matter: disputes.Matter, heard: disputes.Hearing
) -> tuple[Ledger, jax.Array]:
    """The ledger after the dispute, with the true metric if only that was false, and whether so."""
    corrects = heard.upheld & matter.only_metric
    corrected, _ = report(case, heard.ledger, case.true_bps, found.weights)
    return choose(corrects, corrected, heard.ledger), corrects


def settle_or_refund(
    ledger: Ledger, rules: Rules, each: Callable[..., tuple[Ledger, jax.Array]]
) -> Ledger:
    """The challenge window passes and everybody is paid; what is stuck times out.

    Args:
        ledger: after `close_job`.
        rules: terms.
        each: `(action, ledger) -> (ledger, receipts)`: does `action(job, ledger)` for every job.
    """
    actor = ledger.layout.treasury
    ledger, _ = books.advance(ledger, rules, blocks=rules.challenge_window)
    ledger, _ = each(lambda job, now: books.settle(now, rules, actor=actor, job=job), ledger)
    ledger, _ = books.advance(ledger, rules, blocks=rules.timeout)
    return each(lambda job, now: books.time_out(now, rules, actor=actor, job=job), ledger)[0]


def _loser(
    ledger: Ledger,
    state: MarketState,
    reported: jax.Array,
    has_reason: jax.Array,
    job: Slot,
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
    job: Slot,
) -> tuple[Ledger, jax.Array]:
    """Slashes the matched sellers against whom the defence holds evidence of harm.

    Returns:
        The ledger and the [N] bool of those slashed.
    """
    evidence = sampling.slashable(state.learning.defence)
    ledger, receipts = books.slash_sellers(
        ledger, rules, actor=ledger.layout.treasury, job=job, guilty=evidence
    )
    return ledger, evidence & (receipts == books.Reason.OK)
