"""The sparse projection by its matrix, its moments, and what rules make of it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from d2m_jax import aggregation as agg
from d2m_jax.aggregation.projection import projected, random_signs, sketch
from tests.aggregation import oracles


def matrix(key, dim, dims):
    """The projection of the unit vectors."""
    return np.asarray(sketch(key, jnp.eye(dim), dims), np.float64).T


@pytest.mark.parametrize("dim, dims", [(17, 4), (12, 6), (40, 7)])
def test_every_column_has_one_sign_and_a_block_meets_itself_never(dim, dims):
    p = matrix(jax.random.key(dim), dim, dims)
    np.testing.assert_array_equal(np.sort(np.abs(p), axis=0)[-1], 1)
    assert (np.abs(p).sum(axis=0) == 1).all()
    place = np.abs(p).argmax(axis=0)
    for start in range(0, dim, dims):
        block = place[start : start + dims]
        assert len(set(block)) == len(block)
    x = np.random.default_rng(0).normal(size=(3, dim)).astype(np.float32)
    got = sketch(jax.random.key(dim), jnp.asarray(x), dims)
    np.testing.assert_allclose(got, x @ p.T, rtol=1e-5, atol=1e-5)


def test_squared_lengths_are_right_on_average_and_spread_as_stated():
    """Also for what an attacker would choose: everything in two columns of one bucket's row."""
    dim, dims, draws = 64, 8, 4000
    keys = jax.random.split(jax.random.key(1), draws)
    p = jax.jit(jax.vmap(lambda key: sketch(key, jnp.eye(dim), dims)))(keys)
    rng = np.random.default_rng(2)
    spiked = np.zeros(dim)
    spiked[[3, 3 + dims]] = 1
    for x in (rng.normal(size=dim), spiked, np.ones(dim)):
        squares = np.sum(np.einsum("kdr,d->kr", np.asarray(p, np.float64), x) ** 2, axis=1)
        length = x @ x
        spread = np.sqrt(2 / dims) * length
        assert abs(squares.mean() - length) < 5 * spread / np.sqrt(draws)
        assert squares.std() < 1.1 * spread


def test_signs_are_even():
    signs = np.asarray(random_signs(jax.random.key(0), 100_003))
    assert signs.shape == (100_003,) and set(np.unique(signs)) == {-1, 1}
    assert abs(signs.mean()) < 4 / np.sqrt(100_003)


@pytest.mark.parametrize("rule", ["krum", "geometric_median", "caf"])
def test_the_weights_are_those_of_the_projections(rule):
    x = np.random.default_rng(3).normal(0.3, 1, size=(9, 50)).astype(np.float32)
    x[:2] -= 3
    key = jax.random.key(7)
    y = x.astype(np.float64) @ matrix(key, 50, 12).T
    both = np.hstack([y, 1e-6 * x])  # an oracle that sees y and tells the rows
    want = 1e6 * getattr(oracles, rule)(both, 2)[12:]
    got = projected(x, 2, key=key, rule=rule, dims=12)
    np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-3)
    mixed = oracles.nnm(both, 2)
    near = 1e6 * getattr(oracles, rule)(mixed, 2)[12:]
    got = projected(x, 2, key=key, rule=rule, mixed=True, dims=12)
    np.testing.assert_allclose(got, near, rtol=1e-3, atol=1e-3)


def test_far_rows_are_left_out_and_a_key_is_needed():
    x = np.random.default_rng(4).normal(1, 1, size=(11, 5000)).astype(np.float32)
    x[:3] = -2
    for rule in ("krum", "geometric_median", "caf"):
        for mixed in (False, True):
            got = projected(x, 3, key=jax.random.key(0), rule=rule, mixed=mixed, dims=256)
            far = rule == "geometric_median" and not mixed
            assert np.linalg.norm(got - 1) < (80 if far or not mixed else 40)
    with pytest.raises(ValueError, match="5000 to 4096 dimensions is drawn: give it a key"):
        agg.projected(x, 3)
    with pytest.raises(ValueError, match="unknown rule of projected 'mean'"):
        agg.projected(x, 3, rule="mean")
    with pytest.raises(ValueError, match="dims must be at least 1, got 0"):
        agg.projected(x, 3, dims=0)
