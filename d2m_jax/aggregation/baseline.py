"""martFL: sellers are judged by their cosine to a baseline that the buyer renews every round.

Read next: `line.py`, `mask_learning.py`.
"""

from typing import Any

import jax
import jax.numpy as jnp

from d2m_jax.aggregation.line import in_top, num_groups
from d2m_jax.aggregation.masks import clip_factors, takes_rows, typed, weighted_sum
from d2m_jax.aggregation.trust import cosines_to, usable_root
from d2m_jax.core.norms import row_norms
from d2m_jax.core.rows import masked_median, per_row, present
from d2m_jax.core.types import Count

BUYER = -1  # the baseline is the buyer's own update


@takes_rows
def martfl(
    updates: jax.Array,
    f: Count = 0,
    *,
    root: jax.Array,
    losses: jax.Array | None = None,
    mask: jax.Array | None = None,
    baseline: Count = BUYER,
    diameter: float | jax.Array = 0.05,
    radius: float | jax.Array | None = None,
) -> jax.Array:
    """Mean by quality: how near a seller's cosine to the baseline comes to those of the best group.

    Formula: s_i = cos(x_i, baseline). K groups of the s_i by k-means, K by the gap statistic, at
    least 2 where max s - min s > diameter. For K = 1 all weigh the same. Else, with c the mean of
    the topmost group: 0 for the lower of two groups and where s_i = 0; 1 in the topmost of the K;
    between them 1 - |s_i - c| / max |s_j - c| over those that are not 0.

    Args:
        updates: `[S, D]`.
        f: ignored; most of the sellers near the baseline are assumed to be good.
        root: `[D]`, the buyer's own update.
        losses: unused here; with memory they choose the next baseline.
        mask: `[S]` bool, True for present rows; None for all.
        baseline: the row that is the baseline, which weighs 1 and is in no group; -1 is the root
            update. `make_aggregator` remembers it.
        diameter: a wider range of cosines counts as two groups at least.
        radius: to which rows are clipped; None is their median norm. The formula weighs directions
            only and a single long row would win: our reading of the clipping of the released code.

    Returns:
        `[D]`; zeros when nobody is present or all weights are 0.

    Raises:
        ValueError: a root of another length.

    Cost: three passes, O(S^2) for the groups. Source: Li, Liu, Li, Xu, CCS 2023; the weights as
    in a port of the released code. Its baseline is the seller of the topmost group with the
    greatest kappa on the buyer's examples; here, the least loss (our choice: a loss is what rules
    are given).
    """
    del f, losses  # unused
    weights, _ = judged(updates, root, mask, baseline, diameter)
    norms = row_norms(updates, mask)
    radius = masked_median(norms, mask) if radius is None else radius
    total = jnp.sum(weights)
    share = weights * clip_factors(norms, radius) / jnp.where(total > 0, total, 1)
    return weighted_sum(share, updates, mask)


def judged(
    updates: jax.Array,
    root: jax.Array,
    mask: jax.Array | None,
    baseline: Count,
    diameter: float | jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """The weights `[S]`, and who is in the topmost group `[S]` bool."""
    here = present(updates, mask)
    chosen = (jnp.arange(len(updates)) == baseline) & here
    row = jnp.sum(jnp.where(chosen[:, None], updates, 0), axis=0)
    score = cosines_to(updates, jnp.where(chosen.any(), row, usable_root(root, updates)), mask)
    rest = here & ~chosen
    ordered = jnp.sort(jnp.where(rest, score, jnp.inf))
    count = jnp.sum(rest, dtype=jnp.int32)
    reach = jnp.max(jnp.where(rest, score, -1)) - jnp.min(jnp.where(rest, score, 1))
    groups = jnp.maximum(
        num_groups(jax.lax.stop_gradient(ordered), count), jnp.where(reach > diameter, 2, 1)
    )
    one = groups == 1
    fixed = jax.lax.stop_gradient(score)
    good = rest & (one | in_top(fixed, rest, 2)) & (score != 0)
    top = in_top(fixed, rest, groups)
    centre = jnp.sum(jnp.where(top, score, 0)) / typed(jnp.maximum(jnp.sum(top), 1), updates)
    gaps = jnp.where(good, jnp.abs(score - centre), 0)
    border = jnp.max(gaps)
    graded = jnp.where(good, 1 - gaps / jnp.where(border > 0, border, 1), 0)
    weights = jnp.where(good & (top | one), 1, graded)
    return jnp.where(chosen, 1, weights), (top & good) | chosen


def init_baseline(num_sellers: int, dim: int) -> jax.Array:
    """The seller whose next update is the baseline: at first none, the buyer's own is."""
    del num_sellers, dim  # unused
    return jnp.int32(BUYER)


def martfl_step(
    state: jax.Array,
    updates: jax.Array,
    f: Count,
    *,
    root: jax.Array,
    losses: jax.Array,
    mask: Any,
    indices: jax.Array,
    diameter: float | jax.Array = 0.05,
    radius: float | jax.Array | None = None,
) -> tuple[jax.Array, jax.Array]:
    """`martfl` with the baseline of the round before, the buyer's own where it is not sampled."""
    losses = per_row("losses", losses, updates)
    mine = (indices == state) & present(updates, mask)
    row = jnp.where(mine.any(), jnp.argmax(mine), BUYER)
    given = {"root": root, "mask": mask, "baseline": row, "diameter": diameter, "radius": radius}
    aggregate = martfl(updates, f, **given)
    _, top = judged(updates, root, mask, row, diameter)
    worth = jnp.where(top & jnp.isfinite(losses), losses, jnp.inf)
    best = jnp.where(jnp.isfinite(worth).any(), indices[jnp.argmin(worth)], BUYER)
    return aggregate, best.astype(state.dtype)
