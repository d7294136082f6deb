"""Whole jobs whose money tables were computed by hand."""

import numpy as np
import pytest

from d2m_jax import ledger as L
from tests.ledger.worlds import ARBITER, LAYOUT, challenged, matched, trained


def test_money_table_of_a_full_job():
    """Second price 900 = 630 + 225 + 45; two rounds; a rejected dispute; settlement.

    Round 0: slashed 1000 + 100, burned 550, budget 112 + 550 = 662, two matching: 331 each.
    Round 1: budget 112, three matching: 37 each. Left 225 + 550 - 662 - 111 = 2 for the buyer.
    Bond 45: burned. Seller pool 630 in 3 : 1 : 0 : 5.
    """
    world = challenged()
    assert world.row()["compute_pool"] == 2
    world("open_dispute", actor=2, job=0, accused=LAYOUT.node(1), disputed_round=0)
    assert world.balances[2] == 10_000 - 900 - 45
    world("resolve_dispute", actor=ARBITER, job=0, ruling=0, findings=np.zeros(5, int))
    world("wait", blocks=10)("settle", actor=0, job=0)
    assert world.balances == [
        *(10_000, 10_000, 10_000 - 900 - 45 + 2),
        *(1_000 + 210, 1_000 + 70, 1_000, 1_000 + 350),
        *(2_000 + 331 + 37, 2_000 + 331 + 37, 2_000, 2_000, 2_000 + 37),
        45,
    ]
    assert world.stakes == [0, 0, 0, 1_000, 1_000, 1_000, 1_000, 1_000, 1_000, 0, 900, 1_000, 0]
    assert int(world.ledger.burned) == 550 + 45
    row = world.row()
    assert (row["seller_paid"], row["fee_paid"], row["refunded"]) == (630, 45, 2)
    assert (row["compute_paid"], row["compensation"]) == (662 + 111, 550)
    world("settle", L.Reason.ALREADY_DONE, actor=0, job=0)


def test_missed_threshold_refunds_the_buyer_and_pays_honest_compute():
    """Metric 89.99 % < 90 %: 630 + 45 + 2 go back, the nodes keep their 662 + 111."""
    world = trained()
    weights = np.array([3, 1, 0, 5])
    world("report_metric", actor=ARBITER, job=0, metric_bps=8_999, weights=weights)
    assert world.balances[2] == 10_000 - 900  # not before the challenge window is over
    world("wait", blocks=9)("settle", L.Reason.TOO_EARLY, actor=2, job=0)
    world("wait", blocks=1)("settle", actor=2, job=0)
    assert world.row()["phase"] == L.Phase.REFUNDED
    assert world.balances[2] == 10_000 - 900 + 630 + 45 + 2
    assert world.balances[3:7] == [1_000] * 4
    assert world.stakes[3:7] == [1_000] * 4
    assert world.balances[7:12] == [2_368, 2_368, 2_000, 2_000, 2_037]
    assert world.balances[12] == 0
    world("settle", L.Reason.ALREADY_DONE, actor=0, job=0)


def test_the_order_of_reveal_does_not_matter():
    """Permuting the nodes permutes their money and changes nothing else."""
    rng = np.random.default_rng(0)
    outcomes, order = np.array([1, 2, 1, 3, 0]), rng.permutation(5)
    one, two = matched(), matched()
    one("settle_round", actor=ARBITER, job=0, outcomes=outcomes)
    two("settle_round", actor=ARBITER, job=0, outcomes=outcomes[order])
    nodes = np.arange(LAYOUT.num_accounts)
    nodes[LAYOUT.nodes] = nodes[LAYOUT.nodes][order]
    for name in ("balances", "stakes"):
        assert np.array(getattr(two, name)).tolist() == np.array(getattr(one, name))[nodes].tolist()
    assert one.row() == two.row()


def test_the_reward_cap_leaves_the_rest_in_the_pool():
    world = matched(rules=L.make_rules(num_rounds=2, second_price=1, reward_cap=40))
    world("settle_round", actor=ARBITER, job=0, outcomes=np.array([1, 1, 0, 0, 0]))
    assert world.row()["compute_pool"] == 225 - 80


def test_a_round_without_consensus_pays_nobody():
    world = matched()("settle_round", actor=ARBITER, job=0, outcomes=np.array([3, 3, 3, 3, 3]))
    row = world.row()
    assert (row["compute_pool"], row["compute_paid"], row["compensation"]) == (475, 0, 250)
    assert world.stakes[7:12] == [900] * 5


@pytest.mark.parametrize(
    ("metric", "base", "fee", "share"),
    [
        (8_000, 7_000, 1, 315),  # half of the way from 70 % to 90 %: half of 630
        (8_999, 0, 1, 629),
        (6_000, 7_000, 1, 0),
        (0, 0, 1, 0),
        (8_000, 7_000, 0, 315),
        (8_000, 9_500, 1, 0),  # the first model was already better than tau
    ],
)
def test_partial_payment(metric, base, fee, share):
    rules = L.make_rules(num_rounds=2, second_price=1, partial_payment=1, refund_fee=fee)
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
    world = trained()
    verdicts = np.array([0, 1, 2, 2])
    world("rate_sellers", actor=ARBITER, job=0, verdicts=verdicts)
    assert np.asarray(world.ledger.reputation_bps).tolist() == [5_000, 5_500, 4_500, 4_500]
    for _ in range(40):
        world("rate_sellers", actor=ARBITER, job=0, verdicts=verdicts)
    low, high = np.asarray(world.ledger.reputation_bps)[[2, 1]]
    assert low == 500 and 9_900 < high <= 10_000
    world("rate_sellers", L.Reason.BAD_VALUE, actor=ARBITER, job=0, verdicts=verdicts + 1)
    world("rate_sellers", L.Reason.NOT_AUTHORISED, actor=5, job=0, verdicts=verdicts)
