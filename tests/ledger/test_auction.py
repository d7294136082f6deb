"""Open ascending auctions: own bids, prices that nobody can move, windows."""

import numpy as np
import pytest

from d2m_jax import ledger as L
from d2m_jax.core.money import largest
from tests.ledger.worlds import World, open_rules, registered

OPEN = {"job": 0, "tags": 3, "tau_bps": 9_000}


def test_every_bidder_pays_in_only_what_it_adds():
    world = World()
    world("bid", buyer=0, amount=100, **OPEN)("bid", buyer=1, amount=105, **OPEN)
    assert world.balances[:3] == [9_900, 9_895, 10_000]
    world("bid", buyer=0, amount=10_000, **OPEN)
    assert world.balances[:3] == [0, 9_895, 10_000]
    assert world.row()["deposits"] == [10_000, 105, 0]


def test_a_losing_bidder_ends_with_what_it_had():
    world = registered()
    for buyer, amount in ((0, 300), (1, 500), (2, 400), (1, 600)):
        world("bid", buyer=buyer, amount=amount, **OPEN)
    world("wait", blocks=20)("close_auction", actor=5, job=0)
    assert world.balances[:3] == [10_000, 10_000 - 400, 10_000]
    assert world.row()["bids"] == [300, 600, 400]  # stay to be read


@pytest.mark.parametrize(
    ("second_price", "bids", "winner", "price"),
    [
        (0, [(0, 300)], 0, 300),
        (1, [(0, 300)], 0, 100),  # alone: the reserve
        (0, [(0, 300), (1, 500)], 1, 500),
        (1, [(0, 300), (1, 500)], 1, 300),
        (1, [(0, 300), (1, 500), (0, 900)], 0, 500),  # its own lower bid is not another's
        (1, [(0, 900), (1, 300), (2, 700)], 0, 700),  # a jump does not fix the price
        (1, [(0, 300), (0, 900), (1, 500)], 0, 500),  # nor does raising oneself
        (1, [(1, 400), (0, 400)], 1, 400),  # a tie stays with who came first
    ],
)
def test_price(second_price, bids, winner, price):
    world = registered(rules=open_rules(second_price=second_price))
    for buyer, amount in bids:
        world("bid", buyer=buyer, amount=amount, **OPEN)
    world("wait", blocks=20)("close_auction", actor=5, job=0)
    row = world.row()
    assert (row["price"], row["buyer"]) == (price, winner)
    assert row["seller_pool"] + row["compute_pool"] + row["fee_pool"] == price
    assert world.balances[winner] == 10_000 - price
    assert sum(world.balances[:3]) == 30_000 - price


def test_the_smallest_bid_is_the_boundary():
    """`minimum_bid` is accepted, one unit less is refused: reserve, 5 %, at least one unit."""
    world = World(rules=open_rules(reserve=7))
    for buyer, least in ((0, 7), (1, 7), (0, 8)):
        assert int(L.minimum_bid(world.ledger, world.rules, 0, buyer)) == least
        world("bid", L.Reason.BID_TOO_LOW, buyer=buyer, amount=least - 1, **OPEN)
        world("bid", buyer=buyer, amount=least, **OPEN)
    world("bid", buyer=1, amount=1_000, **OPEN)
    assert int(L.minimum_bid(world.ledger, world.rules, 0, 1)) == 1_050
    assert int(L.minimum_bid(world.ledger, world.rules, 0, 0)) == 9


def test_the_window_counts_from_the_last_bid():
    """Who bids in the last block cannot be the last: the others get a whole window."""
    world = World()
    world("bid", buyer=0, amount=100, **OPEN)("wait", blocks=19)
    world("close_auction", L.Reason.TOO_EARLY, actor=0, job=0)
    world("bid", buyer=1, amount=200, **OPEN)("wait", blocks=19)
    world("bid", buyer=0, amount=300, **OPEN)("wait", blocks=20)
    world("bid", L.Reason.TOO_LATE, buyer=1, amount=9_000, **OPEN)
    world("close_auction", actor=0, job=0)
    world("bid", L.Reason.ALREADY_DONE, buyer=1, amount=9_000, **OPEN)  # no sellers: aborted
    assert (world.row()["buyer"], world.row()["price"]) == (0, 200)


def test_nobody_bids_for_somebody_else_or_in_another_format():
    world = World()
    for actor in (3, 7, 12):  # a seller, a node, the arbiter
        world("bid", L.Reason.NOT_AUTHORISED, buyer=actor, amount=100, **OPEN)
    for actor in (-1, 13):
        world("bid", L.Reason.UNKNOWN_PARTY, buyer=actor, amount=100, **OPEN)
    World(rules=L.make_rules())("bid", L.Reason.WRONG_FORMAT, buyer=0, amount=100, **OPEN)


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


def test_the_request_is_that_of_the_winner():
    """Tau, model and metric of the winner's last bid."""
    world = registered()
    world("bid", buyer=1, amount=100, **OPEN)
    world("bid", buyer=1, amount=900, **{**OPEN, "tau_bps": 9_900}, model=5, metric=6)
    world("bid", buyer=0, amount=200, **OPEN, model=7, metric=8)
    assert [world.row()[name] for name in ("tau_bps", "model", "metric")] == [0, 0, 0]
    world("wait", blocks=20)("close_auction", actor=5, job=0)
    assert [world.row()[name] for name in ("tau_bps", "model", "metric")] == [9_900, 5, 6]


@pytest.mark.parametrize("odd", [{"tags": 0}, {"tags": -1}, {"tau_bps": -1}, {"tau_bps": 10_001}])
def test_bad_requests(odd):
    World()("bid", L.Reason.BAD_VALUE, buyer=0, amount=100, **{**OPEN, **odd})


def test_no_overflow_at_the_limit_of_the_supply():
    """A bid near 2**31 (2**63): raising it by 5 % is impossible and does not wrap around."""
    most = largest()
    rich = np.array([most - 3_000, 2_000, 1_000])
    world = World(buyer_funds=rich, seller_funds=0, node_funds=0)
    world("bid", buyer=0, amount=most - 3_000, **OPEN)
    for buyer, amount in ((0, most), (1, -1), (0, -1), (0, -most - 1)):
        world("bid", L.Reason.BID_TOO_LOW, buyer=buyer, amount=amount, **OPEN)
    world("bid", L.Reason.NOT_ENOUGH_MONEY, buyer=1, amount=most, **OPEN)
    assert int(L.minimum_bid(world.ledger, world.rules, 0, 0)) == most
    world("wait", blocks=20)("close_auction", actor=0, job=0)
    assert (world.row()["price"], world.row()["refunded"]) == (100, 100)
    assert world.balances[:3] == rich.tolist()


def test_a_price_of_one_unit_splits_exactly():
    world = registered(rules=open_rules(reserve=1))
    world("bid", buyer=0, amount=1, **OPEN)("wait", blocks=20)("close_auction", actor=0, job=0)
    row = world.row()
    assert (row["seller_pool"], row["fee_pool"], row["compute_pool"]) == (0, 0, 1)
