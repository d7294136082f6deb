"""Rules that average, per coordinate, the values nearest a robust centre: meamed, phocas.

Here also: `nearest_to_median`, the last step of Bulyan. Not here: whole-update rules
(`distance.py`). Read next: `order_stats.py`.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from d2m_jax.aggregation.coordinate import mean, middle_of, trimmed_of
from d2m_jax.aggregation.masks import check_f, num_present, takes_rows, typed
from d2m_jax.aggregation.order_stats import (
    PRUNED_LIMIT,
    Ranked,
    on_sorted,
    rows_of,
    running,
    select,
    total,
)
from d2m_jax.core.types import Count

TRACED_LIMIT = 48  # rows above which a window of a sorted matrix is faster than a second network


@takes_rows
def meamed(updates: jax.Array, f: Count, *, mask: jax.Array | None = None) -> jax.Array:
    """Per coordinate, the mean of the m - f values nearest the median ("mean around median").

    Args:
        updates: `[S, D]`.
        f: rows that may be Byzantine, 2 f < m; a Python int prunes the network.
        mask: `[S]` bool, True for present rows; None for all.

    Returns:
        `[D]`; of two values equally near, the lower is kept. Zeros when nobody is present.

    Raises:
        ValueError: Python ints with 2 f >= S. A traced f, or one with a mask, is lowered.

    Cost: a sorting network per coordinate, two of them when f is traced or rows are masked.
    Source: Xie, Koyejo, Gupta 2018 (Generalized Byzantine-tolerant SGD).
    """
    count = num_present(updates, mask)
    f = check_f(f, count)
    if isinstance(f, int) and updates.shape[0] <= PRUNED_LIMIT:
        return nearest_to_median(rows_of(updates), len(updates) - f)
    return around_median(updates, count - f, mask)


@takes_rows
def phocas(updates: jax.Array, f: Count, *, mask: jax.Array | None = None) -> jax.Array:
    """Per coordinate, the mean of the m - f values nearest the f-trimmed mean.

    Args:
        updates: `[S, D]`.
        f: rows that may be Byzantine, 2 f < m; a Python int prunes the network.
        mask: `[S]` bool, True for present rows; None for all.

    Returns:
        `[D]`; of two values equally near, the lower is kept. Zeros when nobody is present.

    Raises:
        ValueError: Python ints with 2 f >= S. A traced f, or one with a mask, is lowered.

    Cost: as `meamed`. Source: Xie, Koyejo, Gupta 2018 (Phocas).
    """
    count = num_present(updates, mask)
    f = check_f(f, count)
    n = len(updates)
    if isinstance(f, int) and n <= PRUNED_LIMIT:
        core = [0 if f <= r < n - f else ("extreme", r) for r in range(n)]
        return _nearest_static(
            rows_of(updates), core, lambda rows: total(rows[f : n - f]) / (n - 2 * f), n - f
        )
    return on_sorted(
        lambda rows: _nearest_traced(rows, trimmed_of(rows, f, count), count - f),
        updates,
        mask,
        limit=TRACED_LIMIT,
    )


def around_median(updates: jax.Array, keep: Count, mask: jax.Array | None) -> jax.Array:
    """Mean of the `keep` values nearest the median of the present rows, all counts traced."""
    count = num_present(updates, mask)
    return on_sorted(
        lambda rows: _nearest_traced(rows, middle_of(rows, count), keep),
        updates,
        mask,
        limit=TRACED_LIMIT,
    )


def nearest_to_median(rows: Sequence[jax.Array], keep: int) -> jax.Array:
    """Mean of the `keep` values nearest the median of the rows, all counts static."""
    n = len(rows)
    if keep == n:
        return mean(jnp.concatenate(rows))
    low, high = (n - 1) // 2, n // 2
    drop = n - keep
    core = [
        0 if drop <= r < keep and r not in (low, high) else ("single", r) for r in range(n)
    ]  # ranks that are kept whatever the centre is
    return _nearest_static(rows, core, lambda s: (s[low] + s[high]) / 2, keep)


def _nearest_static(
    rows: Sequence[jax.Array],
    labels: Sequence[object],
    centre_of: Callable[[list[jax.Array]], jax.Array],
    keep: int,
) -> jax.Array:
    """Mean of the `keep` sorted values nearest the centre.

    The kept ones are a window of consecutive ranks, which holds exactly one rank of every residue
    class modulo `keep`: the one nearest the centre. So no sum is ever corrected by a subtraction,
    and ranks in the core are summed without being sorted.
    """
    ordered = select(rows, labels)
    centre = centre_of(ordered)
    best = []
    for r in range(keep):
        value = ordered[r]
        for other in ordered[r + keep :: keep]:
            value = jnp.where(centre - value > other - centre, other, value)
        best.append(value)
    return total(best)[0] / keep


def _nearest_traced(ranked: Sequence[Ranked], centre: jax.Array, keep: Count) -> jax.Array:
    """The same for a traced `keep`: all within reach, then ties from below.

    The reach lies half way between the last distance that is kept and the first that is not: XLA
    may compute a distance twice, and the last bits may differ.
    """
    if len(ranked) == 1:
        return _window_traced(ranked[0][1], centre, keep)
    rows = [row for _, row in ranked]
    gaps = [jnp.abs(row - centre) for row in rows]  # inf for absent rows
    by_gap = list(enumerate(select(gaps, range(len(gaps)))))
    last = total([jnp.where(r == keep - 1, gap, 0) for r, gap in by_gap])
    first_out = total([jnp.where(r == keep, gap, 0) for r, gap in by_gap])
    reach = jnp.where(keep >= len(rows), jnp.inf, last + 0.5 * (first_out - last))
    spare = typed(keep, centre) - total([(gap < reach).astype(centre.dtype) for gap in gaps])
    ties = running([(gap == reach).astype(centre.dtype) for gap in gaps])
    kept = [
        jnp.where((gap < reach) | ((gap == reach) & (tie < spare)), row, 0)
        for row, gap, tie in zip(rows, gaps, ties)
    ]
    return total(kept) / typed(jnp.maximum(keep, 1), centre)


def _window_traced(ordered: jax.Array, centre: jax.Array, keep: Count) -> jax.Array:
    """The same for a sorted matrix `[S, W]`: the nearest values are a window of `keep` ranks.

    It starts behind every value that lies farther below the centre than the one `keep` ranks on
    lies above it.
    """
    rank = jnp.arange(len(ordered))[:, None]
    ahead = jnp.take(ordered, jnp.minimum(rank[:, 0] + keep, len(ordered) - 1), axis=0)
    farther = (rank + keep < len(ordered)) & (centre - ordered > ahead - centre)
    start = total([farther.astype(centre.dtype)]).astype(rank.dtype)
    kept = jnp.where((rank >= start) & (rank < start + keep), ordered, 0)
    return total([kept]) / typed(jnp.maximum(keep, 1), centre)
