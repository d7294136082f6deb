"""Rules that look at lengths only: cge and norm_clipping. Read next: `centre.py`."""

import jax
import jax.numpy as jnp

from d2m_jax.aggregation.masks import (
    check_f,
    clip_factors,
    num_present,
    takes_rows,
    typed,
    weighted_mean,
    weighted_sum,
)
from d2m_jax.aggregation.order_stats import rank_of
from d2m_jax.core.norms import row_norms
from d2m_jax.core.rows import masked_median, present
from d2m_jax.core.types import Count


@takes_rows
def cge(
    updates: jax.Array, f: Count, *, mask: jax.Array | None = None, total: bool = False
) -> jax.Array:
    """Comparative gradient elimination: the mean of the m - f updates of least norm.

    Args:
        updates: `[S, D]`.
        f: rows that may be Byzantine, 2 f < m.
        mask: `[S]` bool, True for present rows; None for all.
        total: the sum, as in the paper, instead of the mean (our choice, so that the step size
            means the same as with other rules).

    Returns:
        `[D]`; of equal norms the lowest index. Zeros when nobody is present.

    Cost: two passes. Source: Gupta, Liu, Vaidya 2020.
    """
    count = num_present(updates, mask)
    f = check_f(f, count)
    norms = row_norms(updates, mask)
    if mask is not None:
        norms = jnp.where(mask, norms, jnp.inf)
    chosen = (rank_of(norms) < count - f) & present(updates, mask)
    if total:
        return weighted_sum(chosen, updates, mask)
    return weighted_mean(chosen, updates, mask)


@takes_rows
def norm_clipping(
    updates: jax.Array,
    f: Count = 0,
    *,
    mask: jax.Array | None = None,
    key: jax.Array | None = None,
    radius: float | jax.Array | None = None,
    noise: float | jax.Array = 0.0,
) -> jax.Array:
    """Mean of the updates clipped to a norm, with optional Gaussian noise ("weak" privacy).

    Formula: (1/m) sum_i x_i min(1, radius / ||x_i||) + N(0, noise^2 I).

    Args:
        updates: `[S, D]`, differences of models (not models).
        f: ignored.
        mask: `[S]` bool, True for present rows; None for all.
        key: draws the noise; needed with noise.
        radius: the largest norm allowed; None is the median of the present norms (our choice).
        noise: standard deviation per coordinate.

    Returns:
        `[D]`; zeros (and noise) when nobody is present.

    Raises:
        ValueError: noise without a key.

    Cost: two passes. Source: Sun et al. 2019 (Can You Really Backdoor Federated Learning?).
    """
    del f  # unused
    norms = row_norms(updates, mask)
    radius = masked_median(norms, mask) if radius is None else radius
    weights = jnp.where(present(updates, mask), clip_factors(norms, radius), 0)
    share = weights / typed(jnp.maximum(num_present(updates, mask), 1), updates)
    clipped = weighted_sum(share, updates, mask)
    if key is None:
        if isinstance(noise, jax.Array) or noise != 0:
            raise ValueError("norm_clipping adds noise: give it a key")
        return clipped
    return clipped + noise * jax.random.normal(key, clipped.shape, clipped.dtype)
