"""The white-box attack: the upper bound of what bad updates of a length can do to a known defence.

It starts from all other attacks, shorter ones too, climbs the damage through the buyer's own
defence, and sends the best rows that it ever saw. So it is at least as strong as each of them at
the same length, by construction. Not here: attacks that only call the defence (`optimised.py`).
Read first: `starts.py`.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp

from d2m_jax.attacks.base import (
    EMPTY,
    Attack,
    AttackContext,
    masked_std,
    present,
    required,
    write_rows,
)
from d2m_jax.attacks.base import masked_mean as mean_of
from d2m_jax.attacks.geometry import believed_crowd, mean_norm
from d2m_jax.attacks.optimised import damage_measure
from d2m_jax.attacks.starts import (
    Start,
    chosen_attacks,
    first_memories,
    forged_starts,
    observed,
    plain_starts,
)
from d2m_jax.core.norms import row_norms, safe_norms
from d2m_jax.core.types import Key, Number, PyTree

CONSTRAINTS = ("norm", "distance")
NOBODY: Mapping[str, Attack] = {}
GROWN, SHRUNK, LEAST = 1.5, 0.87, 1e-3  # of a blind step: after a success, a failure, at least
OnRows = Callable[[jax.Array], jax.Array]


class Aim(NamedTuple):
    """What a white-box attack maximises, within which bound, and how hard it searches; static."""

    objective: str = "descent"  # "descent", "distance" or "loss", see `damage_measure`
    constraint: str = "norm"  # rows within a radius of zero; "distance": of the honest mean
    steps: int = 20  # of the climb
    rate: float = 0.3  # first step, as a share of the bound
    jitter: float = 0.01  # noise on the best start, as a share of the bound: no two rows are alike
    shorter: tuple[float, ...] = (0.5, 0.2)  # every start also so much shorter, to zero and to mu
    starts: tuple[str, ...] | None = None  # attacks to start from; None: all


PLAIN = Aim()


class Field(NamedTuple):
    """What the search moves in."""

    limit: jax.Array  # [], the bound
    centre: jax.Array  # [D], mu, or zero with constraint "norm"
    axis: jax.Array  # [D], the unit honest mean
    cosine: jax.Array  # [], least cosine to it


def whitebox_init(num_params: int, *, others: Mapping[str, Attack] = NOBODY) -> PyTree:
    """The memories of the attacks that it starts from."""
    return first_memories(others, num_params)


def whitebox_observe(
    state: PyTree,
    updates: jax.Array,
    byzantine: jax.Array,
    *,
    context: AttackContext = EMPTY,
    knowledge: str = "omniscient",
    others: Mapping[str, Attack] = NOBODY,
) -> PyTree:
    """The memories of the attacks that it starts from, after a round."""
    return observed(others, state, updates, byzantine, context, knowledge)


def whitebox(
    key: Key,
    updates: jax.Array,
    byzantine: jax.Array,
    *,
    context: AttackContext = EMPTY,
    knowledge: str = "omniscient",
    others: Mapping[str, Attack] = NOBODY,
    aim: Aim = PLAIN,
    radius: Number = 1.0,
    cosine: Number = -1.0,
) -> jax.Array:
    """The rows that do most damage(defence(rows)) of all that the search sees, within a bound.

    Starts: own updates, those turned, -mu, mu +- 1.5 sigma, noise, and what each of `others` sends,
    cut to the bound, and `aim.shorter` times as long, towards zero and towards mu. From the best,
    m_i <- cut(m_i + rate (1 - t / steps) limit * grad_i / ||grad_i||); where the gradient is zero,
    as of rows that a rule drops, a blind step from the best rows so far, longer after a success and
    shorter after a failure. The best rows ever seen are sent, so no start within the bound does
    more damage to the rehearsed defence. Attacks on data have no rows to start from: give this one
    their `poison`, and what the attackers computed is such a start.

    Args:
        key: of the round; every start gets it.
        updates: [S, D].
        byzantine: [S] bool.
        context: needs `defence`, and `damage` for objective "loss"; starts whose own needs it does
            not meet are left out.
        knowledge: "omniscient" or "byzantine": the rows on which all is rehearsed.
        others: name to attack; in the registry all that stand there.
        aim: what is searched and how, static; a plain tuple of the same order will do.
        radius: ||m|| <= radius * mean honest norm; with constraint "distance" ||m - mu|| <= radius
            * the farthest honest row from mu.
        cosine: in [-1, 1), cos(m, mu) is at least this, which passes a defence that flags rows
            pointing away; with constraint "distance" the cut to the ball comes last.

    Cost: (1 + 2 len(shorter)) (len(others) + 6) calls of the defence, those of `others`, and
    steps + 1 forward and backward passes. Our formulation.

    Raises:
        ValueError: no defence in the context, or an unknown constraint, objective or start.
    """
    aim = Aim(*aim)
    if aim.constraint not in CONSTRAINTS:
        valid = ", ".join(CONSTRAINTS)
        raise ValueError(f"unknown constraint {aim.constraint!r}; valid: {valid}")
    defence = required(context.defence, "defence", "whitebox")
    attacks = chosen_attacks(others, aim.starts)
    crowd_key, noise_key, climb_key = (jax.random.fold_in(key, i) for i in range(3))
    crowd, honest = believed_crowd(crowd_key, updates, byzantine, context, knowledge)
    attackers = byzantine & present(updates, context)
    # Rows outside the mask may hold NaN, which a masked sum would still turn into NaN gradients.
    crowd = jnp.where((honest | attackers)[:, None], crowd, 0.0)
    crowd = jnp.where(jnp.isfinite(crowd), crowd, 0.0)
    mean = mean_of(crowd, honest)
    std = masked_std(crowd, honest, mean)
    field = field_of(crowd, honest, mean, aim.constraint, radius, cosine)
    damage = damage_measure(aim.objective, context, mean)

    def harm(rows: jax.Array) -> jax.Array:
        value = damage(defence(jnp.where(attackers[:, None], rows, crowd), honest | attackers))
        return jnp.where(jnp.isnan(value), -jnp.inf, value)

    view = context._replace(mask=honest | attackers)
    own = jnp.where(attackers[:, None], crowd, 0.0)
    starts = plain_starts(noise_key, own, mean, std, field.limit)
    starts += forged_starts(key, crowd, attackers, view, attacks)
    begun = best_start(starts, harm, field, mean, own, aim.shorter)
    best = climb(climb_key, begun, harm, field, aim)
    return write_rows(updates, byzantine, best, context, honest.any())


def field_of(
    crowd: jax.Array,
    honest: jax.Array,
    mean: jax.Array,
    constraint: str,
    radius: Number,
    cosine: Number,
) -> Field:
    """The bound of rows [S, D] whose honest ones have this mean [D]."""
    length = jnp.linalg.norm(mean)
    axis = mean / jnp.where(length > 0, length, 1.0)
    least = jnp.asarray(cosine, crowd.dtype)
    if constraint == "norm":
        limit = radius * mean_norm(crowd, honest)
        return Field(limit, jnp.zeros_like(mean), axis, least)
    spread = jnp.where(honest, row_norms(crowd - mean[None, :]), 0.0)
    return Field(radius * spread.max(), mean, axis, least)


def cut(rows: jax.Array, field: Field) -> jax.Array:
    """Projects each row of [S, D] onto the cone, then onto the ball; one not finite counts as 0."""
    rows = _into_cone(jnp.where(jnp.isfinite(rows), rows, 0.0), field.axis, field.cosine)
    away = rows - field.centre[None, :]
    lengths = safe_norms(away)
    factor = jnp.where(
        lengths > field.limit, field.limit / jnp.where(lengths > 0, lengths, 1.0), 1.0
    )
    return field.centre[None, :] + away * factor[:, None]


def _into_cone(rows: jax.Array, axis: jax.Array, cosine: jax.Array) -> jax.Array:
    """Projects each row onto {m: <m, axis> >= cosine ||m||} for a unit axis."""
    sine = jnp.sqrt(jnp.maximum(1.0 - cosine * cosine, 0.0))
    along = jnp.matmul(rows, axis, precision="highest")
    across = rows - along[:, None] * axis[None, :]
    height = safe_norms(across)
    edge = jnp.maximum(cosine * along + sine * height, 0.0)
    unit = across / jnp.where(height > 0, height, 1.0)[:, None]
    nearest = edge[:, None] * (cosine * axis[None, :] + sine * unit)
    inside = (along * sine >= height * cosine) | (cosine <= -1)
    return jnp.where(inside[:, None], rows, nearest)


def best_start(
    starts: list[Start],
    harm: OnRows,
    field: Field,
    mean: jax.Array,
    own: jax.Array,
    shorter: tuple[float, ...],
) -> tuple[jax.Array, jax.Array]:
    """The most harmful of all starts and their shorter versions: rows [S, D] and the harm []."""
    shares = jnp.asarray([1.0, *shorter, *shorter], own.dtype)
    toward = jnp.asarray([0.0] * (1 + len(shorter)) + [1.0] * len(shorter), own.dtype)

    def weigh(best: tuple[jax.Array, jax.Array], index: jax.Array):  # type: ignore[no-untyped-def]
        rows = cut(jax.lax.switch(index, starts), field)

        def version(best: tuple[jax.Array, jax.Array], how: tuple[jax.Array, jax.Array]):  # type: ignore[no-untyped-def]
            share, to = how
            tried = cut(to * mean[None, :] + share * (rows - to * mean[None, :]), field)
            value = harm(tried)
            better = value > best[1]
            return (jnp.where(better, tried, best[0]), jnp.where(better, value, best[1])), None

        return jax.lax.scan(version, best, (shares, toward))

    nothing = cut(own, field), jnp.asarray(-jnp.inf, own.dtype)
    return jax.lax.scan(weigh, nothing, jnp.arange(len(starts)))[0]


class Climber(NamedTuple):
    """Where the climb is."""

    rows: jax.Array  # [S, D], to be tried next
    best: jax.Array  # [S, D], the most harmful so far
    value: jax.Array  # [], its harm
    reach: jax.Array  # [], length of a blind step, as a share of the bound


def climb(
    key: Key, start: tuple[jax.Array, jax.Array], harm: OnRows, field: Field, aim: Aim
) -> jax.Array:
    """The best rows [S, D] seen on the way up from a start and its harm."""
    slope = jax.value_and_grad(harm)

    def to_limit(rows: jax.Array) -> jax.Array:
        lengths = safe_norms(rows)[:, None]
        return field.limit * rows / jnp.where(lengths > 0, lengths, 1.0)

    def step(at: Climber, index: jax.Array) -> tuple[Climber, None]:
        value, gradient = slope(at.rows)
        better = value > at.value
        best = jnp.where(better, at.rows, at.best)
        gradient = jnp.where(jnp.isfinite(gradient), gradient, 0.0)
        rate = aim.rate * (1 - index.astype(best.dtype) / max(aim.steps, 1))
        climbed = at.rows + rate * to_limit(gradient)
        noise = jax.random.normal(jax.random.fold_in(key, index), best.shape, best.dtype)
        together = jnp.where(index % 2 == 0, noise[:1], noise)  # in turn all by one step
        leapt = best + at.reach * to_limit(together)
        rows = cut(jnp.where((gradient != 0).any(), climbed, leapt), field)
        reach = jnp.maximum(at.reach * jnp.where(better, GROWN, SHRUNK), LEAST)
        return Climber(rows, best, jnp.where(better, value, at.value), reach), None

    best, value = start
    shake = to_limit(jax.random.normal(jax.random.fold_in(key, aim.steps + 1), best.shape))
    first = cut(best + aim.jitter * shake.astype(best.dtype), field)
    begun = Climber(first, best, value, jnp.asarray(aim.rate, best.dtype))
    # One step more than moves: the last only judges, its move has length zero.
    return jax.lax.scan(step, begun, jnp.arange(aim.steps + 1))[0].best
