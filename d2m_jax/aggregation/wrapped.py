"""Rules that ask another rule: gas (group by group of coordinates) and foundation (with copies).

Not here: what changes the rows before any rule (`premix.py`). Read next: that.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from d2m_jax.aggregation.coordinate import median, trimmed_mean
from d2m_jax.aggregation.distance import bulyan, krum, multi_krum
from d2m_jax.aggregation.masks import check_f, num_present, takes_rows, typed, weighted_mean, whole
from d2m_jax.aggregation.order_stats import rank_of
from d2m_jax.core.choices import lookup
from d2m_jax.core.norms import row_norms
from d2m_jax.core.rows import present
from d2m_jax.core.types import Count

GROUP_RULES: dict[str, Callable[..., jax.Array]] = {
    "median": median,
    "trimmed_mean": trimmed_mean,
    "krum": krum,
    "multi_krum": multi_krum,
    "bulyan": bulyan,
}
COPY_RULES: dict[str, Callable[..., jax.Array]] = {"trimmed_mean": trimmed_mean, "median": median}


@takes_rows
def gas(
    updates: jax.Array,
    f: Count,
    *,
    mask: jax.Array | None = None,
    key: jax.Array | None = None,
    rule: str = "multi_krum",
    groups: int = 100,
) -> jax.Array:
    """Mean of the m - f sellers that are nearest to a rule, group by group of coordinates.

    Formula: the coordinates are permuted and cut in p groups; score_i = sum_p ||x_i^p - R(x^p)||;
    the m - f least scores are averaged.

    Args:
        updates: `[S, D]`.
        f: rows that may be Byzantine, as many as the rule R can stand.
        mask: `[S]` bool, True for present rows; None for all.
        key: draws the permutation; without one the coordinates stay in order (our choice).
        rule: R, one of `GROUP_RULES`.
        groups: p at most; groups have the same size but for the last.

    Returns:
        `[D]`; of equal scores the lowest index. Zeros when nobody is present.

    Raises:
        ValueError: an unknown rule, no group, or Python ints that break the bound of the rule.

    Cost: R on D coordinates, a permutation and three passes. Source: Liu et al., ICML 2023.
    """
    part = lookup(GROUP_RULES, rule, "rule of gas")
    n, dim = updates.shape
    size = -(-dim // min(whole("groups", groups, 1), dim))
    count = num_present(updates, mask)
    checked = check_f(f, count)
    order = jnp.arange(dim) if key is None else jax.random.permutation(key, dim)
    padded = jnp.pad(jnp.take(updates, order, axis=1), ((0, 0), (0, -dim % size)))
    cut = padded.reshape(n, -1, size).swapaxes(0, 1)  # [p, S, D / p]

    def gaps(rows: jax.Array) -> jax.Array:
        return row_norms(rows, mask, part(rows, f, mask=mask))

    score = jnp.sum(jax.vmap(gaps)(cut), axis=0)
    ranked = rank_of(jnp.where(present(updates, mask), score, jnp.inf))
    return weighted_mean(ranked < count - checked, updates, mask)


@takes_rows
def foundation(
    updates: jax.Array,
    f: Count,
    *,
    mask: jax.Array | None = None,
    rule: str = "trimmed_mean",
    copies: float | jax.Array = 0.5,
) -> jax.Array:
    """FoundationFL: a known rule on the updates and copies of the one farthest from the extremes.

    Formula: with max and min per coordinate, s_i = min(||x_i - max||, ||x_i - min||); the row of
    the largest s_i is copied floor(copies m) times; trimmed mean (of f) or median of all.

    Args:
        updates: `[S, D]`.
        f: rows that may be Byzantine, 2 f < m.
        mask: `[S]` bool, True for present rows; None for all.
        rule: one of `COPY_RULES`.
        copies: how many, in present rows, at most 1; a half as in a port.

    Returns:
        `[D]`; of equal scores the lowest index is copied. Zeros when nobody is present. Two huge
        rows along different coordinates are both far from the corners that they make: one of them
        is copied, and nothing bounds the result (see docs/zoo.md).

    Raises:
        ValueError: an unknown rule, or Python ints with 2 f >= S.

    Cost: a sort of up to 2 S rows, four passes. Source: Fang et al., NDSS 2025.
    """
    part = lookup(COPY_RULES, rule, "rule of foundation")
    n, here = len(updates), present(updates, mask)
    count = num_present(updates, mask)
    f = check_f(f, count)
    high = jnp.max(jnp.where(here[:, None], updates, -jnp.inf), axis=0)
    low = jnp.min(jnp.where(here[:, None], updates, jnp.inf), axis=0)
    ends = (jnp.where(jnp.isfinite(end), end, 0) for end in (high, low))
    score = jnp.minimum(*(row_norms(updates, mask, end) for end in ends))
    chosen = jnp.take(updates, jnp.argmax(jnp.where(here, score, -1)), axis=0)
    rows = jnp.concatenate([updates, jnp.broadcast_to(chosen, updates.shape)])
    if isinstance(copies, int | float) and isinstance(count, int):
        return part(rows[: n + min(int(copies * n + 1e-4), n)], f)
    many = jnp.floor(copies * typed(count, updates) + 1e-4)
    return part(rows, f, mask=jnp.concatenate([here, typed(jnp.arange(n), updates) < many]))
