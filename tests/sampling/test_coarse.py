"""Coarse public masses: powers of a base, drawn from, and nothing that was learnt is lost."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from d2m_jax import sampling
from d2m_jax.sampling import coarse, coarse_mass, make_defence

N, S, D = 6, 3, 4
LAM = jnp.full(N, 1 / N, jnp.float32)
PARAMS = sampling.DefenceParams(horizon=40.0)


def test_masses_by_hand():
    p = jnp.array([0.4, 0.25, 0.2, 0.1, 0.05, 0.0])  # N p: 2.4, 1.5, 1.2, 0.6, 0.3, 0
    steps = np.array([4, 1, 1, 1, 0.25, 0])
    np.testing.assert_allclose(coarse_mass(p, 4.0), steps / steps.sum(), rtol=1e-6)
    np.testing.assert_allclose(coarse_mass(LAM), LAM, rtol=1e-6)
    assert not coarse_mass(jnp.zeros(3)).any()


@pytest.mark.parametrize("base", [2.0, 4.0])
def test_all_ratios_are_powers_of_the_base(base):
    p = jax.random.dirichlet(jax.random.key(0), jnp.full(40, 0.3))
    shown = np.asarray(coarse_mass(p, base), np.float64)
    levels = np.log(shown / shown.max()) / np.log(base)
    np.testing.assert_allclose(levels, np.round(levels), atol=1e-4)
    np.testing.assert_allclose(shown.sum(), 1, rtol=1e-5)
    np.testing.assert_allclose(coarse_mass(coarse_mass(p, base), base).sum(), 1, rtol=1e-5)


def rounds(defence, count=40):
    """States after rounds in which seller 2 sends gradients four times as long."""
    lengths = jnp.where(jnp.arange(N) == 2, 4.0, 1.0)

    def one(state, key):
        first, second, noise = jax.random.split(key, 3)
        chosen = defence.sample(first, state, jnp.ones(N, bool), PARAMS)
        updates = lengths[chosen.indices][:, None] * jax.random.normal(noise, (S, D))
        context = sampling.Context(lam=LAM, lr=jnp.float32(0.1), round=jnp.int32(0), f=0)
        _, state, _ = defence.aggregate(
            second, state, chosen, updates, chosen.present, context, PARAMS
        )
        return state, (state, chosen)

    keys = jax.random.split(jax.random.key(1), count)
    return jax.jit(lambda: jax.lax.scan(one, defence.init(N, D, LAM), keys)[1])()


def test_the_learner_goes_on_from_the_exact_mass():
    states, chosen = rounds(coarse(make_defence("osmd", num_sampled=S, horizon=40), 2.0))
    exact, _ = states.memory
    np.testing.assert_allclose(exact.sum(1), 1, atol=1e-4)
    assert len(np.unique(np.round(np.asarray(exact[:, 2]), 6))) > 20  # moves by small steps
    shown = np.asarray(jax.vmap(lambda p: coarse_mass(p, 2.0))(exact))
    np.testing.assert_allclose(states.p, shown, rtol=1e-6)
    drawn = np.asarray(chosen.indices)[1:]
    before = np.asarray(states.p)[:-1]
    np.testing.assert_allclose(
        chosen.weights[1:], np.take_along_axis(before, drawn, 1), rtol=1e-5
    )  # what weighs an update is the chance with which it was drawn


def test_by_name_it_is_corrected_osmd_with_a_coarse_mass():
    states, _ = rounds(make_defence("coarse_osmd", num_sampled=S, horizon=40), 5)
    levels = np.log(np.asarray(states.p) / np.asarray(states.p).max(1, keepdims=True)) / np.log(4)
    np.testing.assert_allclose(levels, np.round(levels), atol=1e-4)
    with pytest.raises(ValueError, match="brings its own aggregate"):
        make_defence("coarse_osmd", num_sampled=S, aggregator=lambda updates, f, mask: updates[0])
