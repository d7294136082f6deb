"""All pairwise distances from one matrix product, safely in float32.

Here: the centred Gram matrix, squared distances, distances to weighted combinations of rows.
Not here: the rules that use them. Read next: `distance.py`.
"""

import jax
import jax.numpy as jnp

from d2m_jax.aggregation.coordinate import median
from d2m_jax.aggregation.masks import zero_absent


def centred_gram(
    updates: jax.Array, mask: jax.Array | None = None
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Inner products after subtracting the coordinate-wise median.

    Uncentred, distances between nearby updates drown in rounding; centred on the mean, one huge
    update does the same harm. The median moves with the majority only.

    Args:
        updates: `[S, D]`.
        mask: `[S]` bool; absent rows become rows of zeros, so their products are 0.

    Returns:
        `gram [S, S]`, the centred rows `[S, D]`, the centre `[D]`.

    Cost: one median and O(S^2 D) multiply-adds.
    """
    centre = median(updates, mask=mask)
    rows = zero_absent(updates - centre[None], mask)
    return jnp.matmul(rows, rows.T, precision="highest"), rows, centre


def squared_distances(gram: jax.Array, mask: jax.Array | None = None) -> jax.Array:
    """`[S, S]` squared distances, 0 on the diagonal, +inf to and from absent rows.

    Formula: g_ii + g_jj - 2 g_ij, clamped at 0 because rounding may push it below.
    """
    n = gram.shape[0]
    norms = jnp.diagonal(gram)
    squares = jnp.maximum(norms[:, None] + norms[None, :] - 2 * gram, 0)
    if mask is not None:
        squares = jnp.where(mask[:, None] & mask[None, :], squares, jnp.inf)
    return jnp.where(jnp.eye(n, dtype=bool), 0, squares)


def squared_distances_to(gram: jax.Array, weights: jax.Array) -> jax.Array:
    """`[S]` squared distances of every row to `sum_i weights[i] row_i`, weights summing to 1."""
    inner = jnp.matmul(gram, weights, precision="highest")
    return jnp.maximum(jnp.diagonal(gram) - 2 * inner + jnp.vdot(weights, inner), 0)


def safe_sqrt(x: jax.Array) -> jax.Array:
    """Square root of x >= 0 with derivative 0 (not infinity) at 0."""
    positive = x > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, x, 1)), 0)
