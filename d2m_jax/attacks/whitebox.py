"""The white-box attack: gradient ascent on the damage *through* the buyer's own defence.

Not here: attacks that only call the defence (`optimised.py`). Read next: `data.py`.

Needs a defence that JAX can differentiate. Where its gradient is zero (rows that a rule drops), the
attack keeps its best starting point, so it is never weaker than the starts it tries.
"""

from typing import Any

import jax
import jax.numpy as jnp

from d2m_jax.attacks.base import EMPTY, AttackContext, masked_std, present, required, write_rows
from d2m_jax.attacks.base import masked_mean as mean_of
from d2m_jax.attacks.geometry import believed_crowd, mean_norm
from d2m_jax.attacks.optimised import damage_measure
from d2m_jax.core.norms import row_norms
from d2m_jax.core.types import Key, Number

Carry = tuple[jax.Array, jax.Array, jax.Array]  # rows, best rows, best damage
CONSTRAINTS = ("norm", "distance", "cosine")


def _shrink(rows: jax.Array, limit: jax.Array) -> jax.Array:
    """Projects each row onto the ball of that radius around zero."""
    lengths = row_norms(rows)
    factor = jnp.where(lengths > limit, limit / jnp.where(lengths > 0, lengths, 1.0), 1.0)
    return rows * factor[:, None]


def _into_cone(rows: jax.Array, axis: jax.Array, cosine: jax.Array) -> jax.Array:
    """Projects each row onto {m: <m, axis> >= cosine ||m||} for a unit axis and cosine >= 0."""
    sine = jnp.sqrt(jnp.maximum(1.0 - cosine * cosine, 0.0))
    along = jnp.matmul(rows, axis, precision="highest")
    across = rows - along[:, None] * axis[None, :]
    height = row_norms(across)
    edge = jnp.maximum(cosine * along + sine * height, 0.0)
    unit = across / jnp.where(height > 0, height, 1.0)[:, None]
    nearest = edge[:, None] * (cosine * axis[None, :] + sine * unit)
    inside = along * sine >= height * cosine
    return jnp.where(inside[:, None], rows, nearest)


def whitebox(
    key: Key,
    updates: jax.Array,
    byzantine: jax.Array,
    *,
    context: AttackContext = EMPTY,
    knowledge: str = "omniscient",
    objective: str = "descent",
    constraint: str = "norm",
    steps: int = 20,
    radius: Number = 1.0,
    cosine: Number = 0.1,
    rate: Number = 0.3,
    jitter: Number = 0.01,
) -> jax.Array:
    """Gradient ascent on damage(defence(updates with our rows)), projected onto a constraint.

    The attackers' rows start at the most damaging of: their own updates, those negated, -mu at the
    limit, mu + 1.5 sigma, mu - 1.5 sigma, random noise at the limit. Then
    m_i <- project(m_i + rate (1 - t / steps) limit * grad_i / ||grad_i||), and the best rows ever
    seen are sent. Each attacker sends a row of its own, so exact de-duplication does not help.

    Args:
        key: for the noise.
        updates: [S, D].
        byzantine: [S] bool.
        context: needs `defence`, and `damage` for objective "loss".
        knowledge: "omniscient" or "byzantine".
        objective: "descent", "distance" or "loss", see `damage_measure`.
        constraint: "norm": ||m|| <= radius * mean honest norm. "distance": ||m - mu|| <= radius *
            the farthest honest row from mu. "cosine": as "norm", and cos(m, mu) >= cosine, which
            passes a defence that flags rows pointing away.
        steps: of the ascent, static.
        radius: see constraint.
        cosine: in [0, 1), see constraint.
        rate: first step as a share of the limit.
        jitter: noise on the start, as a share of the limit; tells the attackers apart.

    Cost: steps + 1 forward and backward passes of the defence, and 6 forward. Our formulation.

    Raises:
        ValueError: no defence in the context, or an unknown constraint or objective.
    """
    if constraint not in CONSTRAINTS:
        raise ValueError(f"unknown constraint {constraint!r}; valid: {', '.join(CONSTRAINTS)}")
    defence = required(context.defence, "defence", "whitebox")
    crowd_key, noise_key, jitter_key = jax.random.split(key, 3)
    crowd, honest = believed_crowd(crowd_key, updates, byzantine, context, knowledge)
    attackers = byzantine & present(updates, context)
    # Rows outside the mask may hold NaN, which a masked sum would still turn into NaN gradients.
    crowd = jnp.where((honest | attackers)[:, None], crowd, 0.0)
    mean = mean_of(crowd, honest)
    std = masked_std(crowd, honest, mean)
    length = jnp.linalg.norm(mean)
    axis = mean / jnp.where(length > 0, length, 1.0)
    damage = damage_measure(objective, context, mean)
    if constraint == "distance":
        spread = jnp.where(honest, row_norms(crowd - mean[None, :]), 0.0)
        limit = radius * spread.max()
    else:
        limit = radius * mean_norm(crowd, honest)

    def project(rows: jax.Array) -> jax.Array:
        if constraint == "distance":
            return mean[None, :] + _shrink(rows - mean[None, :], limit)
        if constraint == "cosine":
            rows = _into_cone(rows, axis, jnp.asarray(cosine, rows.dtype))
        return _shrink(rows, limit)

    def harm(rows: jax.Array) -> jax.Array:
        value = damage(defence(jnp.where(attackers[:, None], rows, crowd), honest | attackers))
        return jnp.where(jnp.isnan(value), -jnp.inf, value)

    def to_limit(rows: jax.Array) -> jax.Array:
        lengths = row_norms(rows)[:, None]
        return limit * rows / jnp.where(lengths > 0, lengths, 1.0)

    own = jnp.where(byzantine[:, None] & jnp.isfinite(updates), updates, 0.0)
    starts = (
        lambda: own,
        lambda: to_limit(-own),
        lambda: to_limit(jnp.broadcast_to(-mean, own.shape)),
        lambda: jnp.broadcast_to(mean + 1.5 * std, own.shape),
        lambda: jnp.broadcast_to(mean - 1.5 * std, own.shape),
        lambda: to_limit(jax.random.normal(noise_key, own.shape, own.dtype)),
    )

    def begin(carry: tuple[jax.Array, jax.Array], index: jax.Array) -> tuple[Any, None]:
        best, best_value = carry
        rows = project(jax.lax.switch(index, starts))
        value = harm(rows)
        better = value > best_value
        return (jnp.where(better, rows, best), jnp.where(better, value, best_value)), None

    nothing = project(own), jnp.asarray(-jnp.inf, own.dtype)
    (best, best_value), _ = jax.lax.scan(begin, nothing, jnp.arange(len(starts)))
    shake = to_limit(jax.random.normal(jitter_key, own.shape, own.dtype))

    def step(carry: Carry, index: jax.Array) -> tuple[Carry, None]:
        rows, best, best_value = carry
        value, gradient = jax.value_and_grad(harm)(rows)
        better = value > best_value
        best, best_value = jnp.where(better, rows, best), jnp.where(better, value, best_value)
        gradient = jnp.where(jnp.isfinite(gradient), gradient, 0.0)
        move = rate * (1 - index.astype(rows.dtype) / max(steps, 1)) * to_limit(gradient)
        return (project(rows + move), best, best_value), None

    carry = project(best + jitter * shake), best, best_value
    # One step more than moves: the last only judges, its move has length zero.
    (_, best, _), _ = jax.lax.scan(step, carry, jnp.arange(steps + 1))
    return write_rows(updates, byzantine, best, context, honest.any())
