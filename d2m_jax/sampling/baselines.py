"""Samplers that OSMD is compared with: uniform, MABS and VRB, as pure functions.

Same feedback as `osmd.py`. The oracle is `osmd.optimal`.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from d2m_jax.core.types import PyTree
from d2m_jax.sampling import osmd


class Sampler(NamedTuple):
    """A distribution that learns.

    init: (num_sellers) -> state
    probabilities: (state, alpha) -> p [N]
    update: (state, a [N], counts [N], num_sampled, alpha, horizon, eta_scale) -> state
    """

    init: Callable[..., PyTree]
    probabilities: Callable[..., jax.Array]
    update: Callable[..., PyTree]


class ScoreState(NamedTuple):
    """One score per seller."""

    score: jax.Array  # [N] float32
    scale: jax.Array  # [] float32, of the feedback, from the first round; 0 while unknown


def score_init(num_sellers: int) -> ScoreState:
    """Returns zero scores."""
    return ScoreState(jnp.zeros(num_sellers), jnp.float32(0))


def mabs_probabilities(state: ScoreState, alpha: jax.Array | float) -> jax.Array:
    """Returns p = (1 - alpha) softmax(log w) + alpha / N."""
    return (1 - alpha) * jax.nn.softmax(state.score) + alpha / state.score.shape[0]


def mabs_update(
    state: ScoreState,
    a: jax.Array,
    counts: jax.Array,
    num_sampled: int,
    alpha: jax.Array | float,
    horizon: jax.Array | float,
    eta_scale: jax.Array | float = 1.0,
) -> ScoreState:
    """log w_m += delta a_m / p_m^3 with delta = sqrt(alpha^4 ln N / (T N^5 abar)).

    Source: Salehi, Celis, Thiran, "Stochastic optimization with bandit sampling", 2017, as in the
    OSMD authors' code. abar is the mean a of the first round's sample (there: of all clients).
    """
    del num_sampled
    num = state.score.shape[0]
    a = jnp.minimum(jnp.where(counts > 0, a, 0.0), 1e30)
    mean = jnp.sum(counts * a) / jnp.maximum(counts.sum(), 1)
    scale = jnp.where(state.scale > 0, state.scale, mean)
    delta = jnp.sqrt(
        alpha**4 * jnp.log(max(num, 2)) / (horizon * num**5 * jnp.maximum(scale, 1e-30))
    )
    p = mabs_probabilities(state, alpha)
    score = state.score + jnp.minimum(eta_scale * delta * counts * a / p**3, 1e6)
    return ScoreState(score - score.max(), scale)


def vrb_probabilities(state: ScoreState, alpha: jax.Array | float) -> jax.Array:
    """Returns p = (1 - alpha) r / sum r + alpha / N with r = sqrt(w + L N / alpha)."""
    num = state.score.shape[0]
    root = jnp.sqrt(state.score + jnp.where(state.scale > 0, state.scale, 1.0) * num / alpha)
    return (1 - alpha) * root / root.sum() + alpha / num


def vrb_update(
    state: ScoreState,
    a: jax.Array,
    counts: jax.Array,
    num_sampled: int,
    alpha: jax.Array | float,
    horizon: jax.Array | float,
    eta_scale: jax.Array | float = 1.0,
) -> ScoreState:
    """w_m += a_m / p_m.

    Source: Borsos, Krause, Levy, "Online variance reduction for stochastic optimization",
    COLT 2018. The OSMD authors' code feeds squared losses of the samples; here it is fed a
    (squared norms), as in the original. L is 1.5 times the largest a of the first round.
    """
    del num_sampled, horizon
    a = jnp.minimum(jnp.where(counts > 0, a, 0.0), 1e30)
    p = vrb_probabilities(state, alpha)
    scale = jnp.where(state.scale > 0, state.scale, 1.5 * a.max())
    return ScoreState(jnp.minimum(state.score + eta_scale * counts * a / p, 1e36), scale)


def uniform_probabilities(state: ScoreState, alpha: jax.Array | float) -> jax.Array:
    """Returns p = 1 / N."""
    del alpha
    return jnp.full_like(state.score, 1.0 / state.score.shape[0])


def osmd_sampler(horizon: int, *, doubling: bool = True, osmd_compat: bool = False) -> Sampler:
    """Returns the adaptive OSMD as a Sampler; `horizon` fixes the number of experts."""

    def init(num_sellers: int) -> osmd.OsmdState:
        num = osmd.num_experts(num_sellers, horizon)
        return osmd.osmd_init(num_sellers, num, 1.0 if doubling else float(horizon))

    def update(
        state: osmd.OsmdState,
        a: jax.Array,
        counts: jax.Array,
        num_sampled: int,
        alpha: jax.Array | float,
        horizon: jax.Array | float,
        eta_scale: jax.Array | float = 1.0,
    ) -> osmd.OsmdState:
        del horizon  # the ensemble knows its own
        return osmd.osmd_update(
            state,
            a,
            counts,
            num_sampled,
            alpha=alpha,
            eta_scale=eta_scale,
            doubling=doubling,
            osmd_compat=osmd_compat,
        )

    return Sampler(init, lambda state, alpha: osmd.mixture(state), update)


UNIFORM = Sampler(score_init, uniform_probabilities, lambda state, *_: state)
MABS = Sampler(score_init, mabs_probabilities, mabs_update)
VRB = Sampler(score_init, vrb_probabilities, vrb_update)
