"""What several rooms ask of the updates `[S, D]`: shape and type, which rows are finite, a median.

Not here: lengths and products of rows (`norms.py`, `gram.py`), what only rules need
(`aggregation/masks.py`). Read next: `norms.py`.
"""

import jax
import jax.numpy as jnp

from d2m_jax.core.types import Number

MAX_NORM = 1e17  # of a row whose squared distances to others float32 can still hold


def as_float32(updates: jax.Array) -> jax.Array:
    """`updates` in at least float32: half precision cannot hold the squares that rules add up.

    Raises:
        ValueError: updates that are not real floating numbers.
    """
    updates = jnp.asarray(updates)
    if not jnp.issubdtype(updates.dtype, jnp.floating):
        raise ValueError(f"updates must be floating numbers, got {updates.dtype}")
    return updates.astype(jnp.float32) if jnp.finfo(updates.dtype).bits < 32 else updates


def as_rows(
    updates: jax.Array, mask: jax.Array | None = None
) -> tuple[jax.Array, jax.Array | None]:
    """`updates` and `mask` as a rule takes them: `[S, D]` in at least float32, `[S]` bool or None.

    Raises:
        ValueError: a shape or a type that a rule cannot take, or a mask of another length.
    """
    updates = as_float32(updates)
    if updates.ndim != 2 or 0 in updates.shape:
        raise ValueError(f"updates must be a matrix [S, D], S and D >= 1, got {updates.shape}")
    return updates, None if mask is None else per_row("mask", mask, updates).astype(bool)


def per_row(name: str, values: jax.Array, updates: jax.Array) -> jax.Array:
    """`values` `[S]` as an array, one for each row of `updates`: nothing may broadcast in silence.

    Raises:
        ValueError: another shape; the sentence calls the values `name`.
    """
    values = jnp.asarray(values)
    if values.shape != updates.shape[:1]:
        raise ValueError(
            f"{name} must have one entry for each of the {updates.shape[0]} rows, "
            f"got shape {values.shape}"
        )
    return values


def present(updates: jax.Array, mask: jax.Array | None) -> jax.Array:
    """The mask `[S]`, all True when there is none."""
    return jnp.ones(updates.shape[0], bool) if mask is None else mask


def zero_absent(updates: jax.Array, mask: jax.Array | None) -> jax.Array:
    """`updates [S, D]` with absent rows set to 0, so that they may enter a matmul."""
    return updates if mask is None else jnp.where(mask[:, None], updates, 0)


def finite_mask(
    updates: jax.Array, mask: jax.Array | None = None, limit: Number = MAX_NORM
) -> jax.Array:
    """True `[S]` for rows that a rule may see: every value finite and the norm at most `limit`.

    The default limit is what sums of squared distances in float32 can still hold. Cost: one pass.
    """
    updates, mask = as_rows(updates, mask)
    norms = jnp.sqrt(jnp.sum(jnp.square(updates), axis=1))
    good = norms <= limit  # False for NaN and for an overflow to inf
    return good if mask is None else good & mask


def masked_median(values: jax.Array, mask: jax.Array | None = None) -> jax.Array:
    """Median of the values `[S]` that are there (midpoint for even counts), 0 when none is."""
    if mask is None:
        return jnp.median(values)
    count = jnp.sum(mask)
    ordered = jnp.sort(jnp.where(mask, values, jnp.inf))
    low = ordered[jnp.maximum(count - 1, 0) // 2]
    high = ordered[jnp.minimum(count // 2, values.shape[0] - 1)]
    return jnp.where(count > 0, 0.5 * low + 0.5 * high, 0)
