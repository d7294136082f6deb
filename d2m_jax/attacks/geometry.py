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
    present,
)
from d2m_jax.core.gram import Gram, gram_of, squared_distances
from d2m_jax.core.norms import row_norms, safe_norms
from d2m_jax.core.types import Key

DIRECTIONS = ("unit", "std", "sign")


def direction(name: str, updates: jax.Array, rows: jax.Array, mean: jax.Array) -> jax.Array:
    """Returns the perturbation of Shejwalkar and Houmansadr (NDSS 2021), [D].

    "unit": -mu / ||mu||; "std": -sigma; "sign": -sign(mu). All point away from the honest mean.

    Raises:
        ValueError: an unknown name.
    """
    if name == "unit":
        length = safe_norms(mean[None])[0]
        return -mean / jnp.where(length > 0, length, 1)
    if name == "std":
        return -masked_std(updates, rows, mean)
    if name == "sign":
        return -jnp.sign(mean)
    raise ValueError(f"unknown perturbation {name!r}; valid: {', '.join(DIRECTIONS)}")


def crowd_gram(updates: jax.Array, rows: jax.Array) -> Gram:
    """Returns the squared distances between the chosen rows, and by what they were lifted.

    One Gram matrix, centred on the mean of the chosen rows: they are honest-looking, so no outlier
    can spoil the centre. Zero for the other rows. Cost O(S^2 D).
    """
    products, lift = gram_of(updates, rows, masked_mean(updates, rows))
    both = rows[:, None] & rows[None, :]
    return Gram(jnp.where(both, squared_distances(products), 0), lift)


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
    squares, lift = crowd_gram(updates, rows)
    return jnp.sqrt(squares.max()) / lift


def mean_norm(updates: jax.Array, rows: jax.Array) -> jax.Array:
    """Returns the mean norm of the chosen rows, []; zero when there are none."""
    lengths = row_norms(updates, rows)
    return lengths.sum() / jnp.maximum(rows.sum(), 1).astype(updates.dtype)
