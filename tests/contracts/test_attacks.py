"""Attacks on the money, each against both machines at once (see `both.py`)."""

import numpy as np
import pytest

from contracts.market import address_of, reason_text
from d2m_jax import ledger as L
from tests.contracts.both import (
    BAD,
    BUYER,
    CONTENT,
    GOOD,
    LAYOUT,
    METRIC,
    NODES,
    OTHER,
    RIVAL,
    SELLERS,
    THIRD,
    TREASURY,
    Both,
    challenged,
    matched,
    registered,
)

pytestmark = pytest.mark.slow

R = L.Reason
INT_MAX = 2**31 - 1
LAST = 2  # unit of the verification


# Replay and claiming twice


def test_no_claim_pays_twice():
    both = challenged()("WAIT", amount=3)("SETTLE", NODES[0])
    before = both.balances, both.stakes
    both("SETTLE", expect=R.ALREADY_DONE)("SETTLE", SELLERS[0], expect=R.ALREADY_DONE)
    both("WAIT", amount=20)("TIME_OUT", expect=R.ALREADY_DONE)
    both("CLOSE_AUCTION", expect=R.ALREADY_DONE)
    for kind in ("BOOK_ROUND", "BOOK_VERIFICATION", "BOOK_DISPUTE"):
        both.book(kind=kind, expect=R.ALREADY_DONE)
    both("RESET_JOB")("RESET_JOB", expect=R.WRONG_PHASE)("SETTLE", expect=R.WRONG_PHASE)
    assert (both.balances, both.stakes) == before
    both("REQUEST_WITHDRAWAL", SELLERS[0], amount=150)("WAIT", amount=10)("WITHDRAW", SELLERS[0])
    both("WITHDRAW", SELLERS[0], expect=R.WRONG_PHASE)
    assert both.stakes[SELLERS[0]] == 50
    assert both.balances[SELLERS[0]] == before[0][SELLERS[0]] + 150


def test_every_step_of_a_job_sent_again_is_refused():
    both = registered()
    both("REGISTER_NODE", NODES[0], amount=200, expect=R.ALREADY_DONE)
    listing = {"tags": 3, "value": 5, "amount": 100}
    both("REGISTER_SELLER", SELLERS[0], **listing, expect=R.ALREADY_DONE)
    bid = {"tags": 3, "amount": 500, "value": 5_000}
    both("BID", BUYER, **bid)("BID", BUYER, **bid, expect=R.BID_TOO_LOW)("WAIT", amount=3)
    both("CLOSE_AUCTION")("CLOSE_AUCTION", expect=R.WRONG_PHASE)
    both("OPEN_METRIC", BUYER)("OPEN_METRIC", BUYER, expect=R.ALREADY_DONE)
    for kind in ("BOOK_VERIFICATION", "BOOK_DISPUTE"):
        both.book(kind=kind, expect=R.WRONG_PHASE)
    both.book().book()
    both.book(kind="BOOK_ROUND", expect=R.WRONG_PHASE)
    both.book(metric=6_000, sellers=[1, 1, 1])
    both.book(kind="BOOK_VERIFICATION", expect=R.WRONG_PHASE)
    both("OPEN_DISPUTE", RIVAL)("OPEN_DISPUTE", RIVAL, expect=R.WRONG_PHASE)
    both.book().book(kind="BOOK_DISPUTE", expect=R.WRONG_PHASE)


def test_a_decision_is_booked_once_and_only_the_one_that_is_asked_for():
    """The decision on an earlier unit, or on one of another job, has another number."""
    both = matched()
    both.book(is_over=False, expect=R.TOO_EARLY)
    for serial in (0, 2, 99):
        both.book(serial=serial, expect=R.TOO_EARLY)
    both.book()
    both.book(serial=1, expect=R.TOO_EARLY)  # the same again, for the second round
    assert both.row("round") == 1


def test_a_round_never_pays_more_than_its_part_of_the_pool():
    both = matched(num_rounds=3)
    pool = both.row("compute_pool")
    for _ in range(3):
        both.book([GOOD, None, None, None])
    both.book([GOOD, None, None, None], metric=6_000)
    paid = sum(both.row("earned"))
    assert paid == pool // 4 * 4 and both.row("compute_pool") == pool - paid


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
    assert int(both.ledger.burned) == 20 and both.balances[TREASURY] == 1_000
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
        both.book(accepted=0)
    both("WAIT", amount=9)("TIME_OUT", expect=R.TOO_EARLY)
    both.book(metric=6_000)("SETTLE", expect=R.TOO_EARLY)
    both("WAIT", amount=3)
    both("OPEN_DISPUTE", BUYER, value=LAST, expect=R.TOO_LATE)("SETTLE")
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
    for node in NODES:
        both("REGISTER_NODE", node, amount=200)
    both("BID", BUYER, tags=3, amount=500, value=5_000)("WAIT", amount=3)("CLOSE_AUCTION")
    assert both.phase == L.Phase.ABORTED and both.balances[BUYER] == 1_000
    assert both.row("fee_paid") == 0 and both.balances[TREASURY] == 1_000
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


# The electorate


def test_who_joins_tops_up_or_returns_when_salts_are_known_is_no_candidate():
    """The first reveal fixes who pledges, and how much: afterwards one could choose by the seed."""
    both = Both(sealed=1, by_stake=1)
    for seller in SELLERS:
        both("REGISTER_SELLER", seller, tags=3, value=5, amount=200)
    for node in NODES[:2]:
        both("REGISTER_NODE", node, amount=200)
    both.seal(BUYER, 500)("WAIT", amount=3)
    both("REGISTER_NODE", NODES[2], amount=150).reveal(BUYER, 500)
    assert both.row("offered") == [200, 200, 150, 0] and both.row("frozen")
    both("REGISTER_NODE", NODES[3], amount=900)("TOP_UP", NODES[0], amount=300)
    both("WAIT", amount=4)("CLOSE_AUCTION")
    assert both.row("pledged") == [200, 200, 150, 0]
    assert both.market.read("electorate", 0) == [32, 1, 200 | 200 << 64 | 150 << 128]


def test_who_spent_what_it_offered_is_out():
    """Two jobs are frozen on one stake of 150: the first to close has it, and no lane is spilt."""
    both = Both(sealed=1, funds=2_000)
    for seller in SELLERS:
        both("REGISTER_SELLER", seller, tags=3, value=5, amount=200)
    for node in NODES:
        both("REGISTER_NODE", node, amount=150)
    for job in (0, 1):
        both.seal(BUYER, 500, job=job, tags=job + 1)
    both("TOP_UP", NODES[0], amount=50)("REQUEST_WITHDRAWAL", NODES[1], amount=150)
    both("WAIT", amount=3).reveal(BUYER, 500, job=0).reveal(BUYER, 500, job=1)
    both("WAIT", amount=4)("CLOSE_AUCTION", job=0)("CLOSE_AUCTION", job=1)
    assert both.row("pledged", 0) == [100] * 4  # who asks during an auction stays
    assert both.row("offered", 1) == [100] * 4 and both.row("pledged", 1) == [100, 0, 0, 0]
    assert [both.stakes[n] for n in NODES] == [0, 50, 50, 50]


def test_a_job_without_enough_nodes_is_aborted_and_costs_nothing():
    both = registered(min_nodes=4)("REQUEST_WITHDRAWAL", NODES[3], amount=150)("WAIT", amount=1)
    both("BID", BUYER, tags=3, amount=500, value=5_000)("WAIT", amount=3)("CLOSE_AUCTION")
    assert both.phase == L.Phase.ABORTED and both.balances[BUYER] == 1_000
    assert [both.stakes[n] for n in (*SELLERS, *NODES)] == [200] * 7


def test_the_banned_and_the_slashed_do_not_vote_on():
    both = challenged()
    both("OPEN_DISPUTE", RIVAL, value=0).book([BAD, BAD, BAD, None], BAD)
    assert bool(both.ledger.banned[NODES[0]]) and both.phase == L.Phase.CHALLENGE
    both("OPEN_DISPUTE", THIRD, value=1)
    words = both.market.read("electorate", 0)
    assert words[2:] == [0]  # all four had said GOOD, and have lost what they had pledged


# Acting for somebody else


def test_nobody_has_a_power_and_strangers_do_nothing():
    """Everybody books what was decided, and nothing else; the treasury is one of them."""
    for actor in (*SELLERS, *NODES, RIVAL, TREASURY):
        both = matched().book(actor=actor)
        assert both.row("round") == 1
    both = challenged()
    for actor in (-1, LAYOUT.num_accounts, 10**6):
        for kind in ("BOOK_ROUND", "BOOK_VERIFICATION", "BOOK_DISPUTE"):
            both.book(kind=kind, actor=actor, expect=R.UNKNOWN_PARTY)
        everybodys = ("SETTLE", "TIME_OUT", "WITHDRAW", "TOP_UP", "OPEN_DISPUTE", "BID")
        for kind in (*everybodys, "SEAL", "REVEAL", "SET_ASK", "CLOSE_AUCTION", "RESET_JOB"):
            both(kind, actor, expect=R.UNKNOWN_PARTY)


def test_roles_do_not_mix():
    both = Both()
    for actor in (*SELLERS, *NODES, TREASURY):
        for kind in ("BID", "SEAL", "REVEAL"):
            both(kind, actor, tags=3, amount=500, value=1, expect=R.NOT_AUTHORISED)
    for actor in (BUYER, *NODES, TREASURY):
        both("REGISTER_SELLER", actor, tags=3, value=5, amount=500, expect=R.NOT_AUTHORISED)
    for actor in (BUYER, *SELLERS, TREASURY):
        both("REGISTER_NODE", actor, amount=500, expect=R.NOT_AUTHORISED)
    for actor in (BUYER, TREASURY):
        both("TOP_UP", actor, amount=5, expect=R.NOT_REGISTERED)


# Decisions that count for nothing


def test_a_digest_that_nobody_can_open_costs_who_agreed_on_it():
    both = matched()
    both.book([BAD, BAD, BAD, GOOD], BAD, is_open=False, expect=R.TOO_EARLY)
    both("WAIT", amount=5).book([BAD, BAD, BAD, GOOD], BAD, is_open=False, since=0 + 3)
    assert both.row("results")[0] == 0 and both.row("round") == 1
    assert both.row("pledged") == [0, 0, 0, 100] and both.row("earned") == [0] * 4


def test_a_verification_of_another_model_or_metric_is_no_verification():
    for changed in ({"model": 9}, {"asked": METRIC + 1}):
        both = matched()
        for _ in range(2):
            both.book()
        both.book([GOOD, GOOD, GOOD, BAD], metric=9_000, **changed)
        assert both.phase == L.Phase.VERIFY and both.row("pledged") == [0, 0, 0, 100]
        assert both.row("results")[LAST] == 0
        both.book([None, None, None, BAD], BAD, metric=100)
        assert both.phase == L.Phase.CHALLENGE


def test_a_vote_that_comes_to_nothing_pays_nobody_and_is_asked_again():
    both = matched()
    both.book([GOOD, BAD, OTHER, 0], 0)
    assert both.row("round") == 1 and both.row("earned") == [0] * 4
    assert both.row("held") == [0, 0, 0, 10]  # only silence is noted
    both.book()
    for serial in (3, 4):
        assert both.row("serial") == serial
        both.book([GOOD, BAD, None, None], 0)
    assert both.phase == L.Phase.VERIFY
    both("WAIT", amount=10)("TIME_OUT", RIVAL)
    assert both.phase == L.Phase.REFUNDED


def test_training_ends_early_only_when_the_examples_are_known():
    both = registered()("BID", BUYER, tags=3, amount=500, value=5_000)("WAIT", amount=3)
    both("CLOSE_AUCTION").book(metric=9_000)
    assert both.phase == L.Phase.TRAINING
    both = matched(num_rounds=3).book(metric=4_999)
    assert both.phase == L.Phase.TRAINING
    both.book(metric=5_000)
    assert both.phase == L.Phase.VERIFY and both.row("round") == 2


# Disputes as a weapon


def test_each_false_dispute_costs_its_bond_and_the_job_still_settles():
    both = challenged(price=900)
    bond, start = 45, both.balances[RIVAL]
    for i in range(3):
        both("OPEN_DISPUTE", RIVAL, value=i % 2).book([GOOD, None, None, None])
        assert both.balances[RIVAL] == start - bond * (i + 1)
    # each pays the node that executed again, at most what the price holds for a unit
    assert both.balances[NODES[0]] == 800 + 3 * 45 and int(both.ledger.burned) == 0
    both("WAIT", amount=3)("SETTLE")
    assert both.phase == L.Phase.SETTLED and both.row("seller_paid") == 630


@pytest.mark.parametrize(("price", "bond"), [(10, 1), (900, 45)])
def test_disputing_ones_own_work_falsely_costs_the_bond_less_ones_share_of_the_pay(price, bond):
    """Whoever owns a part of the nodes gets that part back, for work; the rest is gone."""
    both = challenged(price=price, burn_bps=0)
    before = sum(both.balances)
    both("OPEN_DISPUTE", NODES[0], value=1).book()
    paid = bond // 4 * 4
    assert int(both.ledger.burned) == bond - paid and sum(both.balances) == before - bond + paid
    assert both.balances[NODES[0]] == 800 - bond + paid // 4


def test_a_dispute_is_never_free_and_only_of_what_has_a_result():
    both = challenged(price=10, bond_bps=0)
    for unit in (-1, 3, 2**31 - 1, -(2**31)):
        both("OPEN_DISPUTE", BUYER, value=unit, expect=R.BAD_VALUE)
    before = both.balances[TREASURY]
    both("OPEN_DISPUTE", TREASURY, value=LAST)
    assert both.row("bond") == 1 and both.balances[TREASURY] == before - 1


def test_a_dispute_that_comes_to_nothing_gives_everything_back():
    both = challenged()
    before = both.balances
    both("OPEN_DISPUTE", SELLERS[0], value=0).book([GOOD, BAD, None, None], 0)
    assert both.phase == L.Phase.DISPUTED and both.row("serial") == 6
    both("WAIT", amount=10)("TIME_OUT", NODES[2])
    assert both.balances[SELLERS[0]] == before[SELLERS[0]]
    assert both.balances[BUYER] == before[BUYER] + both.row("refunded")
    assert both.stakes[SELLERS[0]] == 200


def test_the_winner_of_a_dispute_gets_no_more_than_its_bond_from_the_guilty():
    """Else a node could dispute its own lie and cash in what others are owed."""
    both = matched(price=100)
    both.book([BAD, None, None, None], BAD).book([None, GOOD, None, None])
    both.book([None, GOOD, None, None], metric=6_000, sellers=[1, 1, 1])
    before = both.balances
    both("OPEN_DISPUTE", NODES[0], value=0).book([None, GOOD, None, None])
    assert both.balances[NODES[0]] == before[NODES[0]] + 5  # the bond of 5 back, and as much again
    assert both.row("earned") == [0, 8 + 8 + 8, 0, 0]  # 25 a third a unit, and the re-execution
    assert both.row("forfeited") == 100 + 8 - 8 - 5 and both.row("spoilt")


def test_a_captured_round_is_overturned_and_who_was_outvoted_is_made_whole():
    """Nodes 0 to 2 outvote node 3; a fresh vote finds what it had said."""
    both = matched().book([BAD, BAD, BAD, GOOD], BAD).book([BAD, BAD, BAD, None], BAD)
    assert both.row("pledged") == [100, 100, 100, 0] and both.row("held") == [0, 0, 0, 100]
    both.book([BAD, BAD, BAD, None], BAD, metric=6_000, sellers=[3, 1, 0], harm=[0, 0, 1])
    both("OPEN_DISPUTE", NODES[3], value=0).book([None, None, None, GOOD])
    assert both.row("pledged") == [0, 0, 0, 100] and both.row("held") == [0] * 4
    money = 125 // 3
    assert both.row("earned") == [0, 0, 0, 2 * money]  # its reward, and the re-execution
    assert np.asarray(both.ledger.banned)[NODES[0] :].tolist()[:4] == [1, 1, 1, 0]
    both("TAKE", BUYER, expect=R.ALREADY_DONE)("WAIT", amount=3)("SETTLE")
    assert both.phase == L.Phase.REFUNDED
    # of 300 and 3 * 13 * 3 that the guilty lose, the sellers share 350 by weight, as far as it goes
    left = 300 + 3 * 3 * 13 - 2 * money - 25
    assert both.row("seller_paid") == min(left, 350)
    assert [both.stakes[n] for n in NODES] == [100, 100, 100, 200]
    assert [both.stakes[s] for s in SELLERS] == [200] * 3  # harm said by those people is no harm
    assert not any(np.asarray(both.ledger.banned)[SELLERS[0] : NODES[0]])


def test_a_false_metric_is_replaced_and_has_its_own_window():
    both = matched(tau=9_000)
    for _ in range(2):
        both.book()
    both.book([BAD, BAD, BAD, GOOD], BAD, metric=100, sellers=[1, 1, 1], harm=[1, 0, 0])
    both("OPEN_DISPUTE", SELLERS[2], value=LAST)
    both.book([None, None, None, GOOD], metric=9_500, sellers=[3, 1, 0])
    assert both.phase == L.Phase.CHALLENGE and both.row("metric_bps") == 9_500
    assert both.row("excluded") == [0, 0, 0] and not both.row("spoilt")
    both("SETTLE", expect=R.TOO_EARLY)("WAIT", amount=3)("SETTLE")
    assert both.phase == L.Phase.SETTLED and both.row("seller_paid") == 350
    assert both.row("fee_paid") == 25


def test_a_seller_that_did_harm_pays_when_the_metric_stands_and_not_before():
    both = matched()
    for _ in range(2):
        both.book()
    both.book(metric=6_000, sellers=[1, 1, 1], harm=[0, 1, 0])
    assert both.row("locked") == [100] * 3 and not any(np.asarray(both.ledger.banned))
    both("WAIT", amount=3)("SETTLE")
    assert [both.stakes[s] for s in SELLERS] == [200, 100, 200]
    assert [both.balances[s] for s in SELLERS] == [800 + 175, 800, 800 + 175]
    assert int(both.ledger.burned) == 50 and bool(both.ledger.banned[SELLERS[1]])


# Pledges


def test_a_culprit_cannot_take_out_what_it_has_pledged():
    """The rest of its stake may go, whenever it has asked; the delay outlives a dispute."""
    with pytest.raises(ValueError, match="withdrawal_delay"):
        L.make_rules(withdrawal_delay=9, timeout=10)
    both = matched()("REQUEST_WITHDRAWAL", NODES[1], amount=101, expect=R.NOT_ENOUGH_MONEY)
    both("REQUEST_WITHDRAWAL", NODES[1], amount=100)
    for _ in range(2):
        both("WAIT", amount=9).book([BAD, BAD, BAD, None], BAD)
    both("WITHDRAW", NODES[1])("WITHDRAW", NODES[1], expect=R.WRONG_PHASE)
    assert both.stakes[NODES[1]] == 0 and both.balances[NODES[1]] == 900
    assert both.row("pledged") == [100] * 4 and bool(both.ledger.registered[NODES[1]])
    both.book(metric=6_000, sellers=[1, 1, 1])
    both("OPEN_DISPUTE", BUYER, value=1).book([None, None, None, GOOD])("WAIT", amount=3)("SETTLE")
    assert both.phase == L.Phase.REFUNDED and both.stakes[NODES[1]] == 0
    assert both.balances[NODES[1]] == 900  # nor was it paid
    both("REGISTER_NODE", NODES[1], amount=200, expect=R.BANNED)


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
        both.book([BAD, GOOD, GOOD, GOOD], job=job)
        assert both.row("held", job) == [100, 0, 0, 0]  # both were there to be slashed
    both("WAIT", amount=10)("TIME_OUT", job=0)("RESET_JOB", job=0)
    both("BID", BUYER, job=0, tags=3, amount=100, value=5_000)("WAIT", amount=3)
    both("CLOSE_AUCTION", job=0)
    assert both.row("pledged", 0) == [0, 100, 100, 100] and both.stakes[NODES[0]] == 50


def test_a_job_takes_at_most_the_pledge_however_often_a_node_is_wrong():
    both = matched(num_rounds=3)
    for papers in ([BAD, GOOD, GOOD, 0], [BAD, GOOD, GOOD, 0], [GOOD] * 4):
        both.book(papers)
    assert both.row("pledged") == [0, 100, 100, 80] and both.row("held") == [100, 0, 0, 20]
    # 31 a unit: 15 for each of two, twice; then 10 for each of three that still can lose something
    assert both.row("earned") == [0, 40, 40, 10]
    assert [both.balances[n] for n in NODES] == [800] * 4  # nobody is paid before the end
    both("WAIT", amount=10)("TIME_OUT")
    assert int(both.ledger.burned) == 60 and both.row("compensation") == 60
    assert [both.stakes[n] for n in NODES] == [100, 200, 200, 180]


# A buyer that wants the work and not the price


def test_a_buyer_that_does_not_open_its_metric_pays_as_if_tau_were_reached():
    both = registered()("BID", BUYER, tags=3, amount=500, value=10_000)("WAIT", amount=3)
    both("CLOSE_AUCTION")("OPEN_METRIC", RIVAL, expect=R.NOT_AUTHORISED)
    both("OPEN_METRIC", BUYER, value=8, expect=R.BAD_VALUE)  # other examples than it bid with
    for _ in range(2):
        both.book()
    assert both.market.read("wanted", 0)[0] == 0
    both.book(metric=10_000, is_over=False, expect=R.TOO_EARLY)("WAIT", amount=10)("TIME_OUT")
    assert both.phase == L.Phase.SETTLED and both.row("seller_paid") == 350
    assert [both.balances[s] - 800 for s in SELLERS] == [116, 117, 117]  # equal weights


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


# The ends of the number line


def test_all_the_money_there_can_be_moves_without_wrapping():
    """All that int32 holds: pools, cumulative shares and slashes at the limit."""
    funds = [0] * LAYOUT.num_accounts
    funds[BUYER], funds[SELLERS[0]], funds[NODES[0]] = INT_MAX - 2_000, 1_000, 1_000
    both = Both(funds, partial_payment=1, seller_bps=9_999, fee_bps=1)
    both("REGISTER_SELLER", SELLERS[0], tags=INT_MAX, value=INT_MAX, amount=1_000)
    both("REGISTER_NODE", NODES[0], amount=1_000)
    both("BID", BUYER, tags=INT_MAX, amount=INT_MAX, value=10_000, expect=R.NOT_ENOUGH_MONEY)
    both("BID", BUYER, tags=INT_MAX, amount=INT_MAX - 2_000, value=10_000)
    both("BID", RIVAL, tags=INT_MAX, amount=INT_MAX, value=1, expect=R.NOT_ENOUGH_MONEY)
    both("WAIT", amount=3)("CLOSE_AUCTION")("OPEN_METRIC")
    both.book([0, None, None, None], 0).book([GOOD, None, None, None])
    both.book([GOOD, None, None, None], metric=9_999, base=1, sellers=[2**15, 0, 0])
    both("WAIT", amount=3)("SETTLE")
    assert both.phase == L.Phase.REFUNDED
    pool = (INT_MAX - 2_000) * 9_999 // 10_000
    assert both.row("seller_paid") == pool * 9_998 // 9_999


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
        "book_round": ((number,), NODES[0]),
        "book_dispute": ((number, []), NODES[0]),
        "open_dispute": ((0, number), BUYER),
        "join": ((number,), -1),
    }
    for name, (values, actor) in asked.items():
        sent = both.market.call(address_of(actor), name, *values)
        assert not sent.ok and reason_text(sent.output), name
    both.agree()


def test_dust_goes_somewhere():
    """A price of one unit for three sellers, four nodes and three units: all of it is found."""
    both = matched(price=1, reserve=1, min_increment_bps=0)
    assert (both.row("seller_pool"), both.row("fee_pool"), both.row("compute_pool")) == (0, 0, 1)
    for _ in range(2):
        both.book()
    both.book(metric=10_000, sellers=[1, 1, 1])("OPEN_DISPUTE", BUYER, value=0).book()
    both("WAIT", amount=3)("SETTLE")
    assert both.row("refunded") == 1 and both.balances[BUYER] == 1_000 - 1
    assert both.balances[NODES[0]] == 800 and int(both.ledger.burned) == 1  # the bond of one unit


def test_shares_of_a_pot_smaller_than_the_number_of_sellers():
    both = challenged(price=3, reserve=1, weights=(2**15, 1, 1))("WAIT", amount=3)("SETTLE")
    gained = [both.balances[seller] - 800 for seller in SELLERS]
    assert sum(gained) == both.row("seller_paid") == 2 and gained == [1, 0, 1]
