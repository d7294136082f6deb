"""Rules that try every subset of m - f updates: mda (diameter) and smea (top eigenvalue).

Exact, hence for few sellers: a number of subsets above the stated limit is refused. Ties go to
the subset that is first in lexicographic order, that is, to the lowest indices. Read next:
`gram.py`.
"""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np

from d2m_jax.aggregation.gram import centred_gram
from d2m_jax.aggregation.masks import check_f, num_present, takes_rows, typed, weighted_mean
from d2m_jax.core.gram import squared_distances, top_eigenpair
from d2m_jax.core.rows import present
from d2m_jax.core.types import Count

TABLE_LIMIT = 50_000  # subsets listed one by one
DIAMETER_LIMIT = 22  # rows of which all 2^S diameters are computed, for a traced f or a mask
EIGENVALUE_LIMIT = 14  # the same for eigenvalues


@takes_rows
def mda(updates: jax.Array, f: Count, *, mask: jax.Array | None = None) -> jax.Array:
    """Mean of the m - f updates with the least diameter (minimum diameter averaging).

    Formula: mean of S* = argmin over |S| = m - f of max_{i, j in S} ||x_i - x_j||.

    Args:
        updates: `[S, D]`.
        f: rows that may be Byzantine, 2 f < m.
        mask: `[S]` bool, True for present rows; None for all.

    Returns:
        `[D]`; zeros when nobody is present.

    Raises:
        ValueError: more than 22 rows with a traced f or a mask, or more than 50,000 subsets.

    Cost: O(S^2 D) and 2^S S / 2 comparisons, or C(S, f) S^2 for more than 22 rows. Source:
    Rousseeuw 1985; El Mhamdi et al., PODC 2020.
    """
    n = updates.shape[0]
    count = num_present(updates, mask)
    f = check_f(f, count)
    squares = squared_distances(centred_gram(updates, mask, f).products, mask)
    here = present(updates, mask)
    squares = jnp.where(here[:, None] & here[None, :], squares, jnp.inf)  # also to themselves
    if n <= DIAMETER_LIMIT:
        high, low = _bits(n // 2), _bits(n - n // 2)
        widths, sizes = _all_diameters(squares, high, low)
        valid = sizes == jnp.maximum(count - f, 1)
        best = jnp.argmin(jnp.where(valid, widths, jnp.inf))
        first, second = jnp.divmod(best, len(low))
        chosen = jnp.concatenate([jnp.asarray(high)[first], jnp.asarray(low)[second]])
        return weighted_mean(chosen, updates, mask)
    table = jnp.asarray(_subsets("mda", n, f, mask, DIAMETER_LIMIT, TABLE_LIMIT))
    widths = jax.lax.map(lambda row: _diameter(squares, row), table, batch_size=256)
    return weighted_mean(table[jnp.argmin(widths)], updates, mask)


@takes_rows
def smea(updates: jax.Array, f: Count, *, mask: jax.Array | None = None) -> jax.Array:
    """Mean of the m - f updates whose covariance has the least top eigenvalue.

    Formula: mean of S* = argmin over |S| = m - f of lambda_max(Cov(S)), eigenvalues exact (ByzFL
    takes one random power step).

    Args:
        updates: `[S, D]`.
        f: rows that may be Byzantine, 2 f < m.
        mask: `[S]` bool, True for present rows; None for all.

    Returns:
        `[D]`; zeros when nobody is present.

    Raises:
        ValueError: more than 14 rows with a traced f or a mask, or more than 50,000 subsets.

    Cost: O(S^2 D) and one S x S eigenvalue problem per subset. Source: Allouah et al., ICML 2023.
    """
    n = updates.shape[0]
    count = num_present(updates, mask)
    f = check_f(f, count)
    gram = centred_gram(updates, mask, f).products
    table = jnp.asarray(_subsets("smea", n, f, mask, EIGENVALUE_LIMIT, TABLE_LIMIT))
    tops = jax.lax.map(lambda row: _top_eigenvalue(gram, row), table, batch_size=512)
    here = present(updates, mask)
    valid = jnp.all(here[None] | ~table, axis=1) & (
        jnp.sum(table, axis=1) == jnp.maximum(count - f, 1)
    )
    best = jnp.argmin(jnp.where(valid, tops, jnp.inf))
    return weighted_mean(table[best], updates, mask)


def _bits(n: int) -> np.ndarray:
    """All subsets of n rows, bool `[2^n, n]`; of equal sizes, in lexicographic order."""
    numbers = np.arange(2**n)[::-1, None]
    return (numbers >> np.arange(n)[::-1]) % 2 == 1


def _subsets(
    rule: str, n: int, f: Count, mask: jax.Array | None, rows: int, limit: int
) -> np.ndarray:
    """The subsets to try, bool `[K, n]`: those of n - f rows, or all when f or m is traced."""
    if isinstance(f, int) and mask is None:
        if math.comb(n, f) > limit:
            raise ValueError(f"{rule} would try C({n}, {f}) subsets; at most {limit:,} are allowed")
        table = np.zeros((math.comb(n, f), n), bool)
        for k, kept in enumerate(itertools.combinations(range(n), n - f)):
            table[k, list(kept)] = True
        return table
    if n > rows:
        raise ValueError(
            f"{rule} with a mask or a traced f would try 2^{n} subsets; at most {rows} rows are "
            "allowed (more only with a Python int f and no mask)"
        )
    return _bits(n)


def _diameter(squares: jax.Array, member: jax.Array) -> jax.Array:
    return jnp.max(jnp.where(member[:, None] & member[None, :], squares, 0), initial=0)


def _all_diameters(
    squares: jax.Array, high: np.ndarray, low: np.ndarray
) -> tuple[jax.Array, jax.Array]:
    """Squared diameters and sizes `[2^h 2^l]` of all unions of a high and a low half."""
    h = high.shape[1]
    across = jnp.zeros((len(high), len(low)), squares.dtype)
    for i in range(h):  # the farthest low member from each high member
        far = jnp.max(jnp.where(low, squares[i, h:][None], 0), axis=1)
        across = jnp.maximum(across, jnp.where(high[:, i, None], far[None], 0))
    inside_high = jax.vmap(lambda row: _diameter(squares[:h, :h], row))(jnp.asarray(high))
    inside_low = jax.vmap(lambda row: _diameter(squares[h:, h:], row))(jnp.asarray(low))
    widths = jnp.maximum(across, jnp.maximum(inside_high[:, None], inside_low[None]))
    sizes = high.sum(axis=1)[:, None] + low.sum(axis=1)[None]
    return widths.reshape(-1), jnp.asarray(sizes.reshape(-1))


def _top_eigenvalue(gram: jax.Array, member: jax.Array) -> jax.Array:
    """Largest eigenvalue of the covariance of the members, from inner products alone."""
    size = typed(jnp.maximum(jnp.sum(member), 1), gram)
    weights = typed(member, gram) / size
    to_mean = jnp.matmul(gram, weights, precision="highest")
    products = gram - to_mean[:, None] - to_mean[None, :] + jnp.vdot(weights, to_mean)
    products = jnp.where(member[:, None] & member[None, :], products, 0)
    return top_eigenpair(products, squarings=20)[0] / size
