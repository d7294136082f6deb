"""FLDetector: who sends what the curvature of earlier rounds does not predict is left out.

Here also: products with the Hessian that L-BFGS sees. Read next: `line.py`, `history.py`.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from d2m_jax.aggregation.coordinate import median
from d2m_jax.aggregation.line import in_top, num_groups
from d2m_jax.aggregation.masks import takes_rows, typed
from d2m_jax.core.norms import lift_of, row_norms
from d2m_jax.core.rows import per_row, present, zero_absent
from d2m_jax.core.types import Count

WINDOW = 10  # rounds that the curvature is read from, and scores of a seller that are averaged


@takes_rows
def fldetector(
    updates: jax.Array,
    f: Count = 0,
    *,
    mask: jax.Array | None = None,
    suspicion: jax.Array | None = None,
) -> jax.Array:
    """Median of the sellers whose updates are as predicted from their own earlier ones.

    Formula: predicted_i = last_i + H (theta - theta_i), H of the last 10 steps by L-BFGS; the
    distances ||predicted_i - x_i|| / sum, averaged over 10 rounds, are the scores; where the gap
    statistic sees more than one group of scores, the upper of two is left out.

    Args:
        updates: `[S, D]`.
        f: ignored; most sellers are assumed to be honest.
        mask: `[S]` bool, True for present rows; None for all.
        suspicion: `[S]` scores, NaN for sellers without one; None for nobody having one.
            `make_aggregator` remembers them.

    Returns:
        `[D]`, the coordinate-wise median (the paper leaves the rule open); zeros when nobody is
        present.

    Cost: a median; with memory O(10 S D) more, and [N, D] of memory twice. Source: Zhang, Cao,
    Jia, Gong, KDD 2022. Our readings: the model moves by a constant times each aggregate, so a
    server with momentum or a schedule is predicted worse; steps without positive curvature are
    left out; a seller that was not sampled is predicted from its last update and how far the
    model moved since; the paper starts training anew without the flagged, here they are left out
    as long as they are flagged.
    """
    del f  # unused
    if suspicion is None:
        return median(updates, mask=mask)
    return median(updates, mask=trusted(per_row("suspicion", suspicion, updates), mask))


def trusted(scores: jax.Array, mask: jax.Array | None) -> jax.Array:
    """True `[S]` for rows that are there and not in the upper of two groups of scores."""
    here = jnp.ones(scores.shape, bool) if mask is None else mask
    known = here & jnp.isfinite(scores)
    count = jnp.sum(known, dtype=jnp.int32)
    groups = num_groups(jnp.sort(jnp.where(known, scores, jnp.inf)), count)
    return here & ~(in_top(scores, known, 2) & (groups > 1))


class Watch(NamedTuple):
    """What fldetector remembers of the sellers and of the model."""

    last: jax.Array  # [N, D] float32, the last update of each
    moved: jax.Array  # [N, D] float32, how far the model moved since, in aggregates
    known: jax.Array  # [N] bool, who has sent something
    scores: jax.Array  # [N, WINDOW] float32, NaN where there is none yet
    steps: jax.Array  # [WINDOW, D] float32, of the model, the newest last
    bends: jax.Array  # [WINDOW, D] float32, by what the aggregate changed along these steps
    previous: jax.Array  # [D] float32, the aggregate of the round before
    age: jax.Array  # [] int32, rounds seen


def init_watch(num_sellers: int, dim: int, dtype: Any = jnp.float32) -> Watch:
    """The empty memory of fldetector."""
    rows, window = jnp.zeros((num_sellers, dim), dtype), jnp.zeros((WINDOW, dim), dtype)
    return Watch(
        last=rows,
        moved=rows,
        known=jnp.zeros(num_sellers, bool),
        scores=jnp.full((num_sellers, WINDOW), jnp.nan, dtype),
        steps=window,
        bends=window,
        previous=jnp.zeros(dim, dtype),
        age=jnp.zeros((), jnp.int32),
    )


def fldetector_step(
    state: Watch,
    updates: jax.Array,
    f: Count,
    *,
    mask: Any,
    indices: jax.Array,
    warmup: float | jax.Array = 10.0,
) -> tuple[jax.Array, Watch]:
    """`fldetector` on what was seen so far; in the first `warmup` rounds nobody is left out."""
    here = present(updates, mask)
    rows = zero_absent(updates, mask).astype(state.last.dtype)
    bent = hessian_times(state.steps, state.bends, state.moved[indices])
    scored = here & state.known[indices]
    gaps = row_norms(rows - state.last[indices] - bent, scored)
    total = jnp.sum(gaps)
    now = jnp.where(scored, gaps / jnp.where(total > 0, total, 1), jnp.nan)
    old = state.scores[indices]
    scores = jnp.where(scored[:, None], jnp.concatenate([old[:, 1:], now[:, None]], axis=1), old)
    there = ~jnp.isnan(scores)
    mean = jnp.sum(jnp.where(there, scores, 0), axis=1) / typed(
        jnp.maximum(jnp.sum(there, axis=1), 1), scores
    )
    ready = there.any(axis=1) & (typed(state.age, scores) >= warmup)
    aggregate = fldetector(updates, f, mask=mask, suspicion=jnp.where(ready, mean, jnp.nan))
    new = _remember(state, rows, here, indices, aggregate.astype(state.last.dtype))
    return aggregate, new._replace(scores=state.scores.at[indices].set(scores))


def _remember(
    state: Watch, rows: jax.Array, here: jax.Array, indices: jax.Array, aggregate: jax.Array
) -> Watch:
    """The memory after a round, but for the scores: a round in which nobody is present is none."""
    any_, before = here.any(), state.age > 0
    bend = jnp.where(before, aggregate - state.previous, 0)
    step = jnp.where(before, -state.previous, 0)
    moved = state.moved.at[indices].set(jnp.where(here[:, None], 0, state.moved[indices]))
    new = state._replace(
        last=state.last.at[indices].set(jnp.where(here[:, None], rows, state.last[indices])),
        moved=moved - aggregate[None],
        known=state.known.at[indices].max(here),
        steps=jnp.concatenate([state.steps[1:], step[None]]),
        bends=jnp.concatenate([state.bends[1:], bend[None]]),
        previous=aggregate,
        age=state.age + 1,
    )
    return jax.tree.map(lambda a, b: jnp.where(any_, a, b), new, state)


def hessian_times(steps: jax.Array, bends: jax.Array, rows: jax.Array) -> jax.Array:
    """The BFGS approximation of the Hessian times every row, `[S, D]`.

    Formula: B_0 = (y s / s s) I with the newest pair; for each pair (s, y), oldest first,
    B <- B - (B s)(B s)^T / (s B s) + y y^T / (y s). Pairs with y s <= 0 are left out.

    Args:
        steps: `[W, D]`, s: how the model moved.
        bends: `[W, D]`, y: by what the gradient changed.
        rows: `[S, D]`.
    """
    lift = lift_of(steps)
    s, y = steps * lift, bends * lift
    curved = jnp.sum(s * y, axis=1)
    long = jnp.sum(s * s, axis=1)
    use = curved > 1e-7 * long
    newest = jnp.max(jnp.where(use, jnp.arange(len(s)), -1))
    sigma = jnp.where(newest >= 0, curved[newest] / jnp.where(use, long, 1)[newest], 0)

    def product(v: jax.Array, a: jax.Array, lengths: jax.Array, pairs: jax.Array) -> jax.Array:
        """B v for rows v with the pairs that count, given their B s and s B s."""

        def along(directions: jax.Array, size: jax.Array) -> jax.Array:
            inner = jnp.matmul(v, directions.T, precision="highest")
            share = jnp.where(pairs, 1 / jnp.where(pairs, size, 1), 0)
            return jnp.matmul(inner * share[None], directions, precision="highest")

        return sigma * v + along(y, curved) - along(a, lengths)

    a, lengths = jnp.zeros_like(s), jnp.zeros_like(long)
    for k in range(len(s)):
        before = use & (jnp.arange(len(s)) < k)
        bs = product(s[k : k + 1], a, lengths, before)[0]
        a, lengths = a.at[k].set(bs), lengths.at[k].set(jnp.vdot(s[k], bs))
    return product(rows, a, lengths, use & (lengths > 0))
