"""Sequential centred clipping: one bucket of unlike sellers after the other moves the centre.

Not here: centred clipping of all at once (`centre.py`). Read next: that.
"""

from typing import Any

import jax
import jax.numpy as jnp

from d2m_jax.aggregation.masks import clip_factors, takes_rows, typed, weighted_sum, whole
from d2m_jax.aggregation.order_stats import rank_of
from d2m_jax.aggregation.trust import cosines_to
from d2m_jax.core.norms import row_norms
from d2m_jax.core.types import Count


@takes_rows
def sequential_clipping(
    updates: jax.Array,
    f: Count = 0,
    *,
    mask: jax.Array | None = None,
    key: jax.Array | None = None,
    centre: jax.Array | None = None,
    radius: float | jax.Array = 1.0,
    size: int = 3,
) -> jax.Array:
    """Moves a centre by the mean clipped difference of one bucket after the other.

    Formula: rows in order of their cosine to the centre v are cut in groups of B = ceil(S / size)
    neighbours; a bucket has one row of each group, drawn. For each of the B buckets:
    v <- v + mean over the bucket of (x_i - v) min(1, radius / ||x_i - v||).

    Args:
        updates: `[S, D]`.
        f: ignored.
        mask: `[S]` bool, True for present rows; None for all.
        key: draws the buckets; without one they follow the order (our choice).
        centre: `[D]`, the previous output; None is zero. `make_aggregator` remembers it.
        radius: in the unit of the updates; one row moves the centre by radius / size at most.
        size: rows in a bucket at most.

    Returns:
        `[D]`; the centre itself when nobody is present.

    Raises:
        ValueError: no row in a bucket, or a centre of another length.

    Cost: two passes over each bucket, O(S^2). Source: Ozfatura et al., TIFS 2024 (arXiv
    2208.09894); the groups as in a port.
    """
    del f  # unused
    n, dim = updates.shape
    if centre is not None and jnp.shape(centre) != (dim,):
        raise ValueError(f"centre must have shape {(dim,)}, got {jnp.shape(centre)}")
    buckets = -(-n // whole("size", size, 1))
    v = jnp.zeros(dim, updates.dtype) if centre is None else jnp.asarray(centre, updates.dtype)
    bucket = _bucket_of(jax.lax.stop_gradient(cosines_to(updates, v, mask)), mask, key, buckets)
    for b in range(buckets):
        member = bucket == b
        count = typed(jnp.maximum(jnp.sum(member), 1), updates)
        pull = jnp.where(member, clip_factors(row_norms(updates, mask, v), radius), 0) / count
        v = v + weighted_sum(pull, updates, mask) - jnp.sum(pull) * v
    return v


def _bucket_of(
    likeness: jax.Array, mask: jax.Array | None, key: jax.Array | None, buckets: int
) -> jax.Array:
    """The bucket `[S]` of every row, `buckets` for absent ones: one of each group of neighbours."""
    here = jnp.ones(likeness.shape, bool) if mask is None else mask
    place = rank_of(jnp.where(here, likeness, jnp.inf))
    group = place // buckets
    draws = typed(place, likeness)
    draws = draws if key is None else jax.random.uniform(key, likeness.shape, likeness.dtype)
    together = (group[:, None] == group[None]) & here[:, None] & here[None]
    before = together & (draws[None] < draws[:, None])
    return jnp.where(here, jnp.sum(before, axis=1, dtype=jnp.int32), buckets)


def sequential_step(
    state: jax.Array, updates: jax.Array, f: Count, *, mask: Any, indices: Any, **hyper: Any
) -> tuple[jax.Array, jax.Array]:
    """`sequential_clipping` around its previous output."""
    del indices  # unused
    centre = sequential_clipping(updates, f, mask=mask, centre=state, **hyper)
    return centre, centre.astype(state.dtype)
