"""Layers, the k-th largest value, and how a task's layers reach a rule."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from d2m_jax import aggregation as agg
from d2m_jax.core.selection import kth_largest
from d2m_jax.sampling import Context, make_defence
from d2m_jax.sampling.base import DefenceParams
from d2m_jax.tasks import Problem, make_model
from tests.aggregation import oracles

LAYERS = (7, 3, 10)


def rows(seed, n=9):
    x = np.random.default_rng(seed).normal(0.3, 1.0, size=(n, sum(LAYERS)))
    x[:2, :7] += 3  # stand out in the first layer
    x[2, 7:10] *= -6  # and this one in the second
    return x.astype(np.float32)


def test_lasa_judges_every_layer_by_itself():
    for seed in range(4):
        x = rows(seed)
        want = oracles.lasa(x.astype(np.float64), 0, LAYERS)
        np.testing.assert_allclose(agg.lasa(x, layers=LAYERS), want, rtol=1e-4, atol=1e-5)
        few = oracles.lasa(x.astype(np.float64), 0, LAYERS, kept=0.3)
        np.testing.assert_allclose(agg.lasa(x, layers=LAYERS, kept=0.3), few, rtol=1e-4, atol=1e-5)
    assert np.abs(agg.lasa(x) - want).max() > 0.01
    for wrong in ((7, 3), (7, 13, 0)):
        with pytest.raises(ValueError, match="layers must be sizes that sum to 20, got"):
            agg.lasa(x, layers=wrong)


def test_the_kth_largest_is_that_of_a_sort():
    x = np.abs(np.random.default_rng(0).normal(size=(4, 50))).astype(np.float32)
    x[:, :5] = x[:, 5:6]  # ties
    x[1] *= 1e-30
    ordered = -np.sort(-x, axis=1)
    pick = jax.jit(kth_largest)
    for k in (1, 3, 7, 50):
        np.testing.assert_array_equal(pick(x, k), ordered[:, k - 1])
    assert np.isinf(pick(x, 0)).all()
    with jax.enable_x64(True):
        wide = x.astype(np.float64) ** 3
        np.testing.assert_array_equal(kth_largest(wide, 3), -np.sort(-wide, axis=1)[:, 2])


def test_the_layers_of_a_task_reach_the_rule():
    model = make_model("mlp", Problem("table", (4,), np.dtype("float32"), 3))
    assert sum(model.layers) == model.num_params and len(model.layers) > 1
    x = np.random.default_rng(1).normal(size=(5, model.num_params)).astype(np.float32)
    defence = make_defence("uniform", num_sampled=5, aggregator=agg.make_aggregator("lasa"))
    lam = jnp.full(5, 0.2)
    context = Context(lam=lam, lr=jnp.float32(0.1), round=jnp.int32(0), layers=model.layers)
    state, params = defence.init(5, model.num_params, lam), DefenceParams()
    chosen = defence.sample(jax.random.key(0), state, jnp.ones(5, bool), params)
    got, _, _ = defence.aggregate(
        jax.random.key(1), state, chosen, x, jnp.ones(5, bool), context, params
    )
    np.testing.assert_allclose(got, agg.lasa(x, layers=model.layers), rtol=1e-5, atol=1e-6)
