"""Attacks that rehearse the defence: line searches over a strength, for any rule.

Not here: gradients through the defence (`whitebox.py`). Read next: that.

Each needs `context.defence`, a function (updates [S, D], mask [S]) -> aggregate [D]. A defence with
memory must be closed over its present state: rehearsals never advance it.
"""

from typing import Protocol

import jax
import jax.numpy as jnp

from d2m_jax.attacks.base import (
    EMPTY,
    AttackContext,
    Damage,
    masked_mean,
    masked_std,
    present,
    required,
    write_rows,
)
from d2m_jax.attacks.geometry import believed_crowd, diameter, direction
from d2m_jax.attacks.perturbation import halving_search
from d2m_jax.core.norms import row_norms
from d2m_jax.core.types import Key, Number


class Score(Protocol):
    """What a line search maximises."""

    def __call__(self, strength: jax.Array, /) -> jax.Array:
        """The damage `[]` of a strength `[]`."""


OBJECTIVES = ("distance", "descent", "loss")


def damage_measure(objective: str, context: AttackContext, mean: jax.Array) -> Damage:
    """Returns what is maximised, a function of the aggregate [D].

    "distance": ||aggregate - mu|| (ByzFL, NDSS21). "descent": -<aggregate, mu> / ||mu||, how far
    the step goes against the honest one. "loss": `context.damage`, e.g. the validation loss after
    the step.

    Raises:
        ValueError: an unknown objective, or "loss" without `context.damage`.
    """
    if objective == "distance":  # the tiny number keeps the gradient finite at zero
        return lambda aggregate: jnp.sqrt(jnp.sum((aggregate - mean) ** 2) + 1e-30)
    if objective == "descent":
        length = jnp.linalg.norm(mean)
        return lambda aggregate: -jnp.vdot(aggregate, mean) / jnp.where(length > 0, length, 1.0)
    if objective == "loss":
        return required(context.damage, "damage", "objective 'loss'")
    raise ValueError(f"unknown objective {objective!r}; valid: {', '.join(OBJECTIVES)}")


def line_search_byzfl(
    score: Score,
    evaluations: int = 20,
    start: Number = 0.0,
    delta: Number = 10.0,
    ratio: Number = 0.8,
) -> jax.Array:
    """Returns the strength that ByzFL's expand-and-contract search finds.

    Always tries best + delta. Until the first failure delta doubles; from then on it is multiplied
    by `ratio` after every trial. Only strict improvements count, so only strengths above `start`
    are ever tried. On plateaus float32 may branch otherwise than ByzFL's float64.
    """

    def step(index: jax.Array, carry: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        expanding, best, best_score, delta = carry
        first = index == 0
        tried = jnp.where(first, best, best + delta)
        value = score(tried).astype(tried.dtype)
        better = value > best_score
        best, best_score = jnp.where(better, tried, best), jnp.where(better, value, best_score)
        expanding = expanding & (better | first)
        grown = delta * jnp.where(expanding, 2.0, ratio)
        return expanding, best, best_score, jnp.where(first, delta, grown)

    numbers = [jnp.asarray(x, jnp.float32) for x in (start, -jnp.inf, delta)]
    return jax.lax.fori_loop(0, evaluations, step, (jnp.array(True), *numbers))[1]


def line_search_exact(
    score: Score,
    low: Number,
    high: Number,
    grid: int = 21,
    zooms: int = 3,
) -> tuple[jax.Array, jax.Array]:
    """Returns the best strength in [low, high] and its score, by grids that zoom in.

    Each grid covers the two cells around the best point so far, so the first finds the right hill
    whatever the shape and the next climb it: on a smooth hill the strength is known to
    (high - low) / (grid - 1) * (2 / (grid - 1))^(zooms - 1). A score that is not finite counts as
    -inf. A gain below 1e-5 of the score does not count and of equal points the one nearest zero
    wins, so that on the plateaus that clipping makes, rounding does not decide. Cost: grid * zooms
    scores.
    """

    low, high = (jnp.asarray(x, jnp.float32) for x in (low, high))

    def safe(x: jax.Array) -> jax.Array:
        value = score(x).astype(x.dtype)
        return jnp.where(jnp.isfinite(value), value, -jnp.inf)

    def zoom(_: int, carry: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        a, b, best, best_score = carry
        points = jnp.linspace(a, b, grid)
        values = jax.lax.map(safe, points)
        as_good = values >= values.max() - 1e-5 * jnp.abs(values.max())
        top = jnp.argmin(jnp.where(as_good, jnp.abs(points), jnp.inf))
        better = (values[top] > best_score + 1e-5 * jnp.abs(best_score)) | ~jnp.isfinite(best_score)
        best = jnp.where(better, points[top], best)
        best_score = jnp.where(better, values[top], best_score)
        cell = (b - a) / (grid - 1)
        return jnp.maximum(best - cell, low), jnp.minimum(best + cell, high), best, best_score

    start = low, high, low, jnp.full((), -jnp.inf, jnp.float32)
    _, _, best, best_score = jax.lax.fori_loop(0, zooms, zoom, start)
    return best, best_score


def _rehearsal(
    name: str,
    key: Key,
    updates: jax.Array,
    byzantine: jax.Array,
    context: AttackContext,
    knowledge: str,
    objective: str,
) -> tuple[jax.Array, jax.Array, jax.Array, Damage]:
    """Returns crowd [S, D], its honest rows [S], their mean [D] and vector [D] -> damage []."""
    defence = required(context.defence, "defence", name)
    crowd, honest = believed_crowd(key, updates, byzantine, context, knowledge)
    attackers = byzantine & present(updates, context)
    crowd = jnp.where((honest | attackers)[:, None], crowd, 0.0)  # no NaN of a diverged seller
    mean = masked_mean(crowd, honest)
    damage = damage_measure(objective, context, mean)

    def harm(vector: jax.Array) -> jax.Array:
        rows = jnp.where(attackers[:, None], vector[None, :], crowd)
        return damage(defence(rows, honest | attackers))

    return crowd, honest, mean, harm


def _best_strength(
    search: str, score: Score, evaluations: int, grid: int, bounds: dict[str, Number]
) -> jax.Array:
    if search == "byzfl":
        names = ("start", "delta", "ratio")
        return line_search_byzfl(score, evaluations, **{name: bounds[name] for name in names})
    if search == "exact":
        return line_search_exact(score, bounds["low"], bounds["high"], grid)[0]
    raise ValueError(f"unknown search {search!r}; valid: byzfl, exact")


def opt_alie(
    key: Key,
    updates: jax.Array,
    byzantine: jax.Array,
    *,
    context: AttackContext = EMPTY,
    knowledge: str = "omniscient",
    objective: str = "distance",
    search: str = "exact",
    evaluations: int = 20,
    grid: int = 21,
    start: Number = 0.0,
    delta: Number = 10.0,
    ratio: Number = 0.8,
    low: Number = -10.0,
    high: Number = 10.0,
) -> jax.Array:
    """ALIE with the strength that hurts this defence most: m = mu + tau sigma.

    Args:
        key: used only with knowledge "byzantine".
        updates: [S, D].
        byzantine: [S] bool.
        context: needs `defence`.
        knowledge: "omniscient" or "byzantine".
        objective: what is maximised, see `damage_measure`.
        search: "byzfl" (its schedule, tau >= 0) or "exact" (zooming grids, both signs).
        evaluations: of the byzfl search, static.
        grid: points of each grid of the exact search, static.
        start: first tau of the byzfl search.
        delta: its first step.
        ratio: its contraction.
        low: lower end of the exact search.
        high: upper end of the exact search.

    Source: ByzFL, Optimal_ALittleIsEnough; idea of Shejwalkar and Houmansadr, NDSS 2021. Cost:
    `evaluations` (or 3 * grid) calls of the defence.
    """
    crowd, honest, mean, harm = _rehearsal(
        "opt_alie", key, updates, byzantine, context, knowledge, objective
    )
    std = masked_std(crowd, honest, mean)
    bounds = {"start": start, "delta": delta, "ratio": ratio, "low": low, "high": high}
    tau = _best_strength(search, lambda t: harm(mean + t * std), evaluations, grid, bounds)
    return write_rows(updates, byzantine, mean + tau * std, context, honest.any())


def opt_ipm(
    key: Key,
    updates: jax.Array,
    byzantine: jax.Array,
    *,
    context: AttackContext = EMPTY,
    knowledge: str = "omniscient",
    objective: str = "distance",
    search: str = "exact",
    evaluations: int = 20,
    grid: int = 21,
    start: Number = 0.0,
    delta: Number = 10.0,
    ratio: Number = 0.8,
    low: Number = -10.0,
    high: Number = 10.0,
) -> jax.Array:
    """IPM with the strength that hurts this defence most: m = -tau mu. Arguments as `opt_alie`."""
    _, honest, mean, harm = _rehearsal(
        "opt_ipm", key, updates, byzantine, context, knowledge, objective
    )
    bounds = {"start": start, "delta": delta, "ratio": ratio, "low": low, "high": high}
    tau = _best_strength(search, lambda t: harm(-t * mean), evaluations, grid, bounds)
    return write_rows(updates, byzantine, -tau * mean, context, honest.any())


def agr_tailored(
    key: Key,
    updates: jax.Array,
    byzantine: jax.Array,
    *,
    context: AttackContext = EMPTY,
    knowledge: str = "omniscient",
    objective: str = "distance",
    perturbations: tuple[str, ...] = ("unit", "std", "sign"),
    preset: str = "paper",
    grid: int = 21,
    reach: Number = 2.0,
) -> jax.Array:
    """Tailored to any rule: m = mu + gamma p that maximises the deviation of the actual defence.

    "paper": the best over all given perturbations, both signs of gamma, and
    |gamma| ||p|| <= reach * honest diameter, by `line_search_exact`. "ndss21": the first
    perturbation and the released search (gamma from 10 by halves, accepted when the loss exceeds
    the *previous* loss, not the best).

    Source: Shejwalkar and Houmansadr, NDSS 2021, section IV-B, eq. 1, made generic: any callable.
    Cost: 3 * grid calls of the defence per perturbation.

    Raises:
        ValueError: no defence in the context, or an unknown preset or perturbation.
    """
    crowd, honest, mean, harm = _rehearsal(
        "agr_tailored", key, updates, byzantine, context, knowledge, objective
    )
    if preset == "ndss21":
        p = direction(perturbations[0], crowd, honest, mean)

        def accept(gamma: jax.Array, previous: jax.Array) -> tuple[jax.Array, jax.Array]:
            loss = harm(mean + gamma * p)
            return previous < loss, loss

        forged = mean + halving_search(accept) * p
    elif preset == "paper":
        width = reach * diameter(crowd, honest)
        ways = jnp.stack([direction(name, crowd, honest, mean) for name in perturbations])
        lengths = row_norms(ways)[:, None]
        ways = ways / jnp.where(lengths > 0, lengths, 1.0)

        def strongest(p: jax.Array) -> tuple[jax.Array, jax.Array]:
            return line_search_exact(lambda t: harm(mean + t * p), -width, width, grid)

        gammas, values = jax.lax.map(strongest, ways)
        top = jnp.argmax(values)
        forged = mean + gammas[top] * ways[top]
    else:
        raise ValueError(f"unknown preset {preset!r}; valid: paper, ndss21")
    return write_rows(updates, byzantine, forged, context, honest.any())
