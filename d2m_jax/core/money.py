"""Exact integer money: products, quotients and splits that never leave the type of the money.

Whole units and basis points only. Money is int32, or int64 in a ledger that was made in a program
with 64 bits (`jax_enable_x64`): `money_type`. Everything here follows the type of its amounts, and
no step needs a wider one, so that the same units come out of both. Used by the ledger and by those
who lie to it.
"""

from typing import Any

import jax
import jax.numpy as jnp

from d2m_jax.core.trees import varying_as
from d2m_jax.core.types import Number

INT_MAX = 2**31 - 1  # the largest int32: of counts and blocks, and of money without 64 bits
BPS = 10_000  # basis points in one
MAX_SCALE_BPS = 20 * BPS  # the largest factor of `scaled_amount`


def money_type() -> Any:
    """The type of new money: int64 in a program with 64 bits, else int32."""
    return jnp.result_type(int)


def largest(kind: Any = None) -> int:
    """The largest amount of a type of money, by default of `money_type`."""
    return int(jnp.iinfo(kind or money_type()).max)


def units(value: Any, kind: Any = None) -> jax.Array:
    """Any whole number as money of a type, by default of `money_type`.

    What an array of a wider type holds beyond it is cut to its range: more than anybody has.
    """
    kind = jnp.dtype(kind or money_type())
    if getattr(value, "dtype", kind).itemsize > kind.itemsize:
        value = value.clip(jnp.iinfo(kind).min, jnp.iinfo(kind).max)
    return jnp.asarray(value, kind)


def total(amounts: jax.Array, axis: int | None = None) -> jax.Array:
    """The sum, in the type of the amounts."""
    return amounts.sum(axis, dtype=amounts.dtype)


def mul_bps(amount: jax.Array, bps: Number) -> jax.Array:
    """floor(amount * bps / 10000), exact for amount >= 0 and 0 <= bps <= 10000.

    Formula: (a // 10000) * b + (a % 10000) * b // 10000, no step of which leaves the type.

    Args:
        amount: [...] units.
        bps: [...] basis points.
    """
    amount = jnp.asarray(amount)
    bps = jnp.asarray(bps, amount.dtype)
    whole, rest = divide(amount, BPS)
    return whole * bps + divide(rest * bps, BPS)[0]


def divide(amount: Number, by: Number) -> tuple[jax.Array, jax.Array]:
    """Quotient and remainder of whole numbers that are not negative, [...] of one type.

    `//` and `%` round towards minus infinity, which takes ten operations more.

    Args:
        amount: [...] whole, at least 0.
        by: [...] at least 1.
    """
    amount = jnp.asarray(amount)
    amount, by = jnp.broadcast_arrays(amount, jnp.asarray(by, amount.dtype))
    return jax.lax.div(amount, by), jax.lax.rem(amount, by)


def mul_div(amount: jax.Array, numerator: jax.Array, denominator: jax.Array) -> jax.Array:
    """floor(amount * numerator / denominator) without a product of twice the bits.

    Schoolbook binary long division over the 31 (63) bits of `amount`; quotient and remainder stay
    below 2**32 (2**64). Assumes 0 <= amount, 0 <= numerator <= denominator and denominator >= 1.

    Args:
        amount: [...] units, int32 or int64.
        numerator: [...] int32 or int64.
        denominator: [...] int32 or int64.

    Returns:
        [...] of the type of `amount`, at most `amount`.

    Cost: 31 steps of a few operations per element, with 64 bits 63.
    """
    whole = [jnp.asarray(x) for x in (amount, numerator, denominator)]
    size = max(x.dtype.itemsize for x in whole)
    kind: Any = jnp.uint64 if size > 4 else jnp.uint32
    one, two = jnp.asarray(1, kind), jnp.asarray(2, kind)
    bits, (pot, top, bottom) = 8 * size - 1, (x.astype(kind) for x in whole)
    shape = jnp.broadcast_shapes(pot.shape, top.shape, bottom.shape)

    def step(i: jax.Array, carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        quotient, rest = carry
        bit = (pot >> (jnp.asarray(bits - 1, kind) - jnp.asarray(i, kind))) & one
        rest = rest * two
        carry_out = rest >= bottom
        quotient = quotient * two + carry_out.astype(kind)
        rest = rest - jnp.where(carry_out, bottom, jnp.zeros_like(bottom)) + bit * top
        carry_out = rest >= bottom
        quotient = quotient + carry_out.astype(kind)
        return quotient, rest - jnp.where(carry_out, bottom, jnp.zeros_like(bottom))

    zero = varying_as(jnp.zeros(shape, kind), pot, top, bottom)
    quotient, _ = jax.lax.fori_loop(0, bits, step, (zero, zero))
    return quotient.astype(whole[0].dtype)


def split_pot(pot: jax.Array, weights: jax.Array) -> jax.Array:
    """Splits a pot by integer weights so that the parts add up exactly.

    Part i = floor(pot * c_i / c_N) - floor(pot * c_{i-1} / c_N), with c the cumulative weights:
    each part is less than one unit from its exact share, and a zero weight gets nothing. With no
    weight at all every part is zero and the caller keeps the pot.

    Args:
        pot: [] units >= 0, int32 or int64.
        weights: [N] integers >= 0 with a sum that fits the type of the pot.

    Returns:
        [N] parts of the type of the pot that sum to it, or zeros.
    """
    pot = jnp.asarray(pot)
    cumulative = jnp.cumsum(weights, dtype=pot.dtype)
    whole = cumulative[-1]
    cut = mul_div(pot, cumulative, jnp.maximum(whole, 1))
    return jnp.diff(cut, prepend=jnp.zeros((), pot.dtype))


def scaled_amount(amount: jax.Array, bps: Number) -> jax.Array:
    """floor(amount * bps / 10000) for factors up to 20, exact; the largest amount of its type where
    it would not fit.

    As `mul_bps`, which needs fewer operations and a factor of at most one.

    Args:
        amount: [...] not negative, int32 or int64.
        bps: [...] basis points, clipped to 0 .. 200,000.
    """
    amount = jnp.asarray(amount)
    most = largest(amount.dtype)
    bps = jnp.clip(jnp.asarray(bps, amount.dtype), 0, MAX_SCALE_BPS)
    whole, rest = amount // BPS, amount % BPS
    small = rest * bps // BPS  # below 10^4 * 2 * 10^5 = 2 * 10^9: fits
    fits = whole <= (most - small) // jnp.maximum(bps, 1)
    return jnp.where(fits, jnp.where(fits, whole, 0) * bps + small, most)
