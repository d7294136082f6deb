"""Every server optimiser against its published formula, in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from d2m_jax.config.hparams import Learning
from d2m_jax.market.server import SERVER_OPTIMIZERS, is_finite, server_optimizer

M, B2, TAU = 0.8, 0.9, 0.05  # momentum or b1, second moment, floor
DIRECTIONS = np.random.default_rng(0).normal(size=(6, 7)) * [[1], [3], [0.1], [2], [0], [1]]


def heavy_ball(values):
    v = 0.0
    for value in values:
        v = M * v + value
        yield v


def nesterov(directions):
    for g, v in zip(directions, heavy_ball(directions)):
        yield g + M * v


def adagrad(directions):
    sums = TAU**2 + np.cumsum(directions**2, axis=0)
    return heavy_ball(directions / np.sqrt(sums))


def rmsprop(directions):
    nu, scaled = 0.0, []
    for t, g in enumerate(directions, 1):
        nu = B2 * nu + (1 - B2) * g**2
        scaled.append(g / (np.sqrt(nu / (1 - B2**t)) + TAU))
    return heavy_ball(scaled)


def moments(second, start=0.0, keep_largest=False):
    """Kingma and Ba 2015, Algorithm 1, with another rule for the second moment."""

    def steps(directions):
        m, nu, top = start, start, 0.0
        for t, g in enumerate(directions, 1):
            m, nu = M * m + (1 - M) * g, second(nu, g**2)
            corrected = nu / (1 - B2**t)
            top = np.maximum(top, corrected) if keep_largest else corrected
            yield m / (1 - M**t) / (np.sqrt(top) + TAU)

    return steps


def average(nu, square):
    return B2 * nu + (1 - B2) * square


ORACLES = {
    "sgd": heavy_ball,
    "nesterov": nesterov,
    "adagrad": adagrad,
    "rmsprop": rmsprop,
    "adam": moments(average),
    "amsgrad": moments(average, keep_largest=True),
    "yogi": moments(lambda nu, sq: nu - (1 - B2) * np.sign(nu - sq) * sq, start=1e-6),
}


@pytest.mark.few(3)
@pytest.mark.parametrize("name", SERVER_OPTIMIZERS)
def test_steps_follow_the_formula_with_traced_numbers(name):
    @jax.jit
    def run(learning, directions):
        optimizer = server_optimizer(name, learning)

        def body(memory, direction):
            step, memory = optimizer.update(direction, memory)
            return memory, step

        return jax.lax.scan(body, optimizer.init(directions[0]), directions)[1]

    learning = Learning(momentum=M, server_decay=B2, adaptivity=TAU)
    learning = jax.tree.map(jnp.float32, learning)
    got = run(learning, jnp.asarray(DIRECTIONS, jnp.float32))
    np.testing.assert_allclose(got, list(ORACLES[name](DIRECTIONS)), rtol=2e-5, atol=1e-6)


def test_an_overflow_in_the_memory_is_seen_where_the_step_hides_it():
    optimizer = server_optimizer("adam", Learning(momentum=0.9))
    memory = optimizer.init(jnp.zeros(3))
    step, new = optimizer.update(jnp.array([1.0, 1e25, 1.0]), memory)
    assert bool(jnp.isfinite(step).all()) and not bool(is_finite(new))
    assert bool(is_finite(memory))


def test_an_optimiser_without_memory_is_finite():
    memory = optax.scale(1.0).init(jnp.zeros(3))
    assert bool(is_finite(memory))
    assert not bool(is_finite({"m": jnp.array([1.0, jnp.inf])}))
