"""Attacks on the money, each against both machines at once (see `both.py`)."""

import numpy as np
import pytest

from contracts.market import UNIT, address_of, reason_text
from d2m_jax import ledger as L
from tests.contracts.both import (
    ARBITER,
    BUYER,
    CONTENT,
    LAYOUT,
    METRIC,
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
    both("CLOSE_AUCTION", expect=R.ALREADY_DONE)("REPORT_METRIC", ARBITER, expect=R.ALREADY_DONE)
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
        ("BID", BUYER, {"tags": 3, "amount": 500, "value": 5_000}, R.BID_TOO_LOW),
        ("WAIT", BUYER, {"amount": 3}, None),
        ("CLOSE_AUCTION", BUYER, {}, R.WRONG_PHASE),
        ("OPEN_METRIC", BUYER, {}, R.ALREADY_DONE),
        ("SETTLE_ROUND", ARBITER, {"payload": [1, 1, 1, 1]}, None),
        ("RATE_SELLERS", ARBITER, {"payload": [1, 2, 0]}, R.ALREADY_DONE),  # once a round
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
    for _ in range(3):
        both("SETTLE_ROUND", ARBITER, payload=[1, 0, 0, 0])
    both("SETTLE_ROUND", ARBITER, payload=[1, 0, 0, 0], expect=R.WRONG_PHASE)
    paid = sum(both.row("earned"))
    assert paid == pool // 3 * 3 and both.row("compute_pool") == pool - paid


# Auctions: slots, prices, deadlines


def test_a_slot_taken_for_tags_that_nobody_has_is_free_again_after_its_windows():
    """Both slots are held by one buyer: it costs the use of two deposits for seven blocks."""
    both = registered(sealed=1)
    for job, tags in ((0, 4), (1, 8)):
        both.seal(BUYER, 100, job=job, tags=tags)
    both("SEAL", RIVAL, job=0, tags=3, amount=50, value=1, expect=R.WRONG_TAGS)
    assert both.balances[BUYER] == 800
    both("WAIT", amount=3).reveal(BUYER, 100, job=0)("WAIT", amount=4)
    for job in (0, 1):
        both("CLOSE_AUCTION", THIRD, job=job)
        assert both.row("phase", job) == L.Phase.ABORTED and both.row("fee_paid", job) == 0
        both("RESET_JOB", THIRD, job=job)
    assert both.balances[BUYER] == 1_000 - 20  # a fifth of the deposit that it did not reveal
    assert int(both.ledger.burned) == 20 and both.balances[ARBITER] == 1_000
    both.seal(RIVAL, 50)


def test_a_jump_wins_at_what_the_others_bid_not_at_what_stood_before():
    both = registered(second_price=1)("BID", BUYER, tags=3, amount=900, value=1)
    both("BID", RIVAL, tags=3, amount=500, value=1)  # it need not lead to tell the price
    both("BID", BUYER, tags=3, amount=1_000, value=2)  # nor can the leader move its own
    both("WAIT", amount=3)("CLOSE_AUCTION")
    assert both.row("price") == 500 and both.row("buyer") == BUYER and both.row("tau_bps") == 2
    assert both.balances[:2] == [500, 1_000]


def test_nobody_takes_a_bid_back_and_an_equal_one_comes_second():
    both = registered()("BID", RIVAL, tags=3, amount=500, value=9_999)
    both("BID", BUYER, tags=3, amount=500, value=5_000)
    both("BID", BUYER, tags=3, amount=499, value=5_000, expect=R.BID_TOO_LOW)
    both("BID", BUYER, tags=3, amount=524, value=5_000, expect=R.BID_TOO_LOW)  # 5 % of 500 is 25
    both("BID", BUYER, tags=1, amount=900, value=5_000, expect=R.WRONG_TAGS)  # not what it asked
    both("BID", THIRD, job=1, tags=3, amount=900, expect=R.TAGS_TAKEN)  # no shadow auction
    both("RESET_JOB", BUYER, expect=R.WRONG_PHASE)("TIME_OUT", BUYER, expect=R.WRONG_PHASE)
    assert both.row("buyer") == RIVAL and both.balances[:2] == [500, 500]
    both("WAIT", amount=3)("CLOSE_AUCTION")
    assert both.row("buyer") == RIVAL and both.balances[:2] == [1_000, 500]


def test_who_bids_in_the_last_block_leaves_the_others_a_whole_window():
    both = registered()("BID", BUYER, tags=3, amount=100, value=5_000)("WAIT", amount=2)
    both("CLOSE_AUCTION", expect=R.TOO_EARLY)
    both("BID", RIVAL, tags=3, amount=200, value=5_000)("WAIT", amount=2)
    both("CLOSE_AUCTION", expect=R.TOO_EARLY)("BID", BUYER, tags=3, amount=300, value=5_000)
    both("WAIT", amount=3)("BID", THIRD, tags=3, amount=900, value=5_000, expect=R.TOO_LATE)
    both("CLOSE_AUCTION")("TIME_OUT", expect=R.TOO_EARLY)("OPEN_METRIC", BUYER)
    for _ in range(2):
        both("SETTLE_ROUND", ARBITER)
    both("WAIT", amount=9)("TIME_OUT", expect=R.TOO_EARLY)
    both("REPORT_METRIC", ARBITER, amount=6_000)("SETTLE", expect=R.TOO_EARLY)
    both("WAIT", amount=3)
    both("OPEN_DISPUTE", BUYER, target=NODES[0], expect=R.TOO_LATE)("SETTLE")
    both("REQUEST_WITHDRAWAL", NODES[0], amount=200)("WAIT", amount=9)
    both("WITHDRAW", NODES[0], expect=R.TOO_EARLY)
    # asking again starts the wait again
    both("REQUEST_WITHDRAWAL", NODES[0], amount=200)("WAIT", amount=1)
    both("WITHDRAW", NODES[0], expect=R.TOO_EARLY)


def sealed(**options):
    """Seals of 900 (bid 800), 600 (bid 600) and 500 (bid 400), all for the same tags."""
    both = registered(sealed=1, second_price=1, **options)
    return both.seal(BUYER, 900, 800).seal(RIVAL, 600).seal(THIRD, 500, 400)


def test_sealed_bids_are_opened_once_as_they_were_sealed_and_in_time():
    both = sealed()
    both.reveal(BUYER, 800, expect=R.TOO_EARLY)("WAIT", amount=3)
    both("SEAL", THIRD, tags=3, amount=999, value=5, expect=R.TOO_LATE)
    for wrong in ({"tau": 5_001}, {"salt": 78}, {"job": 1}):
        reason = R.BAD_VALUE if "job" not in wrong else R.WRONG_PHASE
        both.reveal(BUYER, 800, **wrong, expect=reason)
    both.reveal(BUYER, 801, expect=R.BAD_VALUE).reveal(RIVAL, 800, expect=R.BAD_VALUE)
    both.reveal(BUYER, 800).reveal(BUYER, 800, expect=R.ALREADY_DONE)
    both("WAIT", amount=3)("CLOSE_AUCTION", expect=R.TOO_EARLY).reveal(RIVAL, 600)
    both("WAIT", amount=1).reveal(THIRD, 400, expect=R.TOO_LATE)("CLOSE_AUCTION", SELLERS[0])
    assert both.row("price") == 600 and both.row("buyer") == BUYER and both.row("model") == 8
    assert both.balances[:3] == [400, 1_000, 900]  # who did not reveal lost a fifth of 500
    assert int(both.ledger.burned) == 100 and both.row("deposits") == [0, 0, 0]


def test_a_seal_that_was_copied_opens_nothing():
    """A commitment names its buyer: who copies it cannot reveal it, and pays for that."""
    both = registered(sealed=1, second_price=1).seal(BUYER, 900, 800)
    value = int(both.ledger.jobs.seals[0, BUYER])
    both(
        "SEAL",
        RIVAL,
        tags=3,
        amount=900,
        value=value,
        extra=(8, METRIC, 77),
        payload=(800, 5_000, *CONTENT),
    )
    both("WAIT", amount=3).reveal(BUYER, 800).reveal(RIVAL, 800, expect=R.BAD_VALUE)
    both("WAIT", amount=4)("CLOSE_AUCTION")
    assert both.balances[:2] == [1_000 - 10, 1_000 - 180]  # the reserve, a fifth of the deposit


def test_a_bid_above_its_deposit_or_below_the_reserve_is_as_if_not_revealed():
    both = registered(sealed=1, unrevealed_bps=10_000)
    both.seal(BUYER, 500, 501).seal(RIVAL, 500, 9)("WAIT", amount=3)
    both.reveal(BUYER, 501, expect=R.NOT_ENOUGH_MONEY).reveal(RIVAL, 9, expect=R.BID_TOO_LOW)
    both("WAIT", amount=4)("CLOSE_AUCTION")
    assert both.phase == L.Phase.ABORTED and both.row("buyer") == -1 and both.row("price") == 0
    assert both.balances[:2] == [500, 500] and int(both.ledger.burned) == 1_000


def test_of_equal_sealed_bids_the_lowest_account_wins_and_pays_them():
    both = registered(sealed=1, second_price=1).seal(THIRD, 700).seal(RIVAL, 700)
    both("WAIT", amount=3).reveal(THIRD, 700).reveal(RIVAL, 700)("WAIT", amount=4)
    both("CLOSE_AUCTION")
    assert both.row("buyer") == RIVAL and both.row("price") == 700


# Consent


def test_sellers_work_only_for_what_they_ask_and_too_few_cost_the_buyer_nothing():
    """A price of 500 holds 350 for the sellers."""
    both = Both(min_sellers=2)
    terms = ((350, 5_000), (351, 10_000), (0, 4_999))
    for seller, (ask, tau) in zip(SELLERS, terms, strict=True):
        extra = (ask, tau)
        both("REGISTER_SELLER", seller, tags=3, value=5, amount=200, extra=extra)
    both("BID", BUYER, tags=3, amount=500, value=5_000)("WAIT", amount=3)("CLOSE_AUCTION")
    assert both.phase == L.Phase.ABORTED and both.balances[BUYER] == 1_000
    assert both.row("fee_paid") == 0 and both.balances[ARBITER] == 1_000
    both("RESET_JOB")("SET_ASK", SELLERS[1], amount=350, value=5_000)
    both("BID", BUYER, tags=3, amount=500, value=5_000)("WAIT", amount=3)("CLOSE_AUCTION")
    assert both.row("matched") == [1, 1, 0]


def test_no_seller_raises_its_ask_or_leaves_because_of_what_is_bid():
    both = registered()("REQUEST_WITHDRAWAL", SELLERS[0], amount=200)("WAIT", amount=1)
    both("BID", BUYER, tags=3, amount=500, value=5_000)
    for ask in (0, 999):
        both("SET_ASK", SELLERS[1], amount=ask, value=10_000, expect=R.TOO_LATE)
    both("REQUEST_WITHDRAWAL", SELLERS[2], amount=200)("WAIT", amount=3)("CLOSE_AUCTION")
    assert both.row("matched") == [0, 1, 1]  # who asked before the auction has left
    both("WAIT", amount=10)("WITHDRAW", SELLERS[2])
    assert both.balances[SELLERS[2]] == 900 and both.row("locked") == [0, 100, 100]


def test_an_auction_for_other_tags_does_not_bind_a_seller():
    both = registered()("BID", BUYER, tags=4, amount=500, value=5_000)
    both("SET_ASK", SELLERS[1], amount=7, value=1)
    for ask, tau in ((-1, 0), (0, -1), (0, 10_001)):
        both("SET_ASK", SELLERS[1], amount=ask, value=tau, expect=R.BAD_VALUE)
    both("SET_ASK", BUYER, expect=R.NOT_AUTHORISED)
    assert np.asarray(both.ledger.asks).tolist() == [0, 7, 0]


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
            everybodys = ("SETTLE", "TIME_OUT", "WITHDRAW", "TOP_UP", "OPEN_DISPUTE", "BID")
            for kind in (*everybodys, "SEAL", "REVEAL", "SET_ASK"):
                both(kind, actor, expect=R.UNKNOWN_PARTY)


def test_roles_do_not_mix():
    both = Both()
    for actor in (*SELLERS, *NODES, ARBITER):
        for kind in ("BID", "SEAL", "REVEAL"):
            both(kind, actor, tags=3, amount=500, value=1, expect=R.NOT_AUTHORISED)
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


def test_the_winner_of_a_dispute_gets_no_more_than_its_bond_from_the_guilty():
    """Else a node could accuse its own Sybil and cash in what others are owed.

    The price of 100 holds 70 for the sellers and 12 a round: 3 for each of four nodes.
    """
    both = challenged(price=100)
    before = both.balances
    both("OPEN_DISPUTE", NODES[0], target=NODES[1])
    both("RESOLVE_DISPUTE", ARBITER, amount=1, payload=[0, 4, 0, 0])
    # its pay of 6, the bond of 5 back, and as much again
    assert both.balances[NODES[0]] == before[NODES[0]] + 6 + 5
    assert both.stakes[NODES[1]] == 100 and both.balances[NODES[1]] == 800  # its pledge and pay
    assert int(both.ledger.burned) == 50 and both.row("compute_paid") == 18
    assert both.balances[BUYER] == before[BUYER] + both.row("refunded") + 100 - 50 - 5


# Pledges


def test_a_culprit_cannot_take_out_what_it_has_pledged():
    """The rest of its stake may go, whenever it has asked; the delay outlives a dispute."""
    with pytest.raises(ValueError, match="withdrawal_delay"):
        L.make_rules(withdrawal_delay=9, timeout=10)
    both = matched()("REQUEST_WITHDRAWAL", NODES[1], amount=101, expect=R.NOT_ENOUGH_MONEY)
    both("REQUEST_WITHDRAWAL", NODES[1], amount=100)
    for _ in range(2):
        both("WAIT", amount=9)("SETTLE_ROUND", ARBITER, payload=[1, 1, 1, 1])
    both("WITHDRAW", NODES[1])("WITHDRAW", NODES[1], expect=R.WRONG_PHASE)
    assert both.stakes[NODES[1]] == 0 and both.balances[NODES[1]] == 900
    assert both.row("pledged") == [100] * 4 and bool(both.ledger.registered[NODES[1]])
    both("REPORT_METRIC", ARBITER, amount=6_000, payload=[1, 1, 1])
    both("OPEN_DISPUTE", BUYER, target=NODES[1])("RESOLVE_DISPUTE", ARBITER, amount=0)
    both("OPEN_DISPUTE", BUYER, target=NODES[1])("RESOLVE_DISPUTE", ARBITER, amount=1)
    assert both.phase == L.Phase.REFUNDED and both.stakes[NODES[1]] == 0
    assert both.balances[NODES[1]] == 900  # nor was it paid
    both("REGISTER_NODE", NODES[1], amount=200, expect=R.BANNED)


def test_a_job_holds_the_pledges_of_its_nodes_but_no_auction_does():
    both = registered()
    both("REQUEST_WITHDRAWAL", NODES[0], amount=200)
    both("REQUEST_WITHDRAWAL", SELLERS[0], amount=100)("WAIT", amount=10)
    both("BID", BUYER, job=1, tags=3, amount=500, value=5_000)("WITHDRAW", NODES[0])
    both("REQUEST_WITHDRAWAL", NODES[1], amount=200)("WAIT", amount=10)
    both("CLOSE_AUCTION", job=1)("WITHDRAW", NODES[1])
    assert both.row("pledged", 1) == [0, 100, 100, 100]  # who asks during an auction has not left
    assert both.balances[NODES[1]] == 900
    both("WITHDRAW", SELLERS[0])  # what it can lose is locked, apart from its stake
    both("SETTLE_ROUND", ARBITER, job=1, payload=[1, 1, 1, 1])
    both("WAIT", amount=10)("TIME_OUT", job=1)
    assert [both.stakes[n] for n in NODES] == [0, 100, 200, 200]
    assert [both.balances[n] for n in NODES] == [1_000, 920, 820, 820]
    assert both.balances[SELLERS[0]] == 900


def test_one_stake_is_pledged_once():
    """With 250 at stake and 100 pledged to each of two jobs a third gets nothing."""
    both = registered(funds=2_000)
    for node in NODES[:3]:
        both("TOP_UP", node, amount=50)
    for job in (0, 1):
        both("BID", BUYER, job=job, tags=job + 1, amount=500, value=5_000)
    both("WAIT", amount=3)("CLOSE_AUCTION", job=0)("CLOSE_AUCTION", job=1)
    assert both.row("pledged", 0) == both.row("pledged", 1) == [100] * 4
    for job in (0, 1):
        both("SETTLE_ROUND", ARBITER, job=job, payload=[2, 1, 1, 1])
        assert both.row("held", job) == [100, 0, 0, 0]  # both were there to be slashed
    both("WAIT", amount=10)("TIME_OUT", job=0)("RESET_JOB", job=0)
    both("BID", BUYER, job=0, tags=3, amount=100, value=5_000)("WAIT", amount=3)
    both("CLOSE_AUCTION", job=0)
    assert both.row("pledged", 0) == [0, 100, 100, 100] and both.stakes[NODES[0]] == 50


def test_who_did_not_pledge_has_nothing_to_lose_and_earns_nothing():
    both = registered()("REQUEST_WITHDRAWAL", NODES[0], amount=200)("WAIT", amount=1)
    both("BID", BUYER, tags=3, amount=500, value=5_000)("WAIT", amount=3)("CLOSE_AUCTION")
    both("OPEN_METRIC", BUYER)
    for outcomes in ([2, 1, 1, 1], [1, 1, 1, 1]):
        both("SETTLE_ROUND", ARBITER, payload=outcomes)
    assert both.row("earned") == [0, 40, 40, 40] and both.row("missed") == [0] * 4
    both("REPORT_METRIC", ARBITER, amount=6_000)("OPEN_DISPUTE", BUYER, target=NODES[0])
    both("RESOLVE_DISPUTE", ARBITER, amount=1, payload=[4, 0, 0, 0])
    assert both.stakes[NODES[0]] == 200 and bool(both.ledger.banned[NODES[0]])


def test_a_job_takes_at_most_the_pledge_however_often_a_node_is_wrong():
    both = matched(num_rounds=4)
    for outcomes in ([2, 1, 1, 3], [2, 1, 1, 3], [1, 1, 1, 1]):
        both("SETTLE_ROUND", ARBITER, payload=outcomes)
    assert both.row("pledged") == [0, 100, 100, 81] and both.row("held") == [100, 0, 0, 19]
    # 31 a round: 15 for each of two, twice; then 10 for each of three that still can lose something
    assert both.row("earned") == [0, 40, 40, 10] and both.row("missed") == [31, 0, 0, 0]
    assert [both.balances[n] for n in NODES] == [800] * 4  # nobody is paid before the end
    both("WAIT", amount=10)("TIME_OUT")
    # half of the 119 is burned, the rest is shared by what was earned
    assert int(both.ledger.burned) == 59 and both.row("compensation") == 60
    assert [both.balances[n] for n in NODES] == [800, 866, 867, 817]
    assert [both.stakes[n] for n in NODES] == [100, 200, 200, 181]


# A captured pool


def captured(ruling, findings, **options):
    """Nodes 0 to 2 outvote node 3 in the first round; everybody agrees in the second."""
    both = matched(num_rounds=2, **options)
    both("SETTLE_ROUND", ARBITER, payload=[1, 1, 1, 2])
    both("SETTLE_ROUND", ARBITER, payload=[1, 1, 1, 0])
    both("SLASH_SELLER", ARBITER, target=SELLERS[2])  # on the word of the captured pool
    both("REPORT_METRIC", ARBITER, amount=6_000, payload=[3, 1, 0])
    both("OPEN_DISPUTE", NODES[3], target=NODES[0])
    return both("RESOLVE_DISPUTE", ARBITER, amount=ruling, payload=findings)


def test_an_upheld_dispute_makes_whole_who_was_right_from_those_who_were_not():
    both = captured(1, [4, 4, 4, 5], work_bps=2_000)
    assert [both.stakes[n] for n in NODES] == [100, 100, 100, 200]
    # price 500: 62 a round, which the outvoted gets from what the guilty had earned; bond and prize
    # are 25. Of the 300 that they had pledged, 70 pay the sellers' work, 150 are burned.
    assert [both.balances[n] for n in NODES] == [800, 800, 800, 800 + 62 + 25]
    assert [both.balances[s] for s in SELLERS] == [800 + 52, 800 + 18, 800]
    assert int(both.ledger.burned) == 150 + 50  # and half of a seller's deposit
    assert both.row("refunded") == 500 - 62
    assert both.balances[BUYER] == 500 + 500 - 62 + 50 + (300 - 70 - 150 - 25)


def test_when_only_the_metric_was_false_the_outvoted_node_goes_on_with_its_pledge():
    both = captured(2, [4, 0, 0, 5])
    assert both.phase == L.Phase.VERIFY and both.row("held") == [0, 0, 0, 0]
    assert both.row("pledged") == [0, 100, 100, 100] and both.row("earned") == [0, 40, 40, 40]
    both("REPORT_METRIC", ARBITER, amount=6_000, payload=[3, 1, 0])("WAIT", amount=3)("SETTLE")
    assert [both.balances[n] for n in NODES] == [800, 840, 840, 800 + 40 + 25]
    assert [both.stakes[s] for s in SELLERS] == [200, 200, 100]


def test_a_seller_found_guilty_in_a_dispute_is_not_slashed_again_in_the_end():
    both = challenged(slash_harm_bps=5_000)("OPEN_DISPUTE", BUYER, target=SELLERS[0])
    both("RESOLVE_DISPUTE", ARBITER, amount=2)
    assert both.stakes[SELLERS[0]] == 100 and both.row("locked")[0] == 50
    both("REPORT_METRIC", ARBITER, amount=6_000, payload=[3, 1, 0])("WAIT", amount=3)("SETTLE")
    assert [both.stakes[s] for s in SELLERS] == [150, 200, 200]
    assert [both.balances[s] for s in SELLERS] == [800, 800 + 350, 800]


# A buyer that wants the work and not the price


def test_a_buyer_that_does_not_open_its_metric_pays_as_if_tau_were_reached():
    both = registered()("BID", BUYER, tags=3, amount=500, value=10_000)("WAIT", amount=3)
    both("CLOSE_AUCTION")("OPEN_METRIC", RIVAL, expect=R.NOT_AUTHORISED)
    both("OPEN_METRIC", BUYER, value=8, expect=R.BAD_VALUE)  # other examples than it bid with
    for _ in range(2):
        both("SETTLE_ROUND", ARBITER, payload=[1, 1, 1, 1])
    both("REPORT_METRIC", ARBITER, amount=10_000, expect=R.TOO_EARLY)("WAIT", amount=10)
    both("TIME_OUT")
    assert both.phase == L.Phase.SETTLED and both.row("seller_paid") == 350
    assert [both.balances[s] - 800 for s in SELLERS] == [116, 117, 117]  # equal weights


def test_who_opens_in_the_last_block_leaves_the_pool_a_whole_time_out():
    both = registered()("BID", BUYER, tags=3, amount=500, value=10_000)("WAIT", amount=3)
    both("CLOSE_AUCTION")
    for _ in range(2):
        both("SETTLE_ROUND", ARBITER, payload=[1, 1, 1, 1])
    both("WAIT", amount=9)("OPEN_METRIC")("WAIT", amount=9)("TIME_OUT", expect=R.TOO_EARLY)
    both("REPORT_METRIC", ARBITER, amount=9_999, payload=[1, 1, 2])


def test_a_missed_threshold_still_pays_for_the_work_and_the_buyer_may_take_the_model():
    for takes in (False, True):
        both = challenged(tau=9_000, work_bps=2_000)
        if takes:
            both("TAKE", SELLERS[0], expect=R.NOT_AUTHORISED)("TAKE", BUYER)
            both("TAKE", BUYER, expect=R.ALREADY_DONE)
        both("WAIT", amount=3)("TAKE", BUYER, expect=R.ALREADY_DONE if takes else R.TOO_LATE)
        both("SETTLE")
        assert both.phase == (L.Phase.SETTLED if takes else L.Phase.REFUNDED)
        assert both.row("seller_paid") == (350 if takes else 70)
        assert both.row("fee_paid") == (25 if takes else 0)


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
    assert both.phase == L.Phase.VERIFY and both.row("pledged")[1] == 0
    bond = 25
    prize = bond if who != BUYER else 100 - 50  # of its pledge half is burned, the rest the buyer's
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
    both("BID", RIVAL, tags=INT_MAX, amount=INT_MAX, value=1, expect=R.NOT_ENOUGH_MONEY)
    both("WAIT", amount=3)("CLOSE_AUCTION")("OPEN_METRIC")
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


@pytest.mark.parametrize("number", [2**31, 2**32 + 1, 2**64, 2**255 - 1, -(2**255), -1])
def test_numbers_beyond_the_ledger_are_refused_with_a_reason(number):
    """What the functional ledger cannot even be asked: its arguments are int32."""
    both = challenged()
    asked = {
        "register_seller": ((3, number, 0, 0, number, number), SELLERS[0]),
        "set_ask": ((number, number), SELLERS[0]),
        "register_node": ((number,), NODES[0]),
        "top_up": ((number,), NODES[0]),
        "request_withdrawal": ((number,), NODES[0]),
        "pay_out": ((number,), NODES[0]),
        "bid": ((1, number, number, 0, 0, 0), BUYER),
        "seal": ((1, number, number, 1), BUYER),
        "reveal": ((number, number, number, 0, 0, 0), BUYER),
        "settle": ((number,), BUYER),
        "open_metric": ((number, 9, 99), BUYER),
        "take": ((number,), BUYER),
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


def test_one_unit_more_is_always_possible_when_raising_dust():
    both = registered(reserve=1, min_increment_bps=0)
    for amount in (1, 2, 3):
        both("BID", BUYER, tags=3, amount=amount - 1, value=0, expect=R.BID_TOO_LOW)
        both("BID", BUYER, tags=3, amount=amount, value=0)


def test_shares_of_a_pot_smaller_than_the_number_of_sellers():
    both = challenged(price=3, reserve=1, weights=(2**15, 1, 1))("WAIT", amount=3)("SETTLE")
    gained = [both.balances[seller] - 800 for seller in SELLERS]
    assert sum(gained) == both.row("seller_paid") == 2 and gained == [1, 0, 1]
