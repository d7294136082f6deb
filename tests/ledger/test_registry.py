"""Registration, stakes, withdrawals and bans."""

import numpy as np

from d2m_jax import ledger as L
from tests.ledger.worlds import (
    BAD,
    GOOD,
    LAYOUT,
    World,
    challenged,
    open_rules,
    registered,
)

SELLER, NODE = LAYOUT.seller(0), LAYOUT.node(0)
LISTING = {"tags": 3, "size": 10, "commitment": 77}


def test_registration_moves_the_deposit():
    world = World()
    world("register_seller", actor=SELLER, deposit=1_500, **LISTING)
    assert (world.balances[SELLER], world.stakes[SELLER]) == (500, 1_500)
    assert (int(world.ledger.tags[0]), int(world.ledger.commitments[0])) == (3, 77)
    world("register_seller", L.Reason.ALREADY_DONE, actor=SELLER, deposit=1_000, **LISTING)
    world("register_seller", L.Reason.NOT_AUTHORISED, actor=NODE, deposit=1_000, **LISTING)
    world("register_node", L.Reason.NOT_AUTHORISED, actor=SELLER, stake=1_000)
    other = {"actor": LAYOUT.seller(1)}
    world("register_seller", L.Reason.DEPOSIT_TOO_LOW, **other, deposit=999, **LISTING)
    world("register_seller", L.Reason.NOT_ENOUGH_MONEY, **other, deposit=2_001, **LISTING)
    world("register_seller", L.Reason.BAD_VALUE, **other, deposit=1_000, **{**LISTING, "tags": 0})


def test_a_stake_is_paid_back_after_the_delay_only_once():
    world = registered()
    world("withdraw", L.Reason.WRONG_PHASE, actor=NODE)
    world("request_withdrawal", L.Reason.NOT_ENOUGH_MONEY, actor=NODE, amount=1_001)
    world("request_withdrawal", actor=NODE, amount=400)("wait", blocks=299)
    world("withdraw", L.Reason.TOO_EARLY, actor=NODE)
    assert not bool(L.eligible_nodes(world.ledger, world.rules)[0])  # asked back: no new work
    world("wait", blocks=1)("withdraw", actor=NODE)
    assert (world.balances[NODE], world.stakes[NODE]) == (2_400, 600)
    world("withdraw", L.Reason.WRONG_PHASE, actor=NODE)
    world("top_up", actor=NODE, amount=400)
    assert bool(L.eligible_nodes(world.ledger, world.rules)[0])


def test_a_new_request_starts_the_delay_again():
    world = registered()
    world("request_withdrawal", actor=NODE, amount=1)("wait", blocks=299)
    world("request_withdrawal", actor=NODE, amount=1_000)("wait", blocks=299)
    world("withdraw", L.Reason.TOO_EARLY, actor=NODE)


def test_who_leaves_after_the_close_stays_in_the_job():
    """What is pledged cannot be asked back; who asked before the auction is not in the job."""
    world = registered(rules=open_rules(slash_wrong_bps=6_000))
    world("top_up", actor=NODE, amount=500)("request_withdrawal", actor=NODE, amount=500)
    for node in (1, 2):
        world("request_withdrawal", actor=LAYOUT.node(node), amount=1_000)("wait", blocks=node)
        if node == 1:
            world("bid", buyer=0, job=0, tags=3, amount=1_000, tau_bps=9_000)
    world("wait", blocks=20)("close_auction", actor=0, job=0)
    assert world.row()["pledged"] == [1_000, 0, 1_000, 1_000, 1_000]  # node 1 had left in time
    world.round([BAD, None, None, None, None])
    assert (world.row()["pledged"][0], world.row()["held"][0]) == (400, 600)
    world("request_withdrawal", L.Reason.NOT_ENOUGH_MONEY, actor=NODE, amount=501)
    world("wait", blocks=300)("withdraw", actor=NODE)
    assert world.stakes[NODE] == 0 and bool(world.ledger.registered[NODE])
    world("time_out", actor=0, job=0)
    assert (world.balances[NODE], world.stakes[NODE]) == (2_000, 400)


def test_a_node_that_left_cannot_block_the_round():
    world = registered()
    world("request_withdrawal", actor=NODE, amount=1_000)("wait", blocks=300)
    world("withdraw", actor=NODE)
    world("bid", buyer=0, job=0, tags=3, amount=1_000, tau_bps=9_000)("wait", blocks=20)
    world("close_auction", actor=0, job=0)
    world.round([GOOD, GOOD, None, None, None])  # price 100: 25 for compute, 8 a unit
    assert world.row()["earned"][:2] == [0, 8]


def test_a_seller_with_a_locked_deposit_stays_registered():
    world = challenged(rules=open_rules(slash_harm_bps=2_500))
    world("top_up", actor=SELLER, amount=100)
    world("request_withdrawal", actor=SELLER, amount=100)("wait", blocks=300)
    world("withdraw", actor=SELLER)
    assert world.stakes[SELLER] == 0 and bool(world.ledger.registered[SELLER])
    world("settle", actor=0, job=0)
    assert world.stakes[SELLER] == 1_000
    world("request_withdrawal", actor=SELLER, amount=1_000)("wait", blocks=300)
    world("withdraw", actor=SELLER)
    assert not bool(world.ledger.registered[SELLER])


def test_coming_back_does_not_wash_off_reputation_or_ban():
    """Nothing lifts a ban: who did harm, or voted for what fell, is out for good."""
    world = challenged(harm=[1, 0, 0, 0])
    world.dispute(2, [None, None, None, BAD, None], accepted=BAD, metric=9_100, harm=[1, 0, 0, 0])
    world.end()
    assert world.banned == [SELLER, *(LAYOUT.node(i) for i in (0, 1, 4))]
    world("register_seller", L.Reason.BANNED, actor=SELLER, deposit=1_000, **LISTING)
    world("register_node", L.Reason.BANNED, actor=NODE, stake=1_000)
    for who in (SELLER, NODE):
        world("top_up", L.Reason.BANNED, actor=who, amount=10)


def eligible(world, tags, rules=None, pool=0, tau_bps=0):
    terms = {"pool": pool, "tau_bps": tau_bps, "since": world.ledger.block}
    return np.asarray(
        L.eligible_sellers(world.ledger, rules or world.rules, tags, **terms)
    ).tolist()


def test_eligible_sellers_cover_the_tags():
    world = World()
    for i, tags in enumerate((0b001, 0b011, 0b111, 0b110)):
        actor = LAYOUT.seller(i)
        world("register_seller", actor=actor, tags=tags, size=1, commitment=0, deposit=1_000)
    assert eligible(world, 0b011) == [False, True, True, False]
    assert not any(eligible(world, 0b001, L.make_rules(min_reputation_bps=5_001)))
    assert not any(eligible(world, 0b001, L.make_rules(seller_deposit=1_001)))


def test_a_seller_works_only_on_its_terms():
    """Two of four ask for more than nothing: the pool and the threshold at their bounds."""
    world = World()
    for i, (ask, max_tau) in enumerate([(0, 10_000), (500, 10_000), (0, 9_000), (500, 9_000)]):
        terms = {"deposit": 1_000, "ask": ask, "max_tau_bps": max_tau}
        world("register_seller", actor=LAYOUT.seller(i), **LISTING, **terms)
    assert eligible(world, 3, pool=500, tau_bps=9_000) == [True] * 4
    assert eligible(world, 3, pool=499, tau_bps=9_000) == [True, False, True, False]
    assert eligible(world, 3, pool=500, tau_bps=9_001) == [True, True, False, False]
    world("set_ask", actor=LAYOUT.seller(3), ask=0, max_tau_bps=10_000)
    assert eligible(world, 3, pool=499, tau_bps=9_001) == [True, False, False, True]


def test_terms_stand_while_an_auction_that_they_fit_runs():
    world = registered()
    new = {"actor": SELLER, "ask": 900, "max_tau_bps": 10_000}
    world("set_ask", L.Reason.NOT_AUTHORISED, **{**new, "actor": NODE})
    for odd in ({"ask": -1}, {"max_tau_bps": -1}, {"max_tau_bps": 10_001}):
        world("set_ask", L.Reason.BAD_VALUE, **{**new, **odd})
    world("bid", buyer=0, job=0, tags=8, amount=1_000, tau_bps=9_000)("set_ask", **new)
    world("bid", buyer=0, job=1, tags=3, amount=1_000, tau_bps=9_000)
    world("set_ask", L.Reason.TOO_LATE, **new)
    world("wait", blocks=20)("set_ask", L.Reason.TOO_LATE, **new)
    world("close_auction", actor=0, job=1)("set_ask", **new)
    late = World()("set_ask", L.Reason.NOT_REGISTERED, **new)
    terms = {"deposit": 1_000, "ask": -1}
    late("register_seller", L.Reason.BAD_VALUE, actor=SELLER, **LISTING, **terms)


def test_nobody_leaves_because_of_a_price_that_is_known():
    """A request before the last bid counts, one after it comes too late for this job."""
    world = registered(rules=open_rules(min_sellers=3))
    world("request_withdrawal", actor=SELLER, amount=1_000)("wait", blocks=1)
    world("bid", buyer=0, job=0, tags=3, amount=1_000, tau_bps=9_000)
    for i in (1, 2, 3):
        world("request_withdrawal", actor=LAYOUT.seller(i), amount=1_000)
    world("wait", blocks=20)("close_auction", actor=0, job=0)
    assert world.row()["phase"] == L.Phase.MATCHED
    assert world.row()["locked"] == [0, 1_000, 1_000, 1_000]
