"""Sealed auctions: commitments, deposits, reveals, and what trying to cheat costs."""

import jax
import numpy as np
import pytest

from d2m_jax import ledger as L
from tests.ledger.worlds import World, registered

SLOT = {"job": 0, "tags": 3}


def sealed_world(**changed):
    return registered(rules=L.make_rules(num_rounds=2, **changed))


def content(buyer, amount, job=0, **changed):
    """What a buyer seals and reveals."""
    return {
        "job": job,
        "buyer": buyer,
        "amount": amount,
        "tau_bps": 9_000,
        "model": 11 + buyer,
        "metric": 21,
        "salt": 31,
        **changed,
    }


def seal(world, buyer, amount, deposit=None, expect=L.Reason.OK, tags=3, **changed):
    said = content(buyer, amount, **changed)
    slot = {"job": said["job"], "tags": tags, "deposit": amount if deposit is None else deposit}
    return world("seal", expect, buyer=buyer, commitment=L.commitment_of(**said), **slot)


def auctioned(world, bids, revealed, deposit=5_000):
    """Every buyer seals, some reveal, anybody closes."""
    for buyer, amount in bids:
        seal(world, buyer, amount, deposit)
    world("wait", blocks=20)
    for buyer, amount in bids:
        if buyer in revealed:
            world("reveal", **content(buyer, amount))
    return world("wait", blocks=10)("close_auction", actor=5, job=0)


@pytest.mark.parametrize(
    ("second_price", "bids", "winner", "price"),
    [
        (1, [(0, 300), (1, 500), (2, 400)], 1, 400),
        (0, [(0, 300), (1, 500), (2, 400)], 1, 500),
        (1, [(1, 300)], 1, 100),  # alone: the reserve
        (1, [(2, 500), (1, 500)], 1, 500),  # a tie: the lowest account
    ],
)
def test_price(second_price, bids, winner, price):
    world = sealed_world(second_price=second_price)
    auctioned(world, bids, {0, 1, 2})
    row = world.row()
    assert (row["phase"], row["buyer"], row["price"]) == (L.Phase.MATCHED, winner, price)
    assert (row["tau_bps"], row["model"], row["metric"]) == (9_000, 11 + winner, 21)
    assert row["seller_pool"] + row["compute_pool"] + row["fee_pool"] == price
    expected = [10_000] * 3
    expected[winner] -= price
    assert world.balances[:3] == expected and row["deposits"] == [0] * 3


def test_a_bid_that_is_not_revealed_does_not_count_and_costs_a_share_of_its_deposit():
    world = auctioned(sealed_world(), [(0, 300), (1, 500), (2, 400)], {0, 2})
    assert (world.row()["buyer"], world.row()["price"]) == (2, 300)
    assert world.balances[:3] == [10_000, 10_000 - 1_000, 10_000 - 300]
    assert int(world.ledger.burned) == 1_000


def test_nobody_reveals():
    world = auctioned(sealed_world(unrevealed_bps=10_000), [(0, 300), (1, 500)], {})
    row = world.row()
    assert (row["phase"], row["buyer"], row["price"]) == (L.Phase.ABORTED, L.NOBODY, 0)
    assert world.balances[:3] == [5_000, 5_000, 10_000] and world.balances[12] == 0
    world("reset_job", actor=0, job=0)
    assert world.row()["seals"] == [0] * 3


def test_windows_to_the_block():
    world = seal(sealed_world(), 0, 300)
    world("reveal", L.Reason.TOO_EARLY, **content(0, 300))
    world("wait", blocks=19)
    seal(world, 1, 300)  # does not move the windows
    world("wait", blocks=1)
    seal(world, 2, 300, expect=L.Reason.TOO_LATE)
    world("close_auction", L.Reason.TOO_EARLY, actor=0, job=0)
    world("reveal", **content(0, 300))("wait", blocks=9)
    world("close_auction", L.Reason.TOO_EARLY, actor=0, job=0)
    world("reveal", **content(1, 300))("wait", blocks=1)
    world("reveal", L.Reason.TOO_LATE, **content(1, 300))
    world("close_auction", actor=0, job=0)
    world("reveal", L.Reason.WRONG_PHASE, **content(1, 300))
    seal(world, 2, 300, expect=L.Reason.WRONG_PHASE)


def test_seals_that_are_refused():
    world = sealed_world()
    seal(world, 3, 300, expect=L.Reason.NOT_AUTHORISED)
    seal(world, 13, 300, expect=L.Reason.UNKNOWN_PARTY)
    seal(world, 0, 300, job=2, expect=L.Reason.UNKNOWN_JOB)
    seal(world, 0, 300, tags=0, expect=L.Reason.BAD_VALUE)
    world("seal", L.Reason.BAD_VALUE, buyer=0, deposit=300, commitment=0, **SLOT)
    seal(world, 0, 300, 99, expect=L.Reason.BID_TOO_LOW)
    seal(world, 0, 300, 10_001, expect=L.Reason.NOT_ENOUGH_MONEY)
    seal(world, 0, 300)
    seal(world, 0, 400, expect=L.Reason.ALREADY_DONE)
    seal(world, 1, 300, tags=1, expect=L.Reason.WRONG_TAGS)
    seal(world, 1, 300, job=1, expect=L.Reason.TAGS_TAKEN)
    World()("seal", L.Reason.WRONG_FORMAT, buyer=0, deposit=300, commitment=1, **SLOT)


@pytest.mark.parametrize(
    "odd", [{"amount": 301}, {"tau_bps": 1}, {"model": 0}, {"metric": 0}, {"salt": 0}]
)
def test_another_content_than_what_was_sealed_is_refused(odd):
    world = seal(sealed_world(), 0, 300, 5_000)("wait", blocks=20)
    world("reveal", L.Reason.BAD_VALUE, **{**content(0, 300), **odd})


def test_reveals_that_are_refused():
    world = sealed_world()
    seal(world, 0, 99, 5_000)
    seal(world, 1, 301, 300)
    seal(world, 2, 300, tau_bps=10_001)
    world("wait", blocks=20)
    world("reveal", L.Reason.NOT_AUTHORISED, **content(3, 300))
    world("reveal", L.Reason.BID_TOO_LOW, **content(0, 99))
    world("reveal", L.Reason.NOT_ENOUGH_MONEY, **content(1, 301))
    world("reveal", L.Reason.BAD_VALUE, **content(2, 300, tau_bps=10_001))
    again = seal(sealed_world(), 0, 300)("wait", blocks=20)("reveal", **content(0, 300))
    again("reveal", L.Reason.ALREADY_DONE, **content(0, 300))
    again("reveal", L.Reason.BAD_VALUE, **content(1, 300))  # never sealed
    World()("reveal", L.Reason.WRONG_FORMAT, **content(0, 300))


def test_a_seal_that_is_copied_cannot_be_opened():
    """The account is part of what is sealed: who copies a seal only loses its share."""
    world = seal(sealed_world(), 0, 900, 1_000)
    stolen = world.row()["seals"][0]
    world("seal", buyer=1, deposit=1_000, commitment=stolen, **SLOT)("wait", blocks=20)
    world("reveal", **content(0, 900))
    world("reveal", L.Reason.BAD_VALUE, **{**content(0, 900), "buyer": 1})
    world("wait", blocks=10)("close_auction", actor=5, job=0)
    assert world.balances[:2] == [10_000 - 100, 10_000 - 200]


def test_the_commitment_is_the_mix_that_is_written_down():
    """Against Python integers, over words of either sign; no two of the contents collide."""

    def by_hand(*words):
        mixed = 0x811C9DC5
        for word in words:
            mixed = (mixed ^ (word & 0xFFFFFFFF)) * 0x85EBCA6B & 0xFFFFFFFF
            mixed = (mixed ^ mixed >> 13) * 0xC2B2AE35 & 0xFFFFFFFF
            mixed ^= mixed >> 16
        return (mixed - 2**32 if mixed >= 2**31 else mixed) or 1

    words = np.random.default_rng(0).integers(-(2**31), 2**31, (500, 7)).astype(np.int32)
    names = ("job", "buyer", "amount", "tau_bps", "model", "metric", "salt")
    mix = jax.jit(lambda w: L.commitment_of(**dict(zip(names, w.T, strict=True))))
    assert np.asarray(mix(words)).tolist() == [by_hand(*row) for row in words.tolist()]
    assert len(set(np.asarray(mix(words)).tolist())) == 500
