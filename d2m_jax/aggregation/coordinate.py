"""Rules that treat each coordinate by itself: mean, median, trimmed mean.

Not here: the rules that keep what is nearest a centre (`nearest.py`), or compare whole updates
(`distance.py`). Read next: `order_stats.py`.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from d2m_jax.aggregation.masks import check_f, num_present, takes_rows, typed, weighted_mean
from d2m_jax.aggregation.order_stats import (
    PRUNED_LIMIT,
    Ranked,
    on_sorted,
    rows_of,
    select,
    total,
)
from d2m_jax.core.rows import present
from d2m_jax.core.types import Count


@takes_rows
def mean(
    updates: jax.Array,
    f: Count = 0,
    *,
    mask: jax.Array | None = None,
    weights: jax.Array | None = None,
) -> jax.Array:
    """Mean of the present updates, plain or weighted.

    Formula: sum_i w_i x_i / sum_i w_i. Tolerates no Byzantine seller; `f` is ignored.

    Args:
        updates: `[S, D]`.
        f: ignored.
        mask: `[S]` bool, True for present rows; None for all.
        weights: `[S]`, for example sample counts (which a seller may falsify); None for equal.

    Returns:
        `[D]`; zeros when nobody is present or all weights are 0.

    Cost: one pass. Source: McMahan et al. 2017 (FedAvg).
    """
    del f  # unused
    return weighted_mean(present(updates, mask) if weights is None else weights, updates, mask)


@takes_rows
def median(updates: jax.Array, f: Count = 0, *, mask: jax.Array | None = None) -> jax.Array:
    """Coordinate-wise median; the midpoint of the two middle values for an even count.

    Tolerates f < S/2 Byzantine rows; `f` itself is not used.

    Args:
        updates: `[S, D]`.
        f: ignored.
        mask: `[S]` bool, True for present rows; None for all.

    Returns:
        `[D]`; zeros when nobody is present.

    Cost: a pruned sorting network, about S log^2 S / 4 comparisons per coordinate. With a mask no
    more: absent rows are alternately +inf and -inf, so that the middle stays in the middle.
    Source: Yin et al., ICML 2018.
    """
    del f  # unused
    n = updates.shape[0]
    if n > PRUNED_LIMIT:
        count = num_present(updates, mask)
        return on_sorted(lambda ranked: middle_of(ranked, count), updates, mask)
    low, high = (n - 1) // 2, n // 2
    if mask is None:
        wanted = [r if r in (low, high) else None for r in range(n)]
        rows = select(rows_of(updates), wanted, swap=True)
        return ((rows[low] + rows[high]) / 2 if low != high else rows[low])[0]
    top = jnp.cumsum(~mask) % 2 == 1  # the 1st, 3rd, ... absent row goes to the top
    rows = rows_of(updates, mask, jnp.where(top, jnp.inf, -jnp.inf))
    # One absent row more at the top than at the bottom shifts the present ones down by half a
    # place: of an odd n, an even count then has its middle between `low - 1` and `low`.
    below = max(low - 1, 0) if n % 2 else low
    above = low if n % 2 else high
    rows = select(rows, [r if r in (below, low, above) else None for r in range(n)], swap=True)
    count = num_present(updates, mask)
    middle = jnp.where(count % 2 == 0, (rows[below] + rows[above]) / 2, rows[low])
    return jnp.where(count > 0, middle, 0)[0]


def middle_of(ranked: Sequence[Ranked], count: Count) -> jax.Array:
    """The median of the first `count` of the sorted rows, 0 when there is none."""
    low, high = (count - 1) // 2, count // 2
    middle = [jnp.where((r == low) | (r == high), row, 0) for r, row in ranked]
    return total(middle) / jnp.where(low == high, 1, 2)


@takes_rows
def trimmed_mean(updates: jax.Array, f: Count, *, mask: jax.Array | None = None) -> jax.Array:
    """Mean of what is left of each coordinate without its f smallest and f largest values.

    Formula: (1/(m - 2f)) sum of the order statistics f+1 .. m-f of the m present values.

    Args:
        updates: `[S, D]`.
        f: rows that may be Byzantine, 2 f < m; a Python int prunes the network.
        mask: `[S]` bool, True for present rows; None for all.

    Returns:
        `[D]`; zeros when nobody is present.

    Raises:
        ValueError: Python ints with 2 f >= S. A traced f, or one with a mask, is lowered.

    Cost: a sorting network over the sellers; with a Python int f and no mask only the f extremes
    are told apart from the rest. Source: Yin et al., ICML 2018.
    """
    n = updates.shape[0]
    count = num_present(updates, mask)
    f = check_f(f, count)
    if isinstance(f, int) and n <= PRUNED_LIMIT:
        if f == 0:
            return mean(updates)
        labels = [0 if f <= r < n - f else None for r in range(n)]
        kept = select(rows_of(updates), labels, swap=True)
        return total(kept[f : n - f])[0] / (n - 2 * f)
    return on_sorted(lambda ranked: trimmed_of(ranked, f, count), updates, mask, swap=True)


def trimmed_of(ranked: Sequence[Ranked], f: Count, count: Count) -> jax.Array:
    """The mean of ranks f .. count - f - 1 of the sorted rows, 0 when there is none."""
    kept = [jnp.where((r >= f) & (r < count - f), row, 0) for r, row in ranked]
    added = total(kept)
    return added / typed(jnp.maximum(count - 2 * f, 1), added)
