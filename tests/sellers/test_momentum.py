"""Both momentum conventions against hand loops, and how they relate."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from d2m_jax.sellers import MOMENTA, ema, heavy_ball

BETA = 0.9


def rounds():
    generator = np.random.default_rng(1)
    return [(np.array(who), generator.normal(size=(2, 3))) for who in ([0, 2], [2, 1], [1, 2])]


def run(rule):
    buffer, sent = jnp.zeros((4, 3)), []
    for who, updates in rounds():
        buffer, out = jax.jit(rule)(buffer, jnp.asarray(who), jnp.asarray(updates), BETA)
        sent.append(np.asarray(out))
    return buffer, np.stack(sent)


@pytest.mark.parametrize("rule, weight", [(ema, 1 - BETA), (heavy_ball, 1.0)])
def test_against_hand_loop(rule, weight):
    want = np.zeros((4, 3))
    buffer, sent = run(rule)
    for (who, updates), out in zip(rounds(), sent):
        for row, seller in enumerate(who):
            want[seller] = BETA * want[seller] + weight * updates[row]
            np.testing.assert_allclose(out[row], want[seller], rtol=1e-5)
    np.testing.assert_allclose(buffer, want, rtol=1e-5)
    assert not buffer[3].any()


def test_radii_differ_by_one_minus_beta():
    np.testing.assert_allclose(run(heavy_ball)[1] * (1 - BETA), run(ema)[1], rtol=1e-5)


@pytest.mark.parametrize("rule", MOMENTA.values(), ids=MOMENTA)
def test_beta_zero_sends_the_updates(rule):
    updates = jnp.arange(6.0).reshape(2, 3)
    _, sent = rule(jnp.ones((4, 3)), jnp.array([1, 3]), updates, 0.0)
    np.testing.assert_array_equal(sent, updates)


@pytest.mark.parametrize("rule", MOMENTA.values(), ids=MOMENTA)
def test_bad_values_are_sent_once_and_forgotten(rule):
    who, bad = jnp.array([0, 1]), jnp.array([[1.0, jnp.nan, jnp.inf], [1.0, 1.0, 1.0]])
    buffer, sent = rule(jnp.zeros((2, 3)), who, bad, BETA)
    assert np.isnan(sent[0, 1]) and np.isinf(sent[0, 2])
    buffer, sent = rule(buffer, who, jnp.ones((2, 3)), BETA)
    assert np.isfinite(sent).all() and np.isfinite(buffer).all()
    np.testing.assert_array_equal(sent[0, 0], sent[1, 0])


@pytest.mark.parametrize("rule", MOMENTA.values(), ids=MOMENTA)
def test_none_sampled_is_everybody_in_order(rule):
    buffer, updates = jnp.arange(6.0).reshape(2, 3), jnp.array([[1.0, jnp.nan, 2.0], [3.0] * 3])
    for got, want in zip(
        rule(buffer, None, updates, BETA), rule(buffer, jnp.arange(2), updates, BETA)
    ):
        np.testing.assert_array_equal(got, want)
