"""Attacks across the jobs of one ledger: what one job can take from another, to the unit."""

import numpy as np
import pytest

from d2m_jax import ledger as L
from tests.ledger.worlds import ARBITER, LAYOUT, METRIC, World, open_rules

FIRST, SECOND = 0b01, 0b10  # what the two jobs ask for
SELLERS = range(LAYOUT.num_sellers)


def sold(
    deposits=(1_000,) * 4, asks=(0,) * 4, bids=(900, 600), taus=(9_000, 9_000), stake=2_000, **rules
):
    """Four sellers that fit both jobs; buyer 0 buys the first at its bid, buyer 1 the second."""
    world = World(open_rules(second_price=0, **rules), seller_funds=5_000)
    for i in SELLERS:
        offer = {"deposit": deposits[i], "ask": asks[i], "max_tau_bps": 9_500}
        world(
            "register_seller",
            **{"actor": LAYOUT.seller(i), "tags": 3, "size": 10, "commitment": i, **offer},
        )
    for i in range(LAYOUT.num_nodes):
        world("register_node", actor=LAYOUT.node(i), stake=stake)
    for job, tags in enumerate((FIRST, SECOND)):
        digest = {"metric": L.digest_of(**METRIC), "tau_bps": taus[job]}
        world("bid", buyer=job, job=job, tags=tags, amount=bids[job], **digest)
    world("wait", blocks=20)
    return world("close_auction", actor=2, job=0)("close_auction", actor=2, job=1)


def trained(world, job):
    """Both rounds of a job, all nodes right."""
    for _ in range(2):
        world("settle_round", actor=ARBITER, job=job, outcomes=np.ones(LAYOUT.num_nodes, int))
    return world("open_metric", actor=job, job=job, **METRIC)


def test_one_deposit_is_pledged_to_one_job():
    world = sold(deposits=(1_000, 2_000, 1_999, 3_000), min_sellers=2)
    assert world.row(0)["matched"] == [True] * 4
    assert world.row(1)["matched"] == [False, True, False, True]
    assert world.stakes[LAYOUT.seller(0) : LAYOUT.seller(4)] == [0, 0, 999, 1_000]


def test_a_slash_in_one_job_takes_nothing_that_is_pledged_to_the_other():
    world = sold(deposits=(2_000,) * 4)
    world("slash_seller", actor=ARBITER, job=0, target=LAYOUT.seller(0))
    assert world.row(0)["locked"][0] == 0 and world.row(1)["locked"][0] == 1_000
    assert not world.row(1)["excluded"][0]  # but it is banned from what comes
    world("slash_seller", actor=ARBITER, job=1, target=LAYOUT.seller(0))
    assert world.row(1)["locked"][0] == 0
    world("slash_seller", L.Reason.ALREADY_DONE, actor=ARBITER, job=1, target=LAYOUT.seller(0))


def test_what_is_pledged_cannot_be_asked_back():
    world = sold(deposits=(1_000,) * 4)
    world("request_withdrawal", L.Reason.NOT_ENOUGH_MONEY, actor=LAYOUT.seller(0), amount=1)


def test_a_job_that_takes_all_sellers_starves_the_other_and_costs_the_rival_nothing():
    world = sold(deposits=(1_000,) * 4, bids=(100, 900))
    assert (world.row(0)["phase"], world.row(1)["phase"]) == (L.Phase.MATCHED, L.Phase.ABORTED)
    assert world.balances[1] == 10_000  # all of it is back, and the slot is free again


@pytest.mark.parametrize(
    "defence",
    [
        {"deposits": (2_000,) * 4},  # sellers have money for both jobs
        {"asks": (71,) * 4},  # they want more than the seller pool of the cheap job, 70
        {"taus": (10_000, 9_000)},  # they refuse a threshold that nobody reaches
    ],
)
def test_sellers_that_can_serve_both_or_refuse_cheap_work_cannot_be_taken_away(defence):
    world = sold(**{"deposits": (1_000,) * 4, "bids": (100, 900), **defence})
    assert world.row(1)["phase"] == L.Phase.MATCHED and world.row(1)["matched"] == [True] * 4
    if "deposits" not in defence:
        assert world.row(0)["phase"] == L.Phase.ABORTED and world.balances[0] == 10_000


def test_whoever_buys_the_sellers_away_pays_for_their_work_and_the_nodes():
    """A threshold that they accept and that is missed: nodes and accepted work are paid for."""
    world = trained(sold(bids=(1_000, 900)), 0)
    weights = np.ones(4, int)
    world("report_metric", actor=ARBITER, job=0, metric_bps=1, weights=weights)
    world("wait", blocks=10)("settle", actor=2, job=0)
    job = world.row(0)
    spent = 10_000 - world.balances[0]
    assert spent == job["price"] - job["refunded"] == job["compute_paid"] + job["seller_paid"]
    assert job["compute_paid"] > 0 < job["seller_paid"]


def income(asks, pays=100):
    """What each seller earns from a first job when they state these asks."""
    world = sold(asks=asks, bids=(pays, 200), deposits=(1_000,) * 4, min_sellers=1)
    if world.row(0)["phase"] != L.Phase.MATCHED:
        assert world.balances[0] == 10_000  # no sellers, no fee
        return [0] * 4
    trained(world, 0)
    weights = np.where(world.row(0)["matched"], 1, 0)
    world("report_metric", actor=ARBITER, job=0, metric_bps=9_100, weights=weights)
    world("wait", blocks=10)("settle", actor=2, job=0)
    pledged = np.asarray(world.ledger.jobs.locked).sum(axis=0)
    accounts = [LAYOUT.seller(i) for i in SELLERS]
    funds = [world.balances[who] + world.stakes[who] for who in accounts]
    return [int(money + more) - 5_000 for money, more in zip(funds, pledged)]


def test_a_cartel_of_sellers_can_refuse_a_buyer_and_every_member_gains_by_leaving_it():
    """At a price of 100 the pool is 70: who asks for more is not matched."""
    together = income((0,) * 4)
    strike = income((71,) * 4)
    alone = income((0, 71, 71, 71))
    assert sorted(together) == [17, 17, 18, 18] and strike == [0] * 4
    assert alone[1:] == [0] * 3 and alone[0] == 70 > together[0]


def test_a_buyer_that_is_its_own_seller_pays_the_fee_and_the_nodes_for_nothing():
    """Both accounts together lose what others get; the owner of all sellers gains no unit."""
    world = trained(sold(bids=(900, 600)), 0)
    world("report_metric", actor=ARBITER, job=0, metric_bps=9_100, weights=np.ones(4, int))
    world("wait", blocks=10)("settle", actor=2, job=0)
    job = world.row(0)
    sellers = sum(
        world.balances[LAYOUT.seller(i)] + world.stakes[LAYOUT.seller(i)] for i in SELLERS
    )
    together = (world.balances[0] - 10_000) + (sellers - 4 * 5_000)
    assert together == -(job["fee_paid"] + job["compute_paid"]) < 0


def test_a_node_that_lies_in_two_jobs_at_once_loses_a_pledge_in_each():
    world = sold(deposits=(2_000,) * 4, slash_wrong_bps=6_000)
    wrong = np.array([2, 1, 1, 1, 1])
    for job in (0, 1):
        world("settle_round", actor=ARBITER, job=job, outcomes=wrong)
        assert (world.row(job)["pledged"][0], world.row(job)["held"][0]) == (400, 600)


def test_one_stake_is_pledged_to_one_job_and_no_other_can_slash_it():
    world = sold(deposits=(2_000,) * 4, stake=1_999)
    assert world.row(0)["pledged"] == [1_000] * 5 and world.row(1)["pledged"] == [0] * 5
    world("settle_round", actor=ARBITER, job=1, outcomes=np.full(5, 2))
    assert world.row(1)["held"] == [0] * 5 and world.row(0)["pledged"] == [1_000] * 5


def test_nobody_holds_two_auctions_for_the_same_tags():
    world = sold()
    world.ledger = L.new_ledger(LAYOUT, buyer_funds=1_000, seller_funds=0, node_funds=0)
    world("bid", buyer=0, job=0, tags=FIRST, amount=100, tau_bps=1)
    world("bid", L.Reason.TAGS_TAKEN, buyer=1, job=1, tags=FIRST, amount=200, tau_bps=1)
    world("bid", buyer=1, job=0, tags=FIRST, amount=200, tau_bps=1)  # but may bid in the first one
