"""Matching, locked deposits, pledges, abort, time-out, and slots used again."""

import numpy as np
import pytest

from d2m_jax import ledger as L
from tests.ledger.worlds import (
    BAD,
    GOOD,
    LAYOUT,
    METRIC,
    World,
    challenged,
    matched,
    open_rules,
    registered,
    trained,
)


def closed(world, tags=3, buyer=0, job=0):
    """A slot whose auction one buyer won with 1000 units at first price."""
    terms = {"amount": 1_000, "tau_bps": 9_000, "metric": L.digest_of(**METRIC)}
    world("bid", buyer=buyer, job=job, tags=tags, **terms)("wait", blocks=20)
    return world("close_auction", actor=0, job=job)


FIRST = {"second_price": 0}


def test_matching_locks_the_deposits_and_asks_for_the_first_round():
    world = matched()
    assert world.row()["matched"] == [True] * 4
    assert world.row()["locked"] == [1_000] * 4 and world.row()["pledged"] == [1_000] * 5
    assert world.stakes[3:12] == [0] * 9
    assert [int(x) for x in L.wanted(world.ledger, world.rules, 0)] == [1, 0]
    assert [int(x) for x in L.wanted(world.ledger, world.rules, 1)] == [0, 0]
    # What is locked cannot be asked back, and cannot be locked twice.
    world("request_withdrawal", L.Reason.NOT_ENOUGH_MONEY, actor=3, amount=1)
    closed(world, tags=1, job=1)
    assert world.row(1)["phase"] == L.Phase.ABORTED


def test_what_a_job_asks_for():
    """Rounds, the verification once the examples are open, the disputed unit again."""

    def asks(world):
        return [int(x) for x in L.wanted(world.ledger, world.rules, 0)]

    world = matched().round()
    assert asks(world) == [2, 1]
    world.round()
    assert asks(world) == [0, 0]
    world("open_metric", actor=2, job=0, **METRIC)
    assert asks(world) == [3, 2]
    world.verification(metric=9_100)
    assert asks(world) == [0, 0]
    world.dispute(1)
    assert asks(world) == [5, 4]
    world("wait", blocks=200)("time_out", actor=0, job=0)("reset_job", actor=0, job=0)
    assert asks(world) == [0, 0] and world.row()["serial"] == 5


def test_too_few_sellers_abort_without_a_fee():
    world = registered(rules=open_rules(**FIRST, min_sellers=5))
    closed(world)
    assert world.row()["phase"] == L.Phase.ABORTED
    assert world.balances[:3] == [10_000] * 3 and world.balances[12] == 0
    row = world.row()
    assert (row["price"], row["refunded"], row["buyer"]) == (1_000, 1_000, 0)
    assert world.stakes[3:7] == [1_000] * 4
    world("close_auction", L.Reason.ALREADY_DONE, actor=9, job=0)


@pytest.mark.parametrize(("least", "phase"), [(5, L.Phase.MATCHED), (6, L.Phase.ABORTED)])
def test_too_few_nodes_abort(least, phase):
    world = closed(registered(rules=open_rules(min_nodes=least)))
    assert world.row()["phase"] == phase
    if phase == L.Phase.ABORTED:
        assert world.stakes[3:12] == [1_000] * 9 and world.balances[0] == 10_000
        assert world.row()["serial"] == 0


def test_without_any_node_there_is_no_job():
    world = World()
    for i in range(4):
        listing = {"tags": 7, "size": 10, "commitment": i, "deposit": 1_000}
        world("register_seller", actor=LAYOUT.seller(i), **listing)
    closed(world)
    assert (world.row()["phase"], world.balances[0]) == (L.Phase.ABORTED, 10_000)


def test_tags_that_nobody_has_abort():
    world = closed(registered(), tags=8)
    assert (world.row()["phase"], world.balances[0]) == (L.Phase.ABORTED, 10_000)


def test_by_stake_a_node_pledges_all_that_it_has_free():
    """Node 0 has 2000 and has asked 300 back before the auction, node 1 700 too many."""
    world = registered(rules=open_rules(by_stake=1))("top_up", actor=LAYOUT.node(0), amount=1_000)
    world("request_withdrawal", actor=LAYOUT.node(0), amount=300)
    world("request_withdrawal", actor=LAYOUT.node(1), amount=700)("wait", blocks=1)
    closed(world)
    assert world.row()["pledged"] == [1_700, 0, 1_000, 1_000, 1_000]
    assert np.asarray(L.electorate(world.ledger, 0)).tolist() == world.row()["pledged"]
    assert world.stakes[7:12] == [300, 1_000, 0, 0, 0]


@pytest.mark.parametrize("start", [matched, trained])
def test_a_job_without_progress_times_out(start):
    """The buyer (price 900) gets back what was not paid for compute; deposits are released."""
    world = start()
    spent = sum(world.row()["earned"])
    world("wait", blocks=199)("time_out", L.Reason.TOO_EARLY, actor=0, job=0)
    world("wait", blocks=1)("time_out", actor=0, job=0)
    assert world.row()["phase"] == L.Phase.REFUNDED
    assert world.balances[2] == 10_000 - spent
    assert world.stakes[3:7] == [1_000] * 4
    world("time_out", L.Reason.ALREADY_DONE, actor=0, job=0)


def test_progress_moves_the_time_out():
    world = matched()("wait", blocks=199).round()
    world("wait", blocks=199)("time_out", L.Reason.TOO_EARLY, actor=0, job=0)


def test_a_verification_that_finds_nothing_does_not_move_the_time_out():
    """Else a majority that never agrees holds everybody's money for good."""
    world = trained()("wait", blocks=150)
    for _ in range(3):
        world.verification(accepted=0)
    assert world.row()["phase"] == L.Phase.VERIFY
    world("wait", blocks=50)("time_out", actor=0, job=0)
    assert world.row()["phase"] == L.Phase.REFUNDED


def test_open_phases_do_not_time_out():
    """Where anybody can close or settle, waiting gives nobody a refund."""
    world = registered()
    world("bid", buyer=0, job=0, tags=3, amount=1_000, tau_bps=0)("wait", blocks=10_000)
    world("time_out", L.Reason.WRONG_PHASE, actor=0, job=0)
    world = challenged()("wait", blocks=10_000)
    world("time_out", L.Reason.WRONG_PHASE, actor=2, job=0)
    world("settle", actor=3, job=0)


def test_the_next_job_in_the_same_slot_goes_on_with_the_same_accounts():
    world = challenged(harm=[0, 0, 0, 1])
    world("reset_job", L.Reason.WRONG_PHASE, actor=0, job=0)
    world.end()("reset_job", actor=0, job=0)
    row = world.row()
    assert row["phase"] == L.Phase.IDLE and row["buyer"] == L.NOBODY and row["serial"] == 4
    assert row["price"] == row["seller_paid"] == sum(row["weights"]) == row["round"] == 0
    assert row["results"] == [0] * 3 and not np.any(row["papers"]) and not np.any(row["offered"])
    balances, stakes = world.balances, world.stakes
    closed(world)
    # Second price, one bid: the reserve of 100. Seller 3 is banned, so 3 < 4 sellers: aborted.
    assert world.row()["phase"] == L.Phase.ABORTED
    assert (world.balances, world.stakes) == (balances, stakes)
    world.rules = open_rules(min_sellers=3)
    closed(world("reset_job", actor=0, job=0))
    assert world.row()["matched"] == [True] * 3 + [False] and world.row()["serial"] == 5


def test_two_jobs_at_once_keep_their_money_apart():
    """The second slot trains on the second deposits; each node is paid from the right pool.

    A price of 1000 has 250 for compute, 83 a unit.
    """
    world = registered(rules=open_rules(**FIRST), seller_funds=3_000)
    for i in range(4):
        world("top_up", actor=LAYOUT.seller(i), amount=1_000)
    for i in range(5):
        world("top_up", actor=LAYOUT.node(i), amount=1_000)
    closed(world, tags=1, job=0)
    closed(world, tags=2, buyer=1, job=1)
    assert world.stakes[3:12] == [0] * 9
    for _ in range(2):
        world.round([GOOD, None, None, None, None], job=0)
        world.round([None, BAD, BAD, None, None], job=1, accepted=BAD)
    for job in (0, 1):
        world("open_metric", actor=job, job=job, **METRIC)
    weights = [0, 1, 0, 0]
    world.verification([None] * 5, job=1, metric=9_999, sellers=weights)
    world.verification([None] * 5, job=0, metric=0, sellers=weights)
    world.end(1)("settle", actor=0, job=0)
    # Buyer 0: no model, 166 of compute and 140 of work spent. Buyer 1: 700 + 50 + 164 spent.
    assert world.balances[:3] == [10_000 - 306, 10_000 - 914, 10_000]
    assert world.balances[3:7] == [1_000, 1_840, 1_000, 1_000]
    assert world.balances[7:10] == [1_000 + 166, 1_000 + 82, 1_000 + 82]
    assert world.balances[12] == 50
