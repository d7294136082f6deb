"""Several judges of one market, and work that must be one's own. Pure functions.

Read first: `contribution.py`, where a single buyer judges.
"""

import jax
import jax.numpy as jnp

from d2m_jax.core.types import Number


def clipped_weights(weights: jax.Array, stakes: jax.Array, kappa: Number = 0.5) -> jax.Array:
    """What several judges give each seller, after nobody goes beyond what a kappa of stake backs.

        limit_j = max { w : sum of the stakes of judges i with W_ij >= w is at least kappa of all }
        W_ij <- min(W_ij, limit_j)

    A minority of less than kappa of the stake can lower no limit below what the rest backs, and
    raise none above it. Source: the Yuma consensus of Bittensor (docs/consensus.md).

    Args:
        weights: [V, N] not negative, row i what judge i gives.
        stakes: [V] not negative; with none at all every limit is 0.
        kappa: [] share of the stake in (0, 1].

    Returns:
        [V, N]. One sort of V per seller.
    """
    order = jnp.argsort(-weights, axis=0, stable=True)
    ranked = jnp.take_along_axis(weights, order, axis=0)
    stakes = jnp.asarray(stakes, weights.dtype)
    backing = jnp.cumsum(stakes[order], axis=0)
    total = stakes.sum()
    enough = (backing >= jnp.asarray(kappa, weights.dtype) * total) & (total > 0)
    limit = jnp.where(enough, ranked, 0.0).max(axis=0)
    return jnp.minimum(weights, limit[None, :])


def judged(weights: jax.Array, stakes: jax.Array, kappa: Number = 0.5) -> jax.Array:
    """[N] shares that sum to one, or zeros: clipped weights averaged by stake."""
    clipped = clipped_weights(weights, stakes, kappa)
    total = jnp.matmul(jnp.asarray(stakes, clipped.dtype), clipped, precision="highest")
    mass = total.sum()
    return jnp.where(mass > 0, total / jnp.where(mass > 0, mass, 1.0), 0.0)


def uniqueness(
    memory: jax.Array, assigned: jax.Array, random: jax.Array, rate: Number = 0.05
) -> jax.Array:
    """[S] running sign of (gain on the seller's assigned unit - gain on a random one), in [-1, 1].

        m <- (1 - rate) m + rate sign(assigned - random)

    Who trains on its unit helps there more than elsewhere; who sends the mean, a copy, or work on
    other data does not, and stays near 0. Paid only above a threshold. Source: Templar's Gauntlet
    (arXiv 2505.21684), section 4; rate 0.05 and threshold 0.1 are theirs.

    Args:
        memory: [S] before, 0 at the start.
        assigned: [S] fall of the loss on the assigned unit of data by the seller's update.
        random: [S] fall on a unit drawn at random.
        rate: [] in (0, 1].
    """
    rate = jnp.asarray(rate, memory.dtype)
    return (1 - rate) * memory + rate * jnp.sign(assigned - random).astype(memory.dtype)
