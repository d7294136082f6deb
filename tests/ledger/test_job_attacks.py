"""Attacks on the jobs of one ledger: on each other, on their votes, on what others have pledged.

Each is counted to the unit.
"""

import jax
import numpy as np
import pytest

from d2m_jax import ledger as L
from tests.ledger.worlds import (
    BAD,
    GOOD,
    LAYOUT,
    METRIC,
    WEIGHTS,
    World,
    challenged,
    decided,
    matched,
    open_rules,
    registered,
    same,
    trained,
)

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


def verified(world, job, metric, weights):
    """Both rounds of a job and its verification, all nodes right; settled."""
    for _ in range(2):
        world.round(job=job)
    world("open_metric", actor=job, job=job, **METRIC)
    return world.verification(job=job, metric=metric, sellers=weights).end(job)


def test_one_deposit_is_pledged_to_one_job():
    world = sold(deposits=(1_000, 2_000, 1_999, 3_000), min_sellers=2)
    assert world.row(0)["matched"] == [True] * 4
    assert world.row(1)["matched"] == [False, True, False, True]
    assert world.stakes[LAYOUT.seller(0) : LAYOUT.seller(4)] == [0, 0, 999, 1_000]


def test_harm_in_one_job_takes_nothing_that_is_pledged_to_the_other():
    world = sold(deposits=(2_000,) * 4)
    for job in (0, 1):
        world.round(job=job).round(job=job)("open_metric", actor=job, job=job, **METRIC)
    world.verification(metric=9_100, sellers=WEIGHTS, harm=[1, 0, 0, 0]).end()
    assert world.banned == [LAYOUT.seller(0)]
    assert world.row(1)["locked"][0] == 1_000 and not world.row(1)["excluded"][0]
    world.verification(job=1, metric=9_100, sellers=[1, 1, 1, 1]).end(1)
    assert world.row(1)["seller_paid"] == 420  # 105 of it go to the seller that is banned now
    assert world.balances[LAYOUT.seller(0)] == 3_000 + 105


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
    world = verified(sold(bids=(1_000, 900)), 0, 1, [1] * 4)
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
    verified(world, 0, 9_100, [1] * 4)
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
    world = verified(sold(bids=(900, 600)), 0, 9_100, [1] * 4)
    job = world.row(0)
    sellers = sum(
        world.balances[LAYOUT.seller(i)] + world.stakes[LAYOUT.seller(i)] for i in SELLERS
    )
    together = (world.balances[0] - 10_000) + (sellers - 4 * 5_000)
    assert together == -(job["fee_paid"] + job["compute_paid"]) < 0


def test_a_node_that_lies_in_two_jobs_at_once_loses_a_pledge_in_each():
    world = sold(deposits=(2_000,) * 4, slash_wrong_bps=6_000)
    for job in (0, 1):
        world.round([BAD, GOOD, GOOD, GOOD, GOOD], job=job)
        assert (world.row(job)["pledged"][0], world.row(job)["held"][0]) == (400, 600)


def test_one_stake_is_pledged_to_one_job_and_no_other_can_slash_it():
    """A job that gets no pledge at all is aborted, and costs its buyer nothing."""
    world = sold(deposits=(2_000,) * 4, stake=1_999)
    assert world.row(0)["pledged"] == [1_000] * 5 and world.row(1)["pledged"] == [0] * 5
    assert world.row(1)["phase"] == L.Phase.ABORTED and world.balances[1] == 10_000
    assert world.stakes[7:12] == [999] * 5


def test_nobody_holds_two_auctions_for_the_same_tags():
    world = sold()
    world.ledger = L.new_ledger(LAYOUT, buyer_funds=1_000, seller_funds=0, node_funds=0)
    world("bid", buyer=0, job=0, tags=FIRST, amount=100, tau_bps=1)
    world("bid", L.Reason.TAGS_TAKEN, buyer=1, job=1, tags=FIRST, amount=200, tau_bps=1)
    world("bid", buyer=1, job=0, tags=FIRST, amount=200, tau_bps=1)  # but may bid in the first one


# The votes of a job. All earn 75 a unit together; the bond is 45 (see `test_settlement`).


def wealth(world):
    return np.asarray(L.wealth(world.ledger))


def captured(unit=0, **rules):
    """Nodes 0, 1 and 2 have their digest accepted in a round; node 3 said the truth."""
    world = matched(rules=open_rules(**rules))
    for each in range(2):
        taken = each == unit
        lies = [BAD, BAD, BAD, GOOD, None] if taken else [GOOD, GOOD, None, GOOD, None]
        world.round(lies, accepted=BAD if taken else GOOD)
    world("open_metric", actor=2, job=0, **METRIC)
    return world.verification([None, None, None, None, GOOD], metric=9_100, sellers=WEIGHTS)


CARTEL = [LAYOUT.node(0), LAYOUT.node(1), LAYOUT.node(2), LAYOUT.seller(0)]  # its own disputer, too
TRUTH = [None, None, None, GOOD, GOOD]  # what who is not of the cartel finds again


def test_a_cartel_that_captures_a_round_and_disputes_it_itself_loses_its_pledges():
    """The prize is a bond at most: 45 against 3000; with one pledge at stake it is still a loss."""
    before = wealth(registered())[CARTEL].sum()
    for slash, lost in ((10_000, 3_000), (1_000, 300)):
        world = captured(slash_wrong_bps=slash).dispute(0, TRUTH, actor=CARTEL[-1]).end()
        pay = world.balances[CARTEL[-1]] - 1_000 - 45  # as a seller of a spoilt job: 3 of 9 weights
        assert 0 <= pay <= 210 and wealth(world)[CARTEL].sum() == before - lost + 45 + pay


def honest_job():
    """The job of `captured`, had nobody lied."""
    world = matched().round([GOOD, GOOD, GOOD, GOOD, None]).round([GOOD, GOOD, None, GOOD, None])
    world("open_metric", actor=2, job=0, **METRIC)
    return world.verification([None] * 4 + [GOOD], metric=9_100, sellers=WEIGHTS).end()


def test_a_cartel_with_a_seller_gains_nothing_by_spoiling_what_the_seller_is_paid_for():
    """Also where little is at stake: of the seller's pay the guilty pay a part, nobody the rest."""
    attacked = captured(slash_wrong_bps=500).dispute(0, TRUTH, actor=CARTEL[-1]).end()
    assert wealth(attacked)[CARTEL].sum() < wealth(honest_job())[CARTEL].sum()


@pytest.mark.parametrize(("slash", "profits"), [(10_000, False), (3_000, False), (1_000, True)])
def test_a_buyer_whose_nodes_spoil_its_own_model_pays_the_sellers_out_of_their_pledges(
    slash, profits
):
    """It keeps what its nodes have trained and has its price back. The pledges of three nodes must
    be worth the seller pool, else sellers are short and the attack pays: 900 against 630, 300 not.
    """
    cartel = [2, *CARTEL[:3]]
    attacked = captured(slash_wrong_bps=slash).dispute(0, TRUTH).end()
    gain = wealth(attacked) - wealth(honest_job())
    assert (gain[cartel].sum() > 0) == profits
    assert (gain[LAYOUT.sellers].sum() < 0) == profits


def test_disputing_ones_own_lie_with_ones_own_nodes_costs_a_bond():
    """The re-execution is captured, too: the lie stands, and the bond comes back as wages."""
    world = captured()
    before = wealth(world)[CARTEL].sum()
    world.dispute(0, [BAD, BAD, BAD, None, GOOD], accepted=BAD, actor=CARTEL[-1])
    assert wealth(world)[CARTEL].sum() == before - 45 + 45
    assert world.row()["held"][4] == 1_000  # the bond that pays a cartel is one that won its vote
    world.dispute(0, [BAD, BAD, None, GOOD, None], accepted=BAD, actor=LAYOUT.node(3))
    world.end()
    assert world.row()["phase"] == L.Phase.SETTLED  # who captures every vote is not stopped here


@pytest.mark.parametrize("ours", range(5))
def test_of_a_lost_bond_a_cartel_gets_its_share_of_the_work_and_no_more(ours):
    """k of 5 nodes that execute again get k times 9 of the 45 back: delay is never free."""
    world = challenged(rules=open_rules(slash_wrong_bps=1_000))
    before = wealth(world)
    world.dispute(1, [GOOD] * 5, actor=0)
    cartel = [0, *(LAYOUT.node(i) for i in range(ours))]
    assert (wealth(world) - before)[cartel].sum() == -45 + 9 * ours < 0


def test_a_unit_that_fell_can_be_disputed_again_but_nothing_is_paid_twice():
    """The same finding stands: the bond is lost, who was right has no more, the guilty no less."""
    world = captured().dispute(0, TRUTH, actor=0)
    row, before = world.row(), wealth(world)
    world.dispute(0, [None] * 5, actor=0)
    after = world.row()
    for name in ("pledged", "held", "earned", "forfeited", "compensation", "compute_paid"):
        assert after[name] == row[name]
    assert (wealth(world) - before).tolist() == [-45] + [0] * 12
    assert world.banned == CARTEL[:3]


def test_a_second_capture_of_the_same_unit_pays_the_first_cartel_nothing():
    """The lie is back: those who found the truth lose theirs, but no ban and no pledge returns."""
    world = captured().dispute(0, TRUTH, actor=0)
    mine = wealth(world)[CARTEL]
    world.dispute(0, [None, None, None, GOOD, BAD], accepted=BAD, actor=0).end()
    assert world.row()["phase"] == L.Phase.REFUNDED  # once spoilt, never sold
    assert (wealth(world)[CARTEL][:3] == mine[:3]).all() and set(CARTEL[:3]) <= set(world.banned)


def test_a_digest_that_nobody_opens_costs_its_voters_their_pledge():
    """Waiting for the buyer to despair: after 20 blocks it counts for nothing, those who are wrong
    by it are not; the round goes on, nobody is paid for it."""
    world = matched()
    decision = decided(world, [BAD, BAD, BAD, GOOD, None], BAD, is_open=False)
    world("wait", blocks=19).book("book_round", decision, L.Reason.TOO_EARLY)
    world("wait", blocks=1).book("book_round", decision)
    row = world.row()
    assert row["held"] == [1_000] * 3 + [0, 0] and row["earned"] == [0] * 5
    assert (row["round"], row["results"][0], row["compute_pool"]) == (1, 0, 225)
    assert np.asarray(world.ledger.reputation_bps).tolist() == [5_000] * 4


@pytest.mark.parametrize("other", [{"model": 9}, {"asked": 9}])
def test_a_verification_of_another_model_or_metric_is_void(other):
    """A majority that measures what the buyer did not ask for loses; nothing is reported."""
    world = trained().verification(
        [BAD, BAD, None, GOOD, None], accepted=BAD, metric=10_000, sellers=WEIGHTS, **other
    )
    row = world.row()
    assert (row["phase"], row["metric_bps"], row["weights"]) == (L.Phase.VERIFY, 0, [0] * 4)
    assert row["held"] == [1_000, 1_000, 1_000, 100, 0] and row["results"][2] == 0
    # who is left says it again, of the right one
    world.verification([None] * 3 + [GOOD] * 2, metric=9_100, sellers=WEIGHTS)
    assert world.row()["phase"] == L.Phase.CHALLENGE


def test_a_majority_that_lies_in_void_each_time_ends_with_nothing_and_the_job_times_out():
    world = trained(rules=open_rules(slash_wrong_bps=5_000))
    for _ in range(3):
        world.verification([BAD] * 5, accepted=BAD, model=9)
    assert world.row()["pledged"] == [0] * 5 and L.electorate(world.ledger, 0).sum() == 0
    world.verification([None] * 5, accepted=0)("wait", blocks=200)("time_out", actor=0, job=0)
    row = world.row()
    assert (row["phase"], row["released"]) == (L.Phase.REFUNDED, False)
    assert world.stakes[7:12] == [0] * 5


def test_who_comes_when_the_salts_are_public_is_no_candidate():
    """Sealed, by stake: node 4 registers and node 0 tops up after the first reveal; node 1 leaves.

    Node 2 had asked before the auction, so less of it counts.
    """
    world = World(L.make_rules(num_rounds=2, by_stake=1))
    for i in range(4):
        listing = {"tags": 7, "size": 10, "commitment": i, "deposit": 1_000}
        world("register_seller", actor=LAYOUT.seller(i), **listing)
        world("register_node", actor=LAYOUT.node(i), stake=1_500)
    world("request_withdrawal", actor=LAYOUT.node(2), amount=300)("wait", blocks=1)
    terms = {"tau_bps": 0, "model": 1, "metric": 2, "salt": 3}
    said = {"job": 0, "buyer": 0, "amount": 900, **terms}
    sealed = {"commitment": L.commitment_of(**said), "deposit": 900}
    world("seal", buyer=0, job=0, tags=3, **sealed)("wait", blocks=20)("reveal", **said)
    assert world.row()["offered"] == [1_500, 1_500, 1_200, 1_500, 0] and world.row()["frozen"]
    world("register_node", actor=LAYOUT.node(4), stake=3_000)
    world("top_up", actor=LAYOUT.node(0), amount=1_500)
    world("request_withdrawal", actor=LAYOUT.node(1), amount=1_500)
    world("wait", blocks=10)("close_auction", actor=0, job=0)
    assert world.row()["pledged"] == [1_500, 1_500, 1_200, 1_500, 0]


def test_leaving_before_the_verdict_saves_nothing():
    """Asked on the day of the lie, paid out after the delay: what is pledged stays in the job."""
    world = registered()("top_up", actor=LAYOUT.node(0), amount=500)
    metric = L.digest_of(**METRIC)
    world("bid", buyer=2, job=0, tags=3, amount=900, tau_bps=9_000, metric=metric)
    world("wait", blocks=20)("close_auction", actor=0, job=0)
    world.round([BAD, BAD, None, GOOD, None], accepted=BAD)
    world("request_withdrawal", actor=LAYOUT.node(0), amount=500)
    world("request_withdrawal", L.Reason.NOT_ENOUGH_MONEY, actor=LAYOUT.node(1), amount=1)
    world.round([None, None, GOOD, None, None])("open_metric", actor=2, job=0, **METRIC)
    world.verification([None, None, GOOD, None, None], metric=9_100)("wait", blocks=9)
    world("open_dispute", actor=2, job=0, unit=0)("wait", blocks=199)
    world("wait", blocks=101)("withdraw", actor=LAYOUT.node(0))
    assert (world.balances[7], world.stakes[7]) == (2_000, 0)
    assert bool(world.ledger.registered[7])  # a pledge is in the job
    world.book("book_dispute", papers=TRUTH)
    assert world.row()["pledged"][:2] == [0, 0] and world.banned == [7, 8]


def test_a_decision_is_booked_once_and_for_its_own_request():
    """The same one again, an older one, one that is not over, one of the job before."""
    world = matched()
    first = decided(world)
    world.book("book_round", decided(world, is_over=False), L.Reason.TOO_EARLY)
    world.book("book_round", decided(world, serial=0), L.Reason.TOO_EARLY)
    world.book("book_round", decided(world, serial=2), L.Reason.TOO_EARLY)
    world.book("book_round", first).book("book_round", first, L.Reason.TOO_EARLY)
    second = decided(world)
    world.book("book_round", second)("open_metric", actor=2, job=0, **METRIC)
    world.book("book_verification", second, L.Reason.TOO_EARLY)
    third = decided(world, metric=9_100)
    world.book("book_verification", third).dispute(0)
    for old in (first, second, third):
        world.book("book_dispute", old, L.Reason.TOO_EARLY)
    world("wait", blocks=200)("time_out", actor=0, job=0)("reset_job", actor=0, job=0)
    world.rules = open_rules(min_sellers=1)
    metric = L.digest_of(**METRIC)
    world("bid", buyer=2, job=0, tags=3, amount=900, tau_bps=9_000, metric=metric)
    world("wait", blocks=20)("close_auction", actor=0, job=0)
    for old in (first, second, third):
        world.book("book_round", old, L.Reason.TOO_EARLY)


def test_a_decision_of_one_job_books_nothing_in_another():
    """Serials count by slot: the first requests of two jobs have the same one; votes tell them
    apart by their slot, from which `decision_of` takes the decision."""
    world = sold(deposits=(2_000,) * 4)
    assert world.row(0)["serial"] == world.row(1)["serial"] == 1
    votes = L.new_chain(LAYOUT, buyer_funds=0, seller_funds=0, node_funds=0).votes
    stage, over = votes.stage.at[0].set(4), votes.serial.at[0].set(1)
    votes = votes.replace(stage=stage, serial=over)  # the vote of job 0 has FAILED
    of = jax.jit(L.decision_of)
    world.book("book_round", of(votes, 1), L.Reason.TOO_EARLY, job=1)
    world.book("book_round", of(votes, 0), job=0)


ANYBODYS = {
    "close_auction": registered,
    "book_round": matched,
    "book_verification": trained,
    "open_dispute": challenged,
    "book_dispute": lambda **options: challenged(**options).dispute(0),
    "settle": challenged,
    "time_out": matched,
    "reset_job": lambda **options: challenged(**options).end(),
    "take": lambda **options: challenged(metric=1, **options),
    "open_metric": matched,
}


@pytest.mark.parametrize("name", ANYBODYS)
def test_a_stolen_treasury_key_does_what_any_stranger_could(name):
    """Treasury or a losing bidder: same receipt, same ledger but for the disputer's own bond."""
    world = ANYBODYS[name]()
    if name == "close_auction":
        world("bid", buyer=2, job=0, tags=3, amount=900, tau_bps=0)("wait", blocks=20)
    elif name in ("settle", "time_out"):
        world("wait", blocks=200)
    more = {"decision": decided(world)} if name.startswith("book") else {}
    more |= {"unit": 0} if name == "open_dispute" else {}
    more |= METRIC if name == "open_metric" else {}
    step, ends = jax.jit(L.TRANSITIONS[name]), []
    for actor in (LAYOUT.treasury, 1):
        balances = world.ledger.balances.at[actor].set(500)  # the bond, for either
        supply = world.ledger.supply + 500 - world.ledger.balances[actor]
        start = world.ledger.replace(balances=balances, supply=supply)
        after, reason = step(start, world.rules, actor=actor, job=0, **more)
        gains = np.asarray(after.balances - balances)
        ends.append((int(reason), np.delete(gains, [1, LAYOUT.treasury]), vars(after.jobs)))
        ends[-1][2].pop("disputer")
        assert gains[actor] <= 0 or (name == "settle" and actor == LAYOUT.treasury)  # the fee
    (one, gains, jobs), (other, others, more) = ends
    assert one == other and (gains == others).all() and same(jobs, more)
    assert (one == L.Reason.NOT_AUTHORISED) == (name in ("take", "open_metric"))


@pytest.mark.parametrize("insiders", [0, 1])
def test_a_model_that_is_kept_from_the_nodes_makes_nobody_rich(insiders):
    """All others are silent in every unit, and slashed: the buyer gains nothing, its node no more
    from them than it has earned.
    """
    world = matched(rules=open_rules(slash_silent_bps=5_000))
    papers = [GOOD] * insiders + [0] * (5 - insiders)
    before = np.asarray(L.wealth(world.ledger))
    for _ in range(2):
        world.round(papers, accepted=GOOD if insiders else 0)
    earned = sum(world.row()["earned"])
    world("wait", blocks=200)("time_out", actor=0, job=0)
    gain = np.asarray(L.wealth(world.ledger)) - before
    pledge = [1_000] * insiders  # comes back
    assert gain[7 : 7 + insiders].tolist() == [back + 2 * earned for back in pledge]
    assert world.stakes[7 + insiders : 12] == [0] * (5 - insiders)
    row = world.row()
    assert row["refunded"] + row["seller_paid"] + row["fee_paid"] + earned == row["price"]
    assert int(world.ledger.burned) == (5 - insiders) * 1_000 - earned


@pytest.mark.parametrize("min_nodes", [1, 2])
def test_who_binds_the_nodes_with_a_cheap_job_is_alone_in_the_next_unless_it_needs_more(min_nodes):
    """Node 4 has two stakes, all others one. The price of the second job goes to who binds them."""
    world = World(open_rules(min_sellers=1, min_nodes=min_nodes))
    for seller, tags in ((0, 4), (1, 3)):  # of the attacker
        offer = {"tags": tags, "size": 1, "commitment": 1, "deposit": 1_000}
        world("register_seller", actor=LAYOUT.seller(seller), **offer)
    for node, stake in enumerate((1_000, 1_000, 1_000, 1_000, 2_000)):
        world("register_node", actor=LAYOUT.node(node), stake=stake)
    terms = {"tau_bps": 9_000, "metric": L.digest_of(**METRIC)}
    world("bid", buyer=0, job=0, tags=4, amount=100, **terms)
    world("wait", blocks=20)("close_auction", actor=0, job=0)
    assert world.row(0)["pledged"] == [1_000] * 5
    before = world.balances
    world("bid", buyer=1, job=1, tags=3, amount=8_000, **terms)
    world("bid", buyer=2, job=1, tags=3, amount=6_000, **terms)
    world("wait", blocks=20)("close_auction", actor=0, job=1)
    if min_nodes > 1:
        assert world.row(1)["phase"] == L.Phase.ABORTED and world.balances == before
        return
    alone = [None] * 4 + [GOOD]
    world.round(alone, job=1).round(alone, job=1)("open_metric", actor=1, job=1, **METRIC)
    world.verification(alone, job=1, metric=9_999, sellers=[0, 1, 0, 0]).end(1)
    gain = np.asarray(world.balances) - before
    assert gain[[1, LAYOUT.seller(1), LAYOUT.node(4)]].tolist() == [-6_000, 4_200, 1_500]
