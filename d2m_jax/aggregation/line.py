"""Groups of numbers on a line: the best cut into k intervals, and how many there are.

On a line k-means needs no start and no luck: the best groups are intervals of the sorted values,
and dynamic programming finds them. Not here: clusters of rows (`clusters.py`). Read next:
`baseline.py`.
"""

from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from d2m_jax.aggregation.order_stats import rank_of
from d2m_jax.core.trees import varying_as
from d2m_jax.core.types import Count

MOST_GROUPS = 10  # that the gap statistic compares
REFERENCES = 20  # draws of uniform values that it compares with
NOTHING = 1e-9  # a sum of squares below this share of that of one group is rounding


Three: TypeAlias = tuple[jax.Array, jax.Array, jax.Array]


class Cuts(NamedTuple):
    """The best cuts of sorted values into k = 1 .. K intervals."""

    spread: jax.Array  # [K] least sum of squared deviations from the means of the intervals
    top: jax.Array  # [K] int32, how many values lie below the topmost interval


def cuts(ordered: jax.Array, count: Count, most: int) -> Cuts:
    """The best cuts of the first `count` of ascending values `[S]` into 1 .. `most` intervals.

    Of equal cuts the one with the larger topmost interval counts. Cost: O(most S^2).
    """
    n = ordered.shape[0]
    here = jnp.arange(n) < count
    within = spreads(jnp.where(here, ordered, 0), here)  # of the values i .. j
    best, spread, top = within[0], [within[0, -1]], [jnp.int32(0)]
    for _ in range(1, most):
        # [i, j]: the last interval is i .. j; there must be a value in it, and one before it
        ends = jnp.where((here & (jnp.arange(n) > 0))[:, None], jnp.roll(best, 1)[:, None], jnp.inf)
        total = jnp.where(jnp.tri(n, dtype=bool).T, ends + within, jnp.inf)
        spread.append(jnp.minimum(total[:, -1].min(), spread[-1]))
        top.append(jnp.argmin(total[:, -1]).astype(jnp.int32))
        best = jnp.minimum(total.min(axis=0), best)
    return Cuts(jnp.stack(spread), jnp.stack(top))


def spreads(ordered: jax.Array, here: jax.Array) -> jax.Array:
    """`[i, j]`: the sum of squared deviations of the values i .. j from their mean; 0 for i > j.

    Added up value by value (Welford 1962), so that nothing is lost to rounding.
    """
    first = jnp.arange(ordered.shape[0])

    def add(carry: Three, value: Three) -> tuple[Three, jax.Array]:
        size, mean, spread = carry
        x, counts, at = value
        new = jnp.where((first <= at) & counts, size + 1, size)
        step = jnp.where(new > size, (x - mean) / jnp.maximum(new, 1), 0)
        spread = spread + size * step * (x - mean)
        return (new, mean + step, spread), spread

    zeros = varying_as(jnp.zeros_like(ordered), ordered, here)
    return jax.lax.scan(add, (zeros, zeros, zeros), (ordered, here, first))[1].T


def num_groups(ordered: jax.Array, count: Count) -> jax.Array:
    """How many groups the gap statistic sees in the first `count` of ascending values `[S]`, [].

    Formula: gap(k) = mean_b log W_k^b - log W_k with W_k the least spread in k intervals and W^b
    that of uniform values on the same range; the least k with gap(k) >= gap(k + 1) - s_(k+1),
    s = sd_b (log W^b) sqrt(1 + 1/B). Up to 10 groups, B = 20 draws that are always the same, so
    that the result is a function of the values (our choice). 1 where all values are equal.

    Source: Tibshirani, Walther, Hastie 2001. Cost: B dynamic programmes, O(10 B S^2).
    """
    n, dtype = ordered.shape[0], ordered.dtype
    most = min(MOST_GROUPS, n)
    if most == 1:
        return jnp.int32(1)
    here = jnp.arange(n) < count
    low = jnp.where(count > 0, ordered[0], 0)
    seen = jnp.where(here, ordered - low, 0)
    reach = seen.max()
    seen = seen / jnp.where(reach > 0, reach, 1)
    draws = jnp.asarray(np.random.default_rng(0).random((n, REFERENCES)).T, dtype)
    drawn = jnp.sort(jnp.where(here[None], draws, jnp.inf), axis=1)

    def logs(values: jax.Array) -> jax.Array:
        spread = cuts(values, count, most).spread
        return jnp.log(jnp.maximum(spread, NOTHING * spread[0] + jnp.finfo(dtype).tiny))

    reference = jax.vmap(logs)(drawn)
    gap = reference.mean(axis=0) - logs(seen)
    error = reference.std(axis=0) * (1 + 1 / REFERENCES) ** 0.5
    few = jnp.arange(1, most) >= count  # k + 1 groups of fewer values
    enough = few | (gap[:-1] >= gap[1:] - error[1:])
    found = jnp.where(enough.any(), jnp.argmax(enough) + 1, most)
    return jnp.where(reach > 0, found, 1).astype(jnp.int32)


def in_top(values: jax.Array, mask: jax.Array, groups: Count) -> jax.Array:
    """True `[S]` for the values in the topmost of the best `groups` intervals.

    Args:
        values: `[S]`.
        mask: `[S]` bool, which are there.
        groups: [] int, at most `MOST_GROUPS`; may be traced. All that are there for 1.
    """
    values = jnp.where(mask, values, jnp.inf)
    count = jnp.sum(mask, dtype=jnp.int32)
    most = min(MOST_GROUPS, values.shape[0])
    below = cuts(jnp.sort(values), count, most).top
    return mask & (rank_of(values) >= below[jnp.clip(groups, 1, most) - 1])
