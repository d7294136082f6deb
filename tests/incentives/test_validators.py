"""Several judges, unique work, un-normalised pay: against slow float64 and against cheats."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from d2m_jax.incentives.payments import marginal_pay
from d2m_jax.incentives.validators import clipped_weights, judged, uniqueness


def slow_limit(weights, stakes, kappa):
    """The highest weight that judges with a kappa of the stake reach, seller by seller."""
    found = []
    for column in weights.T:
        backed = [w for w in column if stakes[column >= w].sum() >= kappa * stakes.sum()]
        found.append(max(backed, default=0.0))
    return np.array(found)


@pytest.mark.parametrize("kappa", [0.3, 0.5, 1.0])
def test_limits_are_those_of_the_definition(kappa):
    rng = np.random.default_rng(7)
    weights = rng.integers(0, 5, (40, 6, 8)) / 4
    stakes = rng.integers(1, 9, (40, 6)).astype(float)
    clipped = jax.vmap(clipped_weights, (0, 0, None))(jnp.asarray(weights), stakes, kappa)
    for found, row, stake in zip(np.asarray(clipped), weights, stakes):
        np.testing.assert_allclose(found, np.minimum(row, slow_limit(row, stake, kappa)))


def test_a_minority_of_stake_cannot_raise_its_friend():
    honest = np.tile([0.5, 0.4, 0.0], (3, 1))
    for lie in ([0, 0, 1.0], [0, 0, 1e9], [1.0, 0, 0.3]):
        weights = jnp.asarray(np.vstack([honest, [lie, lie]]))
        shares = judged(weights, jnp.array([2.0, 2.0, 2.0, 2.5, 2.5]), 0.5)
        assert shares[2] == 0 and shares[0] <= 0.5 / 0.9 * 1.6
    nobody = judged(jnp.ones((2, 3)), jnp.zeros(2))
    np.testing.assert_array_equal(nobody, np.zeros(3))


def test_work_of_ones_own_shows_and_copies_do_not():
    """Assigned data helps by 0.1 more, with noise ten times as large: 400 rounds tell."""
    rng = np.random.default_rng(0)
    memory = jnp.zeros(3)
    for _ in range(400):
        noise = rng.normal(size=(2, 3))
        better = np.array([1.0, 0.0, 0.0])  # the second copies, the third sends the mean
        memory = uniqueness(memory, jnp.asarray(noise[0] + better), jnp.asarray(noise[1]), 0.05)
    assert memory[0] > 0.2
    mean = uniqueness(jnp.zeros(1), jnp.zeros(1), jnp.zeros(1))
    assert mean[0] == 0, "who helps everywhere alike proves nothing"
    np.testing.assert_allclose(uniqueness(jnp.array([0.5]), jnp.ones(1), jnp.zeros(1), 1.0), [1.0])


def test_what_is_not_earned_goes_back():
    paid = marginal_pay(jnp.array([0.2, -1.0, jnp.nan, 0.05]), jnp.int32(1_000), jnp.int32(10_000))
    np.testing.assert_array_equal(paid, [200, 0, 0, 50])
    short = marginal_pay(jnp.array([3.0, 1.0]), jnp.int32(1_000), jnp.int32(400))
    np.testing.assert_array_equal(short, [300, 100])


def test_a_split_owner_loses_what_its_parts_are_worth_beside_each_other():
    """v = sqrt of data: halves have margins 2 (sqrt(n) - sqrt(n - 1/2)) < sqrt(n) - sqrt(n - 1)."""
    whole = np.sqrt(4.0) - np.sqrt(3.0)
    halves = 2 * (np.sqrt(4.0) - np.sqrt(3.5))
    one = marginal_pay(jnp.array([whole]), jnp.int32(100_000), jnp.int32(100_000))
    two = marginal_pay(jnp.array([halves / 2] * 2), jnp.int32(100_000), jnp.int32(100_000))
    assert int(two.sum()) < int(one.sum())


@pytest.mark.parametrize("pool", [0, 1, 999_983, 2**31 - 1])
def test_never_more_than_the_pool(pool):
    values = jnp.asarray(np.random.default_rng(pool % 97).random(37), jnp.float32)
    paid = marginal_pay(values, jnp.int32(2**30), jnp.int32(pool))
    assert 0 <= int(np.asarray(paid, np.int64).sum()) <= pool
    assert (np.asarray(paid) >= 0).all()
