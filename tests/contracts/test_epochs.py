"""Several jobs at once, and job after job with the same accounts, in both machines."""

import numpy as np

from d2m_jax import ledger as L
from tests.contracts.both import ARBITER, BUYER, NODES, RIVAL, SELLERS, THIRD, registered

R = L.Reason


def test_two_jobs_side_by_side_keep_their_money_apart():
    """Auctions for two tags, one stake of sellers and nodes; one job misses tau, one is paid.

    Job 0, price 400 = 280 + 20 + 100: 50 a round. Job 1, price 800 = 560 + 40 + 200: 100 a round.
    Node 3 is wrong once in job 1: the 100 that it pledged to it are held, so it has no say in the
    next round; in the end 50 are burned and 50 go to node 2, which alone was right in that job.
    """
    both = registered()
    both("BID", BUYER, tags=1, amount=400, value=5_000)("WAIT", amount=1)
    both("BID", RIVAL, job=1, tags=2, amount=500, value=5_000)
    both("BID", THIRD, job=0, tags=2, amount=900, expect=R.WRONG_TAGS)
    both("BID", THIRD, job=1, tags=2, amount=800, value=5_000)
    assert both.balances[:3] == [600, 500, 200]
    both("WAIT", amount=2)("CLOSE_AUCTION", job=1, expect=R.TOO_EARLY)  # each window for itself
    both("CLOSE_AUCTION", job=0)("WAIT", amount=1)
    both("CLOSE_AUCTION", job=1)
    assert both.stakes[3:10] == [0] * 7  # two deposits and two pledges of 100 each
    for job, outcomes in ((0, [1, 1, 0, 0]), (1, [0, 0, 1, 2]), (0, [1]), (1, [0, 0, 1, 1])):
        both("SETTLE_ROUND", ARBITER, job=job, payload=outcomes)
    assert both.row("earned", 0) == [25 + 50, 25, 0, 0] and both.row("earned", 1) == [0, 0, 200, 0]
    assert both.row("held", 1) == [0, 0, 0, 100] and both.row("held", 0) == [0, 0, 0, 0]
    both("OPEN_METRIC", BUYER, job=0)("OPEN_METRIC", THIRD, job=1)
    both("REPORT_METRIC", ARBITER, job=0, amount=4_000, payload=[1, 1, 1])
    both("REPORT_METRIC", ARBITER, job=1, amount=6_000, payload=[1, 1, 2])
    both("OPEN_DISPUTE", BUYER, job=1, target=NODES[0], expect=R.NOT_AUTHORISED)  # not its job
    both("WAIT", amount=3)("SETTLE", job=0)("SETTLE", job=1)
    assert both.balances[:3] == [600 + 280 + 20, 1_000, 200]
    assert [both.balances[n] for n in NODES] == [800 + 75, 800 + 25, 800 + 200 + 50, 800]
    assert [both.balances[s] for s in SELLERS] == [800 + 140, 800 + 140, 800 + 280]
    assert [both.stakes[s] for s in SELLERS] == [200] * 3
    assert both.balances[ARBITER] == 1_000 + 40 and int(both.ledger.burned) == 50
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
            both("SETTLE_ROUND", ARBITER, payload=[1, 1, 3, 1])  # node 2 is silent
            both("RATE_SELLERS", ARBITER, payload=[1, 1, 2])
        if epoch == 0:
            both("SLASH_SELLER", ARBITER, target=SELLERS[1])
        both("REPORT_METRIC", ARBITER, amount=7_000, payload=[1, 1, 1])
        both("WAIT", amount=3)("SETTLE")
        before = both.balances, both.stakes, np.asarray(both.ledger.banned).tolist()
        both("RESET_JOB")
        assert (both.balances, both.stakes, np.asarray(both.ledger.banned).tolist()) == before
    assert matched == [[1, 1, 1], [1, 0, 1], [1, 0, 0], [1, 0, 0]]
    # 5000, then 0.9 of it twice an epoch: 4050 still suffices, 3280 does not
    expected = 5_000
    for _ in range(4):
        expected = expected * 9 // 10
    assert np.asarray(both.ledger.reputation_bps)[2] == expected
    # ten per cent of what is left of its pledge of 100 a silent round, rounded down
    assert both.stakes[NODES[2]] == 200 - 4 * (10 + 9)
    both("REGISTER_SELLER", SELLERS[1], tags=3, value=5, amount=100, expect=R.BANNED)
    both("REQUEST_WITHDRAWAL", SELLERS[1], amount=100)("WAIT", amount=10)("WITHDRAW", SELLERS[1])
    both("REGISTER_SELLER", SELLERS[1], tags=3, value=5, amount=100, expect=R.BANNED)
