"""Bonds, verdicts, and who pays; the world is the one of `test_settlement` (price 900, bond 45)."""

import numpy as np
import pytest

from d2m_jax import ledger as L
from tests.ledger.worlds import ARBITER, LAYOUT, challenged, same

NODE, SELLER, BUYER = LAYOUT.node(1), LAYOUT.seller(0), 2
NONE = np.zeros(5, int)


def dispute(world, actor=BUYER, accused=NODE, expect=L.Reason.OK, disputed_round=0, job=0):
    return world(
        "open_dispute",
        expect,
        actor=actor,
        job=job,
        accused=accused,
        disputed_round=disputed_round,
    )


def resolve(world, upheld, guilty=NONE, actor=ARBITER, expect=L.Reason.OK):
    return world("resolve_dispute", expect, actor=actor, job=0, upheld=upheld, guilty=guilty)


def test_upheld_the_job_fails_and_the_guilty_pay():
    """Accused node 1 and guilty node 4 lose 1000 each: 1000 burned, 1000 to the injured side.

    The disputer, seller 3, gets the bond of 45 back and 45 as a prize; the buyer gets 955, the
    seller pool 630, the fee 45 and the unused 2 of compute. Honest pay of the rounds stays.
    """
    world = dispute(challenged(), actor=LAYOUT.seller(3))
    assert world.balances[6] == 1_000 - 45
    burned, guilty = int(world.ledger.burned), np.array([0, 0, 0, 0, 1])
    resolve(world, 1, guilty)
    assert world.row()["phase"] == L.Phase.REFUNDED
    assert world.balances == [
        *(10_000, 10_000, 10_000 - 900 + 630 + 45 + 2 + 955),
        *(1_000, 1_000, 1_000, 1_045),
        *(2_368, 2_368, 2_000, 2_000, 2_037),
        0,
    ]
    assert world.stakes[7:12] == [1_000, 0, 0, 900, 0]
    assert int(world.ledger.burned) == burned + 1_000
    assert np.asarray(world.ledger.banned).nonzero()[0].tolist() == [8, 11]
    world("wait", blocks=10)("settle", L.Reason.ALREADY_DONE, actor=0, job=0)
    resolve(world, 1, expect=L.Reason.ALREADY_DONE)


def test_rejected_the_bond_is_lost_and_the_window_starts_again():
    """22 of the 45 are burned, 23 go to the accused; then 10 more blocks to wait."""
    world = challenged()("wait", blocks=9)
    dispute(world)("wait", blocks=50)
    world("settle", L.Reason.WRONG_PHASE, actor=0, job=0)
    burned = int(world.ledger.burned)
    resolve(world, 0, guilty=np.ones(5, int))  # the list of guilty means nothing then
    assert int(world.ledger.burned) == burned + 22
    assert world.balances[NODE] == 2_368 + 23
    assert world.balances[BUYER] == 10_000 - 900 - 45
    assert world.stakes[7:12] == [1_000, 1_000, 0, 900, 1_000]
    world("wait", blocks=9)("settle", L.Reason.TOO_EARLY, actor=0, job=0)
    dispute(world, accused=LAYOUT.node(0))  # a true one can still be raised
    resolve(world, 0)
    world("wait", blocks=10)("settle", actor=0, job=0)
    assert world.row()["seller_paid"] == 630


def test_an_accused_seller_loses_its_locked_deposit_and_its_pay():
    world = dispute(challenged(), accused=SELLER)
    resolve(world, 1)
    assert world.stakes[3:7] == [0, 1_000, 1_000, 1_000]
    assert bool(world.ledger.banned[SELLER])
    # 1000 slashed, 500 burned, the buyer (who disputed) gets the other 500 and its bond.
    assert world.balances[BUYER] == 10_000 - 900 + 630 + 45 + 2 + 500


def test_a_penniless_accused_pays_no_prize():
    """Node 2 has nothing left to slash: no money appears from nowhere."""
    world = dispute(challenged(), accused=LAYOUT.node(2))
    resolve(world, 1)
    assert world.balances[BUYER] == 10_000 - 900 + 630 + 45 + 2


def test_only_parties_of_the_job_dispute_in_time_with_a_bond():
    world = challenged()
    dispute(world, actor=0, expect=L.Reason.NOT_AUTHORISED)  # a losing bidder
    dispute(world, actor=ARBITER, expect=L.Reason.NOT_AUTHORISED)
    dispute(world, accused=0, expect=L.Reason.UNKNOWN_PARTY)
    dispute(world, accused=ARBITER, expect=L.Reason.UNKNOWN_PARTY)
    dispute(world, actor=NODE, expect=L.Reason.UNKNOWN_PARTY)  # accuses itself
    for bad in (-1, 2):
        dispute(world, disputed_round=bad, expect=L.Reason.BAD_VALUE)
    dispute(world, job=1, expect=L.Reason.WRONG_PHASE)
    dispute(world, job=2, expect=L.Reason.UNKNOWN_JOB)
    world("wait", blocks=10)
    dispute(world, expect=L.Reason.TOO_LATE)


def test_no_money_no_dispute():
    world = challenged(seller_funds=1_044, node_funds=1_010)
    assert world.balances[SELLER] == 44
    dispute(world, actor=SELLER, expect=L.Reason.NOT_ENOUGH_MONEY)


@pytest.mark.parametrize("actor", [BUYER, SELLER, NODE])
def test_only_the_arbiter_decides(actor):
    resolve(dispute(challenged()), 1, actor=actor, expect=L.Reason.NOT_AUTHORISED)


def test_a_verdict_is_yes_or_no():
    world = dispute(challenged())
    resolve(world, 2, expect=L.Reason.BAD_VALUE)
    resolve(world, 1, guilty=np.array([0, 0, 2, 0, 0]), expect=L.Reason.BAD_VALUE)
    assert same(dispute(challenged()).ledger, world.ledger)


def test_a_bond_is_never_free():
    """With a price of one unit or no share at all the bond is still one unit."""
    rules = L.make_rules(num_rounds=2, second_price=1, bond_bps=0)
    world = dispute(challenged(rules=rules))
    assert world.row()["bond"] == 1
