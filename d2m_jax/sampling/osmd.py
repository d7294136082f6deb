"""OSMD: learning a sampling distribution by online stochastic mirror descent.

Here are the mirror step, the ensemble of experts with its meta step, and doubling, as pure
functions of arrays; no market, no updates, only squared norms. The defences built on it are in
`weighted.py` and `corrected.py`.

Source: Zhao, Wang, Kolar, "Adaptive Client Sampling in Federated Learning via Online Learning with
Bandit Feedback", JMLR 26(8), 2025 (arXiv 2112.14332), and the authors' code.

The loss of a distribution is the variance it leaves, l(p) = (1/S) sum_m a_m / p_m with
a_m = lam_m^2 ||g_m||^2; only the a of the sampled are seen. Feedback comes as dense vectors:
`a` [N] (0 where not sampled) and `counts` [N] (how often each was drawn, 0 where not sampled).
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from d2m_jax.sampling.simplex import kl_project

_HUGE = 1e30  # a squared norm above this counts as this much, so that nothing overflows


class OsmdState(NamedTuple):
    """The ensemble."""

    experts: jax.Array  # [E, N] float32, one distribution each
    log_weights: jax.Array  # [E] float32, of the experts, normalised
    abar: jax.Array  # [] float32, the scale of a in force; 0 while unknown
    next_abar: jax.Array  # [] float32, largest a seen in this epoch
    length: jax.Array  # [] float32, rounds of this epoch
    step: jax.Array  # [] float32, rounds done in this epoch


def optimal(a: jax.Array) -> jax.Array:
    """Returns the minimiser of sum a / p: p in proportion to sqrt(a) (the oracle baseline)."""
    root = jnp.sqrt(a)
    total = root.sum()
    return jnp.where(total > 0, root / jnp.where(total > 0, total, 1.0), 1.0 / a.shape[0])


def regret(a: jax.Array, p: jax.Array) -> jax.Array:
    """Returns sum a / p - (sum sqrt a)^2, at least 0: how far p is from the oracle."""
    return jnp.sum(a / p) - jnp.sum(jnp.sqrt(a)) ** 2


def num_experts(num_sellers: int, horizon: int, alpha: float = 0.4) -> int:
    """Returns E = ceil(log2((ln N + 4 (T - 1) ln(N / alpha)) / ln N) / 2) + 1 (host arithmetic)."""
    log_n = math.log(max(num_sellers, 2))
    ratio = (log_n + 4 * (max(horizon, 1) - 1) * math.log(max(num_sellers, 2) / alpha)) / log_n
    return math.ceil(0.5 * math.log2(ratio)) + 1


def initial_weights(count: jax.Array | int, num: int) -> jax.Array:
    """Returns the log of w_e = (1 + 1/E) / (e (e + 1)) of the first E=`count` of `num` experts."""
    rank = jnp.arange(1, num + 1, dtype=jnp.float32)
    weights = (1 + 1 / jnp.float32(count)) / (rank * (rank + 1))
    return jnp.where(rank <= count, jnp.log(weights), -jnp.inf)


def learning_rates(
    num: int,
    num_sellers: int,
    num_sampled: int,
    horizon: jax.Array | float,
    alpha: jax.Array | float,
    abar: jax.Array | float,
) -> jax.Array:
    """Returns [E] eta_e = 2^e S^2 alpha^3 / (N^3 abar) sqrt(ln N / (2 T)), e = 0..E-1."""
    log_n = math.log(max(num_sellers, 2))
    base = num_sampled**2 * (alpha / num_sellers) ** 3 / abar
    powers = 2.0 ** jnp.arange(num, dtype=jnp.float32)
    return powers * base * jnp.sqrt(log_n / (2 * jnp.float32(horizon)))


def osmd_init(num_sellers: int, num: int) -> OsmdState:
    """Returns the uniform ensemble of `num` experts, in an epoch of one round."""
    return OsmdState(
        experts=jnp.full((num, num_sellers), 1.0 / num_sellers),
        log_weights=jax.nn.log_softmax(initial_weights(num, num)),
        abar=jnp.float32(0),
        next_abar=jnp.float32(0),
        length=jnp.float32(1),
        step=jnp.float32(0),
    )


def mixture(state: OsmdState) -> jax.Array:
    """Returns the sampling distribution p [N] = sum_e w_e p_e."""
    return jnp.einsum("e,en->n", jnp.exp(state.log_weights), state.experts, precision="highest")


def mirror_step(
    p: jax.Array,
    slope: jax.Array,
    eta: jax.Array | float,
    alpha: jax.Array | float,
    active: jax.Array,
    *,
    exponent_cap: jax.Array | float = 60.0,
) -> jax.Array:
    """One step of mirror descent: p -> project(p exp(eta slope)).

    Args:
        p: [N] float32.
        slope: [N] float32, minus the gradient of the estimated loss, 0 for those not sampled.
        eta: learning rate.
        alpha: floor mass.
        active: [N] bool.
        exponent_cap: no seller is multiplied by more than exp of this.
    """
    log_p = jnp.log(jnp.where(p > 0, p, 1.0))
    exponent = jnp.minimum(eta * slope, exponent_cap)
    return kl_project(log_p + exponent, alpha, active & (p > 0))


def osmd_update(
    state: OsmdState,
    a: jax.Array,
    counts: jax.Array,
    num_sampled: int,
    *,
    alpha: jax.Array | float = 0.4,
    eta_scale: jax.Array | float = 1.0,
    abar_next: jax.Array | None = None,
) -> OsmdState:
    """One round of the adaptive version: every expert steps, the meta weights step, doubling.

    Expert e has loss l_e = sum_m c_m a_m / (S^2 p_em p_m) and steps along
    c_m a_m / (S^2 p_em^2 p_m); then w_e <- w_e exp(-gamma l_e), normalised, with
    gamma = (alpha / N) sqrt(8 S / (T abar)). If every weight vanishes they restart uniform.
    Epoch b lasts 2^(b-1) rounds; each starts from the last mixture with its own
    abar, learning rates and number of experts. While abar is unknown nothing moves.

    Args:
        state: the ensemble the sellers were drawn from.
        a: [N] float32, lam^2 ||g||^2 of the sampled, 0 elsewhere.
        counts: [N], how often each seller was drawn, 0 elsewhere.
        num_sampled: S.
        alpha: floor mass.
        eta_scale: multiplies the learning rates (1 is the paper).
        abar_next: scale for the next epoch when the caller polled everybody, as the paper does; by
            default the largest a seen in the epoch that ends (our choice: no extra polling).

    Returns:
        The next state. O(E N log N).
    """
    num, num_sellers = state.experts.shape
    active = jnp.ones(num_sellers, bool)
    a = jnp.minimum(jnp.where(counts > 0, a, 0.0), _HUGE)
    p = mixture(state)
    known = state.abar > 0
    abar = jnp.where(known, state.abar, 1.0)
    # experts with a rank above the number that this epoch calls for have log weight -inf
    etas = eta_scale * learning_rates(num, num_sellers, num_sampled, state.length, alpha, abar)
    seen = counts * a / (num_sampled**2 * p)
    losses = jnp.sum(seen[None] / state.experts, axis=1)
    slopes = seen[None] / state.experts**2
    stepped = jax.vmap(mirror_step, (0, 0, 0, None, None))(
        state.experts, slopes, etas, alpha, active
    )
    gamma = (alpha / num_sellers) * jnp.sqrt(8 * num_sampled / (state.length * abar))
    score = state.log_weights - jnp.minimum(gamma * losses, _HUGE)
    vanished = jnp.exp(score).sum() == 0
    alive = jnp.isfinite(state.log_weights)
    score = jnp.where(vanished, jnp.where(alive, 0.0, -jnp.inf), score)
    experts = jnp.where(known, stepped, state.experts)
    log_weights = jnp.where(known, jax.nn.log_softmax(score), state.log_weights)
    next_abar = jnp.maximum(state.next_abar, a.max())
    step = state.step + 1
    state = OsmdState(experts, log_weights, state.abar, next_abar, state.length, step)
    ends = step >= state.length
    restarted = osmd_restart(
        state, 2 * state.length, next_abar if abar_next is None else abar_next, alpha
    )
    return jax.tree.map(lambda new, old: jnp.where(ends, new, old), restarted, state)


def osmd_restart(
    state: OsmdState, length: jax.Array, abar: jax.Array, alpha: jax.Array | float
) -> OsmdState:
    """Starts an epoch of `length` rounds: every expert at the mixture, weights as at the start."""
    num, num_sellers = state.experts.shape
    log_n = math.log(max(num_sellers, 2))
    ratio = 1 + 4 * (length - 1) * jnp.log(max(num_sellers, 2) / jnp.float32(alpha)) / log_n
    count = jnp.minimum(jnp.ceil(0.5 * jnp.log2(ratio)) + 1, num)
    p = mixture(state)
    return OsmdState(
        experts=jnp.broadcast_to(p / p.sum(), state.experts.shape),
        log_weights=jax.nn.log_softmax(initial_weights(count, num)),
        abar=jnp.where(abar > 0, abar, state.abar),
        next_abar=jnp.float32(0),
        length=jnp.float32(length),
        step=jnp.float32(0),
    )
