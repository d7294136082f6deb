"""Distributions that OSMD is compared with, MABS and VRB, and OSMD in the same form.

Same feedback as `osmd.py`. The oracle is `osmd.optimal`.
"""

from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp

from d2m_jax.core.types import Number, PyTree
from d2m_jax.sampling import osmd


class InitLearner(Protocol):
    """The state of a distribution before the first round."""

    def __call__(self, num_sellers: int, /) -> PyTree:
        """The state for N sellers."""


class Probabilities(Protocol):
    """The distribution of a state."""

    def __call__(self, state: PyTree, alpha: Number, /) -> jax.Array:
        """p `[N]`, at least `alpha / N` each."""


class Update(Protocol):
    """One round of learning."""

    def __call__(
        self,
        state: PyTree,
        a: jax.Array,
        counts: jax.Array,
        num_sampled: int,
        alpha: Number,
        horizon: Number,
        eta_scale: Number = 1.0,
        /,
    ) -> PyTree:
        """The next state.

        Args:
            state: the sellers were drawn from it.
            a: `[N]`, lam^2 ||g||^2 of the sampled, 0 elsewhere.
            counts: `[N]`, how often each seller was drawn.
            num_sampled: S.
            alpha: floor mass.
            horizon: T, rounds.
            eta_scale: multiplies the learning rate.
        """


class Learner(NamedTuple):
    """A distribution over sellers that learns."""

    init: InitLearner
    probabilities: Probabilities
    update: Update


class ScoreState(NamedTuple):
    """One score per seller."""

    score: jax.Array  # [N] float32
    scale: jax.Array  # [] float32, of the feedback, from the first round; 0 while unknown


def score_init(num_sellers: int) -> ScoreState:
    """Returns zero scores."""
    return ScoreState(jnp.zeros(num_sellers), jnp.float32(0))


def mabs_probabilities(state: ScoreState, alpha: Number) -> jax.Array:
    """Returns p = (1 - alpha) softmax(log w) + alpha / N."""
    return (1 - alpha) * jax.nn.softmax(state.score) + alpha / state.score.shape[0]


def mabs_update(
    state: ScoreState,
    a: jax.Array,
    counts: jax.Array,
    num_sampled: int,
    alpha: Number,
    horizon: Number,
    eta_scale: Number = 1.0,
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


def vrb_probabilities(state: ScoreState, alpha: Number) -> jax.Array:
    """Returns p = (1 - alpha) r / sum r + alpha / N with r = sqrt(w + L N / alpha)."""
    num = state.score.shape[0]
    root = jnp.sqrt(state.score + jnp.where(state.scale > 0, state.scale, 1.0) * num / alpha)
    return (1 - alpha) * root / root.sum() + alpha / num


def vrb_update(
    state: ScoreState,
    a: jax.Array,
    counts: jax.Array,
    num_sampled: int,
    alpha: Number,
    horizon: Number,
    eta_scale: Number = 1.0,
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


def osmd_learner(horizon: int) -> Learner:
    """Returns the adaptive OSMD; `horizon`, rounds, fixes the number of experts."""

    def init(num_sellers: int) -> osmd.OsmdState:
        return osmd.osmd_init(num_sellers, osmd.num_experts(num_sellers, horizon))

    def probabilities(state: osmd.OsmdState, alpha: Number) -> jax.Array:
        del alpha  # the experts keep it
        return osmd.mixture(state)

    def update(
        state: osmd.OsmdState,
        a: jax.Array,
        counts: jax.Array,
        num_sampled: int,
        alpha: Number,
        horizon: Number,
        eta_scale: Number = 1.0,
    ) -> osmd.OsmdState:
        del horizon  # the ensemble knows its own
        return osmd.osmd_update(state, a, counts, num_sampled, alpha=alpha, eta_scale=eta_scale)

    return Learner(init, probabilities, update)


MABS = Learner(score_init, mabs_probabilities, mabs_update)
VRB = Learner(score_init, vrb_probabilities, vrb_update)
