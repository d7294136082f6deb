"""Attacks on the money, each against both machines at once (see `both.py`)."""

import pytest

from contracts.market import UNIT, address_of, reason_text
from d2m_jax import ledger as L
from tests.contracts.both import (
    ARBITER,
    BUYER,
    LAYOUT,
    NODES,
    RIVAL,
    SELLERS,
    THIRD,
    Both,
    challenged,
    matched,
    registered,
)

R = L.Reason
INT_MAX = 2**31 - 1


# Replay and claiming twice


def test_no_claim_pays_twice():
    both = challenged()("WAIT", amount=3)("SETTLE", NODES[0])
    before = both.balances, both.stakes
    both("SETTLE", expect=R.ALREADY_DONE)("SETTLE", SELLERS[0], expect=R.ALREADY_DONE)
    both("WAIT", amount=20)("TIME_OUT", expect=R.ALREADY_DONE)
    both("MATCH", expect=R.ALREADY_DONE)("REPORT_METRIC", ARBITER, expect=R.ALREADY_DONE)
    both("RESET_JOB")("RESET_JOB", expect=R.WRONG_PHASE)("SETTLE", expect=R.WRONG_PHASE)
    assert (both.balances, both.stakes) == before
    both("REQUEST_WITHDRAWAL", SELLERS[0], amount=150)("WAIT", amount=10)("WITHDRAW", SELLERS[0])
    both("WITHDRAW", SELLERS[0], expect=R.WRONG_PHASE)
    assert both.stakes[SELLERS[0]] == 50
    assert both.balances[SELLERS[0]] == before[0][SELLERS[0]] + 150


def test_every_step_of_a_job_sent_again_is_refused():
    both = registered()
    steps = [
        ("REGISTER_NODE", NODES[0], {"amount": 200}, R.ALREADY_DONE),
        ("REGISTER_SELLER", SELLERS[0], {"tags": 3, "value": 5, "amount": 100}, R.ALREADY_DONE),
        ("BID", BUYER, {"tags": 3, "amount": 500, "value": 5_000}, R.ALREADY_LEADING),
        ("WAIT", BUYER, {"amount": 3}, None),
        ("CLOSE_AUCTION", BUYER, {}, R.WRONG_PHASE),
        ("MATCH", BUYER, {}, R.WRONG_PHASE),
        ("SETTLE_ROUND", ARBITER, {"payload": [1, 1, 1, 1]}, None),
        ("SETTLE_ROUND", ARBITER, {"payload": [1, 1, 1, 1]}, R.WRONG_PHASE),
        ("SLASH_SELLER", ARBITER, {"target": SELLERS[2]}, R.ALREADY_DONE),
        ("BAN", ARBITER, {"target": NODES[3], "amount": 1}, R.ALREADY_DONE),
        ("REPORT_METRIC", ARBITER, {"amount": 6_000, "payload": [1, 1, 1]}, R.WRONG_PHASE),
        ("OPEN_DISPUTE", BUYER, {"target": NODES[0]}, R.WRONG_PHASE),
        ("RESOLVE_DISPUTE", ARBITER, {"amount": 0}, R.WRONG_PHASE),
    ]
    for kind, actor, fields, again in steps:
        if not kind.startswith("REGISTER"):
            both(kind, actor, **fields)
        if again is not None:
            both(kind, actor, expect=again, **fields)


def test_a_round_booked_twice_cannot_pay_more_than_the_pool():
    """A repeated round is the next round: it uses up rounds, never other people's money."""
    both = matched(num_rounds=3)
    pool = both.row("compute_pool")
    before = sum(both.balances[node] for node in NODES)
    for _ in range(3):
        both("SETTLE_ROUND", ARBITER, payload=[1, 0, 0, 0])
    both("SETTLE_ROUND", ARBITER, payload=[1, 0, 0, 0], expect=R.WRONG_PHASE)
    paid = sum(both.balances[node] for node in NODES) - before
    assert paid == pool // 3 * 3 and both.row("compute_pool") == pool - paid


@pytest.mark.parametrize("terms", [{}, {"seller_bps": 0, "fee_bps": 0}])
@pytest.mark.parametrize("matched_at_last", [True, False])
def test_a_slot_taken_for_tags_that_nobody_has_costs_the_fee(terms, matched_at_last):
    """Both slots are held by one buyer; whichever way its job ends, at least a unit is gone."""
    both = registered(**terms)
    for job, tags in ((0, 4), (1, 8)):
        both("BID", BUYER, job=job, tags=tags, amount=100, value=1)
    both("WAIT", amount=3)("CLOSE_AUCTION", job=0)("CLOSE_AUCTION", job=1)
    if not matched_at_last:
        both("WAIT", amount=10)
    for job in (0, 1):
        both("MATCH" if matched_at_last else "TIME_OUT", job=job)
        assert both.row("refunded", job) == 100 - both.row("fee_paid", job)
    fee = 1 if terms else 5
    assert both.balances[BUYER] == 1_000 - 2 * fee and both.balances[ARBITER] == 1_000 + 2 * fee


# Front-running and deadlines


def test_a_bid_that_is_overtaken_costs_nothing():
    """The rival sees the bid of 500 in the pool of transactions and is mined first."""
    both = registered()
    both("BID", RIVAL, tags=3, amount=500, value=9_999)
    both("BID", BUYER, tags=3, amount=500, value=5_000, expect=R.BID_TOO_LOW)
    both("BID", BUYER, tags=1, amount=900, value=5_000, expect=R.WRONG_TAGS)  # not what it asked
    assert both.balances[BUYER] == 1_000
    both("BID", BUYER, tags=3, amount=525, value=5_000)
    assert both.balances[RIVAL] == 1_000 and both.row("tau_bps") == 5_000
    both("BID", THIRD, job=1, tags=3, amount=900, expect=R.TAGS_TAKEN)  # no shadow auction


def test_nobody_raises_the_price_of_its_own_bid_or_takes_it_back():
    both = registered(second_price=1)("BID", BUYER, tags=3, amount=500, value=1)
    both("BID", BUYER, tags=3, amount=900, value=1, expect=R.ALREADY_LEADING)
    both("RESET_JOB", BUYER, expect=R.WRONG_PHASE)("TIME_OUT", BUYER, expect=R.WRONG_PHASE)
    both("WAIT", amount=3)("CLOSE_AUCTION")
    assert both.row("price") == both.terms["reserve"]


def test_after_the_deadline_is_too_late_and_before_it_too_early():
    both = registered()("BID", BUYER, tags=3, amount=100, value=5_000)("WAIT", amount=2)
    both("CLOSE_AUCTION", expect=R.TOO_EARLY)
    both("BID", RIVAL, tags=3, amount=200, value=5_000)  # the last block of the window
    both("WAIT", amount=1)("BID", THIRD, tags=3, amount=900, value=5_000, expect=R.TOO_LATE)
    both("CLOSE_AUCTION")("MATCH")("TIME_OUT", expect=R.TOO_EARLY)
    for _ in range(2):
        both("SETTLE_ROUND", ARBITER)
    both("WAIT", amount=9)("TIME_OUT", expect=R.TOO_EARLY)
    both("REPORT_METRIC", ARBITER, amount=6_000)("SETTLE", expect=R.TOO_EARLY)
    both("WAIT", amount=3)
    both("OPEN_DISPUTE", RIVAL, target=NODES[0], expect=R.TOO_LATE)("SETTLE")
    both("REQUEST_WITHDRAWAL", NODES[0], amount=200)("WAIT", amount=9)
    both("WITHDRAW", NODES[0], expect=R.TOO_EARLY)
    # asking again starts the wait again
    both("REQUEST_WITHDRAWAL", NODES[0], amount=200)("WAIT", amount=1)
    both("WITHDRAW", NODES[0], expect=R.TOO_EARLY)


# Acting for somebody else


def test_nobody_acts_for_the_arbiter_and_strangers_not_at_all():
    both = challenged()
    for actor in (*range(LAYOUT.num_accounts - 1), -1, LAYOUT.num_accounts, 10**6):
        known = 0 <= actor < LAYOUT.num_accounts
        reason = R.NOT_AUTHORISED if known else R.UNKNOWN_PARTY
        both("SLASH_SELLER", actor, target=SELLERS[0], expect=reason)
        both("SETTLE_ROUND", actor, payload=[1, 1, 1, 1], expect=reason)
        both("REPORT_METRIC", actor, amount=10_000, expect=reason)
        both("RATE_SELLERS", actor, expect=reason)
        both("RESOLVE_DISPUTE", actor, amount=1, expect=reason)
        both("BAN", actor, target=NODES[0], amount=1, expect=reason)
        if not known:
            for kind in ("SETTLE", "TIME_OUT", "WITHDRAW", "TOP_UP", "OPEN_DISPUTE", "BID"):
                both(kind, actor, expect=R.UNKNOWN_PARTY)


def test_roles_do_not_mix():
    both = Both()
    for actor in (*SELLERS, *NODES, ARBITER):
        both("BID", actor, tags=3, amount=500, expect=R.NOT_AUTHORISED)
    for actor in (BUYER, *NODES, ARBITER):
        both("REGISTER_SELLER", actor, tags=3, value=5, amount=500, expect=R.NOT_AUTHORISED)
    for actor in (BUYER, *SELLERS, ARBITER):
        both("REGISTER_NODE", actor, amount=500, expect=R.NOT_AUTHORISED)
    for actor in (BUYER, ARBITER):
        both("TOP_UP", actor, amount=5, expect=R.NOT_REGISTERED)
    both("BAN", ARBITER, target=BUYER, amount=1, expect=R.UNKNOWN_PARTY)
    both("BAN", ARBITER, target=ARBITER, amount=1, expect=R.UNKNOWN_PARTY)


# Disputes as a weapon


def test_each_false_dispute_costs_its_bond_and_the_job_still_settles():
    both = challenged(price=900)
    bond, start = 45, both.balances[BUYER]
    victim = both.balances[NODES[1]], both.stakes[NODES[1]]
    rounds = start // bond
    for i in range(rounds):
        both("OPEN_DISPUTE", BUYER, target=NODES[1])("RESOLVE_DISPUTE", ARBITER, amount=0)
        assert both.balances[BUYER] == start - bond * (i + 1)
    both("OPEN_DISPUTE", BUYER, target=NODES[1], expect=R.NOT_ENOUGH_MONEY)
    # nobody gains, the stake of the accused is untouched
    assert (both.balances[NODES[1]], both.stakes[NODES[1]]) == victim
    assert int(both.ledger.burned) == bond * rounds
    both("WAIT", amount=3)("SETTLE")
    assert both.phase == L.Phase.SETTLED and both.row("seller_paid") == 630


@pytest.mark.parametrize(("price", "bond"), [(10, 1), (900, 45)])
def test_accusing_ones_own_sybil_falsely_costs_both_together_the_bond(price, bond):
    """Also with a bond of one unit, and where slashing burns nothing."""
    both = challenged(price=price, burn_bps=0)
    before = both.balances
    for i in range(3):
        both("OPEN_DISPUTE", NODES[0], target=NODES[1])("RESOLVE_DISPUTE", ARBITER, amount=0)
        lost = [old - new for old, new in zip(before, both.balances, strict=True)]
        assert lost[NODES[0]] + lost[NODES[1]] == sum(lost) == bond * (i + 1)
    assert int(both.ledger.burned) == 3 * bond


def test_a_dispute_is_never_free_nor_against_oneself_nor_by_outsiders():
    both = challenged(price=10, bond_bps=0)
    both("OPEN_DISPUTE", NODES[0], target=NODES[0], expect=R.UNKNOWN_PARTY)
    both("OPEN_DISPUTE", NODES[0], target=BUYER, expect=R.UNKNOWN_PARTY)
    both("OPEN_DISPUTE", NODES[0], target=-1, expect=R.UNKNOWN_PARTY)
    both("OPEN_DISPUTE", RIVAL, target=NODES[0], expect=R.NOT_AUTHORISED)
    both("OPEN_DISPUTE", ARBITER, target=NODES[0], expect=R.NOT_AUTHORISED)
    both("OPEN_DISPUTE", BUYER, target=NODES[0], value=2, expect=R.BAD_VALUE)
    both("OPEN_DISPUTE", BUYER, target=NODES[0], value=-1, expect=R.BAD_VALUE)
    before = both.balances[BUYER]
    both("OPEN_DISPUTE", BUYER, target=NODES[0])
    assert both.row("bond") == 1 and both.balances[BUYER] == before - 1


def test_a_verdict_that_never_comes_gives_everything_back():
    both = challenged()
    before = both.balances
    both("OPEN_DISPUTE", SELLERS[0], target=NODES[0])("WAIT", amount=10)("TIME_OUT", NODES[2])
    assert both.balances[SELLERS[0]] == before[SELLERS[0]]
    assert both.balances[BUYER] == before[BUYER] + both.row("refunded")
    assert both.stakes[SELLERS[0]] == 200


def test_the_winner_of_a_dispute_gets_no_more_than_its_bond_from_the_slashed():
    """Else a node could accuse its own Sybil and cash in what the buyer is owed."""
    both = challenged(price=100)
    before = both.balances
    both("OPEN_DISPUTE", NODES[0], target=NODES[1])
    both("RESOLVE_DISPUTE", ARBITER, amount=1, payload=[0, 4, 0, 0])
    assert both.balances[NODES[0]] == before[NODES[0]] + 5  # the bond of 5 back, and as much again
    assert both.stakes[NODES[1]] == 0
    lost, to_buyer = 200, both.row("refunded")
    assert both.balances[BUYER] == before[BUYER] + to_buyer + lost - lost // 2 - 5


def test_a_culprit_cannot_leave_before_the_verdict():
    """The delay of withdrawals is at least the time-out, so a stake outlives its judgement."""
    with pytest.raises(ValueError, match="withdrawal_delay"):
        L.make_rules(withdrawal_delay=9, timeout=10)
    both = challenged()("REQUEST_WITHDRAWAL", NODES[1], amount=200)
    both("OPEN_DISPUTE", BUYER, target=NODES[1])("WAIT", amount=9)
    both("WITHDRAW", NODES[1], expect=R.TOO_EARLY)
    both("RESOLVE_DISPUTE", ARBITER, amount=1)("WAIT", amount=10)("WITHDRAW", NODES[1])
    assert (
        both.stakes[NODES[1]] == 0
        and both.balances[NODES[1]] == 800 + both.row("compute_paid") // 4
    )
    both("REGISTER_NODE", NODES[1], amount=200, expect=R.BANNED)


def test_a_culprit_who_asked_long_ago_cannot_leave_while_a_job_runs():
    """The delay was over before the dispute, or before the report: the stake stays all the same."""
    both = matched()("REQUEST_WITHDRAWAL", NODES[1], amount=200)
    for _ in range(2):
        both("WAIT", amount=9)("SETTLE_ROUND", ARBITER, payload=[1, 1, 1, 1])
    both("WITHDRAW", NODES[1], expect=R.TOO_EARLY)  # round settled, metric not reported
    both("REPORT_METRIC", ARBITER, amount=6_000, payload=[1, 1, 1])
    both("WITHDRAW", NODES[1], expect=R.TOO_EARLY)
    both("OPEN_DISPUTE", BUYER, target=NODES[1])
    both("WITHDRAW", NODES[1], expect=R.TOO_EARLY)
    both("RESOLVE_DISPUTE", ARBITER, amount=0)("WITHDRAW", NODES[1], expect=R.TOO_EARLY)
    both("WAIT", amount=2)("OPEN_DISPUTE", BUYER, target=NODES[1])("WAIT", amount=9)
    both("WITHDRAW", NODES[1], expect=R.TOO_EARLY)
    both("RESOLVE_DISPUTE", ARBITER, amount=1)("WITHDRAW", NODES[1])
    assert both.phase == L.Phase.REFUNDED and both.stakes[NODES[1]] == 0
    assert both.balances[NODES[1]] == 800 + both.row("compute_paid") // 4


def test_a_job_in_any_slot_holds_the_nodes_but_no_auction_does():
    both = registered()
    both("REQUEST_WITHDRAWAL", NODES[0], amount=200)
    both("REQUEST_WITHDRAWAL", SELLERS[0], amount=100)("WAIT", amount=10)
    both("BID", BUYER, job=1, tags=3, amount=500, value=5_000)("WITHDRAW", NODES[0])
    both("REQUEST_WITHDRAWAL", NODES[1], amount=200)("WAIT", amount=10)
    both("CLOSE_AUCTION", job=1)("MATCH", job=1)("WITHDRAW", NODES[1], expect=R.TOO_EARLY)
    both("WITHDRAW", SELLERS[0])  # what it can lose is locked, apart from its stake
    both("WAIT", amount=10)("TIME_OUT", job=1)("WITHDRAW", NODES[1])
    assert both.balances[NODES[1]] == 1_000 and both.balances[SELLERS[0]] == 900


# A threshold that is missed, or said to be


def test_a_refund_waits_for_its_window_and_comes_once():
    """An arbiter captured by the buyer cannot end the job before a seller can speak."""
    both = challenged(tau=9_000)  # 6000 was reported
    before = both.balances[BUYER]
    both("SETTLE", expect=R.TOO_EARLY)("TIME_OUT", expect=R.WRONG_PHASE)
    both("REPORT_METRIC", ARBITER, amount=0, expect=R.WRONG_PHASE)("WAIT", amount=3)
    both("OPEN_DISPUTE", SELLERS[0], target=NODES[0], expect=R.TOO_LATE)
    both("SETTLE", THIRD)("SETTLE", expect=R.ALREADY_DONE)
    assert both.phase == L.Phase.REFUNDED
    # price 500 = 350 + 25 + 125; each round gave 62 of the 62 to four nodes, 15 each
    assert both.balances[BUYER] == before + 350 + 25 + 125 - 2 * 60
    assert [both.balances[seller] for seller in SELLERS] == [800] * 3


def test_false_disputes_of_a_true_low_metric_only_cost_the_sellers():
    both = challenged(tau=9_000)
    bond, start = 25, both.balances[SELLERS[0]]
    for i in range(3):
        both("OPEN_DISPUTE", SELLERS[0], target=NODES[1], value=1)
        both("RESOLVE_DISPUTE", ARBITER, amount=0)
        assert both.balances[SELLERS[0]] == start - bond * (i + 1)
    both("WAIT", amount=3)("SETTLE")
    assert both.phase == L.Phase.REFUNDED and both.row("seller_paid") == 0


@pytest.mark.parametrize(("lie", "truth"), [(100, 9_500), (9_500, 100)])
def test_a_false_metric_helps_neither_side(lie, truth):
    """Node 1 said it; who is harmed disputes, the truth is reported and has its own window."""
    both = matched(tau=9_000, partial_payment=1)
    for _ in range(2):
        both("SETTLE_ROUND", ARBITER, payload=[1, 1, 1, 1])
    both("REPORT_METRIC", ARBITER, amount=lie, payload=[3, 1, 0])
    who = SELLERS[2] if lie < truth else BUYER
    start = both.balances[who]
    both("OPEN_DISPUTE", who, target=NODES[1], value=1)
    both("RESOLVE_DISPUTE", ARBITER, amount=int(L.Ruling.REPORT_AGAIN), payload=[0, 4, 0, 0])
    assert both.phase == L.Phase.VERIFY and both.stakes[NODES[1]] == 0
    slashed, bond = 200, 25
    prize = bond if who != BUYER else slashed // 2  # the buyer gets what is left of the slashed
    assert both.balances[who] == start + prize
    both("RESOLVE_DISPUTE", ARBITER, amount=2, expect=R.WRONG_PHASE)
    both("SETTLE", expect=R.WRONG_PHASE)("OPEN_DISPUTE", who, expect=R.WRONG_PHASE)
    both("REPORT_METRIC", ARBITER, amount=truth, payload=[1, 1, 0])
    both("SETTLE", expect=R.TOO_EARLY)("WAIT", amount=3)("SETTLE")
    pool = 350
    paid = pool if truth > lie else pool * truth // 9_000
    assert both.row("seller_paid") == paid
    assert both.balances[SELLERS[0]] == 800 + paid // 2  # by the weights of the second report
    assert both.row("fee_paid") == (25 if truth > lie else 0)


def test_a_second_report_that_never_comes_refunds_the_buyer():
    both = challenged()("OPEN_DISPUTE", BUYER, target=NODES[1])
    both("RESOLVE_DISPUTE", ARBITER, amount=2)("WAIT", amount=9)
    both("TIME_OUT", expect=R.TOO_EARLY)("WAIT", amount=1)("TIME_OUT")
    assert both.phase == L.Phase.REFUNDED and both.stakes[SELLERS[0]] == 200


# The ends of the number line


def test_all_the_money_there_can_be_moves_without_wrapping():
    """A supply of 2**31 - 1: pools, cumulative shares and slashes at the limit."""
    funds = [0] * LAYOUT.num_accounts
    funds[BUYER], funds[SELLERS[0]], funds[NODES[0]] = INT_MAX - 2_000, 1_000, 1_000
    both = Both(funds, partial_payment=1, seller_bps=9_999, fee_bps=1)
    both("REGISTER_SELLER", SELLERS[0], tags=INT_MAX, value=INT_MAX, amount=1_000)
    both("REGISTER_NODE", NODES[0], amount=1_000)
    both("BID", BUYER, tags=INT_MAX, amount=INT_MAX, value=10_000, expect=R.NOT_ENOUGH_MONEY)
    both("BID", BUYER, tags=INT_MAX, amount=INT_MAX - 2_000, value=10_000)
    both("BID", RIVAL, tags=INT_MAX, amount=INT_MAX, value=1, expect=R.BID_TOO_LOW)
    both("WAIT", amount=3)("CLOSE_AUCTION")("MATCH")
    both("SETTLE_ROUND", ARBITER, payload=[3])("SETTLE_ROUND", ARBITER, payload=[2])
    both("REPORT_METRIC", ARBITER, amount=9_999, value=1, payload=[2**15])
    both("WAIT", amount=3)("SETTLE")
    assert both.phase == L.Phase.REFUNDED
    pool = (INT_MAX - 2_000) * 9_999 // 10_000
    assert both.row("seller_paid") == pool * 9_998 // 9_999
    with pytest.raises(ValueError, match="must stay below"):
        L.check_supply(INT_MAX, 1)
    # one more unit does not come in
    sent = both.market.call(address_of(BUYER), "pay_in", value=0)
    assert reason_text(sent.output) == "BAD_VALUE"
    both.market.evm.state.set_balance(address_of(BUYER), UNIT)
    sent = both.market.call(address_of(BUYER), "pay_in", value=UNIT)
    assert reason_text(sent.output) == "SUPPLY_LIMIT"


@pytest.mark.parametrize("last", range(2))
def test_money_slashed_again_and_again_does_not_wrap_the_totals_of_a_job(last):
    """Nodes 0 and 1 are wrong in turn and stake what they earned: 1.5e9 units go round."""
    funds = [0] * LAYOUT.num_accounts
    funds[BUYER], funds[SELLERS[0]] = 1_000, 100
    funds[NODES[0]], funds[NODES[1]] = 1_500_000_000, 100
    terms = {"burn_bps": 0, "slash_wrong_bps": 10_000, "num_rounds": 5 + last}
    both = Both(funds, **terms)("REGISTER_SELLER", SELLERS[0], tags=3, value=5, amount=100)
    for node in NODES[:2]:
        both("REGISTER_NODE", node, amount=funds[node])
    both("BID", BUYER, tags=3, amount=1_000, value=5_000)("WAIT", amount=3)
    both("CLOSE_AUCTION")("MATCH")
    slashed = paid = 0
    for number in range(5 + last):
        wrong, right = NODES[number % 2], NODES[1 - number % 2]
        slashed, paid = slashed + both.stakes[wrong], paid - both.balances[right]
        both("SETTLE_ROUND", ARBITER, payload=[2, 1] if number % 2 == 0 else [1, 2])
        paid += both.balances[right]
        both("TOP_UP", right, amount=both.balances[right])
        got = both.row("compensation"), both.row("compute_paid")
        assert got[0] - got[1] == slashed - paid  # exact, whatever was lowered
        assert max(got) == min(max(slashed, paid), INT_MAX) and min(got) >= 0
    assert slashed > 2 * 2**31
    both("REPORT_METRIC", ARBITER, amount=6_000, payload=[1])("WAIT", amount=3)("SETTLE")
    assert both.row("seller_paid") == 700


@pytest.mark.parametrize("number", [2**31, 2**32 + 1, 2**64, 2**255 - 1, -(2**255), -1])
def test_numbers_beyond_the_ledger_are_refused_with_a_reason(number):
    """What the functional ledger cannot even be asked: its arguments are int32."""
    both = challenged()
    asked = {
        "register_seller": ((3, number, 0, 0), SELLERS[0]),
        "register_node": ((number,), NODES[0]),
        "top_up": ((number,), NODES[0]),
        "request_withdrawal": ((number,), NODES[0]),
        "pay_out": ((number,), NODES[0]),
        "bid": ((1, number, number, 0), BUYER),
        "settle": ((number,), BUYER),
        "settle_round": ((0, [number] * 4), ARBITER),
        "report_metric": ((0, number, number, [number] * 3), ARBITER),
        "open_dispute": ((0, 1, number), BUYER),
        "admit": ((1, number), ARBITER),
    }
    for name, (values, actor) in asked.items():
        sent = both.market.call(address_of(actor), name, *values)
        assert not sent.ok and reason_text(sent.output), name
    both.agree()


def test_dust_goes_somewhere():
    """A price of one unit for three sellers, four nodes and two rounds: all of it is found."""
    both = matched(price=1, reserve=1, min_increment_bps=0, num_rounds=2)
    assert (both.row("seller_pool"), both.row("fee_pool"), both.row("compute_pool")) == (0, 0, 1)
    for _ in range(2):
        both("SETTLE_ROUND", ARBITER, payload=[1, 1, 1, 1])
    both("REPORT_METRIC", ARBITER, amount=10_000, payload=[1, 1, 1])
    both("OPEN_DISPUTE", BUYER, target=NODES[0])("RESOLVE_DISPUTE", ARBITER, amount=0)
    both("WAIT", amount=3)("SETTLE")
    assert both.row("refunded") == 1 and both.balances[BUYER] == 1_000 - 1
    assert both.balances[NODES[0]] == 800 and int(both.ledger.burned) == 1  # the bond of one unit


def test_one_unit_more_is_always_possible_when_outbidding_dust():
    both = registered(reserve=1, min_increment_bps=0)
    for amount, actor in ((1, BUYER), (2, RIVAL), (3, BUYER)):
        both("BID", THIRD, tags=3, amount=amount - 1, value=0, expect=R.BID_TOO_LOW)
        both("BID", actor, tags=3, amount=amount, value=0)


def test_shares_of_a_pot_smaller_than_the_number_of_sellers():
    both = challenged(price=3, reserve=1, weights=(2**15, 1, 1))("WAIT", amount=3)("SETTLE")
    gained = [both.balances[seller] - 800 for seller in SELLERS]
    assert sum(gained) == both.row("seller_paid") == 2 and gained == [1, 0, 1]
