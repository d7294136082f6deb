"""Registration, stakes, withdrawals and bans."""

import numpy as np

from d2m_jax import ledger as L
from tests.ledger.worlds import ARBITER, LAYOUT, World, challenged, matched, registered

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


def test_money_asked_back_can_still_be_slashed():
    """A node that runs for the exit after lying loses all the same, and gets only what is left."""
    world = matched(rules=L.make_rules(num_rounds=2, slash_wrong_bps=6_000))
    world("request_withdrawal", actor=NODE, amount=1_000)
    world("settle_round", actor=ARBITER, job=0, outcomes=np.array([2, 0, 0, 0, 0]))
    assert world.stakes[NODE] == 400
    world("wait", blocks=300)("withdraw", L.Reason.TOO_EARLY, actor=NODE)  # the job still runs
    world("time_out", actor=0, job=0)("withdraw", actor=NODE)
    assert (world.balances[NODE], world.stakes[NODE]) == (2_400, 0)
    assert not bool(world.ledger.registered[NODE])


def test_a_node_that_left_cannot_block_the_round():
    world = registered()
    world("request_withdrawal", actor=NODE, amount=1_000)("wait", blocks=300)
    world("withdraw", actor=NODE)
    world("bid", buyer=0, job=0, tags=3, amount=1_000, tau_bps=9_000)("wait", blocks=20)
    world("close_auction", actor=0, job=0)("match", actor=0, job=0)
    before = world.balances[NODE]
    world("settle_round", actor=ARBITER, job=0, outcomes=np.array([1, 1, 0, 0, 0]))
    assert world.balances[NODE] == before and world.balances[NODE + 1] > 2_000


def test_a_seller_with_a_locked_deposit_stays_registered():
    world = challenged(rules=L.make_rules(num_rounds=2, second_price=1, slash_harm_bps=2_500))
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
    world = challenged()
    world("settle", L.Reason.TOO_EARLY, actor=0, job=0)
    world("slash_seller", actor=ARBITER, job=0, target=SELLER)("wait", blocks=10)
    world("settle", actor=0, job=0)
    world("register_seller", L.Reason.BANNED, actor=SELLER, deposit=1_000, **LISTING)
    world("top_up", L.Reason.BANNED, actor=SELLER, amount=10)
    world("ban", L.Reason.NOT_AUTHORISED, actor=SELLER, target=SELLER, banned=0)
    world("ban", actor=ARBITER, target=SELLER, banned=0)
    world("top_up", actor=SELLER, amount=10)
    world("ban", L.Reason.ALREADY_DONE, actor=ARBITER, target=SELLER, banned=0)
    for target in (0, ARBITER, -1, 13):
        world("ban", L.Reason.UNKNOWN_PARTY, actor=ARBITER, target=target)


def test_eligible_sellers_cover_the_tags():
    world = World()
    for i, tags in enumerate((0b001, 0b011, 0b111, 0b110)):
        actor = LAYOUT.seller(i)
        world("register_seller", actor=actor, tags=tags, size=1, commitment=0, deposit=1_000)
    got = np.asarray(L.eligible_sellers(world.ledger, world.rules, 0b011)).tolist()
    assert got == [False, True, True, False]
    low = L.make_rules(min_reputation_bps=5_001)
    assert not np.asarray(L.eligible_sellers(world.ledger, low, 0b001)).any()
    dear = L.make_rules(seller_deposit=1_001)
    assert not np.asarray(L.eligible_sellers(world.ledger, dear, 0b001)).any()
