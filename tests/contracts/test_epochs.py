"""Several jobs at once, and job after job with the same accounts, in both machines."""

import numpy as np
import pytest

from d2m_jax import ledger as L
from tests.contracts.both import (
    BAD,
    BUYER,
    GOOD,
    NODES,
    RIVAL,
    SELLERS,
    THIRD,
    TREASURY,
    registered,
)

pytestmark = pytest.mark.slow

R = L.Reason


def test_two_jobs_side_by_side_keep_their_money_apart():
    """Auctions for two tags, one stake of sellers and nodes; one job misses tau, one is paid.

    Prices of 600 and 800 hold 420 and 560 for the sellers, 50 and 66 for each of three units.
    """
    both = registered(partial_payment=1)
    both("BID", BUYER, job=0, tags=1, amount=600, value=5_000)
    both("BID", RIVAL, job=1, tags=2, amount=600, value=5_000)
    both("BID", THIRD, job=1, tags=2, amount=800, value=6_000)
    both("WAIT", amount=3)("CLOSE_AUCTION", job=1)("CLOSE_AUCTION", job=0)
    assert both.row("buyer", 0) == BUYER and both.row("buyer", 1) == THIRD
    assert both.stakes[3:10] == [0] * 7  # two deposits and two pledges of 100 each
    both.book([GOOD, GOOD, None, None], job=0).book([None, None, GOOD, BAD], job=1)
    both.book([GOOD, None, None, None], job=0).book([None, None, GOOD, GOOD], job=1)
    assert both.row("earned", 0) == [25 + 50, 25, 0, 0] and both.row("earned", 1) == [0, 0, 132, 0]
    assert both.row("held", 1) == [0, 0, 0, 100] and both.row("held", 0) == [0, 0, 0, 0]
    both("OPEN_METRIC", BUYER, job=0)("OPEN_METRIC", THIRD, job=1)
    both.book([GOOD, None, None, None], job=0, metric=4_000, sellers=[1, 1, 1])
    both.book([None, None, GOOD, None], job=1, metric=6_000, sellers=[1, 1, 2])
    assert both.row("earned", 0) == [125, 25, 0, 0] and both.row("earned", 1) == [0, 0, 198, 0]
    both("WAIT", amount=3)("SETTLE", job=0)("SETTLE", job=1)
    assert both.balances[:3] == [400 + 600 - 336 - 150, 1_000, 200 + 800 - 560 - 40 - 198]
    assert [both.balances[n] for n in NODES] == [800 + 125, 800 + 25, 800 + 198 + 50, 800]
    assert [both.balances[s] for s in SELLERS] == [
        800 + 112 + 140,
        800 + 112 + 140,
        800 + 112 + 280,
    ]
    assert [both.stakes[s] for s in SELLERS] == [200] * 3
    assert both.balances[TREASURY] == 1_000 + 40 and int(both.ledger.burned) == 50
    assert [both.stakes[n] for n in NODES] == [200, 200, 200, 100]


def test_balances_stakes_reputation_and_bans_go_from_job_to_job():
    """Seller 1 does harm in the first job and is out for good; seller 2 is flagged until it is."""
    both = registered(min_reputation_bps=4_000)
    matched = []
    for epoch in range(4):
        both("BID", epoch % 2, tags=3, amount=100, value=5_000)("WAIT", amount=3)
        both("CLOSE_AUCTION")("OPEN_METRIC", epoch % 2)
        matched.append(both.row("matched"))
        for _ in range(2):
            both.book([GOOD, GOOD, 0, GOOD], sellers=[1, 1, 2])  # node 2 is silent
        both.book(metric=7_000, sellers=[1, 1, 1], harm=[0, epoch == 0, 0])
        both("WAIT", amount=3)("SETTLE")
        before = both.balances, both.stakes, np.asarray(both.ledger.banned).tolist()
        both("RESET_JOB")
        assert (both.balances, both.stakes, np.asarray(both.ledger.banned).tolist()) == before
        assert both.row("serial") == 4 * (epoch + 1)  # no request has a number twice
    assert matched == [[1, 1, 1], [1, 0, 1], [1, 0, 0], [1, 0, 0]]
    # 5000, then 0.9 of it twice an epoch: 4050 still suffices, 3280 does not
    expected = 5_000
    for _ in range(4):
        expected = expected * 9 // 10
    assert np.asarray(both.ledger.reputation_bps)[2] == expected
    # ten per cent of its pledge of 100, as it was made, for a silent round
    assert both.stakes[NODES[2]] == 200 - 4 * (10 + 10)
    both("REGISTER_SELLER", SELLERS[1], tags=3, value=5, amount=100, expect=R.BANNED)
    both("REQUEST_WITHDRAWAL", SELLERS[1], amount=100)("WAIT", amount=10)("WITHDRAW", SELLERS[1])
    both("REGISTER_SELLER", SELLERS[1], tags=3, value=5, amount=100, expect=R.BANNED)


def test_what_an_earlier_job_has_left_in_a_slot_is_never_read():
    """Results, papers, money and offers are not cleared, but overwritten: a job cannot see them."""
    both = registered(num_rounds=3)
    both("BID", BUYER, tags=3, amount=300, value=5_000)("WAIT", amount=3)
    both("CLOSE_AUCTION")("OPEN_METRIC")
    for _ in range(3):
        both.book()
    both.book(metric=9_000, sellers=[1, 1, 1])("WAIT", amount=3)("SETTLE")("RESET_JOB")
    assert both.row("results") == [0] * 4 and both.row("price") == 0
    both("REQUEST_WITHDRAWAL", NODES[0], amount=200)("WAIT", amount=1)
    both("BID", RIVAL, tags=3, amount=200, value=5_000)("WAIT", amount=3)
    both("CLOSE_AUCTION")("OPEN_METRIC", RIVAL)
    assert both.row("pledged") == [0, 100, 100, 100]
    both.book([None, BAD, BAD, BAD], BAD, metric=6_000)  # tau is reached in the first round
    assert both.phase == L.Phase.VERIFY
    both("TIME_OUT", expect=R.TOO_EARLY)
    both.book([None, GOOD, GOOD, GOOD], metric=6_000, sellers=[1, 1, 1])
    for unit in (1, 2, 4, -1):
        both("OPEN_DISPUTE", THIRD, value=unit, expect=R.BAD_VALUE)
    both("OPEN_DISPUTE", THIRD, value=0)
