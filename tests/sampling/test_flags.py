"""Every sampler under JAX's flags and transformations, with a rule that remembers sellers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from d2m_jax import aggregation, sampling
from tests import flags

N, S, D = 8, 5, 6
CENTRES = (1 + 0.3 * np.random.default_rng(2).normal(size=(N, D))).astype(np.float32)


def play(name, centres, key, rounds=3):
    """Some rounds as a scan, numbers as a market gives them."""
    own = name in ("corrected_osmd", "coarse_osmd")
    rule = None if own else aggregation.make_aggregator("foolsgold")
    defence = sampling.make_defence(name, num_sampled=S, aggregator=rule, horizon=rounds)
    params = jax.tree.map(jnp.float32, sampling.DefenceParams(horizon=float(rounds)))
    lam = jnp.full(N, 1 / N, jnp.float32)

    def one(state, xs):
        number, key = xs
        first, second = jax.random.split(key)
        chosen = defence.sample(first, state, jnp.arange(N) > 0, params)
        context = sampling.Context(
            lam=lam,
            lr=jnp.float32(0.1),
            round=number,
            f=jnp.int32(1),
            grad_of_validation=lambda: centres.mean(axis=0),
        )
        updates, valid = centres[chosen.indices], jnp.arange(S) != number
        out, state, info = defence.aggregate(second, state, chosen, updates, valid, context, params)
        return state, (out, state.p, info.num_invalid)

    state = defence.init(N, D, lam, dtype=centres.dtype)
    keys = jax.random.split(key, rounds)
    return jax.lax.scan(one, state, (jnp.arange(rounds, dtype=jnp.int32), keys))


@pytest.mark.few(1, each="name", rest="long")
@pytest.mark.parametrize("flag", flags.TRACED)
@pytest.mark.parametrize("name", sampling.SAMPLERS)
def test_traces_clean_under_every_flag(name, flag):
    with flags.TRACED[flag]():
        for dtype in (np.float32, np.float64) if flag == "x64" else (np.float32,):
            like = jax.ShapeDtypeStruct((N, D), dtype)
            state, (out, p, invalid) = jax.eval_shape(
                lambda x: play(name, x, jax.random.key(0)), like
            )
            assert out.shape == (3, D) and out.dtype == dtype
            assert p.dtype == dtype and invalid.dtype == np.int32
            floats = [x.dtype for x in jax.tree.leaves(state) if x.dtype.kind == "f"]
            assert set(floats) == {np.dtype(dtype)}


@pytest.mark.few(2)
@pytest.mark.parametrize("name", sampling.SAMPLERS)
def test_batched_with_old_keys_and_no_nan_as_without_jit_and_new_keys(name):
    run = lambda x, key: play(name, x, key, rounds=2)[1][:2]
    keys = jax.random.split(jax.random.key(1), 2)
    with jax.debug_nans(True):
        many = jax.jit(jax.vmap(run))(np.stack([2 * CENTRES, CENTRES]), jax.random.key_data(keys))
    with jax.disable_jit():
        one = run(jnp.asarray(CENTRES), keys[1])
    for a, b in zip(many, one):
        np.testing.assert_allclose(a[1], b, rtol=1e-4, atol=1e-5)
