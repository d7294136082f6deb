"""Matching, locked deposits, abort, time-out, and slots used again."""

import numpy as np
import pytest

from d2m_jax import ledger as L
from tests.ledger.worlds import (
    ARBITER,
    LAYOUT,
    METRIC,
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


def test_matching_locks_the_deposits():
    world = matched()
    assert world.row()["matched"] == [True] * 4
    assert world.row()["locked"] == [1_000] * 4
    assert world.stakes[3:7] == [0] * 4
    # What is locked cannot be asked back, and cannot be locked twice.
    world("request_withdrawal", L.Reason.NOT_ENOUGH_MONEY, actor=3, amount=1)
    closed(world, tags=1, job=1)
    assert world.row(1)["phase"] == L.Phase.ABORTED


def test_too_few_sellers_abort_without_a_fee():
    world = registered(rules=open_rules(**FIRST, min_sellers=5))
    closed(world)
    assert world.row()["phase"] == L.Phase.ABORTED
    assert world.balances[:3] == [10_000] * 3 and world.balances[12] == 0
    assert (world.row()["price"], world.row()["refunded"], world.row()["buyer"]) == (
        1_000,
        1_000,
        0,
    )
    assert world.stakes[3:7] == [1_000] * 4
    world("close_auction", L.Reason.ALREADY_DONE, actor=9, job=0)


def test_tags_that_nobody_has_abort():
    world = closed(registered(), tags=8)
    assert (world.row()["phase"], world.balances[0]) == (L.Phase.ABORTED, 10_000)


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
    world = matched()("wait", blocks=199)
    world("settle_round", actor=ARBITER, job=0, outcomes=np.array([1, 0, 0, 0, 0]))
    world("wait", blocks=199)("time_out", L.Reason.TOO_EARLY, actor=0, job=0)


def test_an_undecided_dispute_times_out_and_returns_the_bond():
    world = challenged()
    world("open_dispute", actor=4, job=0, accused=LAYOUT.node(0), disputed_round=1)
    before = world.balances[4]
    world("wait", blocks=200)("time_out", actor=0, job=0)
    assert world.balances[4] == before + 45
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
    world = challenged()
    world("reset_job", L.Reason.WRONG_PHASE, actor=0, job=0)
    world("rate_sellers", L.Reason.WRONG_PHASE, actor=ARBITER, job=0, verdicts=np.zeros(4, int))
    world("slash_seller", actor=ARBITER, job=0, target=LAYOUT.seller(3))
    world("wait", blocks=10)("settle", actor=0, job=0)("reset_job", actor=0, job=0)
    row = world.row()
    assert row["phase"] == L.Phase.IDLE and row["buyer"] == L.NOBODY
    assert row["price"] == row["seller_paid"] == sum(row["weights"]) == row["round"] == 0
    balances, stakes = world.balances, world.stakes
    closed(world)
    # Second price, one bid: the reserve of 100. Seller 3 is banned, so 3 < 4 sellers: aborted.
    assert world.row()["phase"] == L.Phase.ABORTED
    assert (world.balances, world.stakes) == (balances, stakes)
    world("reset_job", actor=0, job=0)("ban", actor=ARBITER, target=6, banned=0)
    world("top_up", actor=6, amount=1_000)
    closed(world)
    assert world.row()["matched"] == [True] * 4


def test_two_jobs_at_once_keep_their_money_apart():
    """The second slot trains on the second deposits; each node is paid from the right pool."""
    world = registered(rules=open_rules(**FIRST), seller_funds=3_000)
    for i in range(4):
        world("top_up", actor=LAYOUT.seller(i), amount=1_000)
    for i in range(5):
        world("top_up", actor=LAYOUT.node(i), amount=1_000)
    closed(world, tags=1, job=0)
    closed(world, tags=2, buyer=1, job=1)
    assert world.stakes[3:12] == [0] * 9
    one, two = np.array([1, 0, 0, 0, 0]), np.array([0, 1, 1, 0, 0])
    for _ in range(2):
        world("settle_round", actor=ARBITER, job=0, outcomes=one)
        world("settle_round", actor=ARBITER, job=1, outcomes=two)
    for job in (0, 1):
        world("open_metric", actor=job, job=job, **METRIC)
    weights = np.array([0, 1, 0, 0])
    world("report_metric", actor=ARBITER, job=1, metric_bps=9_999, weights=weights)
    world("report_metric", actor=ARBITER, job=0, metric_bps=0, weights=weights)
    world("wait", blocks=10)("settle", actor=0, job=1)("settle", actor=0, job=0)
    # Buyer 0: no model, 250 of compute and 140 of work spent. Buyer 1: 700 + 50 + 248 spent.
    assert world.balances[:3] == [10_000 - 390, 10_000 - 998, 10_000]
    assert world.balances[3:7] == [1_000, 1_840, 1_000, 1_000]
    assert world.balances[7:10] == [1_000 + 250, 1_000 + 124, 1_000 + 124]
    assert world.balances[12] == 50
