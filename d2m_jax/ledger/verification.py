"""The verification that the votes have decided is booked. Read next: `settlement.py`."""

from dataclasses import replace

import jax
import jax.numpy as jnp

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
from d2m_jax.ledger.codes import Phase, Reason
from d2m_jax.ledger.contents import read_content
from d2m_jax.ledger.decisions import Decision
from d2m_jax.ledger.judgement import judge
from d2m_jax.ledger.rounds import record, work_done
from d2m_jax.ledger.rules import Rules
from d2m_jax.ledger.state import Jobs, Ledger, Result, rounds_of


def book_verification(
    ledger: Ledger,
    rules: Rules,
    *,
    actor: int | jax.Array,
    job: int | jax.Array,
    decision: Decision,
) -> Result:
    """Anybody books the metric and the sellers' payment weights, once the votes have decided.

    Nodes are slashed and rewarded as in a round. With a result the challenge window opens (phase
    CHALLENGE), whether tau is reached or missed: what everybody will get is then known, and a
    false metric, too high or too low, can still be disputed. No money moves before `settle`.
    Without a result the job stays in VERIFY and asks again, until its time is out.

    Checks, in order: UNKNOWN_PARTY, UNKNOWN_JOB, ALREADY_DONE or WRONG_PHASE (not VERIFY),
    TOO_EARLY (the decision may not be booked yet, see `judge`).

    Args:
        ledger: before.
        rules: terms.
        actor: any account.
        job: slot.
        decision: what the vote on the verification came to.
    """
    actor, job = integer(actor), integer(job)
    row, unit = get_job(ledger, job), rounds_of(ledger, rules)
    judged = judge(decision, row, rules, ledger.block, unit)
    reason = first_failure(
        [
            check_actor(ledger, actor),
            check_job(ledger, job),
            *check_phase(row, Phase.VERIFY),
            (Reason.TOO_EARLY, ~judged.is_ready),
        ]
    )
    has_result = judged.result != 0
    after = work_done(ledger, rules, row, judged)
    after = with_metric(after, decision.content, has_result)
    after = replace(
        after,
        phase=jnp.where(has_result, integer(Phase.CHALLENGE), row.phase),
        since=jnp.where(has_result, ledger.block, row.since),
        serial=row.serial + 1,
    )
    new, reason = commit(reason, put_job(ledger, job, after, row), ledger)
    return record(new, job, unit, has_result & (reason == Reason.OK), judged, decision), reason


def with_metric(row: Jobs, content: jax.Array, where: jax.Array) -> Jobs:
    """The job with what the content of a verification says, where [] bool holds."""
    told = read_content(content)
    return replace(
        row,
        metric_bps=jnp.where(where, told.metric_bps, row.metric_bps),
        base_bps=jnp.where(where, told.base_bps, row.base_bps),
        weights=jnp.where(where, jnp.where(row.matched, told.sellers, 0), row.weights),
        excluded=jnp.where(where, told.harmful & row.matched, row.excluded),
    )
