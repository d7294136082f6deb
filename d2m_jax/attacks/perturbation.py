"""Min-max and min-sum: go as far from the honest mean as distances between honest rows allow.

Not here: attacks that call the defence (`optimised.py`). Read next: `fang.py`.
"""

import math
from typing import Protocol

import jax
import jax.numpy as jnp

from d2m_jax.attacks.base import EMPTY, AttackContext, known_rows, masked_mean, write_rows
from d2m_jax.attacks.geometry import crowd_gram, direction
from d2m_jax.core.norms import lift_of
from d2m_jax.core.types import Key, Number

PRESETS = ("paper", "ndss21")


class Accept(Protocol):
    """Whether a strength passes."""

    def __call__(self, gamma: jax.Array, memory: jax.Array, /) -> tuple[jax.Array, jax.Array]:
        """`[]` bool for a strength `[]`, and the memory `[]` of the search, e.g. the last loss."""


def halving_search(
    accept: Accept,
    start: float = 10.0,
    tolerance: float = 1e-5,
    memory: Number = -1.0,
) -> jax.Array:
    """Returns the last accepted value of the search in the NDSS21 notebooks (0 when none was).

    gamma = start; each step moves gamma by half the previous step, up when accepted and down
    otherwise, until gamma is within `tolerance` of the last accepted value. So gamma < 2 * start.

    Args:
        accept: (gamma, memory) -> (accepted, memory); memory is one scalar, e.g. the last loss.
        start: first gamma, also the first step.
        tolerance: where it stops.
        memory: the scalar's first value.
    """

    def step(_: int, carry: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        gamma, jump, best, seen = carry
        done = jnp.abs(best - gamma) <= tolerance
        accepted, seen_now = accept(gamma, seen)
        seen_now = jnp.asarray(seen_now).astype(gamma.dtype)
        moved = gamma + jnp.where(accepted, 0.5, -0.5) * jump
        new = moved, 0.5 * jump, jnp.where(accepted, gamma, best), seen_now
        old = gamma, jump, best, seen
        return tuple(jnp.where(done, a, b) for a, b in zip(old, new))

    scalars = [jnp.asarray(value, jnp.float32) for value in (start, start, 0.0, memory)]
    steps = 2 + math.ceil(math.log2(start / tolerance))
    return jax.lax.fori_loop(0, steps, step, tuple(scalars))[2]


def largest_root(a: jax.Array, b: jax.Array, c: jax.Array) -> jax.Array:
    """Returns the largest gamma >= 0 with a gamma^2 + 2 b gamma + c <= 0, for a >= 0 and c <= 0.

    Zero when a is zero. Written without cancellation for either sign of b.
    """
    root = jnp.sqrt(jnp.maximum(b * b - a * c, 0.0))
    small = -c / jnp.where(b + root > 0, b + root, 1.0)
    large = (root - b) / jnp.where(a > 0, a, 1.0)
    gamma = jnp.where(b > 0, small, large)
    return jnp.where(a > 0, jnp.maximum(gamma, 0.0), 0.0)


def _crafted(
    name: str,
    updates: jax.Array,
    byzantine: jax.Array,
    context: AttackContext,
    knowledge: str,
    perturbation: str,
    preset: str,
    fraction: Number,
) -> jax.Array:
    """Both attacks: m = mu + fraction * gamma * p with the largest gamma within the bound."""
    if preset not in PRESETS:
        raise ValueError(f"unknown preset {preset!r}; valid: {', '.join(PRESETS)}")
    rows = known_rows(updates, byzantine, context, knowledge)
    # The bounds need fourth powers of the rows: brought to about 1 by a power of two.
    lift = lift_of(updates, rows, usual=0, most=80) if preset == "paper" else 1
    near = jnp.where(rows[:, None], updates * lift, 0)
    mean = masked_mean(near, rows)
    p = direction(perturbation, near, rows, mean)
    products, again = crowd_gram(near, rows)
    pairs = products / again**2
    centred = jnp.where(rows[:, None], mean[None, :] - near, 0)
    # ||m - x_i||^2 = a gamma^2 + 2 b_i gamma + c_i
    a = jnp.sum(p * p)
    b = jnp.matmul(centred, p, precision="highest")
    c = jnp.sum(centred * centred, axis=1)
    if name == "min_sum":
        sums = pairs.sum(axis=1)
        smallest = jnp.where(rows, sums, jnp.inf).min()
        bound = sums.max() if preset == "paper" else smallest
        a, b, c = a * rows.sum().astype(a.dtype), b.sum(), c.sum()
    else:
        bound = pairs.max()
    if preset == "paper":
        gammas = largest_root(a, b, c - bound)
        gamma = jnp.where(rows, gammas, jnp.inf).min()
    else:

        def inside(gamma: jax.Array, memory: jax.Array) -> tuple[jax.Array, jax.Array]:
            values = a * gamma * gamma + 2 * b * gamma + c
            return jnp.where(rows, values, -jnp.inf).max() <= bound, memory

        gamma = halving_search(inside)
    forged = (mean + jnp.where(jnp.isfinite(gamma), fraction * gamma, 0) * p) / lift
    return write_rows(updates, byzantine, forged, context, rows.any())


def min_max(
    key: Key,
    updates: jax.Array,
    byzantine: jax.Array,
    *,
    context: AttackContext = EMPTY,
    knowledge: str = "omniscient",
    perturbation: str = "std",
    preset: str = "paper",
    fraction: Number = 1.0,
) -> jax.Array:
    """Min-max: no honest row is farther from m than two honest rows are from each other.

    m = mu + gamma p with the largest gamma such that max_i ||m - x_i|| <= max_ij ||x_i - x_j||.

    Args:
        key: unused.
        updates: [S, D].
        byzantine: [S] bool.
        context: mask.
        knowledge: "omniscient" or "byzantine".
        perturbation: p is "unit", "std" or "sign" (see `direction`).
        preset: "paper" solves the bound exactly (each row gives a quadratic in gamma); "ndss21"
            repeats the released search, gamma from 10 by halves, so gamma < 20.
        fraction: share of that gamma which is used, 1 is the attack itself.

    Source: Shejwalkar and Houmansadr, NDSS 2021, section IV-C. Cost O(S^2 D).
    """
    del key  # unused
    return _crafted(
        "min_max", updates, byzantine, context, knowledge, perturbation, preset, fraction
    )


def min_sum(
    key: Key,
    updates: jax.Array,
    byzantine: jax.Array,
    *,
    context: AttackContext = EMPTY,
    knowledge: str = "omniscient",
    perturbation: str = "std",
    preset: str = "paper",
    fraction: Number = 1.0,
) -> jax.Array:
    """Min-sum: m is in total no farther from the honest rows than the outermost of them is.

    m = mu + gamma p, largest gamma with sum_i ||m - x_i||^2 <= max_i sum_j ||x_i - x_j||^2.
    Preset "ndss21" bounds by the *innermost* row (min over i), as the released notebooks do, and
    searches by halves. Arguments as in `min_max`. Source: Shejwalkar and Houmansadr, NDSS 2021.
    """
    del key  # unused
    return _crafted(
        "min_sum", updates, byzantine, context, knowledge, perturbation, preset, fraction
    )
