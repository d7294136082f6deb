"""Lies in the market, against Python integers."""

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np

from d2m_jax.attacks import market

KEY = jax.random.key(0)
INT32_MAX = 2**31 - 1
scaled = jax.jit(market.scaled_amount)


@hypothesis.given(st.integers(0, INT32_MAX), st.integers(0, 200_000))
def test_scaled_amount_is_exact_and_saturates(amount, bps):
    assert int(scaled(jnp.int32(amount), jnp.int32(bps))) == min(amount * bps // 10_000, INT32_MAX)


def test_bid_limits():
    values = jnp.array([999, 2_000_000_000, 501], jnp.int32)
    byz = jnp.array([True, True, False])
    got = market.bid_limits(values, byz, 8_000)
    np.testing.assert_array_equal(got, [799, 1_600_000_000, 501])
    assert got.dtype == jnp.int32
    each = market.bid_limits(values, byz, jnp.array([5_000, 12_000, 1]))
    np.testing.assert_array_equal(each, [499, INT32_MAX, 501])


def test_claimed_tau():
    got = market.claimed_tau(jnp.array([0.8, 0.95]), jnp.array([False, True]), 0.1)
    np.testing.assert_allclose(got, [0.8, 1.0])


def test_disputes():
    harmed = jnp.array([True, False, False, True])
    byz = jnp.array([False, False, True, True])
    np.testing.assert_array_equal(market.disputes(KEY, harmed, byz), [True, False, True, True])
    np.testing.assert_array_equal(market.disputes(KEY, harmed, byz, 0.0), harmed)
    many = market.disputes(KEY, jnp.zeros(4000, bool), jnp.ones(4000, bool), 0.3)
    assert abs(many.mean() - 0.3) < 0.04


def test_accused_is_a_random_candidate():
    candidates = jnp.array([False, True, False, True, True])
    keys = jax.random.split(KEY, 300)
    named = np.asarray(jax.vmap(market.accused, in_axes=(0, None))(keys, candidates))
    counts = np.bincount(named, minlength=5)
    assert counts[0] == counts[2] == 0 and (counts[[1, 3, 4]] > 60).all()
    assert market.accused(KEY, jnp.zeros(5, bool)) == -1


def test_tag_lies():
    tags = jnp.array([0b001, 0b011, 0b100], jnp.int32)
    byz = jnp.array([True, False, True])
    claims = market.claimed_tags(tags, byz, 0b011)
    np.testing.assert_array_equal(claims, [0b011, 0b011, 0b111])
    np.testing.assert_array_equal(market.truly_eligible(tags, 0b011), [False, True, False])
    np.testing.assert_array_equal(market.truly_eligible(claims, 0b011), [True, True, True])


def test_size_lies():
    sizes = jnp.array([100, 33], jnp.int32)
    got = market.claimed_sizes(sizes, jnp.array([True, False]), 15_000)
    np.testing.assert_array_equal(got, [150, 33])
