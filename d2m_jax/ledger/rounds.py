"""A round that the votes have decided is booked. Read next: `verification.py`."""

from dataclasses import replace

import jax
import jax.numpy as jnp

from d2m_jax.core.money import BPS, mul_bps, total
from d2m_jax.ledger.accounts import (
    check_actor,
    check_job,
    check_phase,
    commit,
    first_failure,
    get_job,
    integer,
    put_job,
)
from d2m_jax.ledger.codes import Phase, Reason, Verdict
from d2m_jax.ledger.contents import read_content
from d2m_jax.ledger.decisions import Decision
from d2m_jax.ledger.judgement import Judgement, book_outcomes, judge
from d2m_jax.ledger.rules import Rules
from d2m_jax.ledger.state import Jobs, Ledger, Result, rounds_of


def book_round(
    ledger: Ledger,
    rules: Rules,
    *,
    actor: int | jax.Array,
    job: int | jax.Array,
    decision: Decision,
) -> Result:
    """Anybody books a round that the votes have decided; all nodes in one step.

    slash_c  = min(pledged_c, (pledged_c + held_c) * (slash_wrong_bps | slash_silent_bps))
    reward   = min(reward_cap, money of a unit // #matching), earned by each node that matched

    Both wait for the end of the job: a dispute gives back what was slashed wrongly. What is not
    spent stays in the compute pool and goes back to the buyer in the end (reference 3.6).

    With a result (`judge`) it stands with all that was revealed, and the sellers are rated:
    reputation <- max(floor, (1 - gain) * reputation + gain * [accepted]) in basis points, for the
    matched sellers that were sampled (reference 5.2, step 10). Without one the round counts, the
    model stays, nobody is rewarded.

    The last of R rounds moves the job on to VERIFY, and so does one whose content tells a metric
    that reaches the threshold, once the buyer has opened its examples (early stop).

    Checks, in order: UNKNOWN_PARTY, UNKNOWN_JOB, ALREADY_DONE or WRONG_PHASE (not MATCHED or
    TRAINING), TOO_EARLY (the decision may not be booked yet, see `judge`).

    Args:
        ledger: before.
        rules: terms.
        actor: any account.
        job: slot.
        decision: what the vote on the round came to.
    """
    actor, job = integer(actor), integer(job)
    row = get_job(ledger, job)
    judged = judge(decision, row, rules, ledger.block, row.round)
    reason = first_failure(
        [
            check_actor(ledger, actor),
            check_job(ledger, job),
            *check_phase(row, Phase.MATCHED, Phase.TRAINING),
            (Reason.TOO_EARLY, ~judged.is_ready),
        ]
    )
    content = read_content(decision.content)
    after = work_done(ledger, rules, row, judged)
    reaches = (content.metric_bps > 0) & (content.metric_bps >= row.tau_bps)
    stops = row.opened & (judged.result != 0) & reaches
    is_last = stops | (row.round + 1 >= rounds_of(row, rules))
    after = replace(
        after,
        phase=jnp.where(is_last, integer(Phase.VERIFY), integer(Phase.TRAINING)),
        since=ledger.block,
        serial=row.serial + 1,
        round=row.round + 1,
    )
    rated = row.matched & (judged.result != 0)
    new = rate(ledger, rules, jnp.where(rated, content.sellers, Verdict.NOT_SAMPLED))
    new, reason = commit(reason, put_job(new, job, after, row), ledger)
    return record(new, job, row.round, reason == Reason.OK, judged, decision), reason


def record(
    ledger: Ledger,
    job: jax.Array,
    unit: jax.Array,
    where: jax.Array,
    judged: Judgement,
    decision: Decision,
) -> Ledger:
    """Writes what a unit came to, where [] bool holds, with what was revealed in its vote.

    Nothing of other units is copied: a job of many rounds books each at the same cost.
    """
    jobs = ledger.jobs
    place = jnp.where(where, unit, jobs.results.shape[1])  # beyond the last nothing is written
    return replace(
        ledger,
        jobs=replace(
            jobs,
            results=jobs.results.at[job, place].set(judged.result, mode="drop"),
            papers=jobs.papers.at[job, place].set(decision.papers, mode="drop"),
        ),
    )


def work_done(ledger: Ledger, rules: Rules, row: Jobs, judged: Judgement) -> Jobs:
    """The job after slashes, and rewards from its compute pool."""
    banned = ledger.banned[ledger.layout.nodes]
    after, pay = book_outcomes(row, rules, judged.outcomes, banned, row.compute_pool)
    return replace(after, compute_pool=row.compute_pool - total(pay), earned=row.earned + pay)


def rate(ledger: Ledger, rules: Rules, verdicts: jax.Array) -> Ledger:
    """Moves the reputation of the sellers [N] that were sampled."""
    gain = rules.reputation_gain_bps
    accepted = jnp.where(verdicts == Verdict.ACCEPTED, gain, 0)
    moved = mul_bps(ledger.reputation_bps, BPS - gain) + accepted
    moved = jnp.clip(moved, rules.reputation_floor_bps, BPS)
    sampled = verdicts != Verdict.NOT_SAMPLED
    return replace(ledger, reputation_bps=jnp.where(sampled, moved, ledger.reputation_bps))
