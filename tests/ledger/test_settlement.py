"""Whole jobs whose money tables were computed by hand."""

import numpy as np

from d2m_jax import ledger as L
from tests.ledger.worlds import ARBITER, LAYOUT, challenged, trained


def test_money_table_of_a_full_job():
    """Second price 900 = 630 + 225 + 45; two rounds; a rejected dispute; settlement.

    Round 0: slashed 1000 + 100, burned 550, budget 112 + 550 = 662, two matching: 331 each.
    Round 1: budget 112, three matching: 37 each. Left 225 + 550 - 662 - 111 = 2 for the buyer.
    Bond 45: 22 burned, 23 to the accused node 1. Seller pool 630 in 3 : 1 : 0 : 5.
    """
    world = challenged()
    assert world.row()["compute_pool"] == 2
    world("open_dispute", actor=2, job=0, accused=LAYOUT.node(1), disputed_round=0)
    assert world.balances[2] == 10_000 - 900 - 45
    world("resolve_dispute", actor=ARBITER, job=0, upheld=0, guilty=np.zeros(5, int))
    world("wait", blocks=10)("settle", actor=0, job=0)
    assert world.balances == [
        *(10_000, 10_000, 10_000 - 900 - 45 + 2),
        *(1_000 + 210, 1_000 + 70, 1_000, 1_000 + 350),
        *(2_000 + 331 + 37, 2_000 + 331 + 37 + 23, 2_000, 2_000, 2_000 + 37),
        45,
    ]
    assert world.stakes == [0, 0, 0, 1_000, 1_000, 1_000, 1_000, 1_000, 1_000, 0, 900, 1_000, 0]
    assert int(world.ledger.burned) == 550 + 22
    row = world.row()
    assert (row["seller_paid"], row["fee_paid"], row["refunded"]) == (630, 45, 2)
    assert (row["compute_paid"], row["compensation"]) == (662 + 111, 550)
    world("settle", L.Reason.ALREADY_DONE, actor=0, job=0)


def test_missed_threshold_refunds_the_buyer_and_pays_honest_compute():
    """Metric 89.99 % < 90 %: 630 + 45 + 2 go back, the nodes keep their 662 + 111."""
    world = trained()
    weights = np.array([3, 1, 0, 5])
    world("report_metric", actor=ARBITER, job=0, metric_bps=8_999, weights=weights)
    assert world.row()["phase"] == L.Phase.REFUNDED
    assert world.balances[2] == 10_000 - 900 + 630 + 45 + 2
    assert world.balances[3:7] == [1_000] * 4
    assert world.stakes[3:7] == [1_000] * 4
    assert world.balances[7:12] == [2_368, 2_368, 2_000, 2_000, 2_037]
    assert world.balances[12] == 0
    world("settle", L.Reason.ALREADY_DONE, actor=0, job=0)
