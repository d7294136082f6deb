"""The audit finds what it says it finds: each kind of damage, done by hand to a good ledger."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from d2m_jax import ledger as L
from tests.ledger.worlds import World, challenged, matched

change = dataclasses.replace


def broken(ledger, before=None):
    return {name for name, fact in L.invariants(ledger, before).items() if not bool(fact)}


def with_job(ledger, **fields):
    jobs = {name: getattr(ledger.jobs, name).at[0].set(value) for name, value in fields.items()}
    return change(ledger, jobs=change(ledger.jobs, **jobs))


@pytest.fixture(scope="module")
def good():
    return challenged().ledger


def test_a_good_ledger_has_no_faults(good):
    assert broken(good) == set()
    assert sum(int(x) for x in L.money_by_role(good).values()) == int(good.supply)


@pytest.mark.parametrize(
    ("fields", "faults"),
    [
        ({"burned": 1}, {"conserved"}),
        ({"seller_pool": 631}, {"conserved", "pools_equal_price"}),
        ({"bond": 5}, {"conserved", "bond_is_disputed"}),
        ({"deposits": 1}, {"conserved", "bids_are_covered"}),
        ({"phase": int(L.Phase.REFUNDED)}, {"idle_is_empty"}),
        ({"matched": False}, {"locks_are_matched"}),
        ({"weights": 2**15 + 1}, {"locks_are_matched"}),
        ({"buyer": 3}, {"leader_is_buyer"}),
        ({"price": 899}, {"pools_equal_price"}),
        ({"round": -1}, {"not_negative"}),
        ({"pledged": 5}, {"conserved"}),
        ({"held": 5}, {"conserved"}),
        ({"forfeited": 5}, {"conserved", "pools_equal_price"}),
        ({"serial": 0}, {"serials_start"}),
        ({"offered": -1}, {"not_negative"}),
        ({"released": True}, {"paid_is_released"}),
        ({"disputer": 3, "bond": 0, "phase": int(L.Phase.DISPUTED)}, {"bond_is_disputed"}),
        ({"phase": int(L.Phase.DISPUTED)}, {"bond_is_disputed"}),
    ],
)
def test_damage_is_found(good, fields, faults):
    damaged = change(good, burned=good.burned + 1) if "burned" in fields else None
    assert broken(damaged or with_job(good, **fields)) == faults


def test_money_that_went_negative_is_found(good):
    moved = good.balances.at[0].add(-20_000).at[1].add(20_000)
    assert broken(change(good, balances=moved)) == {"not_negative"}


def test_illegal_steps_are_found():
    before = matched().ledger
    after = with_job(before, phase=int(L.Phase.CHALLENGE))
    assert broken(after, before) == {"legal_phases"}
    earlier = with_job(before, phase=int(L.Phase.AUCTION), deposits=before.jobs.bids[0])
    assert "legal_phases" not in broken(before, earlier)
    assert broken(change(before, block=before.block - 1), before) == {"one_way"}
    assert broken(with_job(before, serial=0), before) == {"serials_start", "one_way"}


def test_a_spoilt_model_that_was_released_is_found():
    settled = challenged().end().ledger
    assert broken(with_job(settled, spoilt=True)) == {"paid_is_released"}


def test_every_phase_can_be_reached_and_left():
    from d2m_jax.ledger.codes import NEXT_PHASES

    reached, frontier = set(), {L.Phase.IDLE}
    while frontier:
        reached |= frontier
        frontier = {n for phase in frontier for n in NEXT_PHASES[phase]} - reached
    assert reached == set(L.Phase) == set(NEXT_PHASES)


def test_the_host_check_names_the_fault_and_the_world(good):
    L.assert_valid(good)
    with pytest.raises(AssertionError, match=r"broke: conserved$"):
        L.assert_valid(change(good, burned=good.burned + 1))
    batch = jax.tree.map(lambda x: jnp.stack([x, x, x]), good)
    L.assert_valid(batch)
    worse = change(batch, burned=batch.burned.at[1].add(1))
    with pytest.raises(AssertionError, match=r"conserved \(world \(1,\)\)"):
        L.assert_valid(worse)


def test_money_table_by_role():
    world = World()
    table = {name: int(x) for name, x in L.money_by_role(world.ledger).items()}
    assert table["buyers"] == 30_000 and table["nodes"] == 15_000
    assert np.sum([*table.values()]) == 53_000
