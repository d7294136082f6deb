"""All pairwise distances from one matrix product, safely in float32.

Here: centred and plain Gram matrices, squared distances, distances to weighted combinations of
rows, the leading eigenpair of a small matrix. Not here: the rules that use them. Read next:
`distance.py`.
"""

import jax
import jax.numpy as jnp

from d2m_jax.aggregation.coordinate import median
from d2m_jax.aggregation.masks import Count, safe_sqrt, zero_absent
from d2m_jax.aggregation.order_stats import fence, sum_pieces


def centred_gram(
    updates: jax.Array, mask: jax.Array | None = None, f: Count | None = None
) -> jax.Array:
    """Inner products `[S, S]` after subtracting a coordinate-wise median.

    Uncentred, distances between nearby updates drown in rounding; centred on the mean, one huge
    update does the same harm. The median moves with the majority only: of all rows, or, when f is a
    Python int and there is no mask, of the first 2 f + 3, most of which are honest as well, were
    there one Byzantine row more than declared.

    Args:
        updates: `[S, D]`.
        mask: `[S]` bool; absent rows become rows of zeros, so their products are 0.
        f: rows that may be Byzantine; None where the rule does not ask. From two more than f huge
            rows among the first 2 f + 3 on, distances of close rows drown after all.

    Cost: one median and O(S^2 D) multiply-adds.
    """
    enough = 2 * f + 3 if mask is None and isinstance(f, int) else None
    centre = fence(median(updates[:enough], mask=mask))
    return sum_pieces(
        lambda part, at: _products(zero_absent(part - at, mask)), [updates, centre[None]]
    )


def inner_products(updates: jax.Array, mask: jax.Array | None = None) -> jax.Array:
    """Inner products `[S, S]` of the updates as they are, for cosines; 0 for absent rows."""
    return sum_pieces(lambda part: _products(zero_absent(part, mask)), [updates])


def _products(x: jax.Array) -> jax.Array:
    return jnp.matmul(x, x.T, precision="highest")


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


def cosines(products: jax.Array) -> jax.Array:
    """`[S, S]` cosines from inner products; 0 with a zero row."""
    norms = safe_sqrt(jnp.diagonal(products))
    scale = norms[:, None] * norms[None, :]
    return jnp.where(scale > 0, products / jnp.where(scale > 0, scale, 1), 0)


def top_eigenpair(matrix: jax.Array, squarings: int = 14) -> tuple[jax.Array, jax.Array]:
    """Largest eigenvalue and a unit eigenvector of a positive semi-definite `[S, S]` matrix.

    The matrix is squared 14 times, that is, 16384 power steps from every unit vector at once; the
    longest column points along the eigenvector and its Rayleigh quotient is the eigenvalue. Unlike
    `eigh` this has finite derivatives when eigenvalues coincide. A zero matrix gives 0 and zeros.

    Cost: 14 products of S x S matrices.
    """

    def scaled(a: jax.Array) -> jax.Array:
        trace = jnp.trace(a)
        return a / jnp.where(trace > 0, trace, 1)

    power = scaled(matrix)
    for _ in range(squarings):
        power = scaled(jnp.matmul(power, power, precision="highest"))
    column = power[:, jnp.argmax(jnp.diagonal(power))]
    length = safe_sqrt(jnp.sum(column**2))
    vector = column / jnp.where(length > 0, length, 1)
    return jnp.vdot(vector, jnp.matmul(matrix, vector, precision="highest")), vector
