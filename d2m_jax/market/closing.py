"""The end of a job: CONE votes on the metric, disputes are heard, the ledger settles or refunds.

The D2M paper says that disputes are resolved; the steps are our choice. Read next: `hearing.py`,
`ledger/settlement.py` and `ledger/disputes.py`.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from d2m_jax import cone, incentives, sampling
from d2m_jax import ledger as books
from d2m_jax.config.hparams import HParams
from d2m_jax.core.trees import choose
from d2m_jax.core.types import Key, Number
from d2m_jax.ledger import Ledger, Rules
from d2m_jax.ledger.contents import round_content, verification_content
from d2m_jax.ledger.rules import BPS
from d2m_jax.market.auction import EXAMPLES
from d2m_jax.market.decisions import RIGHT, as_decision
from d2m_jax.market.disputes import revote
from d2m_jax.market.hearing import Dispute, Hearing, Matter, hear_all, unheard
from d2m_jax.market.roles import ANYBODY
from d2m_jax.market.state import Closing, MarketState, Slot


class Case(NamedTuple):
    """What all steps of the end of a job look at."""

    state: MarketState  # after the last round
    hparams: HParams
    rules: Rules
    job: Slot
    true_bps: jax.Array  # [] int32, the metric of the model, in basis points
    harmful: jax.Array  # [N] bool, matched sellers against which there is evidence of harm
    weights: jax.Array  # [N] int32, of the payment
    vote: Callable[..., cone.Consensus]  # (key, state, hparams) -> Consensus


class Lots(NamedTuple):
    """Uniform draws in [0, 1) that decide what people do."""

    notice: jax.Array  # [] whether wrong results are noticed
    lie: jax.Array  # [] whether who loses disputes for no reason
    keep: jax.Array  # [] whether the buyer keeps its examples back


class Verification(NamedTuple):
    """How the vote on the metric went, and what the ledger knows of it."""

    consensus: cone.Consensus
    reported: jax.Array  # [] int32, basis points
    decided: jax.Array  # [] bool, there is a metric


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
    dispute: Dispute | None = revote,
) -> tuple[Ledger, Closing]:
    """Verifies, and hears a dispute of every wrong result; `settle_or_refund` ends the job.

    1. CONE votes on the metric; nodes are judged as for a round. A false metric says
       `conduct.false_metric`, high or low; without a decision the job times out. A buyer that
       withholds its examples (`conduct.withheld_metric`) pays as if tau were reached.
    2. Sellers with evidence of harm, and units that were found out, have no weight; at the
       settlement they lose their deposits.
    3. Every wrong result that was accepted in training or verification may be disputed; where there
       is none, so may, for no reason, a right metric, by who loses by it (the buyer when it reaches
       tau, else an honest seller). Who disputes when, and what decides, is the way of the market:
       `disputes.py`.
    4. A spoilt model fails the job; if only the metric was false, the true one holds instead.

    Args:
        key: consumed.
        state: after the last round.
        hparams: numbers.
        rules: the ledger's terms.
        metric: [] float32 true metric of the model on the buyer's verdict examples.
        vote: `(key, state, hparams) -> Consensus`.
        job: slot.
        pay: scores [N] -> integer weights [N], one of `incentives.PAYMENTS`.
        dispute: one of `DISPUTES`, its numbers bound; None hears nobody, and `disputed` then says
            whether one of `DISPUTES` would (`hearing.unheard`).

    Returns:
        The ledger in the challenge window, or stuck; and what happened.
    """
    vote_key, lots_key, again_key = jax.random.split(key, 3)
    lots = Lots(*jax.random.uniform(lots_key, (3,)))
    harmful = harmful_of(state) & state.ledger.jobs.matched[job]
    weights = pay(jnp.where(harmful, 0.0, state.scores))
    case = Case(state, hparams, rules, job, in_bps(metric), harmful, weights, vote)
    ledger, found = verify(vote_key, case, lots)
    matter = bring(case, ledger, found, lots)
    ledger, heard = hear_all(again_key, matter, dispute) if dispute else unheard(matter)
    return ledger, closing_of(case, metric, found, matter, ledger, heard)


def harmful_of(state: MarketState) -> jax.Array:
    """[N] bool: sellers with evidence of harm, and units whose openings look false."""
    harmful = sampling.slashable(state.learning.defence)
    return harmful | state.shown.found_out if state.shown else harmful


def closing_of(
    case: Case,
    metric: jax.Array,
    found: Verification,
    matter: Matter,
    ledger: Ledger,
    heard: Hearing,
) -> Closing:
    """What happened: `matter` is before the disputes, `ledger` after them, `heard` [R + 1, ...]."""
    row = jax.tree.map(lambda x: x[case.job], ledger.jobs)
    stands = (row.phase == books.Phase.CHALLENGE) & ~row.spoilt
    return Closing(
        metric=metric,
        reported_bps=jnp.where(found.decided, found.reported, -1),
        accepted_digest=jnp.where(found.decided, found.consensus.accepted, -1),
        disputed=heard.disputed.any(),
        was_true=_wrong_results(matter).any(),
        upheld=heard.upheld.any(),
        corrected=stands & matter.has_reason & heard.upheld[matter.unit],
        slashed=stands & row.excluded,
        weights=case.weights,
        messages=heard.messages.sum(dtype=jnp.int32),
        delay=heard.delay.sum(dtype=jnp.int32),
        gas=heard.gas.sum(dtype=jnp.int32),
    )


def in_bps(share: Number) -> jax.Array:
    """A share of one in basis points, rounded, int32."""
    return jnp.floor(jnp.asarray(share) * BPS + 0.5).astype(jnp.int32)


def verify(key: Key, case: Case, lots: Lots) -> tuple[Ledger, Verification]:
    """The buyer opens its examples, CONE votes on the metric, somebody books the result."""
    state, conduct, rules, job = case.state, case.hparams.conduct, case.rules, case.job
    consensus = case.vote(key, state, case.hparams)
    ledger = open_examples(state.ledger, rules, job)
    ledger, _ = books.advance(ledger, rules, blocks=2 * consensus.attempts)
    decision = as_decision(ledger, job, consensus, content_of(case, consensus.accepted))
    booked, _ = books.book_verification(ledger, rules, actor=ANYBODY, job=job, decision=decision)
    # without examples nobody can work, and nobody is to blame
    ledger = choose(lots.keep < conduct.withheld_metric, state.ledger, booked)
    decided = ledger.jobs.phase[job] == books.Phase.CHALLENGE
    return ledger, Verification(consensus, reported_bps(case, consensus.accepted), decided)


def open_examples(ledger: Ledger, rules: Rules, job: Slot) -> Ledger:
    """The buyer of the job opens its examples."""
    content, salt = EXAMPLES
    return books.open_metric(
        ledger, rules, actor=ledger.jobs.buyer[job], job=job, content=content, salt=salt
    )[0]


def reported_bps(case: Case, accepted: jax.Array) -> jax.Array:
    """[] int32: the metric that an accepted digest tells."""
    return jnp.where(accepted > 0, in_bps(case.hparams.conduct.false_metric), case.true_bps)


def content_of(case: Case, accepted: jax.Array) -> jax.Array:
    """[L] int32: content of the verification; with partial payment an untrained model's, too.

    Who lies about the metric says the truth about all else.
    """
    base = jnp.where(case.rules.partial_payment != 0, in_bps(case.state.base_metric), 0)
    jobs = case.state.ledger.jobs
    return verification_content(
        metric_bps=reported_bps(case, accepted),
        base_bps=base,
        model=jobs.model[case.job],
        metric=jobs.metric[case.job],
        weights=case.weights,
        harmful=case.harmful,
    )


def bring(case: Case, ledger: Ledger, found: Verification, lots: Lots) -> Matter:
    """What can be disputed, and by whom; of the units it names the verification."""
    state, conduct = case.state, case.hparams.conduct
    larger = cone.larger(case.hparams.cone, found.consensus.executions, ledger.layout.num_nodes)

    def again(key: Key, ledger: Ledger) -> cone.Consensus:
        return case.vote(key, state._replace(ledger=ledger), case.hparams.replace(cone=larger))

    matter = Matter(
        ledger=ledger,
        rules=case.rules,
        job=case.job,
        unit=books.rounds_of(ledger, case.rules),
        may_lie=False,
        honest=state.roles.behaviour == cone.Behaviour.HONEST,
        loser=jnp.int32(books.NOBODY),
        vigilance=conduct.vigilance,
        false_dispute=conduct.false_dispute,
        lots=(lots.notice, lots.lie),
        again=again,
        content=partial(_content_of_unit, case),
        block_time=case.hparams.cone.t_block,
    )
    has_reason = _wrong_results(matter).any()
    return matter._replace(loser=_loser(ledger, state, found.reported, has_reason, case.job))


def _content_of_unit(case: Case, unit: jax.Array, accepted: jax.Array) -> jax.Array:
    """[L] int32: of a unit that was executed again; of a round nothing but its model matters."""
    is_last = unit == books.rounds_of(case.state.ledger, case.rules)
    verdicts = jnp.zeros_like(case.weights)
    trained = round_content(jnp.int32(0), verdicts)
    return jnp.where(is_last, content_of(case, accepted), trained)


def _wrong_results(matter: Matter) -> jax.Array:
    """[R + 1] bool: units in which a wrong result was accepted, of a job that can be disputed."""
    jobs = matter.ledger.jobs
    is_open = jobs.phase[matter.job] == books.Phase.CHALLENGE
    return is_open & (jobs.results[matter.job] > RIGHT)


def settle_or_refund(
    ledger: Ledger, rules: Rules, each: Callable[..., tuple[Ledger, jax.Array]]
) -> Ledger:
    """The challenge window passes and everybody is paid; what is stuck times out.

    Args:
        ledger: after `close_job`.
        rules: terms.
        each: `(action, ledger) -> (ledger, receipts)`: does `action(job, ledger)` for every job.
    """
    ledger, _ = books.advance(ledger, rules, blocks=rules.challenge_window)
    ledger, _ = each(lambda job, now: books.settle(now, rules, actor=ANYBODY, job=job), ledger)
    ledger, _ = books.advance(ledger, rules, blocks=rules.timeout)
    return each(lambda job, now: books.time_out(now, rules, actor=ANYBODY, job=job), ledger)[0]


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
