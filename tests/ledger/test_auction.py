"""Bids, refunds, prices and windows."""

import numpy as np
import pytest

from d2m_jax import ledger as L
from tests.ledger.worlds import RULES, World, registered

OPEN = {"job": 0, "tags": 3, "tau_bps": 9_000}


def test_a_losing_bidder_ends_with_what_it_had():
    world = World()
    world("bid", buyer=0, amount=100, **OPEN)("bid", buyer=1, amount=105, **OPEN)
    assert world.balances[:3] == [10_000, 9_895, 10_000]
    world("bid", buyer=0, amount=10_000, **OPEN)
    assert world.balances[:3] == [0, 10_000, 10_000]
    assert world.row()["escrow"] == 10_000


@pytest.mark.parametrize(
    ("second_price", "bids", "price"),
    [
        (0, [(0, 300)], 300),
        (1, [(0, 300)], 100),  # alone: the reserve
        (0, [(0, 300), (1, 500)], 500),
        (1, [(0, 300), (1, 500)], 300),
        (1, [(0, 300), (1, 500), (0, 900)], 500),  # its own lower bid was outbid by another
        (1, [(0, 100), (1, 105)], 105 - 5),
    ],
)
def test_price(second_price, bids, price):
    world = World(rules=L.make_rules(second_price=second_price))
    for buyer, amount in bids:
        world("bid", buyer=buyer, amount=amount, **OPEN)
    world("wait", blocks=20)("close_auction", actor=5, job=0)
    row, winner = world.row(), bids[-1][0]
    assert row["price"] == price
    assert row["seller_pool"] + row["compute_pool"] + row["fee_pool"] == price
    assert world.balances[winner] == 10_000 - price
    assert sum(world.balances[:3]) == 30_000 - price


def test_the_smallest_bid_is_the_boundary():
    """`minimum_bid` is accepted, one unit less is refused: reserve, 5 %, at least one unit."""
    world = World(rules=L.make_rules(reserve=7))
    for buyer, least in ((0, 7), (1, 8), (0, 9)):
        assert int(L.minimum_bid(world.ledger, world.rules, 0)) == least
        world("bid", L.Reason.BID_TOO_LOW, buyer=buyer, amount=least - 1, **OPEN)
        world("bid", buyer=buyer, amount=least, **OPEN)
    world("bid", buyer=1, amount=1_000, **OPEN)
    assert int(L.minimum_bid(world.ledger, world.rules, 0)) == 1_050


def test_the_window_counts_from_the_first_bid():
    world = World()
    world("bid", buyer=0, amount=100, **OPEN)("wait", blocks=19)
    world("close_auction", L.Reason.TOO_EARLY, actor=0, job=0)
    world("bid", buyer=1, amount=200, **OPEN)("wait", blocks=1)
    world("bid", L.Reason.TOO_LATE, buyer=0, amount=9_000, **OPEN)
    world("close_auction", actor=0, job=0)
    world("bid", L.Reason.WRONG_PHASE, buyer=0, amount=9_000, **OPEN)
    world("close_auction", L.Reason.WRONG_PHASE, actor=0, job=0)
    assert world.row()["buyer"] == 1


def test_nobody_bids_for_somebody_else_or_against_itself():
    world = World()
    for actor in (3, 7, 12):  # a seller, a node, the arbiter
        world("bid", L.Reason.NOT_AUTHORISED, buyer=actor, amount=100, **OPEN)
    for actor in (-1, 13):
        world("bid", L.Reason.UNKNOWN_PARTY, buyer=actor, amount=100, **OPEN)
    world("bid", buyer=0, amount=100, **OPEN)
    world("bid", L.Reason.ALREADY_LEADING, buyer=0, amount=200, **OPEN)


def test_one_auction_per_tag_set_and_several_side_by_side():
    world = World()
    world("bid", buyer=0, amount=100, **OPEN)
    other = {**OPEN, "job": 1}
    world("bid", L.Reason.TAGS_TAKEN, buyer=1, amount=100, **other)
    world("bid", L.Reason.WRONG_TAGS, buyer=1, amount=200, **{**OPEN, "tags": 1})
    world("bid", buyer=0, amount=400, **{**other, "tags": 4})
    assert world.balances[0] == 10_000 - 500
    world("wait", blocks=20)("close_auction", actor=0, job=1)("close_auction", actor=0, job=0)
    assert (world.row(0)["price"], world.row(1)["price"]) == (100, 100)  # second price: reserve


def test_the_threshold_is_that_of_the_best_bidder():
    world = World()
    world("bid", buyer=0, amount=100, **OPEN)
    world("bid", buyer=1, amount=200, **{**OPEN, "tau_bps": 9_900})
    assert world.row()["tau_bps"] == 9_900


@pytest.mark.parametrize("odd", [{"tags": 0}, {"tags": -1}, {"tau_bps": -1}, {"tau_bps": 10_001}])
def test_bad_requests(odd):
    World()("bid", L.Reason.BAD_VALUE, buyer=0, amount=100, **{**OPEN, **odd})


def test_no_overflow_at_the_limit_of_the_supply():
    """A best bid near 2**31: outbidding it by 5 % is impossible and does not wrap around."""
    rich = np.array([L.INT_MAX - 3_000, 2_000, 1_000])
    world = World(buyer_funds=rich, seller_funds=0, node_funds=0)
    world("bid", buyer=0, amount=L.INT_MAX - 3_000, **OPEN)
    for amount in (L.INT_MAX, -1, -(2**31)):
        world("bid", L.Reason.BID_TOO_LOW, buyer=1, amount=amount, **OPEN)
    assert int(L.minimum_bid(world.ledger, world.rules, 0)) == L.INT_MAX
    world("wait", blocks=20)("close_auction", actor=0, job=0)
    assert world.balances[0] == L.INT_MAX - 3_000 - 100


def test_a_price_of_one_unit_splits_exactly():
    world = registered(rules=L.make_rules(reserve=1))
    world("bid", buyer=0, amount=1, **OPEN)("wait", blocks=20)("close_auction", actor=0, job=0)
    row = world.row()
    assert (row["seller_pool"], row["fee_pool"], row["compute_pool"]) == (0, 0, 1)


def test_rules_are_the_default_of_the_worlds():
    assert int(RULES.second_price) == 1 and int(RULES.auction_window) == 20
