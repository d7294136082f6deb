"""Samplers by name: what they learn, what they are told, and whom they remember."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from d2m_jax import aggregation, sampling
from d2m_jax.core import choices

N, S, D = 6, 3, 4
LAM = jnp.full(N, 1 / N, jnp.float32)
PARAMS = sampling.DefenceParams(horizon=300.0)


def context(f=0):
    return sampling.Context(lam=LAM, lr=jnp.float32(0.1), round=jnp.int32(0), f=f)


def learn(name, rounds, seed=0, **options):
    """p after each of some rounds in which seller 2 sends gradients four times as long."""
    defence = sampling.make_defence(name, num_sampled=S, horizon=rounds, **options)
    lengths = jnp.where(jnp.arange(N) == 2, 4.0, 1.0)

    def one(state, key):
        first, second, noise = jax.random.split(key, 3)
        chosen = defence.sample(first, state, jnp.ones(N, bool), PARAMS)
        ways = jax.random.normal(noise, (S, D))
        ways = ways / jnp.linalg.norm(ways, axis=1, keepdims=True)
        updates = lengths[chosen.indices][:, None] * ways
        _, state, _ = defence.aggregate(
            second, state, chosen, updates, chosen.present, context(), PARAMS
        )
        return state, state.p

    keys = jax.random.split(jax.random.key(seed), rounds)
    return np.asarray(jax.jit(lambda: jax.lax.scan(one, defence.init(N, D, LAM), keys)[1])())


@pytest.mark.parametrize("name", ["osmd", "mabs", "vrb"])
def test_mass_moves_to_the_seller_with_larger_gradients(name):
    p = learn(name, 300)
    np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-4)
    assert (p >= PARAMS.alpha / N - 1e-5).all()
    others = np.delete(p[-1], 2)
    gain = {"osmd": 1.5, "mabs": 1.0, "vrb": 1.5}[name]
    assert p[-1, 2] > gain * others.max() and p[-1, 2] > 1.02 / N


def test_uniform_learns_nothing():
    np.testing.assert_allclose(learn("uniform", 5), 1 / N, rtol=1e-6)


def rounds_of(rule, indices, updates):
    """Memory of a rule after one round of osmd with these draws, and what was used."""
    defence = sampling.make_defence("osmd", num_sampled=S, aggregator=rule, horizon=5)
    chosen = sampling.Selection(jnp.asarray(indices), jnp.full(S, 0.2), jnp.ones(S, bool))
    _, state, info = defence.aggregate(
        jax.random.key(0),
        defence.init(N, D, LAM),
        chosen,
        jnp.asarray(updates, jnp.float32),
        jnp.ones(S, bool),
        context(),
        PARAMS,
    )
    return state.memory[1], info


def test_who_is_drawn_twice_is_one_seller_for_a_rule_that_remembers_sellers():
    updates = np.random.default_rng(0).normal(size=(S, D))
    memory, info = rounds_of(aggregation.make_aggregator("foolsgold"), [4, 1, 4], updates)
    want = np.zeros((N, D))
    want[[4, 1]] = updates[:2]
    np.testing.assert_allclose(memory, want, rtol=1e-6)
    np.testing.assert_array_equal(info.accepted, [True, True, False])
    np.testing.assert_array_equal(info.duplicate, [False, False, True])
    assert not info.flagged.any()
    windows, _ = rounds_of(aggregation.make_aggregator("safeguard"), [4, 1, 4], updates)
    np.testing.assert_allclose(windows.long, want, rtol=1e-6)
    _, plain = rounds_of(aggregation.make_aggregator("median"), [4, 1, 4], updates)
    assert plain.accepted.all() and not plain.duplicate.any()


def test_own_samplers_and_their_numbers():
    def greedy(num_sampled, *, aggregator, floor=0.1):
        base = sampling.SAMPLERS["uniform"](num_sampled, aggregator=aggregator)
        told = lambda *args: base.init(*args)._replace(p=jnp.full(N, floor))
        return base._replace(init=told)

    assert choices.numbers(sampling.as_sampler(greedy)) == {"floor": 0.1}
    made = sampling.make_defence(greedy, num_sampled=S, floor=jnp.float32(0.3))
    np.testing.assert_allclose(made.init(N, D, LAM).p, 0.3)
    np.testing.assert_allclose(sampling.make_defence(greedy, num_sampled=S).init(N, D, LAM).p, 0.1)
    again = sampling.make_defence(made, num_sampled=S)
    assert again.init is made.init and hash(again)
    assert choices.numbers(sampling.SAMPLERS["osmd"]) == {}
    with pytest.raises(ValueError, match="unknown number of sampler 'greedy' 'flor'"):
        sampling.make_defence(greedy, num_sampled=S, flor=0.3)
    with pytest.raises(ValueError, match="corrected_osmd brings its own aggregate"):
        sampling.make_defence("corrected_osmd", num_sampled=S, aggregator=aggregation.median)
    with pytest.raises(ValueError, match="a sampler must be a Defence or a function, not 3"):
        sampling.make_defence(3, num_sampled=S)
    with pytest.raises(ValueError, match="at least one seller"):
        sampling.make_defence("uniform", num_sampled=0)


def test_a_plain_rule_is_an_aggregator():
    rule = sampling.as_aggregator(aggregation.median)
    x = np.random.default_rng(1).normal(size=(5, D)).astype(np.float32)
    got, memory = rule.apply(rule.init(N, D), x, 0, jnp.arange(5) > 0)
    np.testing.assert_allclose(got, np.median(x[1:], axis=0), rtol=1e-6)
    assert memory == () and sampling.as_aggregator(rule) is rule
