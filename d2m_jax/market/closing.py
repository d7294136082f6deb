"""The end of a job: CONE votes on the metric, disputes are heard, the ledger settles or refunds.

What the D2M paper says is that the arbiter resolves disputes; the steps are our choice. Read next:
`ledger/settlement.py` and `ledger/disputes.py`.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from d2m_jax import cone, incentives, sampling
from d2m_jax import ledger as books
from d2m_jax.config.hparams import HParams
from d2m_jax.core.trees import choose
from d2m_jax.core.types import Key
from d2m_jax.ledger import Finding, Layout, Ledger, Rules, Ruling
from d2m_jax.ledger.rules import BPS
from d2m_jax.market.state import Closing, MarketState


def close_job(
    key: Key,
    state: MarketState,
    hparams: HParams,
    rules: Rules,
    layout: Layout,
    metric: jax.Array,
    *,
    vote: Callable[..., Any],
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
        layout: accounts.
        metric: [] float32 true accuracy of the model on the buyer's verdict examples.
        vote: `(key, state, hparams) -> Consensus`.
        job: slot.
        pay: scores [N] -> integer weights [N], one of `incentives.PAYMENTS`.

    Returns:
        The final ledger and what happened.
    """
    vote_key, notice_key, again_key = jax.random.split(key, 3)
    arbiter = layout.treasury
    true_bps = jnp.floor(metric * BPS + 0.5).astype(jnp.int32)

    consensus = vote(vote_key, state, hparams)
    notice, lie, keep = jax.random.uniform(notice_key, (3,))
    withheld = keep < hparams.conduct.withheld_metric
    consensus = consensus._replace(  # without examples nobody can work, and nobody is to blame
        accepted=jnp.where(withheld, -1, consensus.accepted),
        outcome=jnp.where(withheld, books.Outcome.NOT_DRAWN, consensus.outcome),
    )
    ledger, _ = books.settle_round(
        state.ledger, rules, actor=arbiter, job=job, outcomes=consensus.outcome
    )
    ledger, slashed = slash_harmful(ledger, rules, layout, state, job)
    weights = pay(jnp.where(slashed, 0.0, state.scores))

    is_false = consensus.accepted > 0
    false_bps = jnp.floor(hparams.conduct.false_metric * BPS + 0.5).astype(jnp.int32)
    reported = jnp.where(is_false, false_bps, true_bps)
    told, receipt = books.report_metric(
        ledger, rules, actor=arbiter, job=job, metric_bps=reported, weights=weights
    )
    decided = (consensus.accepted >= 0) & (receipt == books.Reason.OK)
    ledger = choose(decided, told, ledger)

    # Whoever voted for an accepted wrong result can be accused.
    liars = (consensus.outcome == books.Outcome.MATCHED) & is_false & decided
    wrong = state.wrong_nodes | liars
    has_reason = wrong.any()
    disputes = jnp.where(
        has_reason, notice < hparams.conduct.vigilance, lie < hparams.conduct.false_dispute
    )
    voters = consensus.outcome != books.Outcome.NOT_DRAWN
    accused = jnp.argmax(jnp.where(has_reason, wrong, voters))
    last = ledger.jobs.round[job] - 1
    opened, receipt = books.open_dispute(
        ledger,
        rules,
        actor=_loser(ledger, layout, state, reported, has_reason, job),
        job=job,
        accused=layout.node(accused),
        disputed_round=jnp.where(state.wrong_round >= 0, state.wrong_round, last),
    )
    disputed = disputes & (receipt == books.Reason.OK)
    ledger = choose(disputed, opened, ledger)

    # A fresh and larger set; its honest nodes tell the truth of the matter.
    again = vote(
        again_key,
        state._replace(ledger=ledger),
        dataclasses.replace(
            hparams, cone=cone.larger(hparams.cone, consensus.executions, layout.num_nodes)
        ),
    )
    only_metric = has_reason & (state.wrong_round < 0)
    ledger, upheld = hear(ledger, rules, again, wrong, only_metric, job=job)
    upheld &= disputed
    corrects = upheld & only_metric
    corrected, _ = books.report_metric(
        ledger, rules, actor=arbiter, job=job, metric_bps=true_bps, weights=weights
    )
    ledger = choose(corrects, corrected, ledger)
    ledger, _ = books.advance(ledger, rules, blocks=rules.challenge_window)
    ledger, _ = books.settle(ledger, rules, actor=arbiter, job=job)
    ledger, _ = books.advance(ledger, rules, blocks=rules.timeout)
    ledger, _ = books.time_out(ledger, rules, actor=arbiter, job=job)
    closing = Closing(
        metric=metric,
        reported_bps=jnp.where(decided, reported, -1),
        accepted_digest=jnp.where(decided, consensus.accepted, -1),
        disputed=disputed,
        was_true=has_reason,
        upheld=upheld,
        corrected=corrects,
        slashed=slashed,
        weights=weights,
    )
    return ledger, closing


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
    layout: Layout,
    state: MarketState,
    reported: jax.Array,
    has_reason: jax.Array,
    job: int,
) -> jax.Array:
    """[] int32: the account that a reported metric leaves unpaid; nobody (-1) if there is none.

    The buyer pays when tau is reached. Below tau the sellers are not paid: the first of those that
    are matched and (when there is a reason) do not side with the liars.
    """
    unpaid = ledger.jobs.matched[job] & ~(has_reason & state.roles.bad_seller)
    seller = jnp.where(unpaid.any(), layout.seller(jnp.argmax(unpaid)), books.NOBODY)
    return jnp.where(reported < ledger.jobs.tau_bps[job], seller, ledger.jobs.buyer[job])


def slash_harmful(
    ledger: Ledger,
    rules: Rules,
    layout: Layout,
    state: MarketState,
    job: int,
) -> tuple[Ledger, jax.Array]:
    """Slashes the matched sellers against whom the defence holds evidence of harm.

    Returns:
        The ledger and the [N] bool of those slashed.
    """
    evidence = sampling.slashable(state.learning.defence)

    def one(ledger: Ledger, seller: jax.Array) -> tuple[Ledger, jax.Array]:
        new, receipt = books.slash_seller(
            ledger, rules, actor=layout.treasury, job=job, target=layout.seller(seller)
        )
        slashed = evidence[seller] & (receipt == books.Reason.OK)
        return choose(slashed, new, ledger), slashed

    return jax.lax.scan(one, ledger, jnp.arange(layout.num_sellers, dtype=jnp.int32))
