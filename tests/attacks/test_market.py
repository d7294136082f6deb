"""Lies in the market, against Python integers."""

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np

from d2m_jax.attacks import market

INT32_MAX = 2**31 - 1
scaled = jax.jit(market.scaled_amount)


@hypothesis.given(st.integers(0, INT32_MAX), st.integers(0, 200_000))
def test_scaled_amount_is_exact_and_saturates(amount, bps):
    assert int(scaled(jnp.int32(amount), jnp.int32(bps))) == min(amount * bps // 10_000, INT32_MAX)


def test_tag_lies():
    tags = jnp.array([0b001, 0b011, 0b100], jnp.int32)
    byz = jnp.array([True, False, True])
    claims = market.claimed_tags(tags, byz, 0b011)
    np.testing.assert_array_equal(claims, [0b011, 0b011, 0b111])


def test_size_lies():
    sizes = jnp.array([100, 33], jnp.int32)
    got = market.claimed_sizes(sizes, jnp.array([True, False]), 15_000)
    np.testing.assert_array_equal(got, [150, 33])
