"""Disputes that the court decides: what its ruling means for the money.

Of the court itself (claims, duels, bonds in ether) only the end is known here: `close_case` says
that a case was closed and what has won it. How it is played is in `court/game.py`, move for move as
in `contracts/D2MCourt.vy`. Read first: `disputes.py`.
"""

import jax
import jax.numpy as jnp

from d2m_jax.ledger.accounts import (
    check_actor,
    check_job,
    check_phase,
    commit,
    edit_job,
    first_failure,
    get_job,
    integer,
    read,
)
from d2m_jax.ledger.codes import Phase, Reason
from d2m_jax.ledger.contents import is_well_formed, read_content, words_of, work_of
from d2m_jax.ledger.decisions import Decision
from d2m_jax.ledger.disputes import book_found
from d2m_jax.ledger.judgement import judge
from d2m_jax.ledger.mixing import mix_all
from d2m_jax.ledger.rules import Rules
from d2m_jax.ledger.state import NOBODY, Jobs, Ledger, Result, rounds_of
from d2m_jax.ledger.votes_state import content_length


def close_case(
    ledger: Ledger,
    rules: Rules,
    *,
    actor: int | jax.Array,
    job: int | jax.Array,
    digest: int | jax.Array,
    stood: bool | int | jax.Array = False,
    proven: bool | int | jax.Array = False,
    finder: int | jax.Array = NOBODY,
) -> Result:
    """The court has closed the case of a job; when it may is its own matter.

    Checks, in order: UNKNOWN_PARTY, UNKNOWN_JOB, ALREADY_DONE or WRONG_PHASE (not DISPUTED),
    WRONG_FORMAT (no court decides), ALREADY_DONE (closed).

    Args:
        ledger: before.
        rules: terms.
        actor: any account.
        job: slot.
        digest: [] int32 of the one content that goes with the claim that has won, 0: no claim has,
            or there is no such content.
        stood: [] bool, the claim of what was accepted, which stands by right, has won; so it has if
            the digest is the accepted one. The caller must name no digest of another work then, and
            none of the same work where it has fallen: the contract compares roots, here none is.
        proven: [] bool, if it has not: a step was judged by which it is wrong.
        finder: account that made the claim that has won; nobody's where there is no such account.
    """
    actor, job, digest, finder = integer(actor), integer(job), integer(digest), integer(finder)
    row = get_job(ledger, job)
    reason = first_failure(
        [
            check_actor(ledger, actor),
            check_job(ledger, job),
            *check_phase(row, Phase.DISPUTED),
            (Reason.WRONG_FORMAT, rules.bisection == 0),
            (Reason.ALREADY_DONE, row.ruled >= 0),
        ]
    )
    stays = (digest != 0) & (digest == read(row.results, row.disputed_unit))
    stays = stays | (integer(stood) != 0)
    known = (finder >= 0) & (finder < ledger.layout.num_accounts) & ~stays
    new = edit_job(
        ledger,
        job,
        ruled=ledger.block,
        ruling=digest,
        stood=stays,
        proven=(integer(proven) != 0) & ~stays,
        finder=jnp.where(known, finder, NOBODY),
    )
    return commit(reason, new, ledger)


def book_case(
    ledger: Ledger,
    rules: Rules,
    *,
    actor: int | jax.Array,
    job: int | jax.Array,
    content: jax.Array,
) -> Result:
    """Anybody books what the court has found, by showing the content that has won.

    The same content as before: the dispute is rejected, its bond burned. Another one: the unit has
    a new result (`overturn`), as if a vote had found it in which nobody sat. Where no claim has
    won, or nobody shows the content, content_window blocks pass. Then what has stood by right
    stands (`escrow.uphold`), and what has fallen is booked without a content (all words 0): who
    voted for it loses, and the job is spoilt.

    Checks, in order: UNKNOWN_PARTY, UNKNOWN_JOB, ALREADY_DONE or WRONG_PHASE (not DISPUTED),
    WRONG_FORMAT (no court decides), TOO_EARLY (the case is open), BAD_VALUE (not the content that
    has won, one that names no work, a field out of its range, or a verification of something else
    than was asked for; none, though what was accepted stands), TOO_EARLY (none, before its time).

    Args:
        ledger: before.
        rules: terms.
        actor: any account.
        job: slot.
        content: [L] int32, or longer; all 0: none.
    """
    actor, job = integer(actor), integer(job)
    content, are_words = words_of(content[: content_length(ledger.layout.num_sellers)])
    row = get_job(ledger, job)
    is_bare = ~jnp.any(content != 0) & are_words
    is_good = jnp.where(is_bare, ~row.stood, is_found(row, rules, content) & are_words)
    waits = is_bare & (ledger.block - row.ruled < rules.content_window)
    reason = first_failure(
        [
            check_actor(ledger, actor),
            check_job(ledger, job),
            *check_phase(row, Phase.DISPUTED),
            (Reason.WRONG_FORMAT, rules.bisection == 0),
            (Reason.TOO_EARLY, row.ruled < 0),
            (Reason.BAD_VALUE, ~is_good),
            (Reason.TOO_EARLY, waits),
        ]
    )
    found = ruling_of(row, content, jnp.where(is_bare, 0, row.ruling))
    judged = judge(found, row, rules, ledger.block, row.disputed_unit)
    return book_found(ledger, rules, job, judged, found, reason)


def is_found(row: Jobs, rules: Rules, content: jax.Array) -> jax.Array:
    """[] bool: a content [L] is the one that has won, and makes sense for the disputed unit."""
    verifies, told = row.disputed_unit == rounds_of(row, rules), read_content(content)
    asked = (told.model == row.model) & (told.metric == row.metric)
    won = (row.ruling != 0) & (mix_all(content) == row.ruling) & (work_of(told, verifies) != 0)
    return won & is_well_formed(content, verifies) & (asked | ~verifies)


def ruling_of(row: Jobs, content: jax.Array, accepted: jax.Array) -> Decision:
    """What the court has found as a decision: of a vote in which nobody sat."""
    nobody = jnp.zeros_like(row.pledged, jnp.int32)
    return Decision(
        serial=row.serial,
        is_over=row.ruled >= 0,
        accepted=accepted,
        is_open=jnp.bool_(True),
        since=row.ruled,
        drawn=nobody != 0,
        papers=nobody,
        content=content,
    )
