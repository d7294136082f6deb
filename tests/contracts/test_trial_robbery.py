"""Robbers before the court: claims that only get in the way, silence, haste, a court of one's own.

As `test_trial.py`: both contracts and both functional machines at once.
"""

import numpy as np
import pytest

from contracts.court import court_start
from contracts.market import COURT, address_of, number_of
from d2m_jax import ledger as L
from tests.contracts.both import BUYER, LAYOUT, NODES, RIVAL, RULES, SELLERS
from tests.contracts.court import court_artifact
from tests.contracts.puppet import PuppetMarket
from tests.contracts.test_trial import HONEST, Rootless, captured, lied, right, truth_of
from tests.contracts.trial import (
    JOB,
    ROUNDS,
    TERMS,
    Unit,
    agreed,
    book,
    dispute,
    fair_units,
    told_in_round,
    told_in_verification,
)

R = L.Reason
THIEVES = SELLERS[:2]


def cheap(unit, number):
    """A claim about a round that differs from all others at a step for the pool, the first one."""
    return Unit(unit.index, unit.run.work.start, told_in_round(unit.index), at=0, number=number)


def banned(both):
    return np.asarray(both.ledger.banned)[NODES].tolist()


def lost(both, before):
    """What is gone of each pledge since then."""
    return [x - y for x, y in zip(before, both.row("pledged"))]


def test_cheap_claims_do_not_save_a_lie():
    """One comes before the truth and one after it; whoever lied answers for its lie alone."""
    both, lie = lied()
    before, truth = both.row("pledged"), truth_of(lie)
    case = dispute(both, 0, by=HONEST)
    for who, unit in ((THIEVES[0], cheap(lie, 1)), (HONEST, truth), (THIEVES[1], cheap(lie, 2))):
        case.claim(who, unit)
    case.fight(1, THIEVES[0]).fight(2, HONEST).fight(3, THIEVES[1]).judge(2, HONEST, truth)
    case.wait(TERMS.judging + 1)
    for number in (1, 3):  # at a step for the pool nothing speaks for them
        case.do("time_out", number, actor=BUYER)
    case.wait(1)
    case.close().book(truth)
    assert all(lost(both, before)) and all(banned(both))
    assert both.row("results")[0] == truth.number


def test_who_falls_silent_for_its_lie_to_let_cheap_claims_pass_saves_nothing():
    """They have beaten the lie, too, and keep the truth from winning: the lie falls nonetheless."""
    both, lie = lied()
    before, truth, poor = both.row("pledged"), truth_of(lie), both.balances[BUYER]
    case = dispute(both, 0, by=HONEST).claim(HONEST, truth).fight(1, HONEST)
    case.judge(1, HONEST, truth)
    case.claim(THIEVES[0], cheap(lie, 1))
    case.wait(TERMS.budget + 1)
    case.do("time_out", 2, actor=THIEVES[0])  # and so it meets the truth
    case.fight(3, HONEST).judge(3, HONEST, truth, expect=R.BAD_VALUE)
    case.wait(TERMS.judging + 1)
    case.do("time_out", 3, actor=THIEVES[0]).close()
    assert both.row("ruling") == 0 and both.row("proven") and not both.row("stood")
    case.wait(RULES["content_window"])
    both("TIME_OUT", expect=R.TOO_EARLY)  # no refund that costs the liars nothing
    case.book(None)
    assert all(lost(both, before)) and all(banned(both))
    both("WAIT", amount=RULES["challenge_window"])("SETTLE")
    assert both.phase == L.Phase.REFUNDED and both.balances[BUYER] > poor


def test_two_cheap_claims_do_not_put_what_they_like_in_the_place_of_a_lie():
    """One goes out with the truth, the other is left, and wins nothing: the unit falls without a
    content."""
    both, lie = lied()
    before, truth = both.row("pledged"), truth_of(lie)
    false = [cheap(lie, 1), cheap(lie, 2)]
    case = dispute(both, 0, by=HONEST).claim(HONEST, truth).fight(1, HONEST)
    case.judge(1, HONEST, truth)
    for who, unit in zip(THIEVES, false):
        case.claim(who, unit)
    case.wait(TERMS.budget + 1)
    for number in (2, 3):  # nobody answers for the lie
        case.do("time_out", number, actor=THIEVES[0])
    case.fight(4, HONEST).judge(4, HONEST, truth, expect=R.BAD_VALUE)
    case.wait(TERMS.judging + 1)
    case.do("time_out", 4, actor=THIEVES[0]).close()
    assert both.row("ruling") == 0 and both.row("proven") and not both.row("stood")
    case.book(false[1], expect=R.BAD_VALUE)
    case.wait(RULES["content_window"])
    case.book(None)
    assert all(lost(both, before)) and all(banned(both)) and both.row("spoilt")


@pytest.mark.parametrize("is_hidden", [True, False])
def test_only_a_fall_with_a_content_makes_whole_who_was_outvoted(is_hidden):
    """Not prevented: where the truth is hidden the contract does not know who has told it."""
    lie = captured()[0]
    both, truth = agreed(), truth_of(lie)
    book(both, lie, [lie, lie, lie, truth])
    slashed = both.row("held")[3]
    assert slashed > 0
    memory = lie.run.memory.values
    for index in range(1, ROUNDS + 1):
        told = told_in_round(index) if index < ROUNDS else told_in_verification()
        later = Unit(index, memory, told)
        book(both, later)
        memory = later.run.memory.values
    case = dispute(both, 0, by=HONEST).claim(HONEST, truth).fight(1, HONEST)
    case.judge(1, HONEST, truth)
    if is_hidden:
        case.claim(THIEVES[0], cheap(lie, 1))
        case.wait(TERMS.budget + 1)
        case.do("time_out", 2, actor=THIEVES[0]).fight(3, HONEST)
        case.wait(TERMS.judging + 1)
        case.do("time_out", 3, actor=THIEVES[0])
    else:
        case.wait(TERMS.window + 1)
    case.close()
    case.wait(RULES["content_window"])
    case.book(None if is_hidden else truth)
    assert banned(both) == [True, True, True, False]
    assert both.row("held")[3] == (slashed if is_hidden else 0)


def test_a_buyer_whose_work_nobody_can_do_has_its_whole_price_back():
    """Not prevented: units without a result cost it gas, and lock what others have pledged."""
    both = agreed()
    rich, there = both.balances[BUYER], both.row("price")
    for unit in range(ROUNDS + 1):
        told = told_in_round(unit) if unit < ROUNDS else told_in_verification()
        book(both, Rootless(unit, JOB.start, told))
    assert both.phase == L.Phase.VERIFY and any(both.row("pledged"))
    both("WAIT", amount=RULES["timeout"])("TIME_OUT")
    assert both.phase == L.Phase.REFUNDED and both.balances[BUYER] == rich + there


def test_a_cheap_claim_does_not_turn_a_right_job_into_a_refund():
    """It is answered, or else nobody moves at the last step: what was accepted stands."""
    for is_judged in (True, False):
        both, truth = right(), fair_units()[0]
        case = dispute(both, 0, by=THIEVES[0]).claim(THIEVES[0], cheap(truth, 1)).fight(1, HONEST)
        if is_judged:
            case.judge(1, HONEST, truth)
        case.wait(TERMS.window + 1)
        if not is_judged:
            case.do("time_out", 1, actor=THIEVES[0])
        case.close().book(truth)
        assert not any(banned(both)) and not both.row("spoilt")
        # Whoever has answered is paid out of the bond of the claim.
        paid = case.court.balances.get(number_of(address_of(HONEST)), 0)
        assert paid >= truth.run.tree.depth * TERMS.fee
        both("WAIT", amount=RULES["challenge_window"])("SETTLE")
        assert both.phase == L.Phase.SETTLED


def test_many_cheap_claims_cost_a_bond_each_and_no_time():
    both, truth = right(), fair_units()[0]
    case, block = dispute(both, 0, by=THIEVES[0]), both.market.block
    for number in range(3):
        case.claim(THIEVES[number % 2], cheap(truth, 1 + number))
    for number in (1, 2, 3):
        case.fight(number, HONEST).judge(number, HONEST, truth)
    case.wait(block + TERMS.window + 1 - both.market.block)
    case.close().book(truth)  # with the window
    thieves = [case.court.balances.get(number_of(address_of(x)), 0) for x in THIEVES]
    assert thieves == [0, 0] and case.court.balances[number_of(address_of(HONEST))] > 0


@pytest.mark.parametrize("is_told", [True, False])
def test_a_false_claim_that_nobody_answers_bans_nobody(is_told):
    """Who was right, and slept, has lost its bond and not its place."""
    both, truth = right(), fair_units()[1]
    false = Unit(1, truth.run.work.start, told_in_round(1), at=11, number=9)
    before = both.row("pledged")
    case = dispute(both, 1, by=THIEVES[0]).claim(THIEVES[0], false)
    case.wait(TERMS.budget + 1)
    case.do("time_out", 1, actor=THIEVES[0]).close()
    case.wait(RULES["content_window"])
    case.book(false if is_told else None)
    assert not any(banned(both)) and all(lost(both, before)) and both.row("spoilt")


def test_the_prize_is_that_of_the_winning_claim_not_of_who_opened_the_case():
    for who, wins in ((HONEST, HONEST), (-1, RIVAL)):  # or it has no seat
        both, lie = lied()
        before, truth = both.balances, truth_of(lie)
        case = dispute(both, 0, by=RIVAL).claim(who, truth).fight(1, who).judge(1, who, truth)
        case.wait(TERMS.window + 1)
        case.close().book(truth)
        gained = np.subtract(both.balances, before)
        assert gained[wins] == 25 and np.abs(gained).sum() == 25  # at most the bond


def test_a_right_root_with_a_false_content_proves_its_voters_wrong():
    """No claim has won: the prize is that of who has opened the case, who has found it."""
    truth = fair_units()[ROUNDS]
    false = Unit(ROUNDS, truth.run.work.start, told_in_verification(), says={2: 1, 3: 2**15})
    both = agreed()
    for unit in (*fair_units()[:ROUNDS], false):
        book(both, unit)
    before = both.balances[RIVAL]
    case = dispute(both, ROUNDS, by=RIVAL)
    both.market.know(truth)
    case.wait(TERMS.window + 1)
    case.close().book(None, expect=R.BAD_VALUE)  # its root stands
    case.book(truth)
    assert all(banned(both)) and both.balances[RIVAL] == before + 25


class OwnCourt(PuppetMarket):
    """A market whose creator has put another court where its layout says what is there."""

    def __init__(self, **terms):
        self.change = terms
        rules = {**RULES, "bisection": 1}
        born = court_artifact().code + court_start(TERMS)
        super().__init__(LAYOUT, rules, [0] * LAYOUT.num_accounts, court=born)

    def terms(self, rules):
        said = super().terms(rules)  # with the hash of the court that is shown to those who join
        other = court_artifact().code + court_start(TERMS._replace(**self.change))
        self.evm.state.set_code(COURT, b"")
        assert self.evm.create(address_of(0), COURT, other).ok
        return said


def test_a_court_of_other_terms_is_not_that_of_the_market():
    assert OwnCourt().birth.ok  # the same terms
    for change in ({"bond": 6_800}, {"window": 2}, {"budget": 40}, {"judging": 1}, {"fee": 1}):
        with pytest.raises(ValueError, match="LAYOUT"):
            OwnCourt(**change)
