"""Masked statistics that never overflow: norms, medians, spread. Read next: `corrected.py`."""

import jax
import jax.numpy as jnp

from d2m_jax.core.rows import masked_median


def safe_norms(rows: jax.Array) -> jax.Array:
    """Returns the Euclidean norm of each row without overflow or underflow of the squares.

    ||u|| = m ||u / m|| with m = max |u|. A row that holds NaN or inf gives NaN or inf.

    Args:
        rows: [S, D] float32.
    """
    top = jnp.max(jnp.abs(rows), axis=1)
    unit = jnp.where((top > 0) & jnp.isfinite(top), top, 1.0)
    return top * jnp.sqrt(jnp.sum(jnp.square(rows / unit[:, None]), axis=1))


def masked_deviation(values: jax.Array, mask: jax.Array) -> jax.Array:
    """Returns 1.4826 times the median absolute deviation where mask (a robust sigma)."""
    centre = masked_median(values, mask)
    return 1.4826 * masked_median(jnp.abs(values - centre), mask)


def weighted_quantile(values: jax.Array, weights: jax.Array, share: float | jax.Array) -> jax.Array:
    """Returns the least value up to which there is `share` of the weight; 0 without any weight.

    Args:
        values: [S] float32; those of weight 0 may be anything.
        weights: [S] float32, at least 0.
        share: from 0 to 1; 0.5 is the (lower) median.
    """
    order = jnp.argsort(jnp.where(weights > 0, values, jnp.inf))
    reached = jnp.cumsum(weights[order])
    place = jnp.argmax(reached >= share * reached[-1])
    return jnp.where(reached[-1] > 0, values[order][place], 0.0)
