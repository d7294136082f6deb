"""Bonds, verdicts, and who pays; the world is the one of `test_settlement` (price 900, bond 45)."""

import numpy as np
import pytest

from d2m_jax import ledger as L
from tests.ledger.worlds import ARBITER, LAYOUT, challenged, open_rules, same, trained

NODE, SELLER, BUYER = LAYOUT.node(1), LAYOUT.seller(0), 2
NONE = np.zeros(5, int)


def dispute(world, actor=BUYER, accused=NODE, expect=L.Reason.OK, disputed_round=0, job=0):
    return world(
        "open_dispute",
        expect,
        actor=actor,
        job=job,
        accused=accused,
        disputed_round=disputed_round,
    )


def resolve(world, ruling, findings=NONE, actor=ARBITER, expect=L.Reason.OK):
    return world("resolve_dispute", expect, actor=actor, job=0, ruling=ruling, findings=findings)


def test_upheld_the_job_fails_and_the_guilty_pay():
    """Accused node 1 and guilty node 4 lose 1000 each, and the 93 and 37 that they had earned.

    Of the 2000 the sellers get 126, a fifth of their pool, for the work; 1000 are burned; the
    disputer, seller 3, gets 45, a prize as large as its bond; the buyer the other 829, and of the
    price all but the 93 of node 0. Half of the 1100 that were slashed before goes to node 0.
    """
    world = dispute(challenged(), actor=LAYOUT.seller(3))
    assert world.balances[6] == 1_000 - 45
    resolve(world, 1, np.array([0, 0, 0, 0, 4]))
    assert world.row()["phase"] == L.Phase.REFUNDED
    assert world.balances == [
        *(10_000, 10_000, 10_000 - 93 + 829),
        *(1_042, 1_014, 1_000, 1_070 + 45),
        *(2_000 + 93 + 550, 2_000, 2_000, 2_000, 2_000),
        0,
    ]
    assert world.stakes[7:12] == [1_000, 0, 0, 900, 0]
    assert int(world.ledger.burned) == 1_000 + 550
    assert np.asarray(world.ledger.banned).nonzero()[0].tolist() == [8, 11]
    world("wait", blocks=10)("settle", L.Reason.ALREADY_DONE, actor=0, job=0)
    resolve(world, 1, expect=L.Reason.ALREADY_DONE)


def test_rejected_the_bond_is_lost_and_the_window_starts_again():
    """All 45 are burned, the accused gains nothing; then 10 more blocks to wait."""
    world = challenged()("wait", blocks=9)
    dispute(world)("wait", blocks=50)
    world("settle", L.Reason.WRONG_PHASE, actor=0, job=0)
    burned = int(world.ledger.burned)
    resolve(world, 0, np.full(5, L.Finding.GUILTY))  # guilty of nothing then
    assert int(world.ledger.burned) == burned + 45
    assert world.balances[NODE] == 2_000
    assert world.balances[BUYER] == 10_000 - 900 - 45
    assert world.row()["pledged"] == [1_000, 1_000, 0, 900, 1_000]
    world("wait", blocks=9)("settle", L.Reason.TOO_EARLY, actor=0, job=0)
    dispute(world, accused=LAYOUT.node(0))  # a true one can still be raised
    resolve(world, 0)
    world("wait", blocks=10)("settle", actor=0, job=0)
    assert world.row()["seller_paid"] == 630


def test_an_accused_seller_loses_its_locked_deposit_and_its_pay():
    world = dispute(challenged(), accused=SELLER)
    resolve(world, 1)
    assert world.stakes[3:7] == [0, 1_000, 1_000, 1_000]
    assert bool(world.ledger.banned[SELLER])
    # 1000 slashed: 126 for the work of the others, 500 burned, the buyer, who disputed, has 374
    assert world.balances[3:7] == [1_000, 1_021, 1_000, 1_105]
    assert world.balances[BUYER] == 10_000 - 900 + 630 + 45 + 2 + 374


def test_a_penniless_accused_pays_no_prize():
    """Node 2 has nothing left to slash: no money appears from nowhere."""
    world = dispute(challenged(), accused=LAYOUT.node(2))
    resolve(world, 1)
    assert world.balances[BUYER] == 10_000 - 900 + 630 + 45 + 2


def test_only_parties_of_the_job_dispute_in_time_with_a_bond():
    world = challenged()
    dispute(world, actor=0, expect=L.Reason.NOT_AUTHORISED)  # a losing bidder
    dispute(world, actor=ARBITER, expect=L.Reason.NOT_AUTHORISED)
    dispute(world, accused=0, expect=L.Reason.UNKNOWN_PARTY)
    dispute(world, accused=ARBITER, expect=L.Reason.UNKNOWN_PARTY)
    dispute(world, actor=NODE, expect=L.Reason.UNKNOWN_PARTY)  # accuses itself
    for bad in (-1, 2):
        dispute(world, disputed_round=bad, expect=L.Reason.BAD_VALUE)
    dispute(world, job=1, expect=L.Reason.WRONG_PHASE)
    dispute(world, job=2, expect=L.Reason.UNKNOWN_JOB)
    world("wait", blocks=10)
    dispute(world, expect=L.Reason.TOO_LATE)


def test_no_money_no_dispute():
    world = challenged(seller_funds=1_044, node_funds=1_010)
    assert world.balances[SELLER] == 44
    dispute(world, actor=SELLER, expect=L.Reason.NOT_ENOUGH_MONEY)


@pytest.mark.parametrize("actor", [BUYER, SELLER, NODE])
def test_only_the_arbiter_decides(actor):
    resolve(dispute(challenged()), 1, actor=actor, expect=L.Reason.NOT_AUTHORISED)


def report(world, metric_bps):
    weights = np.array([3, 1, 0, 5])
    return world("report_metric", actor=ARBITER, job=0, metric_bps=metric_bps, weights=weights)


def test_a_falsely_low_metric_is_disputed_and_reported_again():
    """Seller 3 stakes 45 against a metric of 20 %: it gets them back and 45 of node 1's 1000.

    500 are burned, the buyer gets the other 455 at once; then the true 91 % is reported, has a
    window of its own, and everybody is paid as if nobody had lied.
    """
    world = dispute(report(trained(), 2_000), actor=LAYOUT.seller(3), disputed_round=1)
    resolve(world, L.Ruling.REPORT_AGAIN)
    row = world.row()
    assert (row["phase"], row["bond"], row["disputer"]) == (L.Phase.VERIFY, 0, L.NOBODY)
    assert world.balances[LAYOUT.seller(3)] == 1_000 + 45
    assert world.balances[BUYER] == 10_000 - 900 + 455
    assert world.row()["pledged"][1] == 0 and bool(world.ledger.banned[NODE])
    report(world, 9_100)("wait", blocks=9)("settle", L.Reason.TOO_EARLY, actor=0, job=0)
    world("wait", blocks=1)("settle", actor=0, job=0)
    assert world.row()["phase"] == L.Phase.SETTLED
    assert world.balances[3:7] == [1_000 + 210, 1_000 + 70, 1_000, 1_000 + 350 + 45]
    assert world.balances[BUYER] == 10_000 - 900 + 455 + 2 + 93  # what node 1 had earned


def test_a_falsely_high_metric_is_disputed_and_the_buyer_refunded():
    world = dispute(challenged(), disputed_round=1)
    resolve(world, L.Ruling.REPORT_AGAIN)
    report(world, 5_000)("wait", blocks=10)("settle", actor=0, job=0)
    assert world.row()["phase"] == L.Phase.REFUNDED
    # 500 of the 1000 slashed are burned; the buyer disputed, so all the rest is its own
    assert world.balances[BUYER] == 10_000 - 900 + (630 - 126) + 45 + 2 + 93 + 500
    assert world.balances[3:7] == [1_042, 1_014, 1_000, 1_070]


def test_nodes_that_spoilt_the_model_pay_although_the_metric_was_missed():
    world = dispute(report(trained(), 2_000), actor=LAYOUT.seller(0))
    resolve(world, L.Ruling.UPHELD)
    assert world.row()["phase"] == L.Phase.REFUNDED and world.stakes[NODE] == 0
    assert world.balances[LAYOUT.seller(0)] == 1_000 + 42 + 45
    assert world.balances[BUYER] == 10_000 - 900 + 630 + 45 + 2 + 93 + 329


def test_a_seller_whose_harm_is_found_late_is_unpaid_after_the_second_report():
    world = dispute(challenged(), accused=LAYOUT.seller(3))
    resolve(world, L.Ruling.REPORT_AGAIN)
    assert world.row()["locked"] == [1_000, 1_000, 1_000, 0]
    report(world, 9_100)("wait", blocks=10)("settle", actor=0, job=0)
    assert world.balances[3:7] == [1_000 + 472, 1_000 + 158, 1_000, 1_000]
    assert world.stakes[3:7] == [1_000, 1_000, 1_000, 0]


def test_after_a_second_report_was_ordered_and_never_came_the_buyer_is_refunded():
    world = dispute(challenged())
    resolve(world, L.Ruling.REPORT_AGAIN)("settle", L.Reason.WRONG_PHASE, actor=0, job=0)
    world("wait", blocks=200)("time_out", actor=0, job=0)
    assert world.row()["phase"] == L.Phase.REFUNDED and world.row()["seller_paid"] == 0


def test_a_ruling_is_one_of_three():
    world = dispute(challenged())
    resolve(world, 3, expect=L.Reason.BAD_VALUE)
    resolve(world, -1, expect=L.Reason.BAD_VALUE)
    resolve(world, 1, np.array([0, 0, 6, 0, 0]), expect=L.Reason.BAD_VALUE)
    assert same(dispute(challenged()).ledger, world.ledger)


def test_who_executes_again_is_paid_from_a_lost_bond_and_the_rest_is_burned():
    """A unit of work holds 112 of the price, the bond 45: nodes 0, 3 and 4 share the 45.

    Node 1 (accused, cleared) was wrong in the re-execution: its 1000 wait as if in a round.
    """
    for outcomes, each, slashed in (([1, 0, 0, 1, 1], 15, 0), ([1, 2, 0, 0, 1], 22, 1_000)):
        world = dispute(challenged())
        before, burned = world.balances, int(world.ledger.burned)
        resolve(world, L.Ruling.REJECTED, np.array(outcomes))
        gained = np.subtract(world.balances, before)
        number = outcomes.count(1)
        assert gained[7:12].tolist() == [each * (outcome == 1) for outcome in outcomes]
        assert gained.sum() == number * each and not bool(world.ledger.banned[NODE])
        assert (world.row()["pledged"][1], world.row()["held"][1]) == (1_000 - slashed, slashed)
        assert int(world.ledger.burned) - burned == 45 - number * each


def test_who_executes_again_is_paid_from_the_slashed_before_prize_and_buyer():
    """Node 1 is guilty and loses 1000, node 3 is silent (900 at stake, 90 slashed, they wait).

    112 // 2 go to nodes 0 and 4, nothing to the banned accused who executed again, 126 to the
    sellers, 500 are burned, 45 to the disputer (seller 3), the other 217 to the buyer beside its
    refund. Then 1190 that waited: 595 to nodes 0 and 4 by what they earned, 93 : 37.
    """
    world = dispute(challenged(), actor=LAYOUT.seller(3))
    before = world.balances
    resolve(world, L.Ruling.UPHELD, np.array([1, 1, 0, 3, 1]))
    gained = np.subtract(world.balances, before).tolist()
    assert gained[7:12] == [56 + 93 + 425, 0, 0, 0, 56 + 37 + 170]
    assert gained[3:7] == [42, 14, 0, 70 + 45 + 45]
    assert gained[BUYER] == 630 + 45 + 2 + 93 + 217
    assert world.stakes[7:12] == [1_000, 0, 0, 810, 1_000]
    assert np.asarray(world.ledger.banned).nonzero()[0].tolist() == [NODE]
    assert world.row()["compute_paid"] == 93 + 37 + 595


def test_a_bond_is_never_free():
    """With a price of one unit or no share at all the bond is still one unit."""
    rules = open_rules(bond_bps=0)
    world = dispute(challenged(rules=rules))
    assert world.row()["bond"] == 1
