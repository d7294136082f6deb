"""Integer arithmetic against Python's big integers, up to the last int32."""

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given

from d2m_jax import ledger as L

INT_MAX = 2**31 - 1
SIZE = 256
EDGES = np.array([0, 1, 2, 9_999, 10_000, 10_001, 2**15, 2**16, 2**30, INT_MAX - 1, INT_MAX])

mul_bps = jax.jit(L.mul_bps)
mul_div = jax.jit(L.mul_div)
split_pot = jax.jit(jax.vmap(L.split_pot))


def integers(rng, top, size=SIZE):
    """Integers in [0, top]: edges, then numbers of all lengths."""
    free = np.minimum((2.0 ** rng.uniform(0, 31, size)).astype(np.int64) - 1, top)
    edges = EDGES[top >= EDGES]
    free[: len(edges)] = rng.permutation(edges)
    free[len(edges)] = top
    return free


@given(st.integers(0, 2**32 - 1))
def test_basis_points_are_exact(seed):
    rng = np.random.default_rng(seed)
    amount, bps = integers(rng, INT_MAX), rng.permutation(integers(rng, 10_000))
    expected = [int(a) * int(b) // 10_000 for a, b in zip(amount, bps)]
    assert np.asarray(mul_bps(jnp.int32(amount), jnp.int32(bps))).tolist() == expected


@given(st.integers(0, 2**32 - 1))
def test_mul_div_is_exact(seed):
    rng = np.random.default_rng(seed)
    amount, below = integers(rng, INT_MAX), np.maximum(rng.permutation(integers(rng, INT_MAX)), 1)
    above = (below * rng.uniform(0, 1, SIZE)).astype(np.int64)
    above[::7] = below[::7]
    expected = [int(a) * int(t) // int(b) for a, t, b in zip(amount, above, below)]
    got = mul_div(jnp.int32(amount), jnp.int32(above), jnp.int32(below))
    assert np.asarray(got).tolist() == expected


@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 7, 40]), st.booleans())
def test_pots_split_exactly(seed, num_sellers, large):
    """The parts add up to any pot, each is within one unit of its share, zero weights get none."""
    rng = np.random.default_rng(seed)
    pots = integers(rng, INT_MAX)
    top = L.MAX_WEIGHT if large else 3
    weights = rng.integers(0, top + 1, (SIZE, num_sellers))
    weights[1] = L.MAX_WEIGHT
    weights[2], weights[2, 0] = 0, 1
    parts = np.asarray(split_pot(jnp.int32(pots), jnp.int32(weights))).astype(object)
    total = weights.astype(object).sum(1)
    some = total > 0
    assert (parts.sum(1)[some] == pots[some]).all()
    assert (parts[~some] == 0).all()
    assert (parts[weights == 0] == 0).all()
    assert (parts >= 0).all()
    # |part - pot * w / total| < 1, in integers.
    error = parts * total[:, None] - pots.astype(object)[:, None] * weights
    assert (abs(error)[some] < total[some][:, None]).all()


def test_no_weight_pays_nothing():
    assert np.asarray(L.split_pot(jnp.int32(99), jnp.zeros(4, jnp.int32))).tolist() == [0] * 4


def test_split_by_hand():
    parts = L.split_pot(jnp.int32(100), jnp.int32([1, 1, 1, 0]))
    assert np.asarray(parts).tolist() == [33, 33, 34, 0]
