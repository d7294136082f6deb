"""Trapsetter: looks around the model for a place that is bad, and pulls the aggregate there.

Not here: ascent along a gradient (`whitebox.py`). Read next: `optimised.py`.
"""

import jax
import jax.numpy as jnp

from d2m_jax.attacks.base import (
    EMPTY,
    AttackContext,
    Damage,
    known_rows,
    masked_mean,
    present,
    required,
    write_rows,
)
from d2m_jax.core.norms import safe_norms
from d2m_jax.core.types import Key, Number

POINTS = 5  # of the grid along each direction, as in the released code


def trapsetter(
    key: Key,
    updates: jax.Array,
    byzantine: jax.Array,
    *,
    context: AttackContext = EMPTY,
    knowledge: str = "omniscient",
    radius: Number = 1.0,
    boost: Number = 1.0,
) -> jax.Array:
    """The update after which a plain mean steps to the worst point of a plane around the model.

    Formula: a, b random directions of length radius ||mu||; t the worst by `context.damage` of the
    5 x 5 steps i a + j b, i and j in -1, -1/2, 0, 1/2, 1; of m rows, f of them the attackers',
    m_i = boost (m t - (m - f) mu) / f.

    Args:
        key: draws the plane, anew in every round (the paper keeps one for some rounds).
        updates: [S, D].
        byzantine: [S] bool.
        context: mask, damage.
        knowledge: "omniscient" or "byzantine".
        radius: half a side of the square, in lengths of mu (our choice: the released code measures
            in lengths of the model, layer by layer, which an attack here does not see).
        boost: of what is sent; below 1 it is less conspicuous.

    Raises:
        ValueError: `context.damage` is missing.

    Cost: 25 evaluations of the damage, O(S D). Source: Yue, Jin, Wong, Dai 2024 (arXiv 2409.06474)
    and its released code, where bad means accuracy on the attackers' own examples.
    """
    damage = required(context.damage, "damage", "trapsetter")
    rows = known_rows(updates, byzantine, context, knowledge)
    mean = masked_mean(updates, rows)
    plane = jax.random.normal(key, (2, updates.shape[1]), updates.dtype)
    plane = plane * (radius * safe_norms(mean[None])[0] / safe_norms(plane))[:, None]
    trap = worst_point(damage, plane)
    here = present(updates, context)
    count = here.sum().astype(updates.dtype)
    attackers = (here & byzantine).sum().astype(updates.dtype)
    pull = count * trap - (count - attackers) * mean
    forged = boost * pull / jnp.maximum(attackers, 1)
    return write_rows(updates, byzantine, forged, context, rows.any())


def worst_point(damage: Damage, plane: jax.Array) -> jax.Array:
    """The step `[D]` of most damage on the grid that the two rows of `plane` span.

    A step whose damage is no number does not count; of equal ones the first, row by row.
    """
    ticks = jnp.linspace(-1, 1, POINTS, dtype=plane.dtype)
    places = jnp.stack(jnp.meshgrid(ticks, ticks, indexing="ij"), axis=-1).reshape(-1, 2)

    def harm(place: jax.Array) -> jax.Array:
        return damage(jnp.matmul(place, plane, precision="highest"))

    found = jax.lax.map(harm, places)
    best = jnp.argmax(jnp.where(jnp.isnan(found), -jnp.inf, found))
    return jnp.matmul(places[best], plane, precision="highest")
