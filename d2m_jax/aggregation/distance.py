"""Rules that choose whole updates by their distances: krum, multi_krum, bulyan, monna.

Not here: rules that try every subset (`subsets.py`). Read next: `gram.py`.
"""

import jax
import jax.numpy as jnp

from d2m_jax.aggregation.gram import centred_gram
from d2m_jax.aggregation.masks import check_f, num_present, takes_rows, weighted_mean, whole
from d2m_jax.aggregation.nearest import around_median, nearest_to_median
from d2m_jax.aggregation.order_stats import PRUNED_LIMIT, rank_of
from d2m_jax.core.choices import lookup
from d2m_jax.core.gram import squared_distances
from d2m_jax.core.norms import row_norms
from d2m_jax.core.rows import present
from d2m_jax.core.trees import varying_as
from d2m_jax.core.types import Count

_UNSEEN = {"paper": 2, "byzfl": 1}  # neighbours are count - f - this many others


def krum_scores(squares: jax.Array, mask: jax.Array, neighbours: Count) -> jax.Array:
    """Sum of squared distances to the nearest others `[S]`, +inf for absent rows.

    Args:
        squares: `[S, S]` squared distances, +inf to absent rows.
        mask: `[S]` bool, True for present rows.
        neighbours: how many others; held between 1 and all other present rows.
    """
    n = squares.shape[0]
    others = jnp.where(jnp.eye(n, dtype=bool), jnp.inf, squares)  # itself excluded by index
    count = jnp.sum(mask, dtype=jnp.int32)
    neighbours = jnp.minimum(jnp.maximum(neighbours, 1), count - 1)
    near = rank_of(others) < neighbours
    return jnp.where(mask, jnp.sum(jnp.where(near, others, 0), axis=1), jnp.inf)


def _scores(
    updates: jax.Array, f: Count, mask: jax.Array | None, preset: str
) -> tuple[jax.Array, Count, Count]:
    count = num_present(updates, mask)
    f = check_f(f, count, extra=2 if preset == "paper" else 0)
    squares = squared_distances(centred_gram(updates, mask, f).products, mask)
    scores = krum_scores(
        squares, present(updates, mask), count - f - lookup(_UNSEEN, preset, "preset")
    )
    return scores, f, count


@takes_rows
def krum(
    updates: jax.Array, f: Count, *, mask: jax.Array | None = None, preset: str = "paper"
) -> jax.Array:
    """The update with the least sum of squared distances to its nearest neighbours.

    Formula: argmin_i sum over the m - f - 2 nearest others j of ||x_i - x_j||^2.

    Args:
        updates: `[S, D]`.
        f: rows that may be Byzantine, 2 f + 2 < m.
        mask: `[S]` bool, True for present rows; None for all.
        preset: "paper"; "byzfl" counts m - f - 1 others and asks only for 2 f < m.

    Returns:
        `[D]`, one of the updates; of equal scores, the lowest index. Zeros when nobody is present.

    Raises:
        ValueError: Python ints that break the bound. A traced f, or one with a mask, is lowered.

    Cost: O(S^2 D) by one Gram matrix. Source: Blanchard et al., NeurIPS 2017.
    """
    count = num_present(updates, mask)
    chosen = krum_choice(updates, f, mask, preset)
    return jnp.where(jnp.asarray(count) > 0, jnp.take(updates, chosen, axis=0), 0)


def krum_choice(
    updates: jax.Array, f: Count, mask: jax.Array | None, preset: str = "paper"
) -> jax.Array:
    """The row that Krum takes, []."""
    return jnp.argmin(_scores(updates, f, mask, preset)[0])


@takes_rows
def multi_krum(
    updates: jax.Array,
    f: Count,
    *,
    mask: jax.Array | None = None,
    preset: str = "paper",
    num_chosen: Count | None = None,
) -> jax.Array:
    """Mean of the updates with the lowest Krum scores.

    Args:
        updates: `[S, D]`.
        f: rows that may be Byzantine, 2 f + 2 < m.
        mask: `[S]` bool, True for present rows; None for all.
        preset: as in `krum`.
        num_chosen: how many are averaged (the paper leaves it to the user); None is m - f, our
            choice and that of ByzFL, with which f = 0 gives the mean. At least 1.

    Returns:
        `[D]`; of equal scores the lowest indices. Zeros when nobody is present.

    Cost: O(S^2 D). Source: Blanchard et al., NeurIPS 2017.
    """
    scores, f, count = _scores(updates, f, mask, preset)
    if num_chosen is None:
        num_chosen = count - f
    elif not isinstance(num_chosen, jax.Array):
        num_chosen = whole("num_chosen", num_chosen, 1)
    chosen = rank_of(scores) < num_chosen
    return weighted_mean(chosen, updates, mask)


@takes_rows
def bulyan(
    updates: jax.Array,
    f: Count,
    *,
    mask: jax.Array | None = None,
    one_shot: bool = False,
) -> jax.Array:
    """Krum chooses updates one after the other; then the values nearest their median are averaged.

    Formula: theta = m - 2f rows are chosen by repeated Krum without replacement, where Krum sees
    one row less each time; per coordinate, the mean of the theta - 2f values nearest the median
    of the chosen.

    Args:
        updates: `[S, D]`.
        f: rows that may be Byzantine, 4 f + 2 < m; a Python int prunes the network.
        mask: `[S]` bool, True for present rows; None for all.
        one_shot: take the theta best of a single Krum instead, as newer Flower does.

    Returns:
        `[D]`; ties to the lowest index, then to the lower value. Zeros when nobody is present.

    Raises:
        ValueError: Python ints that break the bound. A traced f, or one with a mask, is lowered.

    Cost: O(S^2 D + S^3). Source: El Mhamdi et al., ICML 2018.
    """
    n = updates.shape[0]
    count = num_present(updates, mask)
    f = check_f(f, count, factor=4, extra=2)
    theta = count - 2 * f
    squares = squared_distances(centred_gram(updates, mask, f).products, mask)
    here = present(updates, mask)
    if one_shot:
        chosen = rank_of(krum_scores(squares, here, count - f - 2)) < theta
    else:
        chosen = _krum_without_replacement(squares, here, theta, f)
    if isinstance(f, int) and isinstance(theta, int) and n <= PRUNED_LIMIT:
        order = jnp.argsort(~chosen, stable=True)  # the chosen first, by index
        return nearest_to_median(
            [jnp.take(updates, order[t : t + 1], axis=0) for t in range(theta)], theta - 2 * f
        )
    return around_median(updates, theta - 2 * f, chosen & here)


def _krum_without_replacement(
    squares: jax.Array, here: jax.Array, theta: Count, f: Count
) -> jax.Array:
    """True `[S]` for the `theta` rows that Krum takes one after the other."""

    def take(left: jax.Array, step: jax.Array) -> tuple[jax.Array, None]:
        now = jnp.where(left[:, None] & left[None, :], squares, jnp.inf)
        best = jnp.argmin(krum_scores(now, left, jnp.sum(left) - f - 2))
        return jnp.where(step < theta, left.at[best].set(False), left), None

    steps = jnp.arange(theta if isinstance(theta, int) else here.shape[0])
    left, _ = jax.lax.scan(take, varying_as(here, squares, f), steps)
    return here & ~left


@takes_rows
def monna(
    updates: jax.Array, f: Count, *, mask: jax.Array | None = None, pivot: Count = 0
) -> jax.Array:
    """Mean of the m - f updates nearest to a trusted one, that one included.

    Args:
        updates: `[S, D]`.
        f: rows that may be Byzantine, 2 f < m.
        mask: `[S]` bool, True for present rows; None for all.
        pivot: index of the row that is known to be honest, 0 <= pivot < S (a traced one is cut to
            that); when it is absent, the first present row stands in (our choice).

    Returns:
        `[D]`; of equal distances the lowest index. Zeros when nobody is present.

    Raises:
        ValueError: a pivot that is no row and not traced.

    Cost: two passes. Source: Farhadkhani et al., ICML 2023.
    """
    count = num_present(updates, mask)
    f = check_f(f, count)
    last = updates.shape[0] - 1
    if isinstance(pivot, jax.Array):
        pivot = jnp.clip(pivot, 0, last)
    elif whole("pivot", pivot) > last:
        raise ValueError(f"pivot = {pivot} is not one of the rows 0 to {last}")
    if mask is not None:
        pivot = jnp.where(jnp.take(mask, pivot), pivot, jnp.argmax(mask))
    gaps = row_norms(updates, mask, jnp.take(updates, pivot, axis=0))
    gaps = jnp.where(present(updates, mask), gaps, jnp.inf).at[pivot].set(-1)
    return weighted_mean(rank_of(gaps) < count - f, updates, mask)
