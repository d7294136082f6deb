"""Rules that know sellers from earlier rounds (foolsgold, safeguard), and what each rule remembers.

A rule itself is memoryless: its memory is an argument (`history=`, `centre=`, `radius=`). The pairs
of `init_x(num_sellers, dim, dtype) -> state` and `x_step(state, updates, f, *, mask, indices,
**numbers) -> (aggregate, state)` below carry it from round to round; `base.make_aggregator` picks
them.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from d2m_jax.aggregation.centre import centered_clipping
from d2m_jax.aggregation.clusters import clipped_clustering
from d2m_jax.aggregation.gram import centred_gram
from d2m_jax.aggregation.masks import takes_rows, weighted_mean
from d2m_jax.aggregation.order_stats import rank_of
from d2m_jax.core.gram import cosines, gram_of, squared_distances
from d2m_jax.core.norms import row_norms, safe_sqrt
from d2m_jax.core.rows import masked_median, present, zero_absent
from d2m_jax.core.types import Count

NORMS_PER_SELLER = 64  # capacity of the memory of clipped_clustering, in norms per seller


@takes_rows
def foolsgold(
    updates: jax.Array,
    f: Count = 0,
    *,
    mask: jax.Array | None = None,
    history: jax.Array | None = None,
) -> jax.Array:
    """Weighs down sellers whose accumulated updates point the same way (Sybils).

    Formula: c_ij cosines of histories, v_i = max_j c_ij; pardon: c_ij *= v_i / v_j where v_i < v_j;
    a_i = 1 - max_j c_ij, divided by its maximum, then clip(log(a / (1 - a)) + 1/2, 0, 1).

    Args:
        updates: `[S, D]`.
        f: ignored; honest sellers are assumed to differ, any number of Sybils is tolerated.
        mask: `[S]` bool, True for present rows; None for all.
        history: `[S, D]`, sums of all updates of these sellers, this round's included; None is
            this round alone. `make_aggregator` remembers it.

    Returns:
        `[D]`, the mean by weight (our choice; the paper adds up); zeros when all weights are 0, as
        with identical updates (weights below 1e-5 are rounding and count as 0, our choice).

    Cost: O(S^2 D). Source: Fung, Yoon, Beschastnikh, RAID 2020.
    """
    del f  # unused
    n = updates.shape[0]
    here = present(updates, mask)
    pairs = here[:, None] & here[None, :] & ~jnp.eye(n, dtype=bool)
    similar = cosines(gram_of(updates if history is None else history, mask).products)
    closest = jnp.max(jnp.where(pairs, similar, -1), axis=1)
    mine, other = closest[:, None], closest[None, :]
    pardoned = (mine < other) & (other > 0)
    similar = jnp.where(pardoned, similar * mine / jnp.where(pardoned, other, 1), similar)
    trust = jnp.clip(1 - jnp.max(jnp.where(pairs, similar, -1), axis=1), 0, 1)
    trust = jnp.where(here & (trust > 1e-5), trust, 0)
    most = jnp.max(trust)
    trust = jnp.minimum(trust / jnp.where(most > 0, most, 1), 0.99)
    positive = trust > 0
    odds = jnp.where(positive, trust, 0.5) / (1 - jnp.where(positive, trust, 0.5))
    weights = jnp.where(positive, jnp.clip(jnp.log(odds) + 0.5, 0, 1), 0)
    return weighted_mean(weights, updates, mask)


@takes_rows
def safeguard(
    updates: jax.Array,
    f: Count = 0,
    *,
    mask: jax.Array | None = None,
    histories: tuple[jax.Array, ...] | None = None,
    factor: float | jax.Array = 1.5,
    floor: float | jax.Array = 0.0,
) -> jax.Array:
    """Mean of the sellers whose windowed sums stay near those of a median seller.

    Args:
        updates: `[S, D]`.
        f: ignored; f < m/2 is assumed.
        mask: `[S]` bool, True for present rows; None for all.
        histories: `[S, D]` each, sums over a long and a short window, this round's included; None
            is this round alone. `make_aggregator` remembers them, and who was excluded.
        factor: see `near_median`.
        floor: see `near_median`.

    Returns:
        `[D]`; zeros when nobody is present. The paper's noise is left out.

    Cost: O(S^2 D) per window. Source: Allen-Zhu et al., ICLR 2021.
    """
    del f  # unused
    good = present(updates, mask)
    for history in (updates,) if histories is None else histories:
        good = good & near_median(history, mask, factor, floor)
    return weighted_mean(good, updates, mask)


def near_median(
    history: jax.Array,
    mask: jax.Array | None,
    factor: float | jax.Array,
    floor: float | jax.Array,
) -> jax.Array:
    """True `[S]` for rows within `factor * max(floor, radius)` of the median row.

    The median row is the one whose (m // 2 + 1)-th nearest row, itself included, is closest; that
    distance is the radius (the empirical thresholds of the paper's appendix).
    """
    here = present(history, mask)
    products, lift = centred_gram(history, mask)
    gaps = safe_sqrt(squared_distances(products, mask)) / lift
    half = rank_of(gaps) == jnp.sum(here) // 2
    radii = jnp.where(here, jnp.sum(jnp.where(half & here[:, None], gaps, 0), axis=1), jnp.inf)
    middle = jnp.argmin(radii)
    rounding = 1e-6 * jnp.max(row_norms(history, mask))
    reach = factor * jnp.maximum(radii[middle], floor) + rounding
    return here & (gaps[middle] <= reach)


class Windows(NamedTuple):
    """What safeguard remembers of every seller."""

    long: jax.Array  # [N, D] float32, sums since the long window began
    short: jax.Array  # [N, D] float32
    good: jax.Array  # [N] bool, not excluded since the long window began
    age: jax.Array  # [] int32, rounds seen


class Norms(NamedTuple):
    """What clipped_clustering remembers: the last norms, in a ring."""

    values: jax.Array  # [K] float32
    written: jax.Array  # [] int32, norms ever written


def init_centre(num_sellers: int, dim: int, dtype: Any = jnp.float32) -> jax.Array:
    """The first centre of centered_clipping: zeros `[D]`."""
    del num_sellers  # unused
    return jnp.zeros(dim, dtype)


def centre_step(
    state: jax.Array, updates: jax.Array, f: Count, *, mask: Any, indices: Any, **hyper: Any
) -> tuple[jax.Array, jax.Array]:
    """`centered_clipping` around its previous output."""
    del indices  # unused
    centre = centered_clipping(updates, f, mask=mask, centre=state, **hyper)
    return centre, centre.astype(state.dtype)


def init_sums(num_sellers: int, dim: int, dtype: Any = jnp.float32) -> jax.Array:
    """The empty history of foolsgold: zeros `[N, D]`."""
    return jnp.zeros((num_sellers, dim), dtype)


def foolsgold_step(
    state: jax.Array, updates: jax.Array, f: Count, *, mask: Any, indices: jax.Array, **hyper: Any
) -> tuple[jax.Array, jax.Array]:
    """`foolsgold` on the sums of all rounds."""
    state = state.at[indices].add(zero_absent(updates, mask).astype(state.dtype))
    return foolsgold(updates, f, mask=mask, history=state[indices], **hyper), state


def init_windows(num_sellers: int, dim: int, dtype: Any = jnp.float32) -> Windows:
    """The empty windows of safeguard."""
    zeros = jnp.zeros((num_sellers, dim), dtype)
    return Windows(zeros, zeros, jnp.ones(num_sellers, bool), jnp.zeros((), jnp.int32))


def safeguard_step(
    state: Windows,
    updates: jax.Array,
    f: Count,
    *,
    mask: Any,
    indices: jax.Array,
    long_window: Count = 100,
    short_window: Count = 20,
    factor: float | jax.Array = 1.5,
    floor: float | jax.Array = 0.0,
) -> tuple[jax.Array, Windows]:
    """`safeguard` on windows of rounds; a seller once excluded stays so until the long one ends."""
    del f  # unused
    rows = zero_absent(updates, mask).astype(state.long.dtype)
    restart = state.age % long_window == 0
    good = state.good | restart
    long = jnp.where(restart, 0, state.long).at[indices].add(rows)
    short = jnp.where(state.age % short_window == 0, 0, state.short).at[indices].add(rows)
    here = present(updates, mask)
    fine = near_median(long[indices], mask, factor, floor)
    fine = fine & near_median(short[indices], mask, factor, floor)
    good = good.at[indices].min(fine | ~here)
    aggregate = weighted_mean(good[indices] & here, updates, mask)
    return aggregate, Windows(long, short, good, state.age + 1)


def init_norms(num_sellers: int, dim: int, dtype: Any = jnp.float32) -> Norms:
    """The empty memory of clipped_clustering, for the last 64 norms per seller (our choice)."""
    del dim  # unused
    return Norms(jnp.zeros(NORMS_PER_SELLER * num_sellers, dtype), jnp.zeros((), jnp.int32))


def clipped_clustering_step(
    state: Norms, updates: jax.Array, f: Count, *, mask: Any, indices: Any, **hyper: Any
) -> tuple[jax.Array, Norms]:
    """`clipped_clustering` at the median of the norms of all rounds, this one included."""
    del indices  # unused
    size = state.values.shape[0]
    here = present(updates, mask)
    at = (state.written + jnp.cumsum(here, dtype=jnp.int32) - 1) % size
    values = state.values.at[jnp.where(here, at, size)].set(
        row_norms(updates, mask).astype(state.values.dtype), mode="drop"
    )
    count = state.written + jnp.sum(here, dtype=jnp.int32)
    radius = masked_median(values, jnp.arange(size) < count)
    aggregate = clipped_clustering(updates, f, mask=mask, radius=radius, **hyper)
    return aggregate, Norms(values, count)
