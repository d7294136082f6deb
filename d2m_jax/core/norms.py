"""Lengths of rows `[S, D]` that neither overflow nor vanish, and the power of two that lifts rows.

Not here: inner products of rows (`gram.py`). Read next: that.
"""

import jax
import jax.numpy as jnp

from d2m_jax.core import blocks
from d2m_jax.core.rows import present, zero_absent
from d2m_jax.core.types import Number

PEEK = 32  # columns that are looked at to find the scale of the rows
USUAL = -30  # binary exponent of the largest value of a usual row, from which on nothing is lifted
MOST = 40  # rows are multiplied by 2^MOST at most
CEILING = 2.0**56  # of a lifted value: just above the largest norm that a defence lets through
SHORT = 2.0**-56  # a squared norm below the square of this has lost digits


def safe_sqrt(x: jax.Array) -> jax.Array:
    """Square root of x >= 0 with derivative 0 (not infinity) at 0; 0 for a NaN, too."""
    positive = x > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, x, 1)), 0)


def safe_norms(rows: jax.Array) -> jax.Array:
    """Euclidean norm `[S]` of each row without overflow or underflow of the squares.

    Formula: ||u|| = m ||u / m|| with m = max |u|. A row that holds NaN or inf gives NaN or inf.

    Args:
        rows: `[S, D]`.

    Cost: two passes.
    """
    top = jnp.max(jnp.abs(rows), axis=1)
    unit = jnp.where((top > 0) & jnp.isfinite(top), top, 1)
    return top * jnp.sqrt(jnp.sum(jnp.square(rows / unit[:, None]), axis=1))


def unit(x: jax.Array) -> jax.Array:
    """Vectors `[..., D]` of length one; zero stays zero, and squares neither overflow nor vanish.

    Cost: two passes for the lengths, as `safe_norms`.
    """
    lengths = safe_norms(x.reshape(-1, x.shape[-1])).reshape(x.shape[:-1])
    return x / jnp.where(lengths > 0, lengths, 1)[..., None]


def row_norms(
    updates: jax.Array, mask: jax.Array | None = None, centre: jax.Array | None = None
) -> jax.Array:
    """Euclidean norms `[S]` of the rows, or distances to a centre `[D]`; 0 for absent rows.

    The derivative is 0 at 0. Rows of a scale down to 1e-25 are lifted before they are squared (see
    `lift_of`); a row 2^24 times the usual one beside them then counts as infinitely long. On a CPU
    a mask or a centre works block by block, so that no second matrix is written. Cost: one pass.
    """
    if mask is None and centre is None:
        squares = jnp.sum(jnp.square(updates), axis=1)
        tiny = 2 * jnp.sum(squares < SHORT**2) > updates.shape[0]
        exact = jax.lax.stop_gradient(updates)
        return jax.lax.cond(tiny, lambda: safe_norms(exact), lambda: safe_sqrt(squares))
    lift = lift_of(updates, mask)

    def squares_of(rows: jax.Array, at: jax.Array | int = 0) -> jax.Array:
        return jnp.square(zero_absent((rows - at) * lift, mask))

    arrays = [updates] if centre is None else [updates, centre[None]]
    block = max(blocks.BLOCK_VALUES // updates.shape[0], 1)
    return safe_sqrt(jnp.sum(blocks.sum_blocks(squares_of, arrays, block), axis=1)) / lift


def lift_of(
    updates: jax.Array, mask: jax.Array | None = None, usual: int = USUAL, most: int = MOST
) -> jax.Array:
    """The power of two `[]` that lifts the rows when most of them are tiny; else 1.

    Products with it are exact, so what is computed from lifted rows is the same bit for bit where
    nothing would have vanished. The scale is that of the median row, which a minority cannot move,
    as seen in `PEEK` columns; rows that are 0 do not count.

    Args:
        updates: `[S, D]`.
        mask: `[S]` bool, the rows that count; None for all.
        usual: binary exponent up to which rows are lifted.
        most: exponent of the largest power.
    """
    rows = jax.lax.stop_gradient(updates)
    stride = max(rows.shape[1] // PEEK, 1)
    tops = jnp.max(jnp.abs(rows[:, ::stride]), axis=1)
    known = present(updates, mask) & (tops > 0) & jnp.isfinite(tops)
    ordered = jnp.sort(jnp.where(known, tops, jnp.inf))
    middle = ordered[jnp.maximum(jnp.sum(known) - 1, 0) // 2]
    exponent = jnp.frexp(jnp.where(jnp.isfinite(middle), middle, 1))[1]
    return jnp.ldexp(jnp.ones((), updates.dtype), jnp.clip(usual - exponent, 0, most))


def lifted(rows: jax.Array, lift: Number) -> jax.Array:
    """`rows` times the power of two, no value beyond `CEILING` when there is something to lift."""
    ceiling = jnp.where(lift > 1, jnp.asarray(CEILING, rows.dtype), jnp.inf)
    return jnp.clip(rows * lift, -ceiling, ceiling)
