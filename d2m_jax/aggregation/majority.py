"""FLAME: the densest majority by direction, clipped, with a little noise.

Not here: two clusters by average linkage (`clusters.py`). Read next: that.
"""

import jax
import jax.numpy as jnp

from d2m_jax.aggregation.masks import clip_factors, num_present, takes_rows, typed, weighted_sum
from d2m_jax.core.gram import cosines, gram_of
from d2m_jax.core.norms import row_norms
from d2m_jax.core.rows import masked_median, present
from d2m_jax.core.trees import varying_as
from d2m_jax.core.types import Count


@takes_rows
def flame(
    updates: jax.Array,
    f: Count = 0,
    *,
    mask: jax.Array | None = None,
    key: jax.Array | None = None,
    noise: float | jax.Array = 0.001,
) -> jax.Array:
    """Mean of the closest majority by cosine distance, clipped at the median norm of all.

    Formula: HDBSCAN on 1 - cos(x_i, x_j) with clusters of at least floor(m / 2) + 1 points finds
    one cluster, the first majority that single linkage joins; with M the median norm of all, the
    mean of its rows clipped at M, plus N(0, (noise M)^2 I).

    Args:
        updates: `[S, D]`.
        f: ignored; f < m/2 is assumed.
        mask: `[S]` bool, True for present rows; None for all.
        key: draws the noise; without one there is none.
        noise: standard deviation of a coordinate in median norms (0.001 in the paper).

    Returns:
        `[D]`; zeros (and no noise) when nobody is present.

    Cost: O(S^2 D + S^3). Source: Nguyen et al., USENIX Security 2022.
    """
    del f  # unused
    here = present(updates, mask)
    norms = row_norms(updates, mask)
    middle = masked_median(norms, mask)
    distances = 1 - cosines(gram_of(updates, mask).products)
    kept = closest_majority(jax.lax.stop_gradient(distances), here, num_present(updates, mask))
    share = jnp.where(kept, clip_factors(norms, middle), 0)
    total = weighted_sum(share / typed(jnp.maximum(jnp.sum(kept), 1), updates), updates, mask)
    if key is None:
        return total
    return total + noise * middle * jax.random.normal(key, total.shape, total.dtype)


def closest_majority(distances: jax.Array, mask: jax.Array, count: Count) -> jax.Array:
    """True `[S]` for the first cluster of more than half that single linkage joins.

    Two points are joined at the least height at which a path of steps no longer than it leads from
    one to the other (minimax paths, by Floyd and Warshall). At equal heights all that joins counts.

    Args:
        distances: `[S, S]`, symmetric.
        mask: `[S]` bool, True for present rows.
        count: how many there are.
    """
    n = distances.shape[0]
    far = jnp.where(mask[:, None] & mask[None, :], distances, jnp.inf)
    far = jnp.where(jnp.eye(n, dtype=bool), -jnp.inf, far)

    def through(k: jax.Array, joined: jax.Array) -> jax.Array:
        return jnp.minimum(joined, jnp.maximum(joined[:, k][:, None], joined[k][None, :]))

    joined = jax.lax.fori_loop(0, n, through, varying_as(far, mask))
    half = jnp.sort(joined, axis=1)[:, jnp.minimum(jnp.asarray(count) // 2, n - 1)]
    middle = jnp.argmin(jnp.where(mask, half, jnp.inf))
    return mask & (joined[middle] <= half[middle])
