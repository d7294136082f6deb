"""Rules that treat each coordinate by itself: mean, median, trimmed mean.

Not here: rules that compare whole updates (`distance.py`). Read next: `order_stats.py`.
"""

import functools
import operator
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from d2m_jax.aggregation.masks import Count, check_f, mean_of, num_present, zero_absent
from d2m_jax.aggregation.order_stats import PRUNED_LIMIT, select, sorted_rows


def _total(rows: Sequence[jax.Array]) -> jax.Array:
    return functools.reduce(operator.add, rows)


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
    chosen = jnp.ones(updates.shape[0], updates.dtype) if weights is None else weights
    if mask is not None:
        chosen = jnp.where(mask, chosen, 0)
    return mean_of(chosen, zero_absent(updates, mask))


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
    more: absent rows are alternately -inf and +inf, so that the middle stays in the middle.
    Source: Yin et al., ICML 2018.
    """
    del f  # unused
    n = updates.shape[0]
    if mask is not None:
        odd = jnp.cumsum(~mask) % 2 == 1  # the 1st, 3rd, ... absent row goes to the top
        fill = jnp.where(odd, jnp.inf, -jnp.inf).astype(updates.dtype)
        updates = jnp.where(mask[:, None], updates, fill[:, None])
    low, high = (n - 1) // 2, n // 2
    # With an odd number of absent rows the lower middle moves down by one place when n is odd.
    below = low - 1 if mask is not None and n % 2 and n > 1 else low
    if n <= PRUNED_LIMIT:
        rows = select(list(updates), [r if r in (below, low, high) else None for r in range(n)])
    else:
        rows = sorted_rows(updates)
    if mask is None:
        return (rows[low] + rows[high]) / 2 if low != high else rows[low]
    count = num_present(updates, mask)
    even = count % 2 == 0
    if n % 2:
        middle = jnp.where(even, (rows[below] + rows[low]) / 2, rows[low])
    else:
        middle = jnp.where(even, (rows[low] + rows[high]) / 2, rows[low])
    return jnp.where(count > 0, middle, 0)


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
        kept = select(list(updates), [0 if f <= r < n - f else None for r in range(n)])
        return _total(kept[f : n - f]) / (n - 2 * f)
    if mask is not None:
        updates = jnp.where(mask[:, None], updates, jnp.inf)
    rows = sorted_rows(updates)
    kept = [jnp.where((f <= r) & (r < count - f), row, 0) for r, row in enumerate(rows)]
    return _total(kept) / jnp.maximum(jnp.asarray(count) - 2 * f, 1)
