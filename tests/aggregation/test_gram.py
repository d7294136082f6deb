"""Distances in float32 where it hurts, against numpy in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from d2m_jax import aggregation as agg
from d2m_jax.aggregation import order_stats
from d2m_jax.aggregation.gram import centred_gram
from d2m_jax.core import blocks, gram, norms


def true_squares(x):
    x = x.astype(np.float64)
    return ((x[:, None] - x[None]) ** 2).sum(axis=-1)


@pytest.mark.parametrize("scale", [1.0, 1e4, 1e12])
def test_nearby_updates_beside_a_huge_one(scale):
    """Honest updates differ in the fourth digit; the attackers' length must not matter."""
    rng = np.random.default_rng(0)
    x = (10 + 1e-3 * rng.normal(size=(7, 300))).astype(np.float32)
    x[5:] = scale * rng.normal(size=(2, 300))
    want = true_squares(x)
    for rows in (np.arange(7), np.arange(7)[::-1]):
        for f in (None, 1, 2):  # of the first five rows two are huge, and one more than declared
            got = np.asarray(gram.squared_distances(centred_gram(x[rows], f=f).products))
            true = want[np.ix_(rows, rows)]
            near = np.flatnonzero(rows < 5)
            np.testing.assert_allclose(got[:, near], true[:, near], rtol=1e-4)


@pytest.mark.parametrize("pieces", [64, 2])
def test_pieces_of_columns_give_the_same(monkeypatch, pieces):
    """The width is no multiple of the piece: no column may be counted twice."""
    x = np.random.default_rng(1).normal(size=(5, 103)).astype(np.float32)
    mask = np.arange(5) != 2
    x[2] = np.nan
    want = centred_gram(x, mask).products
    plain = gram.gram_of(x, mask).products
    monkeypatch.setattr(blocks, "PIECE_VALUES", 80)
    monkeypatch.setattr(blocks, "PIECES", pieces)
    np.testing.assert_allclose(centred_gram(x, mask).products, want, rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(gram.gram_of(x, mask).products, plain, rtol=1e-5, atol=1e-4)
    squares = np.asarray(gram.squared_distances(want, mask))
    assert np.isinf(squares[2, [0, 1, 3, 4]]).all() and (np.diagonal(squares) == 0).all()


def test_norms_and_distances_to_a_point_by_blocks(monkeypatch):
    x = (10 + 1e-3 * np.random.default_rng(4).normal(size=(5, 103))).astype(np.float32)
    x[1] *= 1e12
    mask, to = np.arange(5) != 2, x[4]
    lengths, gaps = (np.linalg.norm(v.astype(np.float64), axis=1) for v in (x, x - to))
    x[2] = np.nan
    monkeypatch.setattr(blocks, "BLOCK_VALUES", 5 * 16)
    np.testing.assert_allclose(norms.row_norms(x, mask), lengths * mask, rtol=1e-5)
    np.testing.assert_allclose(norms.row_norms(x, mask, to), gaps * mask, rtol=1e-5)
    others = [0, 1, 3, 4]
    np.testing.assert_allclose(norms.row_norms(x[others], None, to), gaps[others], rtol=1e-5)
    slope = np.asarray(jax.grad(lambda x: jnp.sum(norms.row_norms(x, mask, to)))(x))
    assert np.isfinite(slope).all() and not slope[[2, 4]].any()


def test_monna_finds_the_nearest_of_close_rows_beside_a_huge_one():
    """From one Gram matrix of the rows as they are, float32 could not tell them apart."""
    x = np.full((5, 300), 10, np.float32) + 1e-4 * np.array([[0, 3, 1, 2, 0]], np.float32).T
    x[4] = 1e25
    want = x[[0, 2, 3]].astype(np.float64).mean(axis=0)
    np.testing.assert_allclose(agg.monna(x, 2), want, rtol=1e-6)


def test_distance_to_a_combination_is_the_distance():
    x = np.random.default_rng(2).normal(size=(6, 9)).astype(np.float32)
    w = np.random.default_rng(3).dirichlet(np.ones(6)).astype(np.float32)
    want = ((x - w @ x) ** 2).sum(axis=1)
    got = gram.squared_distances_to(centred_gram(x).products, w)
    np.testing.assert_allclose(got, want, rtol=1e-4)


def test_top_eigenpair_is_that_of_eigh():
    rng = np.random.default_rng(4)
    for scale in (1e-12, 1.0, 1e15):
        a = rng.normal(size=(8, 5))
        a = scale * a @ a.T
        value, vector = gram.top_eigenpair(jnp.asarray(a, jnp.float32))
        values, vectors = np.linalg.eigh(a)
        np.testing.assert_allclose(value, values[-1], rtol=1e-5)
        np.testing.assert_allclose(abs(vectors[:, -1] @ np.asarray(vector)), 1.0, rtol=1e-5)
    value, vector = gram.top_eigenpair(jnp.eye(4))  # every vector is an eigenvector
    np.testing.assert_allclose([value, jnp.vdot(vector, vector)], 1.0, rtol=1e-6)
    value, vector = gram.top_eigenpair(jnp.zeros((3, 3)))
    assert value == 0 and (vector == 0).all()


def test_fence_changes_no_bit():
    for n in (1, 8, 13, 24):
        x = np.random.default_rng(n).normal(size=n).astype(np.float32) * 1e20
        np.testing.assert_array_equal(jax.jit(order_stats.fence)(x), x)


def test_a_row_that_overflows_beside_lifted_rows_is_far_from_all():
    x = 1e-22 * np.random.default_rng(5).normal(size=(6, 40)).astype(np.float32)
    x[4:] = np.float32([[1e16], [-1e16]])
    products, lift = gram.gram_of(x)
    assert lift == 2.0**40 and np.isfinite(products).all()
    squares = np.asarray(gram.squared_distances(products))
    assert (squares[:4, :4] < 1).all() and (squares[4:, :4] > 1e30).all() and squares[4, 5] > 1e30
    value, vector = gram.top_eigenpair(products)
    assert np.isfinite(value) and np.isfinite(vector).all()
