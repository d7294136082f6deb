"""Robust statistics of masked values: spread, weighted quantiles. Read next: `corrected.py`."""

import jax
import jax.numpy as jnp

from d2m_jax.core.rows import masked_median


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
