"""Every rule and pre-aggregator under JAX's flags and transformations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from d2m_jax import aggregation as agg
from tests import flags

S, D, F = 9, 5, 2
ROWS = (1 + 0.5 * np.random.default_rng(0).normal(size=(S, D))).astype(np.float32)
NAMES = (*agg.AGGREGATORS, *agg.PRE_AGGREGATORS)


def play(name, updates, key, rounds=2, f=F):
    """The rule with its memory over some rounds as a scan, or the pre-aggregator before a mean."""
    pre = name in agg.PRE_AGGREGATORS
    rule = agg.make_aggregator("mean", name) if pre else agg.make_aggregator(name)
    root, losses = updates[0], jnp.sum(jnp.abs(updates), axis=1)

    def one(memory, xs):
        number, key = xs
        mask = jnp.arange(S) != number
        every = {"indices": jnp.arange(S), "root": root, "losses": losses, "layers": (1, 2, 2)}
        every["outputs_of"] = lambda u: u[:, None, :2]
        every["losses_of"] = lambda u: jnp.sum((u - 1) ** 2, axis=-1)
        given = {use: every[use] for use in rule.uses if use != "key"}
        out, memory = rule.apply(memory, updates, f, mask, key=key, **given)
        return memory, out

    keys = jax.random.split(key, rounds)
    return jax.lax.scan(one, rule.init(S, D), (jnp.arange(rounds), keys))[1]


@pytest.mark.few(1, each="name", rest="long")
@pytest.mark.parametrize("flag", flags.TRACED)
@pytest.mark.parametrize("name", NAMES)
def test_traces_clean_under_every_flag(name, flag):
    with flags.TRACED[flag]():
        for dtype in (np.float32, np.float64) if flag == "x64" else (np.float32,):
            out = jax.eval_shape(
                lambda x, f: play(name, x, jax.random.key(0), f=f),
                jax.ShapeDtypeStruct((S, D), dtype),
                jax.ShapeDtypeStruct((), np.int32),
            )
            assert out.shape == (2, D) and out.dtype == dtype


@pytest.mark.few(8)
@pytest.mark.parametrize("name", NAMES)
def test_batched_with_old_keys_and_no_nan_as_without_jit_and_new_keys(name):
    run = lambda x, key: play(name, x, key, rounds=1)
    keys = jax.random.split(jax.random.key(3), 2)
    with jax.debug_nans(True):
        many = jax.jit(jax.vmap(run))(np.stack([2 * ROWS, ROWS]), jax.random.key_data(keys))
    with jax.disable_jit():
        one = run(jnp.asarray(ROWS), keys[1])
    np.testing.assert_allclose(many[1], one, rtol=1e-5, atol=1e-5)
