"""How strategies spread: replicator and logit dynamics of a finite population. Pure functions.

Not here: the game that is played (`audit/deviations.py`, `audit/evolution.py`).
"""

from typing import Protocol

import jax
import jax.numpy as jnp

from d2m_jax.core.types import Key, Number


class Dynamic(Protocol):
    """`(shares [P], payoffs [P], rate []) -> shares [P]`."""

    def __call__(self, shares: jax.Array, payoffs: jax.Array, rate: Number, /) -> jax.Array:
        """The shares after one revision of everybody."""


def replicator(shares: jax.Array, payoffs: jax.Array, rate: Number) -> jax.Array:
    """x_s <- x_s exp(rate U_s) / sum: what pays more than the mean grows, what is gone stays gone.

    Discrete exponential replicator (Weibull 1995; Hofbauer and Sigmund 1998).

    Args:
        shares: [P] of the population, sum to 1.
        payoffs: [P] per head.
        rate: [] 1 / units: how strongly a difference counts.

    Returns:
        [P] shares.
    """
    score = jnp.log(jnp.maximum(shares, 1e-30)) + rate * payoffs
    is_played = shares > 0
    grown = jax.nn.softmax(jnp.where(is_played | ~is_played.any(), score, -jnp.inf))
    return jnp.where(is_played.any(), grown, shares)


def logit(shares: jax.Array, payoffs: jax.Array, rate: Number) -> jax.Array:
    """x_s = exp(rate U_s) / sum, whoever plays it now: noisy best response. Source: Blume 1993."""
    del shares
    return jax.nn.softmax(rate * payoffs)


def shares_of(codes: jax.Array, alive: jax.Array, num_strategies: int) -> jax.Array:
    """[P] shares of the strategies among the parties that are alive; zeros when nobody is."""
    counts = jnp.zeros(num_strategies, jnp.float32).at[codes].add(alive.astype(jnp.float32))
    return counts / jnp.maximum(counts.sum(), 1.0)


def payoffs_per_head(
    codes: jax.Array, payoffs: jax.Array, alive: jax.Array, memory: jax.Array, weight: Number = 1.0
) -> jax.Array:
    """Mean payoff of each strategy, moved from what is remembered by `weight`.

    Args:
        codes: [N] int32.
        payoffs: [N] of this epoch.
        alive: [N] bool, who played.
        memory: [P] earlier means; kept for strategies that nobody played.
        weight: of this epoch, in (0, 1].
    """
    there = alive.astype(memory.dtype)
    count = jnp.zeros_like(memory).at[codes].add(there)
    total = jnp.zeros_like(memory).at[codes].add(there * payoffs)
    now = memory + weight * (total / jnp.maximum(count, 1.0) - memory)
    return jnp.where(count > 0, now, memory)


def revise(
    key: Key,
    codes: jax.Array,
    target: jax.Array,
    alive: jax.Array,
    *,
    inertia: Number = 0.5,
    mutation: Number = 0.0,
) -> jax.Array:
    """Each living party keeps its strategy with probability `inertia`, else draws a new one.

    Args:
        key: consumed.
        codes: [N] int32.
        target: [P] shares.
        alive: [N] bool; the others never change.
        inertia: probability.
        mutation: probability that a draw is uniform instead.
    """
    move_key, draw_key = jax.random.split(key)
    even = jnp.full_like(target, 1.0 / target.shape[0])
    mixed = (1 - mutation) * target + mutation * even
    drawn = jax.random.categorical(draw_key, jnp.log(mixed), shape=codes.shape).astype(jnp.int32)
    moves = (
        alive
        & (jax.random.uniform(move_key, codes.shape, target.dtype) >= inertia)
        & (target.sum() > 0)
    )
    return jnp.where(moves, drawn, codes)


DYNAMICS: dict[str, Dynamic] = {"replicator": replicator, "logit": logit}
