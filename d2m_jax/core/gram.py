"""Inner products of rows, distances from them, and the leading eigenpair of a small matrix.

Not here: lengths alone (`norms.py`). Read next: `aggregation/gram.py`, `attacks/geometry.py`.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from d2m_jax.core.blocks import sum_pieces
from d2m_jax.core.norms import lift_of, safe_sqrt
from d2m_jax.core.rows import zero_absent

HUGE = 2.0**112  # a squared length beyond all that rules are shown


class Gram(NamedTuple):
    """Inner products of lifted rows: those of the rows themselves are products / lift^2."""

    products: jax.Array  # [S, S]
    lift: jax.Array  # [], a power of two, 1 for rows of usual size


def gram_of(
    updates: jax.Array, mask: jax.Array | None = None, centre: jax.Array | None = None
) -> Gram:
    """Inner products of all rows, or of what they differ by from a centre; 0 for absent rows.

    Rows so small that their squares would vanish in float32 are lifted by a power of two, which
    changes no digit: rules that only compare distances need not undo it.

    Args:
        updates: `[S, D]`.
        mask: `[S]` bool, True for present rows; None for all.
        centre: `[D]`; None is zero.

    Cost: O(S^2 D) multiply-adds.
    """
    lift = lift_of(updates, mask)

    def products(part: jax.Array, at: jax.Array | int = 0) -> jax.Array:
        x = zero_absent((part - at) * lift, mask)
        return jnp.matmul(x, x.T, precision="highest")

    arrays = [updates] if centre is None else [updates, centre[None]]
    return Gram(_held(sum_pieces(products, arrays)), lift)


def _held(products: jax.Array) -> jax.Array:
    """The products with those of rows that overflowed as if these were long and orthogonal to all.

    Only a row 2^24 times the usual one overflows, beside rows that were lifted as far as it goes.
    """
    too_long = ~jnp.isfinite(jnp.diagonal(products))
    products = jnp.where(too_long[:, None] | too_long[None, :], 0, products)
    return products + jnp.diag(jnp.where(too_long, jnp.asarray(HUGE, products.dtype), 0))


def squared_distances(products: jax.Array, mask: jax.Array | None = None) -> jax.Array:
    """`[S, S]` squared distances, 0 on the diagonal, +inf to and from absent rows.

    Formula: g_ii + g_jj - 2 g_ij, clamped at 0 because rounding may push it below.
    """
    n = products.shape[0]
    norms = jnp.diagonal(products)
    squares = jnp.maximum(norms[:, None] + norms[None, :] - 2 * products, 0)
    if mask is not None:
        squares = jnp.where(mask[:, None] & mask[None, :], squares, jnp.inf)
    return jnp.where(jnp.eye(n, dtype=bool), 0, squares)


def squared_distances_to(products: jax.Array, weights: jax.Array) -> jax.Array:
    """`[S]` squared distances of every row to `sum_i weights[i] row_i`, weights summing to 1."""
    inner = jnp.matmul(products, weights, precision="highest")
    return jnp.maximum(jnp.diagonal(products) - 2 * inner + jnp.vdot(weights, inner), 0)


def cosines(products: jax.Array) -> jax.Array:
    """`[S, S]` cosines from inner products; 0 with a zero row."""
    norms = safe_sqrt(jnp.diagonal(products))
    scale = norms[:, None] * norms[None, :]
    return jnp.where(scale > 0, products / jnp.where(scale > 0, scale, 1), 0)


def top_eigenpair(matrix: jax.Array, squarings: int = 14) -> tuple[jax.Array, jax.Array]:
    """Largest eigenvalue and a unit eigenvector of a positive semi-definite `[S, S]` matrix.

    Formula: P = A^(2^k) / tr A^(2^k); the longest column of P points along the eigenvector and
    lambda = <A, P> / tr P. The matrix is squared k = `squarings` times, that is, 2^k power steps
    from every unit vector at once. A relative gap g to the next eigenvalue leaves an error of
    g (1 - g)^(2^k), at most 2^-k / e: 2e-5 for k = 14, below the rounding of float32 for k = 20.

    Unlike `eigh` this has finite derivatives when eigenvalues coincide; and two programs that call
    LAPACK at the same time on a CPU, as the workers of a sweep do, waited for ever (jax 0.10). A
    zero matrix gives 0 and zeros. Cost: k products of S x S matrices.
    """

    def scaled(a: jax.Array) -> jax.Array:
        trace = jnp.trace(a)
        return a / jnp.where(trace > 0, trace, 1)

    power = scaled(matrix)
    for _ in range(squarings):
        power = scaled(jnp.matmul(power, power, precision="highest"))
    column = power[:, jnp.argmax(jnp.diagonal(power))]
    length = safe_sqrt(jnp.sum(column**2))
    trace = jnp.trace(power)
    value = jnp.vdot(matrix, power) / jnp.where(trace > 0, trace, 1)
    return value, column / jnp.where(length > 0, length, 1)
