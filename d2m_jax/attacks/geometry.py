"""What the searching attacks measure: directions, distances, and the crowd they believe in.

Not here: the attacks. Read next: `perturbation.py`, `optimised.py`.
"""

import jax
import jax.numpy as jnp

from d2m_jax.attacks.base import (
    AttackContext,
    known_rows,
    masked_mean,
    masked_std,
    norms,
    present,
)
from d2m_jax.core.types import Key

DIRECTIONS = ("unit", "std", "sign")


def direction(name: str, updates: jax.Array, rows: jax.Array, mean: jax.Array) -> jax.Array:
    """Returns the perturbation of Shejwalkar and Houmansadr (NDSS 2021), [D].

    "unit": -mu / ||mu||; "std": -sigma; "sign": -sign(mu). All point away from the honest mean.

    Raises:
        ValueError: an unknown name.
    """
    if name == "unit":
        length = jnp.linalg.norm(mean)
        return -mean / jnp.where(length > 0, length, 1.0)
    if name == "std":
        return -masked_std(updates, rows, mean)
    if name == "sign":
        return -jnp.sign(mean)
    raise ValueError(f"unknown perturbation {name!r}; valid: {', '.join(DIRECTIONS)}")


def squared_distances(updates: jax.Array, rows: jax.Array) -> jax.Array:
    """Returns the squared distances between the chosen rows, [S, S]; zero for the others.

    One Gram matrix, centred on the mean of the chosen rows: they are honest-looking, so no outlier
    can spoil the centre. Clamped at zero. Cost O(S^2 D).
    """
    centred = jnp.where(rows[:, None], updates - masked_mean(updates, rows)[None, :], 0.0)
    gram = jnp.matmul(centred, centred.T, precision="highest")
    squares = jnp.diagonal(gram)
    pairs = jnp.maximum(squares[:, None] + squares[None, :] - 2 * gram, 0.0)
    both = rows[:, None] & rows[None, :] & ~jnp.eye(rows.shape[0], dtype=bool)
    return jnp.where(both, pairs, 0.0)


def believed_crowd(
    key: Key, updates: jax.Array, byzantine: jax.Array, context: AttackContext, knowledge: str
) -> tuple[jax.Array, jax.Array]:
    """Returns the rows on which the attacker rehearses the defence, and which of them are honest.

    "omniscient": the true updates. "byzantine": every honest row is replaced by a normal draw with
    the mean and the coordinate deviation of the attackers' own honest-looking updates: our choice
    (NDSS21 rehearses on the attackers' updates alone, which changes the share of attackers).

    Returns:
        rows: [S, D]; honest: [S] bool, honest rows that are present and finite.
    """
    known = known_rows(updates, byzantine, context, knowledge)
    if knowledge == "omniscient":
        return updates, known
    mean = masked_mean(updates, known)
    std = masked_std(updates, known, mean)
    noise = jax.random.normal(key, updates.shape, updates.dtype)
    draws = mean[None, :] + std[None, :] * noise
    return jnp.where(byzantine[:, None], updates, draws), ~byzantine & present(updates, context)


def diameter(updates: jax.Array, rows: jax.Array) -> jax.Array:
    """Returns the largest distance between two chosen rows, []."""
    return jnp.sqrt(squared_distances(updates, rows).max())


def mean_norm(updates: jax.Array, rows: jax.Array) -> jax.Array:
    """Returns the mean norm of the chosen rows, []; zero when there are none."""
    lengths = jnp.where(rows, norms(updates), 0.0)
    return lengths.sum() / jnp.maximum(rows.sum(), 1)
