"""A whole small market under the flags of JAX that a user's program may have set."""

import jax
import numpy as np
import pytest

from d2m_jax import HParams, Spec, as_arrays, make_market
from d2m_jax.config.population import Population
from d2m_jax.data import build, load

SPEC = {
    "model": "logreg",
    "num_sellers": 6,
    "num_sampled": 4,
    "num_rounds": 2,
    "eval_every": 1,
    "batch_size": 8,
    "num_nodes": 8,
    "num_blocks": 2,
    "attack": "sign_flip",
}
PEOPLE = HParams(population=Population(num_byzantine=1, num_colluding=2))
VARIANTS = [
    {},
    {"sampler": "uniform", "aggregator": "krum"},
    {"sampler": "osmd", "aggregator": "mean"},
    {"scaffold": True},
    {"delay": "by_seller", "availability": "diurnal", "local_steps": 2},
    {"client_momentum": "ema", "local_steps": 2},
    {"privacy": "example"},
    {"privacy": "update"},
    {"sampler": "uniform", "aggregator": "mean", "secure_group": 2, "contribution": "count"},
    {"sampler": "uniform", "aggregator": "mean", "partial": True, "model": "mlp"},
    {"dispute": "bisection"},
]


def world(spec):
    digits = load("digits")
    return make_market(Spec(**{**SPEC, **spec}), digits), build(digits, num_sellers=6)


def shapes(spec, key=None):
    """The outcome by shape: a trace, nothing compiles."""
    market, data = world(spec)
    key = jax.random.key(0) if key is None else key
    return jax.eval_shape(market.run, key, market.numbers(PEOPLE), data)


@pytest.mark.few(2)
@pytest.mark.parametrize("spec", VARIANTS, ids=str)
def test_traces_without_implicit_promotion(spec):
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        shapes(spec)


@pytest.mark.few(2)
@pytest.mark.parametrize("spec", VARIANTS, ids=str)
def test_keeps_the_types_of_its_task_with_64_bits(spec):
    with jax.enable_x64(True):
        found = shapes(spec)
    assert found.theta.dtype == np.float32
    assert {str(leaf.dtype) for leaf in jax.tree.leaves(found.ledger)} == {"int32", "int64", "bool"}
    assert found.ledger.balances.dtype == found.rounds.nodes_paid.dtype == np.int64


@pytest.mark.slow
def test_leaks_no_tracer():
    with jax.checking_leaks():
        shapes({})


@pytest.mark.slow
def test_legacy_keys_give_the_same_market():
    market, data = world({})
    numbers = market.numbers(PEOPLE)
    run = jax.jit(market.run)
    new, old = (run(key, numbers, data) for key in (jax.random.key(3), jax.random.PRNGKey(3)))
    for a, b in zip(jax.tree.leaves(new), jax.tree.leaves(old)):
        np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_without_jit_and_with_checks_for_nan():
    market, data = world({"num_rounds": 1, "num_nodes": 3, "num_blocks": 1, "num_buyers": 2})
    money = PEOPLE.money.replace(buyer_values=(900_000, 800_000), buyer_shading_bps=(10_000,) * 2)
    numbers = market.numbers(PEOPLE.replace(money=money, population=Population()))
    with jax.disable_jit(), jax.debug_nans(True):
        outcome = market.run(jax.random.key(0), numbers, data)
    assert np.isfinite(outcome.theta).all()


@pytest.mark.slow
def test_a_market_within_a_scan():
    market, data = world({})
    numbers = as_arrays(PEOPLE)

    def year(ledger, key):
        outcome = market.run(key, numbers, data, ledger)
        return outcome.ledger, outcome.phase

    ledger = market.init(jax.random.key(0), numbers, data).opening
    keys = jax.random.split(jax.random.key(1), 2)
    after, phases = jax.eval_shape(lambda: jax.lax.scan(year, ledger, keys))
    assert phases.shape == (2,) and after.balances.shape == ledger.balances.shape
