"""The grid of terms, what is learnt at each, and which are beaten by none."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from d2m_jax.audit import tuning
from d2m_jax.audit.learned.training import Effort, Game, learn_at
from d2m_jax.incentives.pareto import best_tradeoffs
from tests.worlds import numbers

HERE = np.zeros(2, np.float32)


def by_brute_force(values):
    """A point is beaten if some other one is nowhere worse and somewhere better."""
    beaten = set()
    for (i, a), (_, b) in itertools.permutations(enumerate(values.tolist()), 2):
        pairs = list(zip(a, b))
        if all(y >= x for x, y in pairs) and any(y > x for x, y in pairs):
            beaten.add(i)
    return np.array([i not in beaten for i in range(len(values))])


@pytest.mark.parametrize("seed", range(20))
def test_the_front_by_brute_force(seed):
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 5, size=(30, 1 + seed % 3)).astype(float)  # ties, too
    front = best_tradeoffs(values)
    np.testing.assert_array_equal(front, by_brute_force(values))
    assert front.any()


def test_a_front_of_what_is_not_a_number_is_refused():
    with pytest.raises(ValueError, match="finite values"):
        best_tradeoffs(np.array([[1.0, np.nan]]))


def test_the_front_of_a_table_wants_less_deviation():
    table = pd.DataFrame(
        {"welfare": [5, 5, 4], "revenue": [1, 1, 1], "deviation gain": [0, 3, 0]}, dtype=float
    )
    np.testing.assert_array_equal(tuning.front_of(table), [True, False, False])


def peak_game():
    """Income -(x - point)^2 - y^2: every point has an optimum of its own."""

    def one(policy, key, given):
        point, shift = given
        luck = jax.random.normal(key)
        return luck - jnp.square(policy - jnp.stack([point["at"] + shift, 0.0])).sum()

    shift = jnp.float32(1)
    return Game("peak", HERE, jax.vmap(one, (None, 0, None)), str, HERE, 0.5, shift)


@pytest.mark.parametrize("batch", [None, 1, 13])
def test_every_point_is_learnt_by_itself_in_the_same_worlds(batch):
    """However many games are played side by side."""
    points, effort = {"at": jnp.array([-2.0, 0.0, 1.0])}, Effort(60, 16, 8, 2)
    found = learn_at(jax.random.key(0), peak_game(), effort, points, judged_on=32, batch=batch)
    for at, one in zip((-2, 0, 1), found):
        np.testing.assert_allclose(one.policy, [at + 1, 0], atol=0.05)
        np.testing.assert_allclose(np.diff(one.payoffs, axis=0), (at + 1) ** 2, atol=0.02)
        assert one.curve.shape == (2, 60)
    np.testing.assert_allclose(found[0].payoffs[0] - found[1].payoffs[0], 0, atol=1e-5)


@pytest.mark.parametrize("batch", [1, 4, 16])
def test_every_world_is_played_at_every_point(batch):
    def one(key, point, shift):
        return point["at"] + shift + jax.random.uniform(key), jax.random.key_data(key)[1]

    keys, points = jax.random.split(jax.random.key(3), 7), {"at": jnp.arange(5)}
    found, seen = tuning.everywhere(one, batch)(keys, points, 2)
    wanted = np.arange(5)[:, None] + 2 + np.asarray(jax.vmap(jax.random.uniform)(keys))
    np.testing.assert_allclose(found, wanted, rtol=1e-6)
    np.testing.assert_array_equal(seen, np.tile(jax.random.key_data(keys)[:, 1], (5, 1)))


def test_terms_that_a_role_does_not_see_are_learnt_once():
    points = tuning.points_of({"at": (0, 1), "other": (5, 6, 7)})
    assert len(points["at"]) == 6 and set(points["other"]) == {5, 6, 7}
    game = peak_game()._replace(tell=lambda policy: f"{policy[0]:.0f}")
    table, found = tuning.gains_at(
        jax.random.key(1), game, Effort(40, 16, 8, 1), points, ["at"], judged_on=16
    )
    assert len(found) == 2 and len(table) == 6
    np.testing.assert_allclose(table["gain"], np.where(table["at"] == 1, 4, 1), atol=0.05)
    assert table["does"].tolist() == ["1"] * 3 + ["2"] * 3


def test_terms_reach_the_rules_of_the_market():
    point = {"seller_deposit": 5, "fee_bps": 300, "seller_bps": 6_000, "window": 40}
    changed = tuning.with_terms(numbers(), point)
    assert {name: changed.rules[name] for name in point if name != "window"} == {
        "seller_deposit": 5, "fee_bps": 300, "seller_bps": 6_000,
    }  # fmt: skip
    assert "window" not in changed.rules and changed.attack == {}
