"""Exact values of a game with few sellers, from the utilities of all coalitions.

A game is `v [2^S]` in the order of `coalitions.all_coalitions`. All of these are semivalues: the
mean of a seller's marginal contributions v(T + i) - v(T), with a weight per size of T. They satisfy
symmetry, additivity and the null-player axiom; only Shapley is efficient (sums to v(all) - v(none))
in every game. Not here: estimates for many sellers (`sampled.py`).
"""

import math

import jax
import jax.numpy as jnp
import numpy as np

from d2m_jax.incentives.coalitions import check_size


def num_players(v: jax.Array) -> int:
    """S of a game `v [2^S]`.

    Raises:
        ValueError: the length is no power of two, or beyond 2^20.
    """
    size = v.shape[0] if v.ndim == 1 else 0
    if size < 2 or size & (size - 1):
        raise ValueError(f"a game lists 2^S utilities, one per coalition; got shape {v.shape}")
    num = size.bit_length() - 1
    check_size(num)
    return num


def semivalue(v: jax.Array, size_weights: jax.Array) -> jax.Array:
    """Any semivalue: phi_i = sum over T without i of w(|T|) (v(T + i) - v(T)).

    Args:
        v: [2^S] float32 utilities.
        size_weights: [S] weight of one coalition of each size 0 .. S-1.

    Returns:
        [S] float32. O(S 2^S).
    """
    num = num_players(v)
    codes = jnp.arange(2**num, dtype=jnp.int32)
    size = jax.lax.population_count(codes)
    weight = jnp.asarray(size_weights, v.dtype)[jnp.minimum(size, num - 1)]

    def one(bit: jax.Array) -> jax.Array:
        marginal = v[codes | bit] - v[codes & ~bit]
        return jnp.sum(jnp.where(codes & bit == 0, weight * marginal, 0.0))

    return jax.lax.map(one, jnp.int32(1) << jnp.arange(num, dtype=jnp.int32))


def shapley(v: jax.Array) -> jax.Array:
    """phi_i = sum_T |T|! (S - |T| - 1)! / S! (v(T + i) - v(T)). Source: Shapley 1953."""
    return semivalue(v, beta_weights(num_players(v), 1.0, 1.0))


def banzhaf(v: jax.Array) -> jax.Array:
    """phi_i = 2^-(S-1) sum_T (v(T + i) - v(T)). Source: Banzhaf 1965; Wang and Jia 2023."""
    num = num_players(v)
    return semivalue(v, jnp.full(num, 2.0 ** (1 - num)))


def beta_shapley(v: jax.Array, alpha: float = 16.0, beta: float = 1.0) -> jax.Array:
    """Beta(alpha, beta) Shapley; alpha > beta looks at small coalitions, (1, 1) is Shapley.

    Source: Kwon and Zou, AISTATS 2022, equation 5; Beta(16, 1) is their favourite.

    Raises:
        ValueError: alpha or beta is not positive.
    """
    return semivalue(v, beta_weights(num_players(v), alpha, beta))


def leave_one_out(v: jax.Array) -> jax.Array:
    """phi_i = v(all) - v(all without i)."""
    num = num_players(v)
    return v[-1] - v[2**num - 1 - 2 ** np.arange(num)]


def alone(v: jax.Array) -> jax.Array:
    """phi_i = v({i}) - v(none), what a seller is worth by itself."""
    return v[2 ** np.arange(num_players(v))] - v[0]


def beta_weights(num_sellers: int, alpha: float, beta: float) -> jax.Array:
    """w(s) = B(s + beta, S - 1 - s + alpha) / B(alpha, beta), [S] float32, by log-gamma (host).

    Raises:
        ValueError: alpha or beta is not positive.
    """
    if not (alpha > 0 and beta > 0 and math.isfinite(alpha + beta)):
        raise ValueError(f"alpha and beta must be positive numbers, got {alpha} and {beta}")
    whole = _log_beta(alpha, beta)
    parts = [_log_beta(s + beta, num_sellers - 1 - s + alpha) for s in range(num_sellers)]
    return jnp.asarray(np.exp(np.array(parts) - whole), jnp.float32)


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
