"""Disputes: anybody stakes a bond against a unit of a job, a larger vote executes it again.

The D2M paper leaves the procedure open: all of it is our choice. Read next: `overturn.py`.
"""

from dataclasses import replace

import jax
import jax.numpy as jnp

from d2m_jax.core.money import mul_bps, total
from d2m_jax.core.trees import choose
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
    pay_many,
    put_job,
    read,
)
from d2m_jax.ledger.codes import Phase, Reason
from d2m_jax.ledger.decisions import Decision
from d2m_jax.ledger.escrow import without_dispute
from d2m_jax.ledger.judgement import Judgement, book_outcomes, judge
from d2m_jax.ledger.overturn import overturn
from d2m_jax.ledger.rounds import record
from d2m_jax.ledger.rules import Rules
from d2m_jax.ledger.state import NOBODY, Jobs, Ledger, Result


def bond_of(row: Jobs, rules: Rules) -> jax.Array:
    """[] units: bond_bps of the price, at least one unit (a free dispute would be free grief)."""
    return jnp.maximum(mul_bps(row.price, rules.bond_bps), 1)


def open_dispute(
    ledger: Ledger,
    rules: Rules,
    *,
    actor: int | jax.Array,
    job: int | jax.Array,
    unit: int | jax.Array,
) -> Result:
    """Anybody has a unit of a job executed again by a larger set, or tried, against a bond.

    Checks, in order: UNKNOWN_PARTY, UNKNOWN_JOB, ALREADY_DONE or WRONG_PHASE (not CHALLENGE),
    TOO_LATE (window over), BAD_VALUE (no such unit, or one without a result), NOT_ENOUGH_MONEY (for
    the bond).

    Args:
        ledger: before.
        rules: terms.
        actor: who disputes and pays the bond.
        job: slot.
        unit: round, or R for the verification.
    """
    actor, job, unit = integer(actor), integer(job), integer(unit)
    row = get_job(ledger, job)
    bond = bond_of(row, rules)
    is_unit = (unit >= 0) & (unit < row.results.shape[0])
    reason = first_failure(
        [
            check_actor(ledger, actor),
            check_job(ledger, job),
            *check_phase(row, Phase.CHALLENGE),
            (Reason.TOO_LATE, ledger.block - row.since >= rules.challenge_window),
            (Reason.BAD_VALUE, ~is_unit | (read(row.results, unit) == 0)),
            (Reason.NOT_ENOUGH_MONEY, bond > read(ledger.balances, actor)),
        ]
    )
    new = edit_job(
        credit(ledger, actor, -bond),
        job,
        phase=integer(Phase.DISPUTED),
        since=ledger.block,
        serial=row.serial + 1,
        bond=bond,
        disputer=actor,
        disputed_unit=unit,
        ruled=integer(NOBODY),
        ruling=integer(0),
        stood=jnp.bool_(False),
        proven=jnp.bool_(False),
        finder=integer(NOBODY),
    )
    return commit(reason, new, ledger)


def book_dispute(
    ledger: Ledger,
    rules: Rules,
    *,
    actor: int | jax.Array,
    job: int | jax.Array,
    decision: Decision,
) -> Result:
    """Anybody books what the vote on a disputed unit came to; the loser pays.

    No result: silent nodes, and those who voted for a void digest, are slashed. The job stays
    DISPUTED and asks again, until its time is out.

    The result that stands (rejected): wrong and silent nodes are slashed; those that matched share
    min(money of a unit, bond), at most reward_cap each, at once; the rest of the bond is burned.
    Paid to who is disputed, a false dispute of one's own work would be free. The challenge window
    starts again, so that a false dispute cannot use up the time of a true one.

    Another result: see `overturn`.

    Checks, in order: UNKNOWN_PARTY, UNKNOWN_JOB, ALREADY_DONE or WRONG_PHASE (not DISPUTED),
    WRONG_FORMAT (the court decides), TOO_EARLY (the decision may not be booked yet, see `judge`).

    Args:
        ledger: before.
        rules: terms.
        actor: any account.
        job: slot.
        decision: what the vote on the disputed unit came to.
    """
    actor, job = integer(actor), integer(job)
    row = get_job(ledger, job)
    judged = judge(decision, row, rules, ledger.block, row.disputed_unit)
    reason = first_failure(
        [
            check_actor(ledger, actor),
            check_job(ledger, job),
            *check_phase(row, Phase.DISPUTED),
            (Reason.WRONG_FORMAT, rules.bisection != 0),
            (Reason.TOO_EARLY, ~judged.is_ready),
        ]
    )
    return book_found(ledger, rules, job, judged, decision, reason)


def book_found(
    ledger: Ledger,
    rules: Rules,
    job: jax.Array,
    judged: Judgement,
    decision: Decision,
    reason: jax.Array,
) -> Result:
    """What was found about the disputed unit is booked, unless there is a reason against it.

    A vote may find nothing: then it is asked again. The court finds at least that a result falls.

    Args:
        ledger: before.
        rules: terms.
        job: slot.
        judged: what the decision means.
        decision: of the fresh set, or of the court.
        reason: [] int32 receipt of the checks.
    """
    row = get_job(ledger, job)
    before = read(row.results, row.disputed_unit)
    stands = judged.result == before
    kept = _kept(ledger, rules, row, judged, stands)
    fallen = overturn(ledger, rules, row, judged, decision)
    falls = ~stands & ((judged.result != 0) | (rules.bisection != 0))
    new, after = choose(falls, fallen, kept)
    after = replace(after, serial=row.serial + 1)
    new, reason = commit(reason, put_job(new, job, after, row), ledger)
    where = falls & (reason == Reason.OK)
    written = judged._replace(result=jnp.where(judged.result != 0, judged.result, before))
    return record(new, job, row.disputed_unit, where, written, decision), reason


def _kept(
    ledger: Ledger, rules: Rules, row: Jobs, judged: Judgement, stands: jax.Array
) -> tuple[Ledger, Jobs]:
    """After a vote that overturns nothing: it found the same ([] stands), or nothing."""
    nodes = ledger.layout.nodes
    after, pay = book_outcomes(row, rules, judged.outcomes, ledger.banned[nodes], row.bond)
    burned = jnp.where(stands, row.bond - total(pay), 0)
    new = pay_many(ledger, nodes.start, jnp.where(stands, pay, 0))
    new = replace(new, burned=new.burned + burned)
    return new, choose(stands, without_dispute(after, ledger.block), after)
