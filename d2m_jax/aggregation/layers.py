"""LASA: every layer keeps the sellers of usual length and usual share of signs.

Not here: what the layers of a model are (`tasks/flat.py`). Read next: `core/selection.py`.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from d2m_jax.aggregation.masks import clip_factors, takes_rows, typed, weighted_sum
from d2m_jax.core.norms import row_norms, safe_sqrt
from d2m_jax.core.rows import masked_median, present, zero_absent
from d2m_jax.core.selection import kth_largest
from d2m_jax.core.types import Count


@takes_rows
def lasa(
    updates: jax.Array,
    f: Count = 0,
    *,
    mask: jax.Array | None = None,
    layers: Sequence[int] | None = None,
    kept: float | jax.Array = 0.9,
    norm_limit: float | jax.Array = 1.0,
    sign_limit: float | jax.Array = 1.0,
) -> jax.Array:
    """Per layer, the mean of the clipped sellers of a usual length and a usual share of signs.

    Formula: rows clipped at their median norm; for the checks only the floor(kept D) longest values
    of each; in every layer z = |q - median q| / std q for q the norm and q the share of positive
    signs; the mean of the clipped rows with z < norm_limit and z < sign_limit.

    Args:
        updates: `[S, D]`.
        f: ignored; f < m/2 is assumed.
        mask: `[S]` bool, True for present rows; None for all.
        layers: sizes that follow each other and sum to D, from the task; None is one layer.
        kept: share of the values of a row that the checks see, of equal ones all.
        norm_limit: l_n of the paper.
        sign_limit: l_s of the paper.

    Returns:
        `[D]`; a layer in which nobody passes is the mean of all; zeros when nobody is present.

    Raises:
        ValueError: layers that do not sum to D.

    Cost: 31 passes for the longest values, three more. Source: Xu, Zhang, Hu, WACV 2025; the
    numbers as in a port.
    """
    del f  # unused
    sizes = (updates.shape[1],) if layers is None else tuple(layers)
    if sum(sizes) != updates.shape[1] or min(sizes) < 1:
        raise ValueError(f"layers must be sizes that sum to {updates.shape[1]}, got {sizes}")
    here, rows = present(updates, mask), zero_absent(updates, mask)
    norms = row_norms(updates, mask)
    factors = clip_factors(norms, masked_median(norms, mask))
    lengths = jnp.abs(rows)
    least = kth_largest(lengths, jnp.floor(kept * updates.shape[1] + 1e-4).astype(jnp.int32))
    parts, start = [], 0
    for size in sizes:
        part, clipped = lengths[:, start : start + size], rows[:, start : start + size]
        seen = jnp.where(part >= least[:, None], clipped, 0)
        good = here & _usual(row_norms(seen) * factors, mask, norm_limit)
        good = good & _usual(_share_of_signs(seen), mask, sign_limit)
        good = jnp.where(good.any(), good, here)
        share = jnp.where(good, factors, 0) / typed(jnp.maximum(jnp.sum(good), 1), updates)
        parts.append(weighted_sum(share, clipped))
        start += size
    return jnp.concatenate(parts)


def _share_of_signs(rows: jax.Array) -> jax.Array:
    """Share `[S]` of positive ones among the values that are not 0, one half where all are."""
    signs = jnp.sign(rows)
    count = jnp.sum(jnp.abs(signs), axis=1)
    return 0.5 + 0.5 * jnp.sum(signs, axis=1) / jnp.maximum(count, 1)


def _usual(values: jax.Array, mask: jax.Array | None, limit: float | jax.Array) -> jax.Array:
    """True `[S]` where |value - median| is less than `limit` standard deviations (of m, not m - 1).

    All are usual where all are equal, up to rounding.
    """
    here = present(values[:, None], mask)
    most = jnp.max(jnp.where(here, jnp.abs(values), 0))
    values = values / jnp.where(most > 0, most, 1)  # squares of tiny norms would vanish
    count = typed(jnp.maximum(jnp.sum(here), 1), values)
    mean = jnp.sum(jnp.where(here, values, 0)) / count
    squares = jnp.sum(jnp.where(here, jnp.square(values - mean), 0)) / count
    gaps = jnp.abs(values - masked_median(values, mask))
    return gaps < limit * safe_sqrt(squares) + 1e-6
