"""What a seller's work in one round was worth. Not here: money (see `ledger/settlement.py`).

Each measure maps the evidence of a round to shares that sum to one over the sampled sellers, or to
all zeros when nobody contributed. The market adds the shares up over the rounds and turns the sums
into integer weights with `to_weights`. The D2M paper does not say how sellers are paid; `gain` as
the default is our choice.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp


class Evidence(NamedTuple):
    """What CONE knows of the sampled sellers after a round."""

    accepted: jax.Array  # [S] bool: the defence used this update
    gain: jax.Array  # [S] float32: fall of the validation loss by this update alone, >= 0
    mass: jax.Array  # [S] float32: probability with which the sampler draws this seller


def _shares(scores: jax.Array) -> jax.Array:
    total = scores.sum()
    return jnp.where(total > 0, scores / jnp.where(total > 0, total, 1.0), 0.0)


def gain(evidence: Evidence) -> jax.Array:
    """Shares in proportion to the validation gain of accepted updates -> [S] float32.

    c_m = z_m max(0, L(theta) - L(theta - lr u_m)), normalised over the round. A useless or harmful
    update earns nothing, which is what makes honesty pay. O(S).
    """
    return _shares(jnp.where(evidence.accepted, jnp.maximum(evidence.gain, 0.0), 0.0))


def count(evidence: Evidence) -> jax.Array:
    """Equal shares for every accepted update -> [S] float32. Pays attackers who go unnoticed."""
    return _shares(evidence.accepted.astype(jnp.float32))


def mass(evidence: Evidence) -> jax.Array:
    """Shares in proportion to the sampling mass of accepted sellers -> [S] float32."""
    return _shares(jnp.where(evidence.accepted, evidence.mass, 0.0))


def to_weights(scores: jax.Array, levels: int = 100) -> jax.Array:
    """Scores as integer weights that a ledger can split a pool by.

    w_m = round(levels * s_m / max s): hundredths of the best seller's score; less than half a
    hundredth earns nothing. So coarse (our choice) that money does not follow the last bits of a
    float: the scores of batched and single runs differ by some 1e-7.

    Args:
        scores: [N] float32, accumulated over rounds.
        levels: resolution, at most 2**15.

    Returns:
        [N] int32 weights in [0, levels]; all zero when no score is positive.
    """
    clean = jnp.where(jnp.isfinite(scores), jnp.maximum(scores, 0.0), 0.0)
    best = clean.max()
    return jnp.round(levels * (clean / jnp.where(best > 0, best, 1.0))).astype(jnp.int32)
