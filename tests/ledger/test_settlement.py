"""Whole jobs whose money tables were computed by hand."""

import numpy as np
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
    registered,
    trained,
)

NOBODY = [None] * 5


def test_money_table_of_a_full_job():
    """Second price 900 = 630 + 225 + 45; two rounds, a verification, a rejected dispute.

    A unit has 225 // 3 = 75. Round 0: 37 each for two matching; 1000 + 100 slashed. Round 1 and
    the verification: 25 each for three. Left 225 - 74 - 75 - 75 = 1 for the buyer. In the end who
    has earned 87, 87 and 50 gets as much again from the slashed, whose rest is burned.
    Bond 45: burned, nobody executed again. Seller pool 630 in 3 : 1 : 0 : 5.
    """
    world = challenged()
    row = world.row()
    assert row["compute_pool"] == 1 and row["earned"] == [87, 87, 0, 0, 50]
    assert row["held"] == [0, 0, 1_000, 100, 0] and row["serial"] == 4
    assert row["pledged"] == [1_000, 1_000, 0, 900, 1_000] and world.stakes[7:12] == [0] * 5
    assert world.balances[7:12] == [2_000] * 5 and int(world.ledger.burned) == 0
    world.dispute(1)
    assert world.balances[2] == 10_000 - 900 - 45
    world.book("book_dispute", papers=NOBODY).end()
    assert world.balances == [
        *(10_000, 10_000, 10_000 - 900 - 45 + 1),
        *(1_000 + 210, 1_000 + 70, 1_000, 1_000 + 350),
        *(2_000 + 2 * 87, 2_000 + 2 * 87, 2_000, 2_000, 2_000 + 2 * 50),
        45,
    ]
    assert world.stakes == [0, 0, 0, 1_000, 1_000, 1_000, 1_000, 1_000, 1_000, 0, 900, 1_000, 0]
    assert int(world.ledger.burned) == 1_100 - 224 + 45
    row = world.row()
    assert (row["seller_paid"], row["fee_paid"], row["refunded"]) == (630, 45, 1)
    assert (row["compute_paid"], row["compensation"], row["released"]) == (224 + 224, 224, True)
    world("settle", L.Reason.ALREADY_DONE, actor=0, job=0)


def test_missed_threshold_refunds_the_buyer_and_pays_honest_compute():
    """Metric 89.99 % < 90 %: the sellers get a fifth of their 630 for the work, the nodes all."""
    world = challenged(metric=8_999)
    assert world.balances[2] == 10_000 - 900  # not before the challenge window is over
    world("wait", blocks=9)("settle", L.Reason.TOO_EARLY, actor=2, job=0)
    world("wait", blocks=1)("settle", actor=2, job=0)
    assert world.row()["phase"] == L.Phase.REFUNDED
    assert world.balances[2] == 10_000 - 900 + (630 - 126) + 45 + 1
    assert world.balances[3:7] == [1_042, 1_014, 1_000, 1_070]
    assert world.stakes[3:7] == [1_000] * 4
    assert world.balances[7:12] == [2_174, 2_174, 2_000, 2_000, 2_100]
    assert world.balances[12] == 0 and not world.row()["released"]
    world("settle", L.Reason.ALREADY_DONE, actor=0, job=0)


def test_the_order_of_reveal_does_not_matter():
    """Permuting the nodes permutes what they have in the job and changes nothing else."""
    papers, order = np.array([GOOD, BAD, GOOD, 0, None]), np.random.default_rng(0).permutation(5)
    one, two = matched().round(papers), matched().round(papers[order])
    assert (two.balances, two.stakes) == (one.balances, one.stakes)
    first, second = one.row(), two.row()
    for name in ("pledged", "held", "earned"):
        assert second.pop(name) == np.array(first.pop(name))[order].tolist()
    permuted = np.array(first.pop("papers"))[:, order].tolist()
    assert second.pop("papers") == permuted and first == second


def test_the_reward_cap_leaves_the_rest_in_the_pool():
    world = matched(rules=open_rules(reward_cap=20)).round([GOOD, GOOD, None, None, None])
    assert world.row()["compute_pool"] == 225 - 40


def test_a_round_without_a_result_pays_nobody_and_counts():
    """Only silence is slashed: 100 of each pledge; who revealed loses nothing."""
    world = matched().round([0, 0, 0, GOOD, BAD], accepted=0)
    row = world.row()
    assert (row["compute_pool"], row["earned"], row["round"]) == (225, [0] * 5, 1)
    assert (row["pledged"], row["held"]) == ([900] * 3 + [1_000] * 2, [100] * 3 + [0] * 2)
    assert row["results"][0] == 0 and row["papers"][0] == [0, 0, 0, GOOD, BAD]
    world("wait", blocks=200)("time_out", actor=0, job=0)  # nobody earned: nobody gains
    assert world.balances[2] == 10_000 and int(world.ledger.burned) == 300


def test_a_slash_is_a_share_of_the_pledge_as_it_was_made():
    """Silent four times at 30 %: 300, 300, 300 and the 100 that are left."""
    rules = open_rules(slash_silent_bps=3_000, num_rounds=5)
    layout = LAYOUT._replace(num_units=6)
    world = matched(rules=rules, layout=layout)
    for left in (700, 400, 100, 0, 0):
        world.round([0, GOOD, None, None, None])
        assert world.row()["pledged"][0] == left == 1_000 - world.row()["held"][0]


def test_whose_pledge_is_gone_is_paid_no_more():
    """Node 2 was wrong and has nothing left to lose; node 0 gets the whole unit."""
    world = matched().round([GOOD, GOOD, BAD, None, None])
    world.round([GOOD, None, GOOD, None, None])
    assert world.row()["earned"] == [37 + 75, 37, 0, 0, 0]


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
    world = trained(rules=open_rules(partial_payment=1, refund_fee=fee))
    papers = [GOOD, GOOD, None, None, GOOD]
    world.verification(papers, metric=metric, base=base, sellers=[1, 0, 0, 0]).end()
    assert world.balances[3] == 1_000 + share
    assert world.balances[2] == 10_000 - 900 + 630 - share + 45 * fee + 1
    assert world.balances[12] == 45 * (1 - fee)


def test_a_seller_that_did_harm_forfeits_pay_and_deposit():
    """Seller 3 had 5 of 9 weights: the others share 630 as 3 : 1; the buyer gets half of 1000."""
    world = challenged(harm=[0, 0, 0, 1])
    assert world.row()["excluded"] == [False] * 3 + [True] and world.banned == []
    assert world.row()["locked"] == [1_000] * 4  # until the window is over
    world.end()
    assert world.balances[3:7] == [1_000 + 472, 1_000 + 158, 1_000, 1_000]
    assert world.stakes[3:7] == [1_000, 1_000, 1_000, 0] and world.banned == [LAYOUT.seller(3)]
    assert world.balances[2] == 10_000 - 900 + 1 + 500


def test_harm_is_also_paid_when_the_threshold_is_missed():
    world = challenged(metric=5_000, harm=[0, 0, 0, 1], rules=open_rules(slash_harm_bps=2_500))
    world.end()
    assert world.balances[3:7] == [1_000 + 94, 1_000 + 32, 1_000, 1_000]  # 126 in 3 : 1
    assert world.stakes[3:7] == [1_000, 1_000, 1_000, 750]
    assert world.balances[2] == 10_000 - 900 + 630 - 126 + 45 + 1 + 125


def test_without_any_weight_the_seller_pool_goes_back():
    world = trained().verification([GOOD, GOOD, None, None, GOOD], metric=9_000).end()
    assert world.balances[2] == 10_000 - 900 + 630 + 1


def test_only_matched_sellers_have_weights_and_can_do_harm():
    world = registered(rules=open_rules(min_sellers=3))
    world("request_withdrawal", actor=3, amount=1_000)("wait", blocks=1)
    metric = L.digest_of(**METRIC)
    world("bid", buyer=2, job=0, tags=3, amount=900, tau_bps=9_000, metric=metric)
    world("wait", blocks=20)("close_auction", actor=0, job=0)
    world("open_metric", actor=2, job=0, **METRIC).round().round()
    world.verification(metric=9_500, sellers=[7, 1, 1, 1], harm=[1, 0, 0, 0])
    assert world.row()["weights"] == [0, 1, 1, 1] and world.row()["excluded"] == [False] * 4


@pytest.mark.parametrize(
    ("metric", "opened", "phase"),
    [
        (9_000, True, L.Phase.VERIFY),
        (8_999, True, L.Phase.TRAINING),
        (9_500, False, L.Phase.TRAINING),  # nobody can check it yet
        (0, True, L.Phase.TRAINING),
    ],
)
def test_early_stop_when_a_round_tells_a_metric_that_reaches_tau(metric, opened, phase):
    world = matched()
    if opened:
        world("open_metric", actor=2, job=0, **METRIC)
    world.round([GOOD, None, None, None, None], metric=metric)
    assert (world.row()["phase"], world.row()["round"]) == (phase, 1)
    if phase == L.Phase.VERIFY:
        world.verification([GOOD, None, None, None, None], metric=9_100, sellers=WEIGHTS).end()
        assert world.row()["refunded"] == 225 - 75 - 75 and world.row()["results"] == [
            GOOD,
            0,
            GOOD,
        ]


def test_a_metric_of_nothing_stops_no_job_whose_threshold_is_nothing():
    world = registered()
    metric = L.digest_of(**METRIC)
    world("bid", buyer=2, job=0, tags=3, amount=900, tau_bps=0, metric=metric)
    world("wait", blocks=20)("close_auction", actor=0, job=0)
    world("open_metric", actor=2, job=0, **METRIC).round(metric=0)
    assert world.row()["phase"] == L.Phase.TRAINING
    world.round(accepted=0, metric=5_000)  # and what was not accepted tells nothing
    assert world.row()["phase"] == L.Phase.VERIFY and world.row()["round"] == 2


def test_reputation_moves_a_tenth_of_the_way():
    """In a round with a result; down to the floor."""
    layout = LAYOUT._replace(num_units=48)
    world = matched(rules=open_rules(num_rounds=47), layout=layout)
    verdicts = [0, 1, 2, 2]
    world.round(NOBODY, sellers=verdicts)
    assert np.asarray(world.ledger.reputation_bps).tolist() == [5_000, 5_500, 4_500, 4_500]
    world.round(NOBODY, accepted=0, sellers=verdicts)
    assert np.asarray(world.ledger.reputation_bps).tolist() == [5_000, 5_500, 4_500, 4_500]
    for _ in range(44):
        world.round(NOBODY, sellers=verdicts)
    low, high = np.asarray(world.ledger.reputation_bps)[[2, 1]]
    assert low == 500 and 9_900 < high <= 10_000


def test_the_buyer_may_take_a_model_that_missed_at_the_full_price():
    world = challenged(metric=8_999)
    world("take", L.Reason.NOT_AUTHORISED, actor=1, job=0)
    world("take", actor=2, job=0)("take", L.Reason.ALREADY_DONE, actor=2, job=0).end()
    row = world.row()
    assert (row["phase"], row["seller_paid"], row["fee_paid"]) == (L.Phase.SETTLED, 630, 45)
    assert row["released"]
    late = challenged(metric=8_999)("wait", blocks=10)
    late("take", L.Reason.TOO_LATE, actor=2, job=0)
    trained()("take", L.Reason.WRONG_PHASE, actor=2, job=0)
    challenged()("take", L.Reason.ALREADY_DONE, actor=2, job=0)


def test_a_spoilt_model_cannot_be_taken():
    world = challenged(metric=8_999).dispute(0, [None, None, BAD, None, BAD], accepted=BAD)
    world("take", L.Reason.ALREADY_DONE, actor=2, job=0)


def test_only_what_the_digest_says_is_opened():
    world = matched()
    world("open_metric", L.Reason.NOT_AUTHORISED, actor=1, job=0, **METRIC)
    world("open_metric", L.Reason.BAD_VALUE, actor=2, job=0, **{**METRIC, "content": 3})
    world("open_metric", L.Reason.WRONG_PHASE, actor=2, job=1, **METRIC)
    world("open_metric", actor=2, job=0, **METRIC)
    world("open_metric", L.Reason.ALREADY_DONE, actor=2, job=0, **METRIC)


def test_who_keeps_its_examples_back_pays_as_if_tau_were_reached():
    """630 in equal parts; the compute of two rounds; the third unit's 75 go back."""
    world = matched()
    for _ in range(2):
        world.round([GOOD, GOOD, None, None, None])
    world("wait", blocks=200)("time_out", actor=3, job=0)
    assert world.row()["phase"] == L.Phase.SETTLED and world.row()["released"]
    assert sorted(world.balances[3:7]) == [1_157, 1_157, 1_158, 1_158] and world.balances[12] == 45
    assert world.balances[7:9] == [2_074, 2_074]
    assert world.balances[2] == 10_000 - 900 + 225 - 148


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
    world.round([BAD, GOOD, GOOD, GOOD, GOOD])
    world("wait", blocks=300)("withdraw", actor=LAYOUT.node(0))
    assert world.balances[7] == 3_000 and bool(world.ledger.registered[7])
    assert np.asarray(L.electorate(world.ledger, 0)).tolist() == [0] + [1_000] * 4
