"""Blocking the supply of sellers, measured over a thousand worlds against its closed form."""

import functools

import jax
import numpy as np
import pytest

from d2m_jax import HParams, Spec, make_market
from d2m_jax.audit.supply import block_supply, starved_share
from d2m_jax.config.hparams import Money, Requests
from tests.worlds import digits

pytestmark = pytest.mark.slow

JOBS, WORLDS = 6, 1_000  # five jobs of the blocker, one of the rival
DEPOSIT, RESERVE = 70_000, 200_000
LOST = RESERVE * 25 // 100 + RESERVE * 70 // 100 // 5  # the nodes' part, a fifth of the sellers'
SPEC = Spec(model="logreg", num_jobs=JOBS, num_sellers=5, num_sampled=2, num_rounds=2,
            eval_every=2, num_buyers=JOBS + 1, num_nodes=2)  # fmt: skip


@functools.cache
def program():
    """A thousand worlds as one program."""
    market = make_market(SPEC, digits()[0])
    run = jax.jit(jax.vmap(functools.partial(block_supply, market), in_axes=(0, None)))
    keys = jax.random.split(jax.random.key(0), WORLDS)
    return lambda hparams: jax.device_get(run(keys, market.numbers(hparams)))


def play(num_blocking, capacity, ask=0, node_capacity=JOBS):
    """So many of the blocker's accounts bid; the last two buyers want the rival's job."""
    values = [*(300_000 if i < num_blocking else 0 for i in range(JOBS - 1)), 900_000, 800_000]
    money = Money(
        buyer_values=tuple(values),
        buyer_shading_bps=(10_000,) * (JOBS + 1),
        seller_stake=DEPOSIT * capacity,
        seller_funds=DEPOSIT * JOBS,
        seller_ask=ask,
        node_stake=20_000 * node_capacity,
        node_funds=20_000 * JOBS,
    )
    wants = (*range(JOBS), JOBS - 1)
    return program()(HParams(money=money, requests=Requests(wants=wants)))


@pytest.mark.parametrize("num_blocking, capacity", [(1, 1), (5, 1), (3, 2), (5, 3), (5, 5)])
def test_a_rival_is_starved_as_often_as_the_order_says_and_the_blocker_pays(num_blocking, capacity):
    found, share = play(num_blocking, capacity), starved_share(num_blocking, capacity)
    deviation = np.sqrt(share * (1 - share) / WORLDS)
    assert abs(found.starved.mean() - share) < 4 * deviation
    used_up = np.where(found.starved, capacity, np.minimum(num_blocking, capacity))
    assert (found.won[found.starved] == capacity).all() and (found.won <= used_up).all()
    assert (found.tied_up == RESERVE * found.won).all()
    assert (found.lost == LOST * found.won).all()


def test_deposits_for_all_jobs_or_an_ask_above_the_reserve_leave_nothing_to_block():
    many, choosy = play(5, JOBS), play(5, 1, ask=RESERVE * 7 // 10 + 1)
    for found in (many, choosy):
        assert not found.starved.any()
    assert (many.won == 5).all() and (choosy.won == 0).all() and (choosy.tied_up == 0).all()


def test_nodes_with_one_stake_are_used_up_like_sellers_with_one_deposit():
    """A job that finds no node is not held: its buyer has the price back."""
    found, share = play(5, JOBS, node_capacity=1), starved_share(5, 1)
    assert abs(found.starved.mean() - share) < 4 * np.sqrt(share * (1 - share) / WORLDS)
    assert (found.won[found.starved] == 1).all()
