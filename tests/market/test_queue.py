"""A queue of requests over epochs: who waits, who is served, and against the best assignment."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from d2m_jax import ledger as books
from d2m_jax.ledger import Phase
from d2m_jax.market import figures_of, serve
from d2m_jax.market.queue import best_welfare
from tests.market.several import JOBS, SPEC, numbers_of_jobs
from tests.worlds import digits, market

EPOCHS = 3
VALUES = np.array([900_000, 880_000, 860_000, 600_000, 580_000, 560_000])
WANTS = np.array([0, 0, 1, 2, 1, 0])
ARRIVES = np.array([0, 0, 1, 0, 1, 0])


@functools.cache
def program():
    """`serve` of three epochs as one jitted scan."""

    @jax.jit
    def run(key, hparams, data, arrives):
        return serve(market(SPEC), key, hparams, data, arrives, num_epochs=EPOCHS)

    return run


def play(arrives=ARRIVES, wants=WANTS, seed=0, **changes):
    """The queue of six buyers; the epochs and the last ledger on the host."""
    hparams = numbers_of_jobs(requests={"wants": tuple(map(int, wants))}, **changes)
    typed = market(SPEC).numbers(hparams)
    run = program()(jax.random.key(seed), typed, digits()[1], jnp.asarray(arrives, jnp.int32))
    return jax.device_get(run)


def brute_force(values, wants, arrives):
    """The most that can be had, by trying every set of buyers in every order."""
    best = 0
    for order in itertools.permutations(range(len(values))):
        free, worth = np.ones((EPOCHS, JOBS), bool), 0
        for buyer in order:
            epochs = [e for e in range(arrives[buyer], EPOCHS) if free[e, wants[buyer]]]
            if epochs:
                free[epochs[0], wants[buyer]] = False
                worth += values[buyer]
        best = max(best, worth)
    return best


def test_the_best_assignment_is_what_trying_everything_finds():
    rng = np.random.default_rng(1)
    for _ in range(8):
        wants, arrives = rng.integers(0, JOBS, 6), rng.integers(0, EPOCHS + 1, 6)
        values = rng.integers(1, 100, 6)
        found = best_welfare(values, wants, arrives, EPOCHS, JOBS)
        assert found == brute_force(values, wants, arrives)


@pytest.mark.slow
def test_higher_values_go_first_and_nobody_is_served_twice():
    epochs, ledger = play()
    assert all(books.invariants(ledger).values())
    settled = epochs.phase == Phase.SETTLED
    assert epochs.buyer.tolist() == [[0, -1, 3], [1, 2, -1], [5, 4, -1]]
    np.testing.assert_array_equal(settled, epochs.buyer >= 0)
    assert (epochs.phase[~settled] == Phase.IDLE).all() and (epochs.price[~settled] == 0).all()
    waiting = [[0, 1, 3, 5], [1, 2, 4, 5], [4, 5]]
    assert [np.nonzero(row)[0].tolist() for row in epochs.waiting] == waiting
    assert (epochs.blocks > 0).all() and epochs.blocks.sum() == ledger.block
    figures = figures_of(epochs, VALUES, WANTS, ARRIVES, SPEC.num_nodes)
    assert (figures.served, figures.left) == (6, 0)
    assert figures.waiting == np.mean([0, 1, 2, 0, 0, 1])
    assert figures.revenue == epochs.price.sum() < figures.welfare == VALUES.sum()
    assert figures.slots == pytest.approx(6 / 9) and 0 < figures.nodes <= 1


@pytest.mark.slow
def test_where_slots_are_scarce_the_queue_serves_the_best_assignment():
    rng = np.random.default_rng(0)
    left = 0
    for seed in range(6):
        arrives, wants = rng.integers(0, EPOCHS, 6), rng.integers(0, JOBS, 6)
        epochs, _ = play(arrives, wants, seed)
        figures = figures_of(epochs, VALUES, wants, arrives, SPEC.num_nodes)
        assert figures.welfare == figures.best
        left += figures.left
    assert left > 0


@pytest.mark.slow
def test_a_job_without_sellers_leaves_its_buyer_in_the_queue():
    epochs, ledger = play(population={"num_strangers": 7})
    assert all(books.invariants(ledger).values())
    assert (epochs.phase[0][[0, 2]] == Phase.ABORTED).all()
    assert epochs.waiting[1, [0, 3]].all()
    figures = figures_of(epochs, VALUES, WANTS, ARRIVES, SPEC.num_nodes)
    assert figures.welfare == figures.revenue == 0 < figures.left == 6


@pytest.mark.slow
def test_what_misses_tau_is_over_and_counts_for_nothing():
    epochs, _ = play(tau=1.0)
    assert (epochs.phase[epochs.buyer >= 0] == Phase.REFUNDED).all()
    figures = figures_of(epochs, VALUES, WANTS, ARRIVES, SPEC.num_nodes)
    assert (figures.welfare, figures.revenue, figures.served) == (0, 0, 6)


@pytest.mark.slow
def test_bans_and_money_go_along():
    who = {"num_byzantine": 1, "num_colluding": 3}
    epochs, ledger = play(population=who)
    assert int(ledger.supply) == int(ledger.balances.sum() + ledger.stakes.sum() + ledger.burned)
    banned = ledger.banned[ledger.layout.sellers]
    assert banned.sum() <= 1
    if banned.any():
        last = epochs.matched[:, :, banned].any(axis=(1, 2))
        assert not last[-1]
