"""Rules that count signs per coordinate: robust_learning_rate, sign_majority, fedseca.

Not here: signguard, which clusters sign statistics (`clusters.py`).
"""

import jax
import jax.numpy as jnp

from d2m_jax.aggregation.coordinate import median
from d2m_jax.aggregation.masks import (
    check_f,
    clip_factors,
    num_present,
    takes_rows,
    typed,
    weighted_mean,
)
from d2m_jax.aggregation.order_stats import fence, rows_of, total
from d2m_jax.core.norms import row_norms
from d2m_jax.core.rows import masked_median, present, zero_absent
from d2m_jax.core.selection import kth_largest
from d2m_jax.core.types import Count


def _votes(updates: jax.Array, mask: jax.Array | None) -> jax.Array:
    """Sum of the signs of the present rows, `[D]` whole numbers."""
    return total([jnp.sign(row) for row in rows_of(updates, mask, 0.0)])[0]


@takes_rows
def robust_learning_rate(
    updates: jax.Array,
    f: Count,
    *,
    mask: jax.Array | None = None,
    threshold: Count | None = None,
) -> jax.Array:
    """The mean, reversed in every coordinate where too few sellers agree on the sign.

    Formula: mean_k if |sum_i sign [x_i]_k| >= threshold, else -mean_k.

    Args:
        updates: `[S, D]`.
        f: rows that may be Byzantine, 2 f < m.
        mask: `[S]` bool, True for present rows; None for all.
        threshold: None is 2 f (our choice: more than f attackers reach alone, 0 for f = 0).

    Returns:
        `[D]`; not bounded against large updates, clip before. Zeros when nobody is present.

    Cost: two passes. Source: Ozdayi, Kantarcioglu, Gel, AAAI 2021.
    """
    f = check_f(f, num_present(updates, mask))
    threshold = 2 * f if threshold is None else threshold
    average = weighted_mean(present(updates, mask), updates, mask)
    return jnp.where(
        jnp.abs(_votes(updates, mask)) >= typed(threshold, updates) - 0.5, average, -average
    )


@takes_rows
def sign_majority(
    updates: jax.Array,
    f: Count = 0,
    *,
    mask: jax.Array | None = None,
    scale: float | jax.Array | None = None,
) -> jax.Array:
    """The sign that most sellers have, per coordinate, times a common scale.

    Formula: scale * sign(sum_i sign(x_i)). Tolerates f < m/2; `f` itself is not used.

    Args:
        updates: `[S, D]`.
        f: ignored.
        mask: `[S]` bool, True for present rows; None for all.
        scale: None is the median over sellers of the mean absolute value of their update (our
            choice, so that the step size means the same as with other rules); the paper has 1.

    Returns:
        `[D]`; 0 where the votes are even, or when nobody is present.

    Cost: two passes. Source: Bernstein et al., ICLR 2019 (signSGD with majority vote).
    """
    del f  # unused
    if scale is None:
        scale = masked_median(jnp.mean(jnp.abs(zero_absent(updates, mask)), axis=1), mask)
    return scale * jnp.sign(_votes(updates, mask))


@takes_rows
def fedseca(
    updates: jax.Array,
    f: Count = 0,
    *,
    mask: jax.Array | None = None,
    kept: float | jax.Array = 0.1,
) -> jax.Array:
    """Elects a sign per coordinate, sellers in concord voting more; averages what agrees with it.

    Formula: rho_k = max(0, mean_l sign(sum_j sign x_kj sign x_lj)); s = sign(sum_k rho_k sign x_k).
    Rows are clipped at their median norm and every coordinate at its median absolute value; of each
    the floor(kept D) values (one at least) that were longest count; the mean of those with sign s.

    Args:
        updates: `[S, D]`.
        f: ignored; f < m/2 is assumed.
        mask: `[S]` bool, True for present rows; None for all.
        kept: share of a row that counts, of equal values all.

    Returns:
        `[D]`; 0 where nothing agrees or no sign is elected, or when nobody is present.

    Cost: O(S^2 D), a median and 31 passes. Source: Benjamin et al., CVPR 2025 (FedSECA).
    """
    del f  # unused
    rows, here = zero_absent(updates, mask), present(updates, mask)
    signs = jnp.sign(jax.lax.stop_gradient(rows))
    concord = jnp.sign(jnp.matmul(signs, signs.T, precision="highest"))
    count = typed(jnp.maximum(jnp.sum(here), 1), updates)
    ratio = jnp.maximum(jnp.sum(jnp.where(here[None], concord, 0), axis=1) / count, 0)
    elected = jnp.sign(jnp.matmul(jnp.where(here, ratio, 0)[None], signs, precision="highest"))
    norms = row_norms(updates, mask)
    clipped = rows * clip_factors(norms, masked_median(norms, mask))[:, None]
    limit = fence(median(jnp.abs(clipped), mask=mask))[None]
    held = jnp.clip(clipped, -limit, limit)
    many = jnp.maximum(jnp.floor(kept * rows.shape[1] + 1e-4), 1).astype(jnp.int32)
    long = jnp.abs(rows) >= kth_largest(jnp.abs(rows), many)[:, None]
    agrees = long & (elected * signs > 0) & here[:, None]
    total = jnp.sum(jnp.where(agrees, held, 0), axis=0)
    return total / jnp.maximum(jnp.sum(agrees, axis=0), 1).astype(total.dtype)
