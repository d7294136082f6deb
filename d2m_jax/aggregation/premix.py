"""Pre-aggregators, which change the rows before a rule sees them: nnm, bucketing, clipping, arc.

All have the form `pre(updates, f, *, mask=None, key=None, **hyper) -> (updates, f, mask)`, so that
any number of them can be put before any rule (`base.chain`). Read next: `base.py`.
"""

import jax
import jax.numpy as jnp

from d2m_jax.aggregation.gram import centred_gram
from d2m_jax.aggregation.masks import (
    check_f,
    clip_factors,
    mix,
    num_present,
    takes_rows,
    typed,
    whole,
)
from d2m_jax.aggregation.order_stats import rank_of
from d2m_jax.core.gram import squared_distances
from d2m_jax.core.norms import row_norms
from d2m_jax.core.rows import present, zero_absent
from d2m_jax.core.types import Count

Mixed = tuple[jax.Array, Count, jax.Array | None]


@takes_rows
def nnm(
    updates: jax.Array,
    f: Count,
    *,
    mask: jax.Array | None = None,
    key: jax.Array | None = None,
) -> Mixed:
    """Nearest-neighbour mixing: every row becomes the mean of its m - f nearest, itself included.

    Args:
        updates: `[S, D]`.
        f: rows that may be Byzantine, f < m.
        mask: `[S]` bool, True for present rows; None for all.
        key: unused.

    Returns:
        The mixed rows `[S, D]` (absent ones are 0), and f and mask as they were. Of equal
        distances the lowest index is mixed in.

    Cost: O(S^2 D), twice. Source: Allouah et al., AISTATS 2023.
    """
    del key  # unused
    return mix(near_weights(updates, f, mask), updates, mask), f, mask


def near_weights(updates: jax.Array, f: Count, mask: jax.Array | None) -> jax.Array:
    """The weights `[S, S]` of the rows in each row after nearest-neighbour mixing."""
    n = updates.shape[0]
    count = num_present(updates, mask)
    keep = count - check_f(f, count, factor=1)
    squares = squared_distances(centred_gram(updates, mask, f).products, mask)
    squares = jnp.where(jnp.eye(n, dtype=bool), -1, squares)  # itself before any copy of it
    here = present(updates, mask)
    near = (rank_of(squares) < keep) & here[:, None] & here[None, :]
    return typed(near, updates) / typed(jnp.maximum(keep, 1), updates)


@takes_rows
def bucketing(
    updates: jax.Array,
    f: Count,
    *,
    mask: jax.Array | None = None,
    key: jax.Array | None = None,
    size: int = 2,
) -> Mixed:
    """Means of random buckets of `size` rows; the last bucket may be smaller but weighs the same.

    There are ceil(S / size) buckets but still up to f bad ones, so the rule that follows sees f
    of fewer rows: with Python ints it says so when it cannot stand that.

    Args:
        updates: `[S, D]`.
        f: rows that may be Byzantine.
        mask: `[S]` bool, True for present rows; None for all.
        key: draws the permutation; needed.
        size: rows per bucket, at least 1.

    Returns:
        The buckets `[ceil(S / size), D]`, f as it was, and which buckets are not empty.

    Raises:
        ValueError: no key, or no row in a bucket.

    Cost: O(S^2 D / size), as a matrix product. Source: Karimireddy, He, Jaggi, ICLR 2022.
    """
    if key is None:
        raise ValueError("bucketing permutes the rows: give it a key")
    size = whole("size", size, 1)
    n = updates.shape[0]
    buckets = -(-n // size)
    draws = jax.random.uniform(key, (n,))
    place = rank_of(draws if mask is None else jnp.where(mask, draws, 2.0))  # absent rows last
    member = (place[None] // size == jnp.arange(buckets)[:, None]) & present(updates, mask)[None]
    filled = jnp.sum(member, axis=1)
    weights = typed(member, updates) / typed(jnp.maximum(filled, 1), updates)[:, None]
    return mix(weights, updates, mask), f, None if mask is None else filled > 0


@takes_rows
def clipping(
    updates: jax.Array,
    f: Count,
    *,
    mask: jax.Array | None = None,
    key: jax.Array | None = None,
    radius: float | jax.Array = 2.0,
) -> Mixed:
    """Static clipping: every row is shortened to norm `radius` at most (2, as in ByzFL).

    Args:
        updates: `[S, D]`.
        f: passed on.
        mask: `[S]` bool, True for present rows; None for all.
        key: unused.
        radius: the largest norm allowed.

    Returns:
        The clipped rows `[S, D]` (absent ones are 0), f and mask as they were.

    Cost: two passes.
    """
    del key  # unused
    factors = clip_factors(row_norms(updates, mask), radius)
    return zero_absent(updates, mask) * factors[:, None], f, mask


@takes_rows
def arc(
    updates: jax.Array,
    f: Count,
    *,
    mask: jax.Array | None = None,
    key: jax.Array | None = None,
) -> Mixed:
    """Adaptive robust clipping: the k longest rows are clipped to the next longest norm.

    Formula: k = floor(2 f (m - f) / m), in whole numbers; radius = the (k+1)-th largest norm.

    Args:
        updates: `[S, D]`.
        f: rows that may be Byzantine, 2 f < m.
        mask: `[S]` bool, True for present rows; None for all.
        key: unused.

    Returns:
        The clipped rows `[S, D]` (absent ones are 0), f and mask as they were.

    Cost: two passes. Source: Allouah et al., ICLR 2025.
    """
    del key  # unused
    count = num_present(updates, mask)
    checked = check_f(f, count)
    clipped = 2 * checked * (count - checked) // jnp.maximum(jnp.asarray(count), 1)
    norms = row_norms(updates, mask)  # absent rows have norm 0 and are never among the longest
    radius = jnp.sum(jnp.where(rank_of(-norms) == clipped, norms, 0))
    return zero_absent(updates, mask) * clip_factors(norms, radius)[:, None], f, mask
