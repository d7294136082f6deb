"""Bonds, units judged anew, and who pays; the world is that of `test_settlement`.

Price 900, bond 45, 75 for a unit; earned 87, 87, 0, 0, 50; held 1000 of node 2, 100 of node 3.
"""

import pytest

from d2m_jax import ledger as L
from tests.ledger.worlds import (
    BAD,
    GOOD,
    LAYOUT,
    METRIC,
    WEIGHTS,
    challenged,
    matched,
    open_rules,
    trained,
)

SELLER, BUYER = LAYOUT.seller(3), 2
NONE = [None] * 5
AGAIN = [None, None, BAD, 0, BAD]  # who executes round 0 again: 2 and 4 agree, 3 is silent
FALLEN = {"papers": AGAIN, "accepted": BAD}


def open_dispute(world, unit=0, expect=L.Reason.OK, actor=BUYER, job=0):
    return world("open_dispute", expect, actor=actor, job=job, unit=unit)


def test_a_round_that_falls_the_guilty_pay_everybody():
    """Nodes 0 and 1 had said GOOD: they lose 1000 each, and the 87 that each had earned: 2174.

    Node 2, who had said BAD, has its 1000 back and gets the 75 that it missed. 2099 are left. For
    executing again nodes 2 and 4 get 37 each, the silent node 3 loses 100 of its pledge. The
    disputer, seller 3, gets 45 with its bond. 1980 wait for the end.
    """
    world = challenged().dispute(0, actor=SELLER, **FALLEN)
    row = world.row()
    assert row["pledged"] == [0, 0, 1_000, 800, 1_000] and row["held"] == [0, 0, 0, 200, 0]
    assert row["earned"] == [0, 0, 75 + 37, 0, 50 + 37] and row["forfeited"] == 1_980
    assert (row["phase"], row["spoilt"], row["results"]) == (L.Phase.CHALLENGE, True, [BAD, 11, 11])
    assert row["papers"][0] == [0, 0, BAD, 0, BAD]
    assert (row["bond"], row["disputer"], row["disputed_unit"]) == (0, L.NOBODY, L.NOBODY)
    assert world.balances[SELLER] == 1_000 + 45 and world.banned == [7, 8]


def test_the_end_of_a_spoilt_job():
    """The guilty pay the sellers 630; of the other 1350 1000 are burned, half of what they lost.

    The buyer gets seller pool, fee, the odd unit of compute, and 350 of the guilty. Of node 3's 200
    half is burned, half goes to nodes 2 and 4 by what they earned, 112 : 87.
    """
    world = challenged().dispute(0, actor=SELLER, **FALLEN).end()
    row = world.row()
    assert (row["phase"], row["released"]) == (L.Phase.REFUNDED, False)
    assert world.balances == [
        *(10_000, 10_000, 10_000 - 900 + 630 + 45 + 1 + 350),
        *(1_000 + 210, 1_000 + 70, 1_000, 1_000 + 45 + 350),
        *(2_000, 2_000, 2_000 + 112 + 56, 2_000, 2_000 + 87 + 44),
        0,
    ]
    assert world.stakes[7:12] == [0, 0, 1_000, 800, 1_000]
    assert int(world.ledger.burned) == 1_000 + 100
    assert (row["compensation"], row["compute_paid"]) == (2_000 + 100 - 1_000, 45 + 199 + 100)
    assert (row["seller_paid"], row["refunded"], row["fee_paid"]) == (630, 1_026, 0)


def test_what_is_short_is_shared_in_order():
    """At 25 % the guilty lose 250 each and the 174 that they had earned: 674.

    75 to node 2, 74 for the re-execution, 45 to the disputer: the sellers share the other 480 as
    3 : 1 : 0 : 5; nothing is left to burn, or for the buyer beside its price.
    """
    rules = open_rules(slash_wrong_bps=2_500)
    world = challenged(rules=rules).dispute(0, actor=SELLER, **FALLEN)
    assert world.row()["forfeited"] == 480
    world.end()
    assert world.balances[3:7] == [1_160, 1_053, 1_000, 1_000 + 45 + 267]
    assert world.stakes[7:12] == [750, 750, 1_000, 800, 1_000]
    assert int(world.ledger.burned) == 100  # of node 3, who was silent
    assert (world.row()["seller_paid"], world.row()["refunded"]) == (480, 630 + 45 + 1)


def test_a_verification_that_falls_is_replaced():
    """Nodes 0, 1 and 4 had said 91 %: they lose 3000 and 224. Node 3 (900 left) says 50 %.

    It gets the 75 of a unit; node 2 agrees but has no pledge left; the buyer, who disputed, a
    prize of 45; 3104 wait. The threshold is missed: 126 of the price for work by the new weights.
    """
    told = {"metric": 5_000, "base": 100, "sellers": [1, 1, 0, 0], "harm": [0, 0, 0, 1]}
    world = challenged().dispute(2, [None, None, BAD, BAD, None], accepted=BAD, **told)
    row = world.row()
    assert (row["metric_bps"], row["base_bps"], row["weights"]) == (5_000, 100, [1, 1, 0, 0])
    assert row["excluded"] == [False] * 3 + [True] and not row["spoilt"]
    assert row["earned"] == [0, 0, 0, 75, 0] and row["forfeited"] == 3_000 + 224 - 75 - 45
    world.end()
    # 1500 of the forfeited are burned, and of the 1100 that are held all but 75; the harm pays 500.
    assert world.balances[BUYER] == 10_000 - 900 + 45 + 630 - 126 + 45 + 1 + 3_104 - 1_500 + 500
    assert world.balances[3:7] == [1_063, 1_063, 1_000, 1_000]
    assert world.balances[7:12] == [2_000] * 3 + [2_000 + 75 + 75, 2_000]
    assert int(world.ledger.burned) == 1_500 + 1_100 - 75 + 500
    assert world.banned == [6, 7, 8, 11]


def test_a_falsely_low_metric_is_disputed_and_everybody_is_paid():
    """Seller 3 stakes 45 against 20 %; the truth is 91 %: all are paid, the guilty pay the rest."""
    world = challenged(metric=2_000)
    told = {"metric": 9_100, "sellers": WEIGHTS}
    world.dispute(2, [None, None, None, BAD, None], accepted=BAD, actor=SELLER, **told).end()
    row = world.row()
    assert (row["phase"], row["seller_paid"], row["fee_paid"]) == (L.Phase.SETTLED, 630, 45)
    assert world.balances[3:7] == [1_210, 1_070, 1_000, 1_000 + 350 + 45] and row["released"]
    assert world.balances[BUYER] == 10_000 - 900 + 1 + 3_104 - 1_500


def test_a_spoilt_round_and_a_false_metric_both_fall():
    """First the verification, then round 0: it stays spoilt, and the sellers are paid by guilt."""
    world = challenged().dispute(2, [None, None, None, BAD, None], accepted=BAD, metric=9_500)
    world.dispute(0, AGAIN, accepted=BAD)
    row = world.row()
    assert row["spoilt"] and row["metric_bps"] == 9_500 and world.banned == [7, 8, 11]
    world.end()
    assert world.row()["phase"] == L.Phase.REFUNDED and world.row()["seller_paid"] == 630


def test_who_is_right_by_accident_of_an_earlier_slash_gets_no_more_than_that_slash():
    """Node 2 is wrong twice at 40 %; one of the two rounds falls: one of its slashes comes back."""
    rules = open_rules(slash_wrong_bps=4_000, num_rounds=2)
    world = trained(rules=rules)  # node 2: wrong in round 0
    row = world.row()
    assert (row["pledged"][2], row["held"][2]) == (600, 400)
    world.verification([GOOD, GOOD, BAD, None, None], metric=9_100, sellers=WEIGHTS)
    assert (world.row()["pledged"][2], world.row()["held"][2]) == (200, 800)
    world.dispute(0, NONE, accepted=BAD)
    assert (world.row()["pledged"][2], world.row()["held"][2]) == (600, 400)


def test_rejected_the_bond_is_lost_and_the_window_starts_again():
    """All 45 are burned, the accused gain nothing; then 10 more blocks to wait."""
    world = open_dispute(challenged()("wait", blocks=9))("wait", blocks=50)
    world("settle", L.Reason.WRONG_PHASE, actor=0, job=0)
    burned, row = int(world.ledger.burned), world.row()
    world.book("book_dispute", papers=NONE)
    assert int(world.ledger.burned) == burned + 45 and world.banned == []
    assert world.balances[BUYER] == 10_000 - 900 - 45
    after = world.row()
    for name in ("pledged", "held", "earned", "results", "papers", "spoilt"):
        assert after[name] == row[name]
    world("wait", blocks=9)("settle", L.Reason.TOO_EARLY, actor=0, job=0)
    world.dispute(1, NONE, actor=BUYER).end()  # a true one could still be raised
    assert world.row()["seller_paid"] == 630


@pytest.mark.parametrize(
    ("papers", "each", "slashed"),
    [([GOOD, None, None, GOOD, GOOD], 15, 0), ([GOOD, BAD, None, None, GOOD], 22, 1_000)],
)
def test_who_executes_again_is_paid_from_a_lost_bond_and_the_rest_is_burned(papers, each, slashed):
    """A unit holds 75 of the price, the bond 45: those who agree share the 45, wrong ones lose."""
    world = open_dispute(challenged())
    before, burned = world.balances, int(world.ledger.burned)
    world.book("book_dispute", papers=papers)
    number = papers.count(GOOD)
    gained = [new - old for new, old in zip(world.balances, before)]
    assert gained[7:12] == [each * (paper == GOOD) for paper in papers]
    assert sum(gained) == number * each and int(world.ledger.burned) - burned == 45 - number * each
    assert (world.row()["pledged"][1], world.row()["held"][1]) == (1_000 - slashed, slashed)


def test_without_a_result_the_job_stays_disputed_and_asks_again():
    """Nobody agrees: only silence is slashed; then the true result can still be found."""
    world = open_dispute(challenged())
    before = world.row()
    world("wait", blocks=3).book("book_dispute", papers=[GOOD, BAD, None, 0, None], accepted=0)
    row = world.row()
    assert (row["phase"], row["since"], row["bond"]) == (L.Phase.DISPUTED, before["since"], 45)
    assert row["serial"] == before["serial"] + 1 and row["held"] == [0, 0, 1_000, 200, 0]
    world.book("book_dispute", **FALLEN)
    assert world.row()["spoilt"] and world.banned == [7, 8]


def test_a_void_verdict_overturns_nothing_and_its_voters_are_wrong():
    """The verification judged anew for another model: no result, 2 and 4 lose, 3 loses nothing."""
    world = open_dispute(challenged(), 2)
    told = {"accepted": BAD, "model": 99, "metric": 1}
    world.book("book_dispute", papers=[None, None, None, GOOD, BAD], **told)
    row = world.row()
    assert (row["phase"], row["metric_bps"]) == (L.Phase.DISPUTED, 9_100)
    assert row["held"] == [0, 0, 1_000, 100, 1_000] and world.banned == []


def test_an_undecided_dispute_times_out_and_returns_the_bond():
    world = open_dispute(challenged(), actor=SELLER)
    world("wait", blocks=200)("time_out", actor=0, job=0)
    assert world.balances[SELLER] == 1_000 and world.row()["phase"] == L.Phase.REFUNDED


def test_after_a_round_fell_a_later_dispute_that_times_out_still_pays_the_sellers():
    world = challenged().dispute(0, actor=SELLER, **FALLEN)
    open_dispute(world, 1)("wait", blocks=200)("time_out", actor=0, job=0)
    row = world.row()
    assert (row["phase"], row["seller_paid"]) == (L.Phase.REFUNDED, 630)
    assert world.balances[BUYER] == 10_000 - 900 + 630 + 45 + 1 + 350  # its bond is back, too


def test_sellers_without_any_weight_share_a_spoilt_job_alike():
    world = trained().verification([GOOD, GOOD, None, None, GOOD], metric=9_100)
    world.dispute(0, **FALLEN).end()
    assert sorted(world.balances[3:7]) == [1_157, 1_157, 1_158, 1_158]


def test_harm_found_in_a_spoilt_model_is_not_punished():
    world = challenged(harm=[0, 0, 0, 1]).dispute(0, **FALLEN).end()
    assert world.stakes[3:7] == [1_000] * 4 and world.banned == [7, 8]
    assert world.balances[3:7] == [1_210, 1_070, 1_000, 1_350]


@pytest.mark.parametrize("actor", [0, 4, 9, LAYOUT.treasury])
def test_anybody_disputes_in_time_with_a_bond(actor):
    """A losing bidder, a seller, a node, the treasury: who stakes money may speak."""
    funds = {"seller_funds": 2_000, "node_funds": 3_000}
    world = challenged(**funds)
    if actor == LAYOUT.treasury:
        open_dispute(world, actor=actor, expect=L.Reason.NOT_ENOUGH_MONEY)  # it has none
        return
    open_dispute(world, actor=actor)
    assert world.row()["disputer"] == actor


def test_disputes_that_are_refused():
    world = challenged()
    for bad in (-1, 3, 99):
        open_dispute(world, bad, expect=L.Reason.BAD_VALUE)
    open_dispute(world, job=1, expect=L.Reason.WRONG_PHASE)
    open_dispute(world, job=2, expect=L.Reason.UNKNOWN_JOB)
    open_dispute(world, actor=13, expect=L.Reason.UNKNOWN_PARTY)
    world("wait", blocks=10)
    open_dispute(world, expect=L.Reason.TOO_LATE)
    open_dispute(trained(), expect=L.Reason.WRONG_PHASE)


def test_no_money_no_dispute():
    world = challenged(seller_funds=1_044)
    assert world.balances[SELLER] == 44
    open_dispute(world, actor=SELLER, expect=L.Reason.NOT_ENOUGH_MONEY)


def test_a_unit_without_a_result_cannot_be_disputed():
    """Nor a round that an early stop has left out."""
    told = {"metric": 9_500, "sellers": WEIGHTS}
    world = matched()("open_metric", actor=BUYER, job=0, **METRIC)
    world.round(accepted=0).round().verification(**told)
    open_dispute(world, 0, expect=L.Reason.BAD_VALUE)
    world = matched()("open_metric", actor=BUYER, job=0, **METRIC)
    world.round(metric=9_500).verification(**told)
    open_dispute(world, 1, expect=L.Reason.BAD_VALUE)
    open_dispute(world, 2)


def test_a_bond_is_never_free():
    """With a price of one unit or no share at all the bond is still one unit."""
    world = open_dispute(challenged(rules=open_rules(bond_bps=0)))
    assert world.row()["bond"] == 1
