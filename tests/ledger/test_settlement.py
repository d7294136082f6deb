"""Whole jobs whose money tables were computed by hand."""

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


def test_money_table_of_a_full_job():
    """Second price 900 = 630 + 225 + 45; two rounds; a rejected dispute; settlement.

    Round 0: 112 for two matching, 56 each; 1000 + 100 slashed. Round 1: three matching, 37 each.
    Left 225 - 112 - 111 = 2 for the buyer. In the end 550 of the slashed are burned, 550 shared by
    what was earned, 93 : 93 : 37: 229, 229 and 92. Bond 45: burned. Seller pool 630 in
    3 : 1 : 0 : 5.
    """
    world = challenged()
    row = world.row()
    assert row["compute_pool"] == 2 and row["earned"] == [93, 93, 0, 0, 37]
    assert row["held"] == [0, 0, 1_000, 100, 0] and row["missed"] == [0, 0, 112, 0, 0]
    assert row["pledged"] == [1_000, 1_000, 0, 900, 1_000] and world.stakes[7:12] == [0] * 5
    assert world.balances[7:12] == [2_000] * 5 and int(world.ledger.burned) == 0
    world("open_dispute", actor=2, job=0, accused=LAYOUT.node(1), disputed_round=0)
    assert world.balances[2] == 10_000 - 900 - 45
    world("resolve_dispute", actor=ARBITER, job=0, ruling=0, findings=np.zeros(5, int))
    world("wait", blocks=10)("settle", actor=0, job=0)
    assert world.balances == [
        *(10_000, 10_000, 10_000 - 900 - 45 + 2),
        *(1_000 + 210, 1_000 + 70, 1_000, 1_000 + 350),
        *(2_000 + 93 + 229, 2_000 + 93 + 229, 2_000, 2_000, 2_000 + 37 + 92),
        45,
    ]
    assert world.stakes == [0, 0, 0, 1_000, 1_000, 1_000, 1_000, 1_000, 1_000, 0, 900, 1_000, 0]
    assert int(world.ledger.burned) == 550 + 45
    row = world.row()
    assert (row["seller_paid"], row["fee_paid"], row["refunded"]) == (630, 45, 2)
    assert (row["compute_paid"], row["compensation"], row["released"]) == (223 + 550, 550, True)
    world("settle", L.Reason.ALREADY_DONE, actor=0, job=0)


def test_missed_threshold_refunds_the_buyer_and_pays_honest_compute():
    """Metric 89.99 % < 90 %: the sellers get a fifth of their 630 for the work, the nodes all."""
    world = trained()
    weights = np.array([3, 1, 0, 5])
    world("report_metric", actor=ARBITER, job=0, metric_bps=8_999, weights=weights)
    assert world.balances[2] == 10_000 - 900  # not before the challenge window is over
    world("wait", blocks=9)("settle", L.Reason.TOO_EARLY, actor=2, job=0)
    world("wait", blocks=1)("settle", actor=2, job=0)
    assert world.row()["phase"] == L.Phase.REFUNDED
    assert world.balances[2] == 10_000 - 900 + (630 - 126) + 45 + 2
    assert world.balances[3:7] == [1_042, 1_014, 1_000, 1_070]
    assert world.stakes[3:7] == [1_000] * 4
    assert world.balances[7:12] == [2_322, 2_322, 2_000, 2_000, 2_129]
    assert world.balances[12] == 0 and not world.row()["released"]
    world("settle", L.Reason.ALREADY_DONE, actor=0, job=0)


def test_the_order_of_reveal_does_not_matter():
    """Permuting the nodes permutes what they have in the job and changes nothing else."""
    rng = np.random.default_rng(0)
    outcomes, order = np.array([1, 2, 1, 3, 0]), rng.permutation(5)
    one, two = matched(), matched()
    one("settle_round", actor=ARBITER, job=0, outcomes=outcomes)
    two("settle_round", actor=ARBITER, job=0, outcomes=outcomes[order])
    assert (two.balances, two.stakes) == (one.balances, one.stakes)
    first, second = one.row(), two.row()
    for name in ("pledged", "held", "earned", "missed"):
        assert second.pop(name) == np.array(first.pop(name))[order].tolist()
    assert first == second


def test_the_reward_cap_leaves_the_rest_in_the_pool():
    world = matched(rules=open_rules(reward_cap=40))
    world("settle_round", actor=ARBITER, job=0, outcomes=np.array([1, 1, 0, 0, 0]))
    assert world.row()["compute_pool"] == 225 - 80


def test_a_round_without_consensus_pays_nobody():
    world = matched()("settle_round", actor=ARBITER, job=0, outcomes=np.array([3, 3, 3, 3, 3]))
    row = world.row()
    assert (row["compute_pool"], row["earned"]) == (225, [0] * 5)
    assert (row["pledged"], row["held"]) == ([900] * 5, [100] * 5)
    world("wait", blocks=200)("time_out", actor=0, job=0)  # nobody earned: the buyer gets the half
    assert world.balances[2] == 10_000 + 250 and int(world.ledger.burned) == 250


@pytest.mark.parametrize(
    ("metric", "base", "fee", "share"),
    [
        (8_000, 7_000, 1, 315),  # half of the way from 70 % to 90 %: half of 630
        (8_999, 0, 1, 629),
        (6_000, 7_000, 1, 126),  # at least a fifth, for the work
        (0, 0, 1, 126),
        (8_000, 7_000, 0, 315),
        (8_000, 9_500, 1, 126),  # the first model was already better than tau
    ],
)
def test_partial_payment(metric, base, fee, share):
    rules = open_rules(partial_payment=1, refund_fee=fee)
    world = trained(rules=rules)
    world(
        *("report_metric",),
        **{"actor": ARBITER, "job": 0, "metric_bps": metric, "base_metric_bps": base},
        weights=np.array([1, 0, 0, 0]),
    )
    world("wait", blocks=10)("settle", actor=0, job=0)
    assert world.balances[3] == 1_000 + share
    assert world.balances[2] == 10_000 - 900 + 630 - share + 45 * fee + 2
    assert world.balances[12] == 45 * (1 - fee)


def test_a_seller_that_did_harm_forfeits_pay_and_deposit():
    """Seller 3 had 5 of 9 weights: the others share 630 as 3 : 1; the buyer gets half of 1000."""
    world = challenged()
    seller = LAYOUT.seller(3)
    world("slash_seller", L.Reason.NOT_AUTHORISED, actor=2, job=0, target=seller)
    world("slash_seller", L.Reason.UNKNOWN_PARTY, actor=ARBITER, job=0, target=LAYOUT.node(0))
    world("slash_seller", actor=ARBITER, job=0, target=seller)
    world("slash_seller", L.Reason.ALREADY_DONE, actor=ARBITER, job=0, target=seller)
    world("wait", blocks=10)("settle", actor=0, job=0)
    assert world.balances[3:7] == [1_000 + 472, 1_000 + 158, 1_000, 1_000]
    assert world.stakes[3:7] == [1_000, 1_000, 1_000, 0]
    assert world.balances[2] == 10_000 - 900 + 2 + 500


def test_without_any_weight_the_seller_pool_goes_back():
    world = trained()
    weights = np.zeros(4, int)
    world("report_metric", actor=ARBITER, job=0, metric_bps=9_000, weights=weights)
    world("wait", blocks=10)("settle", actor=0, job=0)
    assert world.balances[2] == 10_000 - 900 + 630 + 2


def test_early_stop_only_when_the_threshold_is_reached():
    world, weights = matched(), np.array([1, 1, 1, 1])
    report = {"actor": ARBITER, "job": 0, "weights": weights}
    world("report_metric", L.Reason.WRONG_PHASE, metric_bps=9_500, **report)
    world("settle_round", actor=ARBITER, job=0, outcomes=np.array([1, 0, 0, 0, 0]))
    world("report_metric", L.Reason.TOO_EARLY, metric_bps=9_000, **report)  # nothing opened
    world("open_metric", actor=2, job=0, **METRIC)
    world("report_metric", L.Reason.TOO_EARLY, metric_bps=8_999, **report)
    world("report_metric", metric_bps=9_000, **report)
    world("wait", blocks=10)("settle", actor=0, job=0)
    assert world.row()["refunded"] == 225 - 112


@pytest.mark.parametrize("odd", [{"metric_bps": 10_001}, {"metric_bps": -1}, {"weights": -1}])
def test_a_report_out_of_range_is_refused(odd):
    weights = np.array([0, 0, 0, odd.pop("weights", L.MAX_WEIGHT + 1)])
    world = trained()
    report = {"actor": ARBITER, "job": 0, "metric_bps": 9_000, "weights": weights, **odd}
    world("report_metric", L.Reason.BAD_VALUE, **report)
    world("report_metric", L.Reason.NOT_AUTHORISED, **{**report, "actor": 2})


def test_reputation_moves_a_tenth_of_the_way():
    """Once a round; down to the floor."""
    world = matched(rules=open_rules(num_rounds=50))
    verdicts, nobody = np.array([0, 1, 2, 2]), np.zeros(5, int)
    world("settle_round", actor=ARBITER, job=0, outcomes=nobody)
    world("rate_sellers", actor=ARBITER, job=0, verdicts=verdicts)
    assert np.asarray(world.ledger.reputation_bps).tolist() == [5_000, 5_500, 4_500, 4_500]
    world("rate_sellers", L.Reason.ALREADY_DONE, actor=ARBITER, job=0, verdicts=verdicts)
    for _ in range(40):
        world("settle_round", actor=ARBITER, job=0, outcomes=nobody)
        world("rate_sellers", actor=ARBITER, job=0, verdicts=verdicts)
    low, high = np.asarray(world.ledger.reputation_bps)[[2, 1]]
    assert low == 500 and 9_900 < high <= 10_000
    world("settle_round", actor=ARBITER, job=0, outcomes=nobody)
    world("rate_sellers", L.Reason.BAD_VALUE, actor=ARBITER, job=0, verdicts=verdicts + 1)
    world("rate_sellers", L.Reason.NOT_AUTHORISED, actor=5, job=0, verdicts=verdicts)


def missed(**options):
    """A world whose metric is below tau."""
    world, weights = trained(**options), np.array([3, 1, 0, 5])
    return world("report_metric", actor=ARBITER, job=0, metric_bps=8_999, weights=weights)


def test_the_buyer_may_take_a_model_that_missed_at_the_full_price():
    world = missed()
    world("take", L.Reason.NOT_AUTHORISED, actor=1, job=0)
    world("take", actor=2, job=0)("take", L.Reason.ALREADY_DONE, actor=2, job=0)
    world("wait", blocks=10)("settle", actor=0, job=0)
    row = world.row()
    assert (row["phase"], row["seller_paid"], row["fee_paid"]) == (L.Phase.SETTLED, 630, 45)
    assert row["released"]
    late = missed()("wait", blocks=10)
    late("take", L.Reason.TOO_LATE, actor=2, job=0)
    trained()("take", L.Reason.WRONG_PHASE, actor=2, job=0)
    challenged()("take", L.Reason.ALREADY_DONE, actor=2, job=0)


def test_only_what_the_digest_says_is_opened():
    world = matched()
    world("open_metric", L.Reason.NOT_AUTHORISED, actor=1, job=0, **METRIC)
    world("open_metric", L.Reason.BAD_VALUE, actor=2, job=0, **{**METRIC, "content": 3})
    world("open_metric", L.Reason.WRONG_PHASE, actor=2, job=1, **METRIC)
    world("open_metric", actor=2, job=0, **METRIC)
    world("open_metric", L.Reason.ALREADY_DONE, actor=2, job=0, **METRIC)


def test_who_keeps_its_examples_back_pays_as_if_tau_were_reached():
    """630 in equal parts, one of the four did harm: 210 each; compute and fee as ever."""
    world = matched()
    for _ in range(2):
        world("settle_round", actor=ARBITER, job=0, outcomes=np.array([1, 1, 0, 0, 0]))
    world("slash_seller", actor=ARBITER, job=0, target=LAYOUT.seller(1))
    world("wait", blocks=200)("time_out", actor=3, job=0)
    assert world.row()["phase"] == L.Phase.SETTLED and world.row()["released"]
    assert world.balances[3:7] == [1_210, 1_000, 1_210, 1_210] and world.balances[12] == 45
    assert world.balances[7:9] == [2_112, 2_112] and world.balances[2] == 10_000 - 900 + 1 + 500


def test_a_job_loses_only_what_was_pledged_to_it():
    """A node with three times the stake of the others loses one: the rest is safe, and free."""
    world = registered(node_funds=4_000)("top_up", actor=LAYOUT.node(0), amount=2_000)
    for buyer, job, tags in ((0, 0, 1), (1, 1, 2)):
        world("bid", buyer=buyer, job=job, tags=tags, amount=1_000, tau_bps=0)
    world("top_up", actor=LAYOUT.seller(0), amount=1_000)
    world("wait", blocks=20)("close_auction", actor=0, job=0)
    assert world.row(0)["pledged"] == [1_000] * 5 and world.stakes[7:12] == [2_000, 0, 0, 0, 0]
    world("close_auction", actor=0, job=1)  # one seller of four is free: aborted
    assert world.row(1)["pledged"] == [0] * 5
    world("request_withdrawal", actor=LAYOUT.node(0), amount=2_000)
    world("settle_round", actor=ARBITER, job=0, outcomes=np.array([2, 1, 1, 1, 1]))
    world("wait", blocks=300)("withdraw", actor=LAYOUT.node(0))
    assert world.balances[7] == 3_000 and bool(world.ledger.registered[7])
    assert np.asarray(L.pledged_nodes(world.ledger, 0)).tolist() == [False] + [True] * 4
