"""Gaussian noise on a grid, so that what is released is as private in float32 as on paper.

`u + noise` in float32 shows whether u is there: the floats that a sum can reach are not those that
noise alone can reach, and a float32 normal has 2^23 values, none beyond 5.42 deviations (Mironov
2012). Here the clipped values are whole numbers of steps, and so is the noise. Rounding a normal to
whole numbers commutes with adding whole numbers, so the result is a rounding of the ideal Gaussian
mechanism, and every account of that one holds. Read next: `dp.py`; `accountant.py`.
"""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np

from d2m_jax.core.rows import as_float32
from d2m_jax.core.trees import varying_as
from d2m_jax.core.types import Key, Number

SPREAD = 2**10  # standard deviation of the noise, in steps of the grid
BITS = 95  # random bits of a magnitude; with the sign three words
SEARCH = 14  # steps of the binary search over the thresholds
DISTANCE = 2.0**-82  # total variation of one coordinate from the rounded normal, at most
LARGEST = 2**30  # of a sum in steps, before the noise


@functools.lru_cache(maxsize=1)
def thresholds() -> np.ndarray:
    """`round(2^95 P(|Z| <= k))` for k = 0, 1, .., as three uint32 words `[3, 2^14 - 1]`.

    Z is a normal of deviation `SPREAD`, rounded to the nearest whole number:

        P(Z = k) ~ exp(-x^2 / 2) (1 + He2(x) h^2 / 24 + He4(x) h^4 / 1920 + He6(x) h^6 / 322560)

    with x = k h and h = 1 / SPREAD, the integral over one step; what is left out is below 2^-100.
    In integers with 200 bits after the point, on the host, once. Rounding moves each probability by
    at most 2^-95, all of them (fewer than 2^14) by less than `DISTANCE` in total variation. Unused
    places are larger than any random number.
    """
    one, square = 1 << 200, SPREAD**2
    ratio, shrink = _exp(-one // (2 * square), one), _exp(-one // square, one)
    weight, total, sums = one, 0, []
    for k in range(2**SEARCH):
        x2 = (k * k * one) // square
        x4 = x2 * x2 // one
        he2, he4 = x2 - one, x4 - 6 * x2 + 3 * one
        he6 = x4 * x2 // one - 15 * x4 + 45 * x2 - 15 * one
        series = one + he2 // (24 * square) + he4 // (1920 * square**2)
        series += he6 // (322_560 * square**3)
        total += (1 if k == 0 else 2) * (weight * series // one)
        sums.append(total)
        weight, ratio = weight * ratio // one, ratio * shrink // one
    cuts = [((part << (BITS + 1)) // total + 1) >> 1 for part in sums]
    cuts = [cut for cut in cuts if cut < 1 << BITS]
    table = np.full((3, 2**SEARCH - 1), 2**32 - 1, np.uint32)
    for i, shift in enumerate((63, 31, 0)):
        words = [(cut >> shift) & (2**32 - 1 if shift else 2**31 - 1) for cut in cuts]
        table[i, : len(cuts)] = words
    return table


def _exp(exponent: int, one: int) -> int:
    """`exp(exponent / one)` times `one`, for a small exponent."""
    total, term, n = 0, one, 0
    while term:
        total, n = total + term, n + 1
        term = abs(term * exponent // one) // n * (-1 if n % 2 and exponent < 0 else 1)
    return total


def from_bits(words: jax.Array) -> jax.Array:
    """The rounded normal that 96 random bits stand for: `[3, ...] uint32 -> [...] int32`.

    The magnitude is the number of thresholds that do not exceed the first 95 bits; the last bit is
    the sign. Cost: 14 steps of a binary search.
    """
    table = jnp.asarray(thresholds())
    first, second, last = words[0], words[1], words[2] >> 1

    def halve(i: jax.Array, found: jax.Array) -> jax.Array:
        probe = found + (jnp.int32(1) << (SEARCH - 1 - jnp.asarray(i, jnp.int32)))
        a, b, c = (row[probe - 1] for row in table)
        below = (a < first) | ((a == first) & ((b < second) | ((b == second) & (c <= last))))
        return jnp.where(below, probe, found)

    nothing = varying_as(jnp.zeros(first.shape, jnp.int32), words)
    size = jax.lax.fori_loop(0, SEARCH, halve, nothing)
    return jnp.where(words[2] & 1 == 1, -size, size)


def rounded_normal(key: Key, shape: tuple[int, ...]) -> jax.Array:
    """Normals of deviation `SPREAD` rounded to whole numbers, `shape` int32; key consumed.

    At most 11.4 deviations long; within `DISTANCE` of the exact law in total variation.
    """
    return from_bits(jax.random.bits(key, (3, *shape), jnp.uint32))


def private_sum(
    key: Key, rows: jax.Array, use: jax.Array, clip: Number, noise: Number
) -> jax.Array:
    """sum over `use` of clip(row) + noise * clip * N(0, I), on the grid -> [D].

    The step is noise * clip / `SPREAD`, and at least clip B / 2^30 so that a sum fits into int32:
    below a multiplier of B / 2^20 there is that much noise all the same. Rows are cut to
    the norm with room for every rounding, then rounded towards zero, which makes no row longer: one
    row changes the whole numbers by at most clip / step in norm. A row that is not finite counts as
    zero, as telling that it is not would tell something.

    Args:
        key: consumed.
        rows: [B, D] of floats, B at most 2^20.
        use: [B] bool.
        clip: [] bound on the norm of one row.
        noise: [] multiplier; 0 only clips, to a resolution of clip B / 2^30.

    Cost: [B, D] int32 and 14 gathers of 3 D words.
    """
    rows = as_float32(rows)
    kind, most = rows.dtype, LARGEST // rows.shape[0]
    clip, noise = jnp.asarray(clip, kind), jnp.asarray(noise, kind)
    step = jnp.maximum(noise * clip / SPREAD, clip / most)
    steps = jnp.where(use[:, None], in_steps(rows, clip, step, most), 0).sum(0, dtype=jnp.int32)
    drawn = jnp.where(noise > 0, rounded_normal(key, steps.shape), 0)
    return (steps + drawn).astype(kind) * step


def in_steps(rows: jax.Array, clip: jax.Array, step: jax.Array, most: int) -> jax.Array:
    """[B, D] int32: rows cut to a norm of `clip`, in whole steps, none longer than clip / step.

    The relative error of the norm is below (log2(D) + 8) 2^-24 as it is added up in pairs, that of
    the other operations together below 16 units; the cut leaves (log2(D) + 32) 2^-24 room.
    """
    size = pairwise_norm(rows)
    room = 1 - (math.log2(rows.shape[1]) + 32) * 2.0**-24
    scale = jnp.minimum(1.0, clip / jnp.maximum(size, 1e-30)) * room
    good = jnp.isfinite(size)
    cut = jnp.where(good, rows, 0.0) * jnp.where(good, scale, 0.0) / step
    return jnp.clip(jnp.trunc(cut), -most, most).astype(jnp.int32)


def pairwise_norm(rows: jax.Array) -> jax.Array:
    """[B, 1] Euclidean norms, squares added in a tree, so that the rounding error is known.

    A plain reduction may add D terms in a row, an error of D 2^-24 at worst.
    """
    longest = jnp.abs(rows).max(axis=1, keepdims=True)
    squares = jnp.square(rows / jnp.where(longest > 0, longest, 1.0))
    width = 1 << (rows.shape[1] - 1).bit_length()
    squares = jnp.pad(squares, ((0, 0), (0, width - rows.shape[1])))
    while width > 1:
        width //= 2
        squares = squares[:, :width] + squares[:, width:]
    return longest * jnp.sqrt(squares)


def sampling_delta(
    epsilon: float | np.ndarray, num_params: int, releases: int | np.ndarray
) -> np.ndarray:
    """What the finite number of random bits adds to delta: (1 + e^eps) releases D 2^-82.

    From `P'(E) <= P(E) + tv` on both sides of `P(E) <= e^eps Q(E) + delta`.

    Args:
        epsilon: [...] of the guarantee.
        num_params: D.
        releases: [...] number of noised vectors.

    Returns:
        [...] float64, at most 1.
    """
    with np.errstate(over="ignore"):
        grown = (1 + np.exp(np.asarray(epsilon, np.float64))) * (num_params * DISTANCE)
    return np.where(np.asarray(releases) > 0, np.minimum(grown * np.maximum(releases, 1), 1.0), 0.0)
