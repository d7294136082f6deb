"""Tiny rows: what a rule makes of them is what it makes of the same rows at usual size."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from d2m_jax import aggregation as agg
from d2m_jax.core.norms import lift_of, row_norms, safe_norms
from tests.aggregation import oracles

S, D, F = 9, 7, 2
ABSOLUTE = {  # numbers of these are in the unit of the updates
    "geometric_median",  # smoothing
    "projected",
    "projected_nnm",
    "centered_clipping",  # radius
    "clipping",  # radius
    "sequential_clipping",  # radius
    "learnt_weights",  # the loss of the tests is no cone
    "skymask",  # rate of the masks, per unit of loss
    "deepsight",  # what the model says after a step
}
NAMES = [n for n in (*agg.AGGREGATORS, *agg.PRE_AGGREGATORS) if n not in ABSOLUTE]


def rows(seed=0):
    x = np.random.default_rng(seed).normal(0.4, 1.0, size=(S, D))
    x[:F] *= -6
    return x.astype(np.float32)


@functools.cache
def rule(name):
    pre = name in agg.PRE_AGGREGATORS
    made = agg.make_aggregator("mean", name) if pre else agg.make_aggregator(name)

    def run(x, mask):
        inputs = {"indices": jnp.arange(S), "root": x[3] + x[4], "losses": jnp.arange(S) % 4.0}
        inputs["layers"] = (3, 4)
        given = {use: inputs[use] for use in made.uses if use != "key"}
        key = jax.random.key(0)
        return made.apply(made.init(S, D), x, F, mask, key=key, **given)[0]

    return jax.jit(run)


@pytest.mark.few(8)
@pytest.mark.parametrize("name", NAMES)
def test_a_rule_scales_with_tiny_rows_bit_for_bit(name):
    """2^-66 is 1.4e-20: squares of such rows vanish in float32."""
    x, mask = rows(), np.arange(S) != 5
    want = rule(name)(x, mask)
    assert np.abs(want).max() > 0.01 or name == "sign_majority"
    for power in (-34, -66):
        unit = np.float32(2.0**power)
        np.testing.assert_array_equal(rule(name)(unit * x, mask) / unit, want)


@pytest.mark.parametrize("name", ["krum", "mda", "caf", "monna"])
def test_an_attacker_of_usual_size_does_not_hide_tiny_honest_rows(name):
    x = rows(1).astype(np.float64)
    x[:F] *= 1e20
    want = getattr(oracles, name)(x, F)
    got = getattr(agg, name)((1e-20 * x).astype(np.float32), F)
    np.testing.assert_allclose(got * 1e20, want, rtol=1e-4, atol=1e-4)


def test_lengths_of_tiny_rows():
    x = rows()
    want = np.linalg.norm(x.astype(np.float64), axis=1)
    for scale in (1e-20, 1.0, 1e17):
        y = (scale * x).astype(np.float32)
        for got in (row_norms(y), row_norms(y, jnp.ones(S, bool)), safe_norms(y)):
            np.testing.assert_allclose(got / np.float32(scale), want, rtol=1e-5)
    np.testing.assert_array_equal(row_norms(jnp.zeros((3, 4))), 0)


def test_the_lift_follows_the_median_row():
    x = rows()
    assert lift_of(x) == lift_of(1e-8 * x) == lift_of(1e15 * x) == 1
    assert lift_of(jnp.zeros((3, 4))) == 1
    assert lift_of(2.0**-50 * x) == 2 * lift_of(2.0**-49 * x) > 1
    few = np.where(np.arange(S)[:, None] < 4, 1e-20, 1).astype(np.float32) * x
    many = np.where(np.arange(S)[:, None] < 5, 1e-20, 1).astype(np.float32) * x
    assert lift_of(few) == 1 and lift_of(many) > 1
    assert lift_of(few, jnp.arange(S) < 6) > 1
