"""Rules that lean on data of the buyer: fltrust (a root update) and zeno (validation losses).

The root and validation sets must be disjoint from the test set. Not here: martfl and skymask, which
lean on both. Read next: `baseline.py`.
"""

import jax
import jax.numpy as jnp

from d2m_jax.aggregation.masks import check_f, num_present, takes_rows, weighted_mean, weighted_sum
from d2m_jax.aggregation.order_stats import rank_of
from d2m_jax.core.norms import lift_of, row_norms, safe_norms
from d2m_jax.core.rows import finite_mask, per_row, present
from d2m_jax.core.types import Count


@takes_rows
def fltrust(
    updates: jax.Array, f: Count = 0, *, root: jax.Array, mask: jax.Array | None = None
) -> jax.Array:
    """Updates weighted by their cosine to a trusted one and rescaled to its norm.

    Formula: t_i = max(0, cos(x_i, g0)); sum_i t_i (||g0|| / ||x_i||) x_i / sum_i t_i.

    Args:
        updates: `[S, D]`.
        f: ignored; any number of Byzantine rows is tolerated as far as `root` is good.
        root: `[D]`, the update g0 trained in the same way on the buyer's root set; one that is not
            finite or has a norm above 1e17 is taken as zeros.
        mask: `[S]` bool, True for present rows; None for all.

    Returns:
        `[D]`; zeros when no row has a positive cosine (our choice) or nobody is present.

    Raises:
        ValueError: a root of another length.

    Cost: three passes. Source: Cao et al., NDSS 2021.
    """
    del f  # unused
    root = usable_root(root, updates)
    trust = jax.nn.relu(cosines_to(updates, root, mask))
    norms, length = row_norms(updates, mask), safe_norms(root[None])[0]
    total = jnp.sum(trust)
    weights = trust * jnp.where(norms > 0, length / jnp.where(norms > 0, norms, 1), 0)
    return weighted_sum(weights / jnp.where(total > 0, total, 1), updates, mask)


def usable_root(root: jax.Array, updates: jax.Array) -> jax.Array:
    """The buyer's update `[D]` in the type of the others; zeros when it is too long or not finite.

    Raises:
        ValueError: another length than that of the updates.
    """
    root = jnp.asarray(root).astype(updates.dtype)
    if root.shape != updates.shape[1:]:
        raise ValueError(f"root must have shape {updates.shape[1:]}, got {root.shape}")
    return jnp.where(finite_mask(root[None])[0], root, 0)


def cosines_to(updates: jax.Array, root: jax.Array, mask: jax.Array | None) -> jax.Array:
    """Cosines `[S]` of the rows to a direction `[D]`; 0 for rows that are 0 or absent."""
    norms = row_norms(updates, mask)
    lift = lift_of(root[None], usual=0, most=100)  # a product of two tiny rows would vanish
    length = row_norms(root[None] * lift)[0]
    inner = jnp.matmul(updates, root * lift, precision="highest")
    inner = inner if mask is None else jnp.where(mask, inner, 0)
    scale = norms * length
    return jnp.where(scale > 0, inner / jnp.where(scale > 0, scale, 1), 0)


@takes_rows
def zeno(
    updates: jax.Array,
    f: Count,
    *,
    losses: jax.Array,
    mask: jax.Array | None = None,
    penalty: float | jax.Array = 0.0,
) -> jax.Array:
    """Mean of the m - f updates that lower the validation loss most.

    Formula: score_i = loss(theta) - loss(theta - step x_i) - penalty ||x_i||^2; the f least
    scores are dropped.

    Args:
        updates: `[S, D]`.
        f: rows that may be Byzantine, f < m (no honest majority is needed).
        losses: `[S]`, loss on validation data after a step along row i alone; the loss before is
            the same for all and does not matter. A loss that is not finite counts as the worst.
        mask: `[S]` bool, True for present rows; None for all.
        penalty: the rho of the paper, per squared norm.

    Returns:
        `[D]`; of equal scores the lowest index. Zeros when nobody is present.

    Cost: two passes, and the S losses that the caller computes. Source: Xie, Koyejo, Gupta,
    ICML 2019.
    """
    losses = per_row("losses", losses, updates)
    count = num_present(updates, mask)
    f = check_f(f, count, factor=1)
    cost = losses + penalty * jnp.square(row_norms(updates, mask))
    cost = jnp.where(jnp.isfinite(cost), cost, jnp.finfo(updates.dtype).max)
    cost = jnp.where(present(updates, mask), cost, jnp.inf)
    return weighted_mean(rank_of(cost) < count - f, updates, mask)
