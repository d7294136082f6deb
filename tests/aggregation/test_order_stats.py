"""Networks against `numpy.sort`, and the 0-1 principle for every size."""

import itertools

import jax.numpy as jnp
import numpy as np
import pytest

from d2m_jax.aggregation import order_stats
from d2m_jax.core import blocks


@pytest.mark.parametrize("n", range(1, 11))
def test_batcher_sorts_every_zero_one_input(n):
    """Knuth's 0-1 principle: a network that sorts all zero-one inputs sorts everything."""
    inputs = np.array(list(itertools.product([0, 1], repeat=n)))
    wires = inputs.T.copy()
    for i, j in order_stats.batcher(n):
        low, high = np.minimum(wires[i], wires[j]), np.maximum(wires[i], wires[j])
        wires[i], wires[j] = low, high
    np.testing.assert_array_equal(wires.T, np.sort(inputs, axis=1))


def test_exchange_keeps_both_values_whatever_they_are():
    a = jnp.array([1.0, 2.0, -0.0, 3.0, jnp.inf, jnp.nan])
    b = jnp.array([2.0, 1.0, 0.0, 3.0, -jnp.inf, 1.0])
    low, high = order_stats.exchange(a, b)
    np.testing.assert_array_equal(low[:5], np.minimum(a, b)[:5])
    np.testing.assert_array_equal(high[:5], np.maximum(a, b)[:5])
    np.testing.assert_array_equal((jnp.signbit(low) ^ jnp.signbit(high))[:5], [0, 0, 1, 0, 1])
    assert jnp.isnan(low[5]) ^ jnp.isnan(high[5])


def test_sums_over_blocks_count_every_column_once():
    x = np.random.default_rng(0).integers(0, 9, size=(3, 23)).astype(np.float32)
    for block in (4, 5, 23, 40):
        got = blocks.sum_blocks(lambda a, b: (a - b) @ a.T, [x, x[:1]], block)
        np.testing.assert_array_equal(got, (x - x[:1]) @ x.T)


@pytest.mark.parametrize("pieces", [64, 4, 1])
def test_sums_over_pieces_count_every_column_once(monkeypatch, pieces):
    """Pieces of at most 4 columns, in one block and in several."""
    monkeypatch.setattr(blocks, "PIECE_VALUES", 12)
    monkeypatch.setattr(blocks, "PIECES", pieces)
    for dim in (1, 3, 8, 23):
        x = np.random.default_rng(dim).integers(0, 9, size=(3, dim)).astype(np.float32)
        got = blocks.sum_pieces(lambda a, b: (a - b) @ a.T, [x, x[:1]])
        np.testing.assert_array_equal(got, (x - x[:1]) @ x.T)


@pytest.mark.parametrize("n", [1, 2, 3, 5, 8, 20, 33])
def test_bitonic_is_sort(n):
    x = np.random.default_rng(n).normal(size=(n, 7)).astype(np.float32)
    np.testing.assert_array_equal(order_stats.bitonic(jnp.asarray(x)), np.sort(x, axis=0))


@pytest.mark.parametrize(("n", "dim"), [(6, 5), (66, 5), (66, 700)])
def test_on_sorted_gives_every_rank_in_blocks_and_under_masks(n, dim):
    x = np.random.default_rng(n).normal(size=(n, dim)).astype(np.float32)
    mask = np.arange(n) % 3 != 1

    def rank(k):
        return lambda ranked: order_stats.total([jnp.where(r == k, row, 0) for r, row in ranked])

    second = order_stats.on_sorted(rank(1), jnp.asarray(x), jnp.asarray(mask))
    np.testing.assert_array_equal(second, np.sort(x[mask], axis=0)[1])
    last = order_stats.on_sorted(rank(n - 1), jnp.asarray(x))
    np.testing.assert_array_equal(last, x.max(axis=0))


def test_ranks_are_stable_for_few_and_many_values():
    for n in (7, 70):
        x = np.random.default_rng(n).integers(0, 4, size=(3, n))
        want = np.argsort(np.argsort(x, axis=1, kind="stable"), axis=1, kind="stable")
        np.testing.assert_array_equal(order_stats.rank_of(jnp.asarray(x, jnp.float32)), want)


def test_pruned_network_finds_single_ranks_and_sums():
    n, low, high = 13, 3, 10
    x = np.random.default_rng(0).normal(size=(n, 5)).astype(np.float32)
    ordered = np.sort(x, axis=0)
    labels = ["a", None, *["core" if low <= r < high else None for r in range(2, n)]]
    wires = order_stats.select(order_stats.rows_of(jnp.asarray(x)), labels)
    np.testing.assert_array_equal(wires[0][0], ordered[0])
    core = np.sort(np.concatenate(wires[low:high]), axis=0)
    np.testing.assert_array_equal(core, ordered[low:high])
    assert len(order_stats.prune(tuple(labels))) < len(order_stats.batcher(n))
