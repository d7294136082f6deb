"""What a buyer does after the match: opens its examples, takes a model that missed its threshold.

Read next: `disputes.py`.
"""

import jax

from d2m_jax.ledger.accounts import (
    Check,
    check_actor,
    check_job,
    check_phase,
    commit,
    edit_job,
    first_failure,
    get_job,
    integer,
)
from d2m_jax.ledger.codes import Phase, Reason
from d2m_jax.ledger.rules import Rules
from d2m_jax.ledger.seals import digest_of
from d2m_jax.ledger.settlement import is_missed
from d2m_jax.ledger.state import Jobs, Ledger, Result


def _check_owner(row: Jobs, actor: jax.Array) -> Check:
    """NOT_AUTHORISED unless the actor is the buyer of the job."""
    return Reason.NOT_AUTHORISED, actor != row.buyer


def open_metric(
    ledger: Ledger,
    rules: Rules,
    *,
    actor: int | jax.Array,
    job: int | jax.Array,
    content: int | jax.Array,
    salt: int | jax.Array,
) -> Result:
    """The buyer opens its examples: what its bid's metric was the digest of. No metric without.

    Who has not done so when all rounds are booked and `rules.timeout` is over pays in full, see
    `time_out`.

    Checks, in order: UNKNOWN_PARTY, UNKNOWN_JOB, ALREADY_DONE or WRONG_PHASE (not MATCHED, TRAINING
    or VERIFY), NOT_AUTHORISED (not the job's buyer), ALREADY_DONE (opened before), BAD_VALUE (not
    what the digest says).

    Args:
        ledger: before.
        rules: terms.
        actor: account of the buyer.
        job: slot.
        content: stands for the examples and the way to measure.
        salt: what made the digest hard to guess.
    """
    del rules
    actor, job = integer(actor), integer(job)
    row = get_job(ledger, job)
    reason = first_failure(
        [
            check_actor(ledger, actor),
            check_job(ledger, job),
            *check_phase(row, Phase.MATCHED, Phase.TRAINING, Phase.VERIFY),
            _check_owner(row, actor),
            (Reason.ALREADY_DONE, row.opened),
            (Reason.BAD_VALUE, digest_of(content, salt) != row.metric),
        ]
    )
    new = edit_job(ledger, job, opened=integer(1) != 0, since=ledger.block)
    return commit(reason, new, ledger)


def take(ledger: Ledger, rules: Rules, *, actor: int | jax.Array, job: int | jax.Array) -> Result:
    """The buyer takes a model that missed tau, at the full price: tau falls to the metric.

    Checks, in order: UNKNOWN_PARTY, UNKNOWN_JOB, ALREADY_DONE or WRONG_PHASE (not CHALLENGE),
    NOT_AUTHORISED (not the job's buyer), ALREADY_DONE (the threshold is reached, or the model is
    spoilt), TOO_LATE (challenge window over).
    """
    actor, job = integer(actor), integer(job)
    row = get_job(ledger, job)
    reason = first_failure(
        [
            check_actor(ledger, actor),
            check_job(ledger, job),
            *check_phase(row, Phase.CHALLENGE),
            _check_owner(row, actor),
            (Reason.ALREADY_DONE, ~is_missed(row) | row.spoilt),
            (Reason.TOO_LATE, ledger.block - row.since >= rules.challenge_window),
        ]
    )
    return commit(reason, edit_job(ledger, job, tau_bps=row.metric_bps), ledger)
