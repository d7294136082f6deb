"""What a decision means for the nodes: who was right, who loses of its pledge, what work is worth.

Read first: `decisions.py`; next: `rounds.py`.
"""

from dataclasses import replace
from typing import NamedTuple

import jax
import jax.numpy as jnp

from d2m_jax.core.money import INT_MAX, largest, mul_bps
from d2m_jax.core.outcomes import Outcome
from d2m_jax.ledger.auction import pools_of
from d2m_jax.ledger.contents import read_content, work_of
from d2m_jax.ledger.decisions import Decision
from d2m_jax.ledger.rules import Rules
from d2m_jax.ledger.state import Jobs, rounds_of


class Judgement(NamedTuple):
    """What a decision means."""

    is_ready: jax.Array  # [] bool, it may be booked
    result: jax.Array  # [] int32 digest, 0: the unit has none
    outcomes: jax.Array  # [C] int32, see `Outcome`


def judge(
    decision: Decision, row: Jobs, rules: Rules, block: jax.Array, task: jax.Array
) -> Judgement:
    """Who was right in a unit, and whether it has a result.

    A decision may be booked when the vote is over, answers the latest request, and its content is
    known. An accepted digest is void, and counts for nothing, if its content is not known
    content_window blocks after the last draw, or if it verifies another model or metric than the
    buyer asked for: then those who voted for it are WRONG, and nobody else is. Where nothing was
    accepted nobody is right or wrong: only silence is noted. Before the court (rules.bisection 1) a
    content that names no work counts as nothing accepted: nobody could answer for it there.

    Args:
        decision: what the vote came to.
        row: the job.
        rules: terms.
        block: now.
        task: [] int32 the unit that was executed, of a dispute the disputed one.
    """
    content, verifies = read_content(decision.content), task == rounds_of(row, rules)
    other = (content.model != row.model) | (content.metric != row.metric)
    misfit = verifies & decision.is_open & other
    unopened = ~decision.is_open & (block - decision.since >= rules.content_window)
    nameless = decision.is_open & ~misfit & (work_of(content, verifies) == 0)
    none = (decision.accepted == 0) | (nameless & (rules.bisection != 0))
    void = ~none & (misfit | unopened)
    current = decision.is_over & (decision.serial == row.serial)

    agrees = decision.papers == decision.accepted
    right = jnp.where(void, Outcome.WRONG, Outcome.MATCHED)
    other_digest = jnp.where(void, Outcome.NOT_DRAWN, Outcome.WRONG)
    judged = jnp.where(agrees, right, other_digest)
    judged = jnp.where(none, Outcome.NOT_DRAWN, judged)
    judged = jnp.where(decision.papers == 0, Outcome.SILENT, judged)
    return Judgement(
        is_ready=current & (none | decision.is_open | unopened),
        result=jnp.where(void | none, 0, decision.accepted),
        outcomes=jnp.where(decision.drawn, judged, Outcome.NOT_DRAWN).astype(jnp.int32),
    )


def round_money(row: Jobs, rules: Rules) -> jax.Array:
    """[] units: what the price holds for one unit of work: compute part // (R + 1)."""
    parts = (rounds_of(row, rules) + 1).astype(row.price.dtype)
    return pools_of(row.price, rules)[2] // parts


def slashed(row: Jobs, severity_bps: jax.Array) -> jax.Array:
    """[C] units: a share of each pledge as it was made, as far as it is still there."""
    return jnp.minimum(row.pledged, mul_bps(row.pledged + row.held, severity_bps))


def rewarded(row: Jobs, rules: Rules, who: jax.Array, pot: jax.Array) -> jax.Array:
    """[C] units: the money of a unit in equal parts to those [C] bool, at most what the pot holds.

    Formula: min(reward_cap, min(round_money, pot) // #who); a cap of INT_MAX is none.
    """
    money = jnp.minimum(round_money(row, rules), pot)
    share = money // jnp.maximum(who.sum(dtype=money.dtype), 1)
    cap = jnp.where(rules.reward_cap == INT_MAX, largest(money.dtype), rules.reward_cap)
    return jnp.where(who, jnp.minimum(cap, share), 0)


def book_outcomes(
    row: Jobs, rules: Rules, outcomes: jax.Array, banned: jax.Array, pot: jax.Array
) -> tuple[Jobs, jax.Array]:
    """Wrong and silent nodes are slashed, those that matched are paid; all nodes in one step.

    Slashes move from the pledge into what is held. Who has no pledge left, or is banned, is paid
    nothing. The caller moves the pay.

    Args:
        row: the job.
        rules: terms.
        outcomes: [C] int32, see `Outcome`.
        banned: [C] bool.
        pot: [] units from which the work is paid.

    Returns:
        The job after the slashes, and the pay [C] units.
    """
    matching = (outcomes == Outcome.MATCHED) & (row.pledged > 0) & ~banned
    pay = rewarded(row, rules, matching, pot)
    severity = jnp.where(outcomes == Outcome.WRONG, rules.slash_wrong_bps, 0)
    severity = jnp.where(outcomes == Outcome.SILENT, rules.slash_silent_bps, severity)
    loss = slashed(row, severity)
    return replace(row, pledged=row.pledged - loss, held=row.held + loss), pay
