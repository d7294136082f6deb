"""Disputes before the court: real work, real hashes, cases played to a settlement of the money.

The market's contract and the functional ledger, the court's contract and the pure game, all at once
(`trial.py`).
"""

import numpy as np
import pytest
from eth_utils import keccak

from contracts.compiler import source_of
from contracts.market import (
    MARKET,
    address_of,
    compile_market,
    number_of,
    reason_text,
    words_of,
)
from contracts.votes import pack
from d2m_jax import ledger as L
from d2m_jax.court import game
from d2m_jax.court.plans import SELLERS as SELLERS_AT
from d2m_jax.court.plans import JobWork, job_work
from d2m_jax.court.steps import ONE
from d2m_jax.court.tree import pair
from tests.contracts import trial
from tests.contracts.both import BUYER, GOOD, NODES, RIVAL, RULES, SELLERS, challenged, matched
from tests.contracts.mutants import swap
from tests.contracts.trial import (
    JOB,
    ROUNDS,
    SIZES,
    TERMS,
    Unit,
    agreed,
    book,
    dispute,
    fair_units,
    told_in_round,
    told_in_verification,
    win,
)

R = L.Reason
HONEST = NODES[3]


def captured():
    """Nodes 0 to 2 agree on a lie in both rounds and in the verification; node 3 does not.

    The lie of a round is in the server's step, that of the verification in the count. Who was
    outvoted has no pledge left: it still knows what is right.
    """
    units, memory = [], fair_units()[0].run.work.start
    for index in range(ROUNDS):
        program = fair_units()[index].run.work.program
        at = next(i for i, step in enumerate(program) if step.op == 4)
        units.append(Unit(index, memory, told_in_round(index), at=at, number=5))
        memory = units[-1].run.memory.values
    at = next(i for i, step in enumerate(fair_units()[-1].run.work.program) if step.op == 5)
    units.append(Unit(ROUNDS, memory, told_in_verification(), at=at, number=4))
    return units


def truth_of(lie):
    """The same unit, from the same start, done right."""
    told = told_in_round(lie.index) if lie.index < ROUNDS else told_in_verification()
    return Unit(lie.index, lie.run.work.start, told)


RICH = {"price": 100, "node_stake": 200, "slash_wrong_bps": 5_000}


def ended(units, truths=None):
    """What everybody has gained of a job: all units agreed on, or captured, disputed and fallen."""
    both = agreed(**RICH)
    for i, unit in enumerate(units):
        book(both, unit, [unit, unit, unit, truths[i]] if truths else None)
    metric = both.row("metric_bps")
    for lie, truth in zip(units, truths or []):
        win(both, lie.index, truth, actor=HONEST, by=HONEST)
        assert both.row("results")[lie.index] == truth.number
    both("WAIT", amount=RULES["challenge_window"])("SETTLE")
    court = both.market.game
    assert len(court.cases) == len(truths or []) and court.burned == 0
    assert court.held == sum(court.balances.values())  # no bond is left behind
    return both, np.asarray(L.wealth(both.ledger)) - 1_000, metric


def test_a_challenger_before_the_court_overturns_every_wrong_unit_and_all_are_made_whole():
    lies = captured()
    both, gained, metric = ended(lies, [truth_of(lie) for lie in lies])
    quiet, fair, _ = ended(fair_units())
    assert quiet.phase == L.Phase.SETTLED and both.phase == L.Phase.REFUNDED
    assert metric == 10_000 and both.row("metric_bps") == 7_500 and both.row("spoilt")
    assert (gained[NODES[:3]] < 0).all() and gained[HONEST] >= fair[HONEST] > 0
    assert (gained[SELLERS] >= fair[SELLERS]).all() and gained[BUYER] >= 0 > fair[BUYER]
    assert np.asarray(both.ledger.banned)[NODES].tolist() == [True, True, True, False]


def lied(unit=0, **rules):
    """A lie of all nodes in the first round stands; then the job goes on as it should."""
    lies = captured()
    both = agreed(**rules)
    book(both, lies[0])
    memory = lies[0].run.memory.values
    for index in range(1, ROUNDS + 1):
        told = told_in_round(index) if index < ROUNDS else told_in_verification()
        later = Unit(index, memory, told)
        book(both, later)
        memory = later.run.memory.values
    return both, lies[0]


def lied_in_the_end():
    """A lie of all nodes in the verification stands."""
    both = agreed()
    for unit in fair_units()[:ROUNDS]:
        book(both, unit)
    memory = fair_units()[ROUNDS].run.work.start
    at = next(i for i, step in enumerate(JOB.programs[-1]) if step.op == 5)
    lie = Unit(ROUNDS, memory, told_in_verification(), at=at, number=4)
    book(both, lie)
    return both, lie


def right(**rules):
    """All units done right, agreed by all; the challenge window has just begun."""
    both = agreed(**rules)
    for unit in fair_units():
        book(both, unit)
    return both


def test_a_false_dispute_loses_its_bonds_and_the_job_is_paid():
    both, truth = right(), fair_units()[1]
    lie = Unit(1, truth.run.work.start, told_in_round(1), at=11, number=9)
    before, burned = both.balances[RIVAL], int(both.ledger.burned)
    case = dispute(both, 1, by=RIVAL).claim(RIVAL, lie)
    case.fight(1, HONEST).judge(1, HONEST, truth)
    case.wait(TERMS.window + 1)
    case.close().book(truth)
    assert both.phase == L.Phase.CHALLENGE and not both.row("spoilt")
    assert both.balances[RIVAL] == before - 25 and int(both.ledger.burned) == burned + 25
    court = case.court
    assert court.burned + sum(court.balances.values()) == TERMS.bond  # all of it is lost
    both("WAIT", amount=RULES["challenge_window"])("SETTLE")
    assert both.phase == L.Phase.SETTLED


def test_a_dispute_that_nobody_argues_for_is_lost_after_the_window():
    both, truth = right(), fair_units()[0]
    case = dispute(both, 0)
    case.close(expect=R.TOO_EARLY)
    case.book(truth, expect=R.TOO_EARLY)
    case.wait(TERMS.window)
    case.close(expect=R.TOO_EARLY).wait(1)
    case.close().close(expect=R.WRONG_PHASE).book(truth)
    assert both.phase == L.Phase.CHALLENGE and both.row("results")[0] == truth.number


def test_a_right_root_with_a_false_content_falls_without_a_duel():
    """The votes accept the work and lie about what it says: weights that it does not bear out."""
    truth = fair_units()[ROUNDS]
    false = Unit(ROUNDS, truth.run.work.start, told_in_verification(), says={2: 1, 3: 2**15})
    both = agreed()
    for unit in (*fair_units()[:ROUNDS], false):
        book(both, unit)
    assert both.row("weights") == [1, 2**15, 0]
    case = dispute(both, ROUNDS)
    both.market.know(truth)
    case.wait(TERMS.window + 1)
    case.close().book(false, expect=R.BAD_VALUE)
    case.book(truth)
    assert both.row("weights") == [3, 1, 0] and not both.row("spoilt")


def test_what_nobody_has_disproved_stands_also_where_no_content_can_be_booked():
    """The pool says a verdict that does not exist: the right memory cannot be written down.

    A dispute cannot make a refund of that, nor of a content that nobody shows.
    """
    told = told_in_round(0) | {SELLERS_AT: 9}
    unwritten = Unit(0, JOB.start, told, says={SELLERS_AT: 1})
    both, memory = agreed(), unwritten.run.memory.values
    book(both, unwritten)
    for index, told in ((1, told_in_round(1)), (ROUNDS, told_in_verification())):
        unit = Unit(index, memory, told)
        book(both, unit)
        memory = unit.run.memory.values
    for unit in (unwritten, both.market.booked(0, 1)):
        before, burned = both.balances[BUYER], int(both.ledger.burned)
        case = dispute(both, unit.index, by=BUYER)
        case.wait(max(TERMS.window + 1, RULES["timeout"]))
        case.close()
        assert both.row("stood")
        if unit is unwritten:
            case.book(unit, expect=R.BAD_VALUE)
        case.wait(RULES["content_window"] - 1)
        both("TIME_OUT", expect=R.TOO_EARLY)("WAIT", amount=1)("TIME_OUT")
        assert both.phase == L.Phase.CHALLENGE and both.row("results")[unit.index] == unit.number
        assert both.balances[BUYER] == before - 25 and int(both.ledger.burned) == burned + 25
        case.book(unit, expect=R.WRONG_PHASE)
    both("WAIT", amount=RULES["challenge_window"])("SETTLE")
    assert both.phase == L.Phase.SETTLED


def small():
    """A market whose memory has no room for a content: 4 words, for 2 and 3 sellers."""

    class Small(JobWork):
        @property
        def plan(self):
            return super().plan._replace(size=2)

    job, memory = Small(*JOB), fair_units()[ROUNDS - 1].run.memory.values
    both = agreed(job=job)
    for unit in fair_units()[:ROUNDS]:
        book(both, unit)
    book(both, Unit(ROUNDS, memory, told_in_verification(), job=job))
    return both


def has_no_case(both, unit=0, **shown):
    """What is shown with a dispute is refused; the functional ledger knows nothing of it."""
    both.market.shown = shown
    opening = {"kind": L.Kind.OPEN_DISPUTE, "actor": RIVAL, "job": 0, "value": unit}
    sent = both.market.send({**opening, "extra": [0] * 3})
    assert not sent.ok and reason_text(sent.output) == "BAD_VALUE", shown
    both.agree()


def test_a_memory_without_room_for_a_content_has_no_case():
    has_no_case(small())


def test_a_claim_with_another_start_falls_at_its_first_checkpoint():
    """The votes go on from a memory that nobody agreed on, with right steps."""
    other = list(fair_units()[0].run.work.start)
    other[-3] += 1
    false, truth = Unit(0, other, told_in_round(0)), fair_units()[0]
    both = agreed()
    book(both, false)
    for unit in fair_units()[1:]:
        book(both, unit)
    case = dispute(both, 0).claim(HONEST, truth).fight(1, HONEST)
    assert case.court.duel(1).place == 0
    case.judge(1, HONEST, truth)
    case.wait(TERMS.window + 1)
    case.close().book(truth)
    assert both.row("results")[0] == truth.number and both.row("spoilt")


class Rootless(Unit):
    """A content with the empty word for a root: nobody could answer for it."""

    root = bytes(32)


def test_a_result_that_names_no_work_comes_to_nothing():
    """Nobody is right, nobody wrong, and there is nothing to dispute; the next unit goes on."""
    truth, other = fair_units()[0], Unit(0, JOB.start, told_in_round(0), at=11, number=9)
    both = agreed()
    none = Rootless(0, JOB.start, told_in_round(0))
    book(both, none, [none, none, other, truth])
    row = both.row()
    assert row["results"][0] == 0 and not any(row["earned"]) and not any(row["held"])
    book(both, Unit(1, JOB.start, told_in_round(1)))  # from where the first one began
    memory = both.market.booked(0, 1).run.memory.values
    verified = Unit(ROUNDS, memory, told_in_verification())
    book(both, Rootless(ROUNDS, memory, told_in_verification()))
    assert both.phase == L.Phase.VERIFY
    book(both, verified)
    dispute(both, 0, expect=R.BAD_VALUE)
    case = dispute(both, 1)
    case.wait(TERMS.window + 1)
    case.close().book(case.accused)
    assert both.phase == L.Phase.CHALLENGE and not both.row("spoilt")


def test_who_votes_by_count_alone_needs_no_work():
    """Where no court decides, a content without a root is a result as any other."""
    both = matched()
    both.book(content=[0, 0, 0, 0, 0, 1, 1, 1, 0, 0, 0])
    assert both.row("results")[0] == GOOD and both.row("earned")[0] > 0


def test_who_went_on_from_a_result_that_falls_later_is_not_guilty():
    """A later round begins where it was voted on, also when the earlier one has fallen since."""
    both, lie = lied()
    win(both, 0, truth_of(lie), HONEST)
    later = both.market.booked(0, 1)
    case = dispute(both, 1)
    case.wait(TERMS.window + 1)
    case.close().book(later)
    assert both.row("results")[1] == later.number
    # Were the new result its start, the honest who went on from the old one would be liars now.
    moved = Unit(1, truth_of(lie).run.memory.values, told_in_round(1))
    case = dispute(both, 1).claim(HONEST, moved, expect=R.BAD_VALUE)
    assert not case.court.cases[case.name].running


# Attacks


def test_silence_costs_a_clock_and_no_more():
    """Nobody answers for the claim that was accepted: it loses when its clock is out."""
    both, lie = lied()
    case = dispute(both, 0).claim(HONEST, truth_of(lie)).fight(1, HONEST, silent=(None,))
    case.do("time_out", 1, actor=HONEST, expect=R.TOO_EARLY)
    case.wait(TERMS.budget + 1)
    case.do("time_out", 1, actor=HONEST)
    case.close().book(truth_of(lie))
    assert both.row("results")[0] == truth_of(lie).number


def test_a_challenger_that_falls_silent_loses_its_bond():
    both, truth = right(), fair_units()[0]
    lie = Unit(0, truth.run.work.start, told_in_round(0), at=11, number=9)
    case = dispute(both, 0).claim(RIVAL, lie).fight(1, HONEST, silent=(RIVAL,))
    case.wait(TERMS.budget + 1)
    case.do("time_out", 1, actor=HONEST).close().book(truth)
    assert both.row("results")[0] == truth.number and case.court.burned > 0


def test_the_time_out_waits_for_the_case_and_then_for_who_may_book_it():
    both, lie = lied()
    case = dispute(both, 0).claim(HONEST, truth_of(lie)).fight(1, HONEST)
    case.wait(RULES["timeout"])
    both("TIME_OUT", expect=R.TOO_EARLY)  # the case is open
    case.do("time_out", 1, actor=RIVAL).close()  # nobody has shown the step: the claim is out
    assert both.row("stood")
    case.book(truth_of(lie), expect=R.BAD_VALUE)
    case.wait(RULES["content_window"] - 1)
    both("TIME_OUT", expect=R.TOO_EARLY)
    case.wait(1)
    before = both.balances[RIVAL]
    both("TIME_OUT")
    assert both.phase == L.Phase.CHALLENGE and both.balances[RIVAL] == before  # its bond is burned


def bare(both, lie):
    """A lie has fallen, and nobody shows what is right: it is booked without a content."""
    before, (buyer, rival) = both.row(), (both.balances[x] for x in (BUYER, RIVAL))
    case = dispute(both, lie.index).claim(HONEST, truth_of(lie)).fight(1, HONEST)
    case.judge(1, HONEST, truth_of(lie)).wait(TERMS.window + 1)
    case.close().book(None, expect=R.TOO_EARLY)
    case.wait(max(RULES["content_window"], RULES["timeout"]))
    both("TIME_OUT", expect=R.TOO_EARLY)
    case.book(None)
    return before, buyer, rival


@pytest.mark.parametrize("unit", [0, ROUNDS])
def test_what_has_fallen_never_stands_also_where_nobody_shows_another_content(unit):
    both, lie = lied() if unit == 0 else lied_in_the_end()
    before, buyer, rival = bare(both, lie)
    row = both.row()
    assert both.phase == L.Phase.CHALLENGE and row["spoilt"]
    assert row["results"] == before["results"] and not any(row["papers"][unit])
    assert all(x < y for x, y in zip(row["pledged"], before["pledged"]))  # all had lied
    assert np.asarray(both.ledger.banned)[NODES].all()
    assert both.balances[RIVAL] == rival  # its bond is back
    if unit == ROUNDS:  # and nobody is paid by what a lie said
        assert row["metric_bps"] == 0 and not any(row["weights"])
    both("TAKE", BUYER, expect=R.ALREADY_DONE)("WAIT", amount=RULES["challenge_window"])("SETTLE")
    assert both.phase == L.Phase.REFUNDED and both.balances[BUYER] > buyer


def test_a_dispute_in_the_last_block_of_the_window_has_the_whole_time_of_the_court():
    both, lie = lied()
    both("WAIT", amount=RULES["challenge_window"] - 1)
    case = dispute(both, 0)
    both("SETTLE", expect=R.WRONG_PHASE)
    case.wait(TERMS.window - 1)
    case.claim(HONEST, truth_of(lie)).fight(1, HONEST).judge(1, HONEST, truth_of(lie))
    case.wait(1)
    case.close().book(truth_of(lie))
    assert both.row("spoilt")


def test_one_case_at_a_time_and_none_comes_back():
    both, lie = lied()
    case = dispute(both, 0)
    both("OPEN_DISPUTE", RIVAL, value=1, expect=R.WRONG_PHASE)
    case.wait(TERMS.window + 1)
    case.close().book(lie)
    case.book(lie, expect=R.WRONG_PHASE)
    again = dispute(both, 0)
    assert again.name != case.name
    case.book(lie, expect=R.TOO_EARLY)  # what the first one has found does not count for the second
    both("WAIT", amount=0)


def silent_round():
    """Nobody says anything in the second round."""
    both = agreed()
    book(both, fair_units()[0])
    both.book([0, 0, 0, 0], 0)
    book(both, Unit(ROUNDS, fair_units()[0].run.memory.values, told_in_verification()))
    return both


def test_a_unit_without_a_result_or_that_does_not_exist_has_no_case():
    both = silent_round()
    cases = len(both.market.game.cases)
    for unit in (1, -1, ROUNDS + 1, 99):
        dispute(both, unit, expect=R.BAD_VALUE)
    assert len(both.market.game.cases) == cases
    # The verification begins where the last round with a result ended.
    assert dispute(both, ROUNDS).market.begins(0, ROUNDS).index == 0


def test_only_the_work_that_was_agreed_on_is_tried():
    """Another plan, program, start or content than the buyer's and the votes' is refused."""
    both, lie = lied()
    market, other = both.market, number_of(bytes([7]) * 32)
    plan = JOB.plan
    words = [number_of(plan.start), number_of(plan.programs), *plan[2:]]
    wrong = [
        *({"plan": [*words[:i], words[i] + 1, *words[i + 1 :]]} for i in range(5)),
        {"program": other},
        {"branch": []},
        {"accepted": fair_units()[0].data},
        {"before": lie.data[:-1] + b"\1"},
        {"start": other},
        {"last": []},
    ]
    for shown in wrong:
        has_no_case(both, 1, **shown)
    market.shown = {}
    dispute(both, 1)


def test_a_market_tries_only_the_work_that_it_was_created_for():
    """A buyer's plan with other programs, or with the same ones cut otherwise: steps of a step."""

    class Deeper(JobWork):
        """The programs of two units as that of one, in a tree of claims that is deeper by one."""

        @property
        def plan(self):
            plan = super().plan
            return plan._replace(depth=plan.depth + 1, height=plan.height - 1)

        def program(self, index):
            return pair(super().program(index), super().program(index + 1))

        def branch(self, index):
            return super().branch(index)[1:]

    other = job_work(SIZES, [1_000, -2_000], [ONE // 10, ONE // 10], trim=1)
    memory = fair_units()[ROUNDS - 1].run.memory.values
    for job in (other, Deeper(*JOB)):
        for created_for in (JOB, job):
            both = agreed(job=job, created_for=created_for)
            for unit in fair_units()[:ROUNDS]:
                book(both, unit)
            book(both, Unit(ROUNDS, memory, told_in_verification(), job=job))
            if created_for is JOB:
                has_no_case(both)
        dispute(both, 0)


def test_what_is_booked_is_the_content_of_the_claim_that_has_won():
    """A content of another unit, a cut proof, numbers behind the last seller: all refused."""
    both, lie = lied()
    truth = truth_of(lie)
    case = dispute(both, 0).claim(HONEST, truth).fight(1, HONEST).judge(1, HONEST, truth)
    case.wait(TERMS.window + 1)
    case.close()
    market = both.market
    stuffed = bytearray(truth.data)
    stuffed[-32] = 1  # a verdict of a seller that there is not
    untrue = bytearray(truth.data)
    untrue[31] = 7  # a metric that the memory does not hold
    words, last = (list(map(number_of, proof)) for proof in truth.proofs)
    wrong = [
        {"content": lie.data},
        {"content": both.market.booked(0, 1).data},
        {"content": both.market.booked(0, ROUNDS).data},
        {"content": bytes(stuffed)},
        {"content": bytes(untrue)},
        {"content": truth.data + bytes(32)},
        {"content": bytes(64)},
        {"siblings": words[1:]},
        {"siblings": [0, *words]},
        {"siblings": [0, *words[1:]]},
        {"last": [0, *last[1:]]},
        {"last": last[1:]},
        {"last": [*last, 0]},
    ]
    for shown in wrong:
        market.shown = shown
        sent = market.send({"kind": L.Kind.BOOK_CASE, "actor": RIVAL, "job": 0,
                            "payload": truth.content, "extra": [0] * 3})  # fmt: skip
        assert not sent.ok and reason_text(sent.output) == "BAD_VALUE", shown
        both.agree()
    market.shown = {}
    case.book(truth)


def test_nobody_opens_the_case_of_a_market_before_it():
    """A stranger's case about the same unit is another one: its name holds who opened it."""
    both, lie = lied()
    plan, serial = JOB.plan, both.row("serial")
    label = keccak(words_of(0, serial + 1, 0))
    program = JOB.program(0)
    opening = plan.start, program, plan.depth, plan.size, label
    for name, more in (("open_for", [lie.root]), ("open_case", [])):
        assert both.market.court.call(1_234, name, *opening, *more) == R.OK
    both("WAIT", amount=1)
    both.market.game = None  # the stranger's cases are in the contract alone
    both("OPEN_DISPUTE", RIVAL, value=0)
    name = both.market.case_of(0).to_bytes(32, "big")
    assert name == game.case_for(*opening, lie.root, number_of(MARKET))


def test_a_bond_comes_back_once_and_to_its_owner():
    both, lie = lied()
    truth = truth_of(lie)
    case = dispute(both, 0).claim(HONEST, truth).fight(1, RIVAL).judge(1, RIVAL, truth)
    case.wait(TERMS.window + 1)
    case.close().book(truth)
    paid = case.court.balances
    mine, others = (number_of(address_of(x)) for x in (HONEST, RIVAL))
    assert paid[mine] + paid[others] == TERMS.bond  # who answered for it has its fees
    case.do("pay_out", actor=BUYER, expect=R.NOT_ENOUGH_MONEY)
    case.do("pay_out", actor=HONEST).do("pay_out", actor=HONEST, expect=R.NOT_ENOUGH_MONEY)
    case.do("pay_out", actor=RIVAL)
    assert case.court.held == case.court.burned == 0


def test_where_a_court_decides_no_vote_does_and_the_other_way_round():
    both, _ = lied()
    market, who = both.market, address_of(RIVAL)
    assert reason_text(market.call(who, "open_dispute", 0, 0).output) == "WRONG_FORMAT"
    dispute(both, 0)
    assert reason_text(market.call(who, "book_dispute", 0, []).output) == "WRONG_FORMAT"
    assert market.read("wanted", 0) == [0, 0, 0]  # nothing is voted on
    plain = challenged()
    nothing = [*[0] * 6, [], b"", b"", 0, []]
    sent = plain.market.call(who, "open_case", 0, 0, *nothing)
    assert reason_text(sent.output) == "WRONG_FORMAT"
    plain("OPEN_DISPUTE", RIVAL, value=0)("BOOK_CASE", RIVAL, expect=R.WRONG_FORMAT)


def refusals():
    """What the market's contract refuses before the court, as sent: (sent, expected reason)."""
    opening = {"kind": L.Kind.OPEN_DISPUTE, "actor": RIVAL, "job": 0, "value": 0}
    yield small().market.send({**opening, "extra": [0] * 3}), "BAD_VALUE"
    yield silent_round().market.send({**opening, "value": 1, "extra": [0] * 3}), "BAD_VALUE"
    both, lie = lied()
    market, who, bad = both.market, address_of(RIVAL), "BAD_VALUE"
    yield market.call(who, "open_dispute", 0, 0), "WRONG_FORMAT"
    opening = {"kind": L.Kind.OPEN_DISPUTE, "actor": RIVAL, "job": 0, "value": 1, "extra": [0] * 3}
    for shown in ({"branch": []}, {"accepted": b""}, {"before": b""}, {"start": 0}):
        market.shown = shown
        yield market.send(opening), bad
    market.shown, truth = {}, truth_of(lie)
    case = dispute(both, 0).claim(HONEST, truth).fight(1, HONEST).judge(1, HONEST, truth)
    yield market.call(who, "book_dispute", 0, []), "WRONG_FORMAT"
    booking = {"kind": L.Kind.BOOK_CASE, "actor": RIVAL, "job": 0, "extra": [0] * 3}
    booking["payload"] = truth.content
    yield market.send(booking), "TOO_EARLY"
    case.wait(RULES["timeout"])
    yield market.call(who, "time_out", 0), "TOO_EARLY"
    case.close()
    words, root = list(map(number_of, truth.proofs[0])), number_of(truth.root)
    verdicts = pack(truth.words[SELLERS_AT:], 2)[0]
    for shown in (
        {"content": bytes(64)},
        {"last": []},
        {"siblings": [0] * JOB.plan.size},
        {"siblings": words[1:]},
        {"content": words_of(10_001, root, verdicts)},
        {"content": words_of(0, root, 3)},
        {"content": words_of(0, root, verdicts | 1 << 200)},
        {"siblings": [0, *words[1:]]},
    ):
        market.shown = shown
        yield market.send(booking), bad
    market.shown = {"content": b""}
    yield market.send(booking), "TOO_EARLY"
    market.shown = {}
    stands = right()
    case = dispute(stands, 0)
    case.wait(TERMS.window + 1)
    case.close()
    stands.market.shown = {"content": b""}
    yield stands.market.send(booking), bad
    stands.market.shown = {}
    plain = challenged().market
    nothing = [*[0] * 6, [], b"", b"", 0, []]
    yield plain.call(who, "open_case", 0, 0, *nothing), "WRONG_FORMAT"
    both = challenged()("OPEN_DISPUTE", RIVAL, value=0)
    yield both.market.call(who, "book_case", 0, [], b"", [], []), "WRONG_FORMAT"


def test_each_refusal_has_its_reason():
    for sent, reason in refusals():
        assert not sent.ok and reason_text(sent.output) == reason


FAULTS = {  # in D2MJobs: (text, changed text, the test that has to find it)
    "what has fallen is timed out": (
        "is_heard and f.root == store.roots[slot]",
        "is_heard",
        lambda: test_what_has_fallen_never_stands_also_where_nobody_shows_another_content(0),
    ),
    "a memory may be too small": (
        "store._check(1 << plan.size >= 2 + store.L.sellers, store.BAD_VALUE)",
        "pass",
        test_a_memory_without_room_for_a_content_has_no_case,
    ),
    "any work is tried": (
        "sha256(abi_encode(plan)) == store.models[slot][j.buyer - 1]",
        "True",
        test_only_the_work_that_was_agreed_on_is_tried,
    ),
    "a market tries any programs": (
        "    is_agreed = is_agreed and done == store.L.programs\n",
        "",
        test_a_market_tries_only_the_work_that_it_was_created_for,
    ),
    "any content opens a case": (
        "    store._check(keccak256(accepted) == store.results[slot][at], store.BAD_VALUE)\n",
        "",
        test_only_the_work_that_was_agreed_on_is_tried,
    ),
    "a round may begin anywhere": (
        "        store._check(shown, store.BAD_VALUE)\n",
        "",
        test_only_the_work_that_was_agreed_on_is_tried,
    ),
    "a round begins with what is accepted now": (
        "            return digest if origin == empty(bytes32) else origin\n",
        "            return digest\n",
        test_who_went_on_from_a_result_that_falls_later_is_not_guilty,
    ),
    "a result need not name its work": (
        "work == empty(bytes32) and not is_void",
        "work == empty(bytes32) and is_void",
        test_a_result_that_names_no_work_comes_to_nothing,
    ),
    "a content need not follow from the work": (
        "self._fold(leaf, (1 << f.depth) - 1, last) == f.root",
        "leaf != empty(bytes32)",
        test_what_is_booked_is_the_content_of_the_claim_that_has_won,
    ),
    "what is behind the last seller is not looked at": (
        "    store._check(rest | word | harm == 0, store.BAD_VALUE)\n",
        "",
        test_what_is_booked_is_the_content_of_the_claim_that_has_won,
    ),
}


@pytest.mark.slow  # compiles the market's contract
@pytest.mark.few(4, rest="long")
@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_in_the_market_is_caught(name, monkeypatch):
    *change, test = FAULTS[name]
    code = compile_market({"D2MJobs": swap(source_of("D2MJobs"), *change)})
    market = trial.TrialMarket({**RULES, "bisection": 1}, code)
    monkeypatch.setattr(trial, "shared_trial", lambda: market)
    with pytest.raises((AssertionError, ValueError)):
        test()
