"""What it moves when a result falls: the guilty lose, who was right is made whole, work is paid.

Part of `disputes.book_dispute`. Read next: `audit.py`.
"""

from dataclasses import replace
from typing import NamedTuple

import jax
import jax.numpy as jnp

from d2m_jax.core.money import mul_bps, split_pot, total
from d2m_jax.core.outcomes import Outcome
from d2m_jax.ledger.accounts import credit, read
from d2m_jax.ledger.decisions import Decision
from d2m_jax.ledger.escrow import without_dispute
from d2m_jax.ledger.judgement import Judgement, book_outcomes, rewarded, round_money
from d2m_jax.ledger.rules import Rules
from d2m_jax.ledger.state import Jobs, Ledger, rounds_of
from d2m_jax.ledger.verification import with_metric


class Sides(NamedTuple):
    """Who said what in the vote whose result has fallen."""

    guilty: jax.Array  # [C] bool, revealed the digest that fell
    right: jax.Array  # [C] bool, revealed the one that stands now


def overturn(
    ledger: Ledger, rules: Rules, row: Jobs, judged: Judgement, decision: Decision
) -> tuple[Ledger, Jobs]:
    """The disputed unit has another result: the ledger and the job after that.

    1. Who was right gets back what it was slashed for it.
    2. The guilty lose slash_wrong_bps of their pledges and all that they have earned in the job,
       and are banned; before the court only if they were proven wrong, not if nobody has answered
       for them. From that and what is left of earlier falls (`forfeited`), as far as it goes and in
       this order,
    3. those who were right, and are not banned, get what they would have earned: min(reward_cap,
       money of a unit // #right) each;
    4. the nodes that executed again and agree get min(reward_cap, money of a unit // #them) each;
       wrong and silent ones are slashed as in a round, the guilty only once;
    5. the disputer gets its bond, and a prize of at most the size of it, which before the court is
       that of the account whose claim has won, if there is one;
    6. the rest waits for the end of the job.

    A round that falls has spoilt the model, and so has a unit that falls without another result; a
    verification that falls is replaced, metric, weights and harm, without another result by zeros.
    The challenge window starts again. The caller writes the new result in the place of the old one.

    Args:
        ledger: before.
        rules: terms.
        row: the job, DISPUTED.
        judged: what the decision means; before the court there may be no result.
        decision: what the vote on the disputed unit came to.
    """
    nodes = ledger.layout.nodes
    banned = ledger.banned[nodes]
    sides = sides_of(row, judged.result)
    amended, lost = amend(row, rules, sides, banned)
    outcomes = jnp.where(sides.guilty, Outcome.NOT_DRAWN, judged.outcomes)
    after, pay = book_outcomes(amended, rules, outcomes, banned, lost)
    left = lost - total(pay)
    prize = jnp.minimum(left, row.bond)
    is_proven = (rules.bisection == 0) | row.proven | row.stood
    finder = jnp.where(row.finder >= 0, row.finder, row.disputer)
    new = replace(
        credit(credit(ledger, row.disputer, row.bond), finder, prize),
        banned=ledger.banned.at[nodes].set(banned | (sides.guilty & is_proven)),
    )
    is_round = row.disputed_unit < rounds_of(row, rules)
    spoils = is_round | (judged.result == 0)
    after = replace(
        without_dispute(after, ledger.block),
        earned=after.earned + pay,
        compute_paid=after.compute_paid + prize,
        forfeited=left - prize,
        spoilt=row.spoilt | spoils,
    )
    return new, with_metric(after, decision.content, ~is_round)


def sides_of(row: Jobs, result: jax.Array) -> Sides:
    """Who had revealed the digest of the disputed unit that falls, and who the right one."""
    papers = read(row.papers, row.disputed_unit)
    guilty = (papers != 0) & (papers == read(row.results, row.disputed_unit))
    return Sides(guilty, (papers == result) & (papers != 0) & ~guilty)


def amend(row: Jobs, rules: Rules, sides: Sides, banned: jax.Array) -> tuple[Jobs, jax.Array]:
    """Steps 1 to 3: the job, and what is left of what the guilty lost, [] units."""
    share = mul_bps(row.pledged + row.held, rules.slash_wrong_bps)
    back = jnp.where(sides.right, jnp.minimum(row.held, share), 0)
    lost = jnp.where(sides.guilty, jnp.minimum(row.pledged, share), 0)
    gone = jnp.where(sides.guilty, row.earned, 0)
    there = row.forfeited + total(lost) + total(gone)
    heirs = sides.right & ~banned
    missed = total(rewarded(row, rules, heirs, round_money(row, rules)))
    given = split_pot(jnp.minimum(missed, there), heirs.astype(jnp.int32))
    amended = replace(
        row,
        pledged=row.pledged + back - lost,
        held=row.held - back,
        earned=row.earned - gone + given,
        compensation=row.compensation + total(lost),
    )
    return amended, there - total(given)
