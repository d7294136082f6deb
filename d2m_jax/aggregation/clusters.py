"""Rules that split the sellers into groups: clustering, clipped_clustering, signguard.

Not here: rules with per-seller memory (`history.py`). Read next: `gram.py`.
"""

import jax
import jax.numpy as jnp

from d2m_jax.aggregation.masks import clip_factors, takes_rows, typed, weighted_mean, weighted_sum
from d2m_jax.aggregation.order_stats import rank_of
from d2m_jax.core.gram import cosines, gram_of
from d2m_jax.core.norms import row_norms, safe_sqrt
from d2m_jax.core.rows import masked_median, present, zero_absent
from d2m_jax.core.trees import varying_as
from d2m_jax.core.types import Count

Carry = tuple[jax.Array, jax.Array, jax.Array]


def larger_cluster(distances: jax.Array, mask: jax.Array) -> jax.Array:
    """True `[S]` for the larger of two clusters by average linkage.

    Clusters are merged, nearest first, until two are left. Of equal distances the lowest indices
    are merged first; of two clusters of one size, the one with the lowest index is taken.

    Args:
        distances: `[S, S]`, symmetric.
        mask: `[S]` bool, True for present rows.

    Cost: S - 2 steps of O(S^2), by the Lance-Williams update.
    """
    n = distances.shape[0]
    pairs = mask[:, None] & mask[None, :] & ~jnp.eye(n, dtype=bool)
    far = jnp.where(pairs, distances, jnp.inf)

    def merge(carry: Carry, _: None) -> tuple[Carry, None]:
        far, sizes, label = carry
        running = jnp.sum(sizes > 0) > 2
        i, j = jnp.divmod(jnp.argmin(far), n)  # i < j, the first of equals
        row = (sizes[i] * far[i] + sizes[j] * far[j]) / jnp.maximum(sizes[i] + sizes[j], 1)
        row = row.at[i].set(jnp.inf).at[j].set(jnp.inf)
        merged = far.at[i].set(row).at[:, i].set(row).at[j].set(jnp.inf).at[:, j].set(jnp.inf)
        joined = sizes.at[i].add(sizes[j]).at[j].set(0)
        return (
            jnp.where(running, merged, far),
            jnp.where(running, joined, sizes),
            jnp.where(running & (label == j), i, label),
        ), None

    start = varying_as((far, mask.astype(distances.dtype), jnp.arange(n)), far)
    (_, sizes, label), _ = jax.lax.scan(merge, start, length=max(n - 2, 0))
    return (label == jnp.argmax(sizes)) & mask


@takes_rows
def clustering(updates: jax.Array, f: Count = 0, *, mask: jax.Array | None = None) -> jax.Array:
    """Mean of the larger of two clusters by cosine distance and average linkage.

    Args:
        updates: `[S, D]`.
        f: ignored; f < m/2 and Byzantine rows apart in direction are assumed.
        mask: `[S]` bool, True for present rows; None for all.

    Returns:
        `[D]`; zeros when nobody is present.

    Cost: O(S^2 D + S^3). Source: Sattler et al. 2020 (On the Byzantine Robustness of Clustered
    Federated Learning), with the linkage of Li et al., IEEE TBD 2023.
    """
    del f  # unused
    chosen = larger_cluster(1 - cosines(gram_of(updates, mask).products), present(updates, mask))
    return weighted_mean(chosen, updates, mask)


@takes_rows
def clipped_clustering(
    updates: jax.Array,
    f: Count = 0,
    *,
    mask: jax.Array | None = None,
    radius: float | jax.Array | None = None,
) -> jax.Array:
    """`clustering` with the updates clipped at the median of all norms seen so far.

    Args:
        updates: `[S, D]`.
        f: ignored.
        mask: `[S]` bool, True for present rows; None for all.
        radius: the largest norm; None is the median of this round's. `make_aggregator` remembers
            the norms of earlier rounds.

    Returns:
        `[D]`; zeros when nobody is present.

    Cost: O(S^2 D + S^3). Source: Li, Ngai, Voigt, IEEE TBD 2023.
    """
    del f  # unused
    norms = row_norms(updates, mask)
    radius = masked_median(norms, mask) if radius is None else radius
    chosen = larger_cluster(1 - cosines(gram_of(updates, mask).products), present(updates, mask))
    weights = jnp.where(chosen, clip_factors(norms, radius), 0)
    weights = weights / typed(jnp.maximum(jnp.sum(chosen), 1), updates)
    return weighted_sum(weights, updates, mask)


@takes_rows
def signguard(
    updates: jax.Array,
    f: Count = 0,
    *,
    mask: jax.Array | None = None,
    key: jax.Array | None = None,
    fraction: float | jax.Array = 0.1,
    low: float | jax.Array = 0.1,
    high: float | jax.Array = 3.0,
) -> jax.Array:
    """Keeps updates of a usual length whose share of signs is that of the majority.

    Formula: with M the median norm, rows with low M <= ||x|| <= high M and rows in the densest
    cluster of (share of positive, zero, negative coordinates) are kept; the mean of the kept rows,
    clipped at M.

    Args:
        updates: `[S, D]`.
        f: ignored; f < m/2 is assumed.
        mask: `[S]` bool, True for present rows; None for all.
        key: draws the coordinates whose signs are counted, each by itself; without a key, or when
            none is drawn, all are counted (our choice).
        fraction: of the D coordinates that is drawn, on average.
        low: L of the paper.
        high: R of the paper.

    Returns:
        `[D]`; zeros when no row passes both filters.

    Cost: three passes and O(S^2) per mean-shift step. Source: Xu et al., ICDCS 2022.
    """
    del f  # unused
    rows = zero_absent(updates, mask)
    here = present(updates, mask)
    norms = row_norms(rows)
    middle = masked_median(norms, mask)
    usual = (norms >= low * middle) & (norms <= high * middle)
    counted = jnp.ones(rows.shape[1], updates.dtype)
    if key is not None:
        drawn = jax.random.uniform(key, counted.shape) < fraction
        counted = jnp.where(drawn.any(), typed(drawn, updates), counted)
    signs = jnp.sign(rows)
    shares = [(signs == s).astype(updates.dtype) @ counted for s in (1, 0, -1)]
    kept = here & usual & densest_cluster(jnp.stack(shares, axis=1) / counted.sum(), here)
    weights = jnp.where(kept, clip_factors(norms, middle), 0)
    weights = weights / typed(jnp.maximum(jnp.sum(kept), 1), updates)
    return weighted_sum(weights, rows)


def densest_cluster(points: jax.Array, mask: jax.Array, steps: int = 20) -> jax.Array:
    """True `[S]` for the points that mean-shift leads to the densest mode.

    The bandwidth is the mean distance to the (m // 2)-th nearest point, itself included; the kernel
    is flat; the number of steps is fixed (our choices, after scikit-learn's defaults).

    Args:
        points: `[S, 3]` or any other width.
        mask: `[S]` bool, True for present points.
        steps: shifts.
    """

    def gaps(a: jax.Array) -> jax.Array:  # distances of a [S, W] to all points, inf to absent
        squares = jnp.sum((a[:, None] - points[None]) ** 2, axis=-1)
        return jnp.where(mask[None], safe_sqrt(squares), jnp.inf)

    count = jnp.maximum(jnp.sum(mask), 1)
    near = rank_of(gaps(points)) == jnp.maximum(count // 2, 1) - 1
    reach = jnp.sum(jnp.where(near & mask[:, None], gaps(points), 0)) / typed(count, points) + 1e-6

    def shift(modes: jax.Array, _: None) -> tuple[jax.Array, None]:
        inside = (gaps(modes) <= reach).astype(points.dtype)
        weights = inside / jnp.maximum(jnp.sum(inside, axis=1, keepdims=True), 1)
        return jnp.matmul(weights, points, precision="highest"), None

    modes, _ = jax.lax.scan(shift, varying_as(points, reach), length=steps)
    density = jnp.where(mask, jnp.sum(gaps(modes) <= reach, axis=1), -1)
    best = modes[jnp.argmax(density)]
    return mask & (safe_sqrt(jnp.sum((modes - best[None]) ** 2, axis=1)) <= reach)
