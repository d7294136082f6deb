"""Rules that iterate a centre: geometric_median and centered_clipping.

Not here: rules that choose rows by distance (`distance.py`). Read next: `gram.py`.
"""

from collections.abc import Callable
from typing import TypeAlias

import jax
import jax.numpy as jnp

from d2m_jax.aggregation.coordinate import median
from d2m_jax.aggregation.gram import centred_gram
from d2m_jax.aggregation.masks import (
    clip_factors,
    num_present,
    takes_rows,
    typed,
    weighted_mean,
    weighted_sum,
    whole,
)
from d2m_jax.aggregation.order_stats import fence
from d2m_jax.core.choices import lookup
from d2m_jax.core.gram import squared_distances_to
from d2m_jax.core.norms import row_norms, safe_sqrt
from d2m_jax.core.rows import per_row, present
from d2m_jax.core.trees import varying_as
from d2m_jax.core.types import Count

_WEISZFELD = {"paper": (1e-6, 32), "byzfl": (0.1, 3)}  # smoothing, steps
_FEW_STEPS = 4  # of Weiszfeld: up to so many, two passes each take less than a Gram matrix
_CLIPPING = {"paper": (10.0, 1), "byzfl": (100.0, 1)}  # radius, steps
Measured: TypeAlias = tuple[jax.Array, Callable[[jax.Array], jax.Array]]


@takes_rows
def geometric_median(
    updates: jax.Array,
    f: Count = 0,
    *,
    mask: jax.Array | None = None,
    preset: str = "paper",
    smoothing: float | jax.Array | None = None,
    steps: int | None = None,
    tolerance: float | jax.Array = 0.0,
    weights: jax.Array | None = None,
) -> jax.Array:
    """The point with the least (weighted) sum of distances, by smoothed Weiszfeld steps.

    Formula: z <- sum_i b_i x_i / sum_i b_i with b_i = w_i / max(smoothing, ||z - x_i||). Tolerates
    f < m/2; `f` itself is not used.

    Args:
        updates: `[S, D]`.
        f: ignored.
        mask: `[S]` bool, True for present rows; None for all.
        preset: "paper" starts from the coordinate-wise median (our choice; RFA leaves it open)
            with smoothing 1e-6 and 32 steps; "byzfl" from zero, with 0.1 and 3 steps.
        smoothing: the nu of RFA, > 0; None is the preset's.
        steps: number of steps, at least 1; None is the preset's.
        tolerance: steps that change no row's share of z by more than this are the last; 0 never
            stops early. The loop still has `steps` turns, so that it can be batched.
        weights: `[S]` > 0, for example sample counts; None for equal.

    Returns:
        `[D]`; zeros when nobody is present.

    Raises:
        ValueError: no step.

    Cost: O(S^2 D + steps S^2): the steps happen in the Gram matrix; up to four steps are taken
    directly, two passes each. Source: Weiszfeld 1937; Pillutla, Kakade, Harchaoui, IEEE TSP 2022
    (RFA).
    """
    del f  # unused
    share = median_share(
        updates,
        mask,
        preset=preset,
        smoothing=smoothing,
        steps=steps,
        tolerance=tolerance,
        weights=weights,
    )
    return weighted_mean(share, updates, mask)


def median_share(
    updates: jax.Array,
    mask: jax.Array | None,
    *,
    preset: str = "paper",
    smoothing: float | jax.Array | None = None,
    steps: int | None = None,
    tolerance: float | jax.Array = 0.0,
    weights: jax.Array | None = None,
) -> jax.Array:
    """The share `[S]` of every row in the geometric median; arguments as there."""
    default_smoothing, default_steps = lookup(_WEISZFELD, preset, "preset")
    smoothing = default_smoothing if smoothing is None else smoothing
    alpha = present(updates, mask).astype(updates.dtype)
    if weights is not None:
        weights = per_row("weights", weights, updates).astype(updates.dtype)
        alpha = jnp.where(alpha > 0, weights, 0)
    steps = whole("steps", default_steps if steps is None else steps, 1)
    measure = _passes if steps <= _FEW_STEPS else _in_gram
    first, distances_to = measure(updates, mask)
    if preset == "byzfl":
        first = row_norms(updates, mask)

    def reweigh(distances: jax.Array) -> jax.Array:
        b = alpha / jnp.maximum(distances, smoothing)
        total = jnp.sum(b)
        return b / jnp.where(total > 0, total, 1)

    def step(carry: tuple[jax.Array, jax.Array], _: None) -> tuple[tuple, None]:
        share, moving = carry
        new = reweigh(distances_to(share))
        new = jnp.where(moving, new, share)
        return (new, moving & (jnp.max(jnp.abs(new - share)) > tolerance)), None

    begin = varying_as((reweigh(first), jnp.asarray(True)), updates, first)
    unroll = max(steps - 1, 1) if steps <= _FEW_STEPS else 1
    (share, _), _ = jax.lax.scan(step, begin, length=steps - 1, unroll=unroll)
    return share


def _in_gram(updates: jax.Array, mask: jax.Array | None) -> Measured:
    """Distances `[S]` to the coordinate-wise median, and to `sum_i share[i] updates[i]`."""
    products, lift = centred_gram(updates, mask)
    return (
        safe_sqrt(jnp.diagonal(products)) / lift,
        lambda share: safe_sqrt(squared_distances_to(products, share)) / lift,
    )


def _passes(updates: jax.Array, mask: jax.Array | None) -> Measured:
    """The same from the updates themselves, two passes a call."""
    return (
        row_norms(updates, mask, fence(median(updates, mask=mask))),
        lambda share: row_norms(updates, mask, weighted_sum(share, updates, mask)),
    )


@takes_rows
def centered_clipping(
    updates: jax.Array,
    f: Count = 0,
    *,
    mask: jax.Array | None = None,
    preset: str = "paper",
    centre: jax.Array | None = None,
    radius: float | jax.Array | None = None,
    steps: int | None = None,
) -> jax.Array:
    """Moves a centre by the mean of the clipped differences to it.

    Formula: v <- v + (1/m) sum_i (x_i - v) min(1, radius / ||x_i - v||), `steps` times.

    Args:
        updates: `[S, D]`.
        f: ignored.
        mask: `[S]` bool, True for present rows; None for all.
        preset: "paper" clips at 10 once; "byzfl" at 100 once.
        centre: `[D]`, the previous output; None is zero. `make_aggregator` remembers it.
        radius: None is the preset's. It scales with the updates: under heavy-ball momentum b use
            radius / (1 - b).
        steps: None is the preset's.

    Returns:
        `[D]`; the centre itself when nobody is present.

    Raises:
        ValueError: no step, or a centre of another length.

    Cost: two passes per step. Source: Karimireddy, He, Jaggi, ICML 2021.
    """
    del f  # unused
    default_radius, default_steps = lookup(_CLIPPING, preset, "preset")
    radius = default_radius if radius is None else radius
    steps = whole("steps", default_steps if steps is None else steps, 1)
    if centre is not None and jnp.shape(centre) != updates.shape[1:]:
        raise ValueError(f"centre must have shape {updates.shape[1:]}, got {jnp.shape(centre)}")
    centre = None if centre is None else jnp.asarray(centre).astype(updates.dtype)
    here = present(updates, mask)
    count = typed(jnp.maximum(jnp.asarray(num_present(updates, mask)), 1), updates)

    def pulled(v: jax.Array | None) -> jax.Array:
        gaps = row_norms(updates, mask, v)
        factors = jnp.where(here, clip_factors(gaps, radius), 0) / count
        mean = weighted_sum(factors, updates, mask)
        return mean if v is None else v + mean - jnp.sum(factors) * v

    v = pulled(centre)
    for _ in range(steps - 1):
        v = pulled(v)
    return v
