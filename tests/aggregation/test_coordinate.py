"""Coordinate-wise rules against numpy in float64, with masks and traced f."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from d2m_jax import aggregation


def trimmed(x, f):
    return np.sort(x.astype(np.float64), axis=0)[f : len(x) - f].mean(axis=0)


@pytest.mark.parametrize("n", [1, 2, 5, 6, 12, 40])
def test_median_with_and_without_mask(n):
    rng = np.random.default_rng(n)
    x = rng.normal(size=(n, 9)).astype(np.float32)
    np.testing.assert_allclose(aggregation.median(x), np.median(x, axis=0), rtol=1e-6)
    masked = jax.jit(lambda m: aggregation.median(x, mask=m))
    for _ in range(6):
        mask = rng.random(n) < 0.6
        want = np.median(x[mask], axis=0) if mask.any() else np.zeros(9)
        np.testing.assert_allclose(masked(mask), want, rtol=1e-6)


@pytest.mark.parametrize("n", [3, 8, 20, 40])
def test_trimmed_mean_static_traced_masked(n):
    rng = np.random.default_rng(n)
    x = rng.normal(size=(n, 6)).astype(np.float32)
    traced = jax.jit(lambda f, m: aggregation.trimmed_mean(x, f, mask=m))
    for f in {0, 1, (n - 1) // 2}:
        want = trimmed(x, f)
        np.testing.assert_allclose(aggregation.trimmed_mean(x, f), want, atol=1e-6)
        np.testing.assert_allclose(traced(f, np.ones(n, bool)), want, atol=1e-6)
        mask = np.arange(n) != 1
        lowered = min(f, (n - 2) // 2)
        np.testing.assert_allclose(traced(f, mask), trimmed(x[mask], lowered), atol=1e-6)


def test_mean_is_weighted_and_masked():
    x = jnp.array([[1.0, 2.0], [3.0, 6.0], [jnp.nan, jnp.inf]])
    mask = jnp.array([True, True, False])
    np.testing.assert_allclose(aggregation.mean(x, mask=mask), [2.0, 4.0])
    weights = jnp.array([3.0, 1.0, 5.0])
    np.testing.assert_allclose(aggregation.mean(x, mask=mask, weights=weights), [1.5, 3.0])


def test_too_many_byzantine_is_refused():
    with pytest.raises(ValueError, match="2 f < rows"):
        aggregation.trimmed_mean(jnp.zeros((4, 2)), 2)
