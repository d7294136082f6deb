"""Fang's attacks against a NumPy Krum and against the honest range."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from d2m_jax.attacks import AttackContext, fang

KEY = jax.random.key(0)
fang_krum = jax.jit(fang.fang_krum)
fang_trimmed = jax.jit(fang.fang_trimmed, static_argnames=("shared", "knowledge"))


def krum(rows: np.ndarray, f: int) -> int:
    """Blanchard et al. 2017: lowest sum of squared distances to the n - f - 2 nearest others."""
    pairs = ((rows[:, None] - rows[None]) ** 2).sum(-1)
    np.fill_diagonal(pairs, np.inf)
    return int(np.sort(pairs, axis=1)[:, : len(rows) - f - 2].sum(1).argmin())


def first_lambda(honest: np.ndarray, f: int) -> float:
    """The paper's upper bound for update vectors: the previous model is the origin."""
    n, dim = len(honest) + f, honest.shape[1]
    pairs = ((honest[:, None] - honest[None]) ** 2).sum(-1)
    np.fill_diagonal(pairs, np.inf)
    nearest = np.sort(pairs, axis=1)[:, : min(n - f - 2, len(honest) - 1)].sum(1).min()
    reach = np.linalg.norm(honest, axis=1).max()
    return np.sqrt(nearest / ((n - 2 * f - 1) * dim)) + reach / np.sqrt(dim)


@pytest.mark.parametrize("seed", range(6))
def test_krum_picks_the_attacker_at_the_largest_such_lambda(seed):
    rows = np.random.default_rng(seed).normal(size=(12, 8)).astype(np.float32) + 0.4
    byz = np.isin(np.arange(12), [0, 4, 11])
    got = np.asarray(fang_krum(KEY, jnp.asarray(rows), jnp.asarray(byz)), np.float64)
    assert byz[krum(got, 3)]
    honest = rows[~byz].astype(np.float64)
    sign = np.sign(honest.mean(0))
    size = -got[0, 0] / sign[0]
    np.testing.assert_allclose(got[byz], np.stack([-size * sign] * 3), rtol=1e-6)
    halvings = np.log2(first_lambda(honest, 3) / size)
    np.testing.assert_allclose(halvings, np.round(halvings), atol=1e-4)
    if round(halvings) > 0:  # twice as far would not have been picked
        got[byz] = -2 * size * sign
        assert not byz[krum(got, 3)]


def test_krum_that_tolerates_more_is_fooled_differently():
    rows = np.random.default_rng(9).normal(size=(12, 8)).astype(np.float32) + 0.4
    byz = np.isin(np.arange(12), [0, 4])
    context = AttackContext(tolerated_f=4)
    got = np.asarray(fang_krum(KEY, jnp.asarray(rows), jnp.asarray(byz), context=context))
    assert byz[krum(got.astype(np.float64), 4)]


@pytest.mark.parametrize("shared", [False, True])
def test_trimmed_is_just_beyond_the_honest_range(shared):
    rows = np.random.default_rng(1).normal(size=(9, 60)).astype(np.float32)
    rows[:, :20] += 4.0  # honest minimum above zero
    rows[:, 20:40] -= 4.0  # honest maximum below zero
    byz = np.arange(9) >= 6
    got = np.asarray(fang_trimmed(KEY, jnp.asarray(rows), jnp.asarray(byz), shared=shared))[byz]
    honest = rows[~byz]
    mean, low, high = honest.mean(0), honest.min(0), honest.max(0)
    down = mean > 0
    limit_low = np.where(low < 0, 2 * low, low / 2)
    limit_high = np.where(high > 0, 2 * high, high / 2)
    assert (got[:, down] <= low[down] + 1e-6).all() and (
        got[:, down] >= limit_low[down] - 1e-6
    ).all()
    up = ~down
    assert (got[:, up] >= high[up] - 1e-6).all() and (got[:, up] <= limit_high[up] + 1e-6).all()
    assert np.array_equal(got[0], got[1]) == shared


def test_trimmed_moves_the_median_the_wrong_way():
    rows = np.random.default_rng(2).normal(size=(9, 60)).astype(np.float32)
    byz = np.arange(9) >= 6
    got = np.asarray(fang_trimmed(KEY, jnp.asarray(rows), jnp.asarray(byz)))
    honest = rows[~byz]
    shift = np.median(got, axis=0) - np.median(honest, axis=0)
    assert (shift * np.sign(honest.mean(0)) <= 0).all() and np.abs(shift).sum() > 1


def test_partial_knowledge_draws_three_to_four_deviations_away():
    rows = np.random.default_rng(3).normal(size=(9, 60)).astype(np.float32)
    byz = np.arange(9) >= 5
    args = KEY, jnp.asarray(rows), jnp.asarray(byz)
    got = np.asarray(fang_trimmed(*args, knowledge="byzantine"))[byz]
    mean, std = rows[byz].mean(0), rows[byz].std(0, ddof=1)
    away = -(got - mean) / std * np.where(mean > 0, 1, -1)
    assert away.min() > 3 - 1e-3 and away.max() < 4 + 1e-3
