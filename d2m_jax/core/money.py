"""Exact integer money: products, quotients and splits that never leave int32.

Whole units and basis points only; no step needs 64 bits, so a program gives the same units with and
without `jax_enable_x64`. Used by the ledger and by those who lie to it.
"""

import jax
import jax.numpy as jnp

from d2m_jax.core.trees import varying_as
from d2m_jax.core.types import Number

INT_MAX = 2**31 - 1  # the largest amount
BPS = 10_000  # basis points in one
MAX_SCALE_BPS = 20 * BPS  # the largest factor of `scaled_amount`


def mul_bps(amount: jax.Array, bps: jax.Array) -> jax.Array:
    """floor(amount * bps / 10000), exact for 0 <= amount < 2**31 and 0 <= bps <= 10000.

    Formula: (a // 10000) * b + (a % 10000) * b // 10000, no step of which leaves int32.

    Args:
        amount: [...] int32 units.
        bps: [...] int32 basis points.
    """
    return (amount // BPS) * bps + (amount % BPS) * bps // BPS


def mul_div(amount: jax.Array, numerator: jax.Array, denominator: jax.Array) -> jax.Array:
    """floor(amount * numerator / denominator) without a 64-bit product.

    Schoolbook binary long division over the 31 bits of `amount`; quotient and remainder stay below
    2**32. Assumes 0 <= amount, 0 <= numerator <= denominator and denominator >= 1, all below 2**31.

    Args:
        amount: [...] int32 units.
        numerator: [...] int32.
        denominator: [...] int32.

    Returns:
        [...] int32, at most `amount`.

    Cost: 31 steps of a few operations per element.
    """
    amount, top, bottom = (
        jnp.asarray(x, jnp.int32).astype(jnp.uint32) for x in (amount, numerator, denominator)
    )
    shape = jnp.broadcast_shapes(amount.shape, top.shape, bottom.shape)

    def step(i: jax.Array, carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        quotient, rest = carry
        bit = (amount >> (jnp.uint32(30) - jnp.asarray(i, jnp.uint32))) & jnp.uint32(1)
        rest = rest * jnp.uint32(2)
        carry_out = rest >= bottom
        quotient = quotient * jnp.uint32(2) + carry_out.astype(jnp.uint32)
        rest = rest - jnp.where(carry_out, bottom, jnp.uint32(0)) + bit * top
        carry_out = rest >= bottom
        quotient = quotient + carry_out.astype(jnp.uint32)
        return quotient, rest - jnp.where(carry_out, bottom, jnp.uint32(0))

    zero = varying_as(jnp.zeros(shape, jnp.uint32), amount, top, bottom)
    quotient, _ = jax.lax.fori_loop(0, 31, step, (zero, zero))
    return quotient.astype(jnp.int32)


def split_pot(pot: jax.Array, weights: jax.Array) -> jax.Array:
    """Splits a pot by integer weights so that the parts add up exactly.

    Part i = floor(pot * c_i / c_N) - floor(pot * c_{i-1} / c_N), with c the cumulative weights:
    each part is less than one unit from its exact share, and a zero weight gets nothing. With no
    weight at all every part is zero and the caller keeps the pot.

    Args:
        pot: [] int32 units, any int32 >= 0.
        weights: [N] int32 >= 0 with a sum below 2**31.

    Returns:
        [N] int32 parts that sum to `pot`, or zeros.
    """
    cumulative = jnp.cumsum(weights, dtype=jnp.int32)
    total = cumulative[-1]
    cut = mul_div(pot, cumulative, jnp.maximum(total, 1))
    return jnp.diff(cut, prepend=jnp.int32(0))


def scaled_amount(amount: jax.Array, bps: Number) -> jax.Array:
    """floor(amount * bps / 10000) for factors up to 20, exact; `INT_MAX` where it would not fit.

    As `mul_bps`, which needs fewer operations and a factor of at most one.

    Args:
        amount: [...] int32, not negative.
        bps: [...] basis points, clipped to 0 .. 200,000.
    """
    amount = jnp.asarray(amount, jnp.int32)
    bps = jnp.clip(jnp.asarray(bps, jnp.int32), 0, MAX_SCALE_BPS)
    whole, rest = amount // BPS, amount % BPS
    small = rest * bps // BPS  # below 10^4 * 2 * 10^5 = 2 * 10^9: fits
    fits = whole <= (INT_MAX - small) // jnp.maximum(bps, 1)
    return jnp.where(fits, jnp.where(fits, whole, 0) * bps + small, INT_MAX)
