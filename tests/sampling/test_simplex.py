"""The KL projection against published vectors and a brute-force minimiser in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from d2m_jax.sampling import kl_project

project = jax.jit(kl_project)


def brute(q, alpha):
    """KL minimiser by trying every number of clipped entries and keeping the feasible optimum."""
    n = len(q)
    order = np.argsort(q)
    best, best_kl = None, np.inf
    for k in range(n + 1):
        p = np.full(n, alpha / n)
        rest = order[k:]
        if len(rest):
            p[rest] = (1 - k * alpha / n) * q[rest] / q[rest].sum()
        if abs(p.sum() - 1) < 1e-9 and p.min() >= alpha / n - 1e-12:
            kl = np.sum(p * np.log(p / (q / q.sum())))
            if kl < best_kl:
                best, best_kl = p, kl
    return best


@pytest.mark.parametrize(
    ("q", "expected"),
    [
        ([0.02, 0.05, 0.10, 0.20, 0.90], [0.08, 0.08, 0.08, 0.138182, 0.621818]),
        ([0.15, 0.2, 0.2, 0.2, 0.25], [0.15, 0.2, 0.2, 0.2, 0.25]),
    ],
)
def test_vectors_of_the_authors(q, expected):
    p = project(jnp.log(jnp.array(q)), 0.4, jnp.ones(5, bool))
    np.testing.assert_allclose(p, expected, atol=1e-6)


@given(
    log_q=st.lists(st.floats(-30, 30), min_size=6, max_size=6),
    alpha=st.sampled_from([0.01, 0.1, 0.4, 0.9]),
)
def test_equals_brute_force(log_q, alpha):
    p = project(jnp.array(log_q, jnp.float32), alpha, jnp.ones(6, bool))
    q = np.exp(np.array(log_q, np.float32).astype(float) - max(log_q))
    np.testing.assert_allclose(p, brute(q, alpha), atol=2e-6)


def test_inactive_get_nothing_and_do_not_count():
    log_q = jnp.log(jnp.array([0.02, 0.7, 0.05, 0.10, 0.20, 0.90]))
    active = jnp.array([True, False, True, True, True, True])
    p = project(log_q, 0.4, active)
    np.testing.assert_allclose(p, [0.08, 0, 0.08, 0.08, 0.138182, 0.621818], atol=1e-6)


@pytest.mark.parametrize("shift", [-300.0, 0.0, 3e4])
def test_scale_does_not_matter(shift):
    log_q = jnp.array([-5.0, 0.0, 1.0, 2.0, -80.0, 3.0])
    active = jnp.ones(6, bool)
    np.testing.assert_allclose(
        project(log_q + shift, 0.1, active), project(log_q, 0.1, active), atol=2e-3 * (shift > 1e4)
    )


def test_edges():
    three = jnp.array([0.3, -2.0, 9.0, 0.0, 0.0, 0.0])
    nobody, one = jnp.zeros(6, bool), jnp.arange(6) == 1
    np.testing.assert_array_equal(project(three, 0.4, nobody), np.zeros(6))
    np.testing.assert_allclose(project(three, 0.4, one), np.eye(6)[1])
    np.testing.assert_allclose(project(three, 1.0, jnp.ones(6, bool)), np.full(6, 1 / 6), rtol=1e-6)
    np.testing.assert_allclose(
        project(three, 0.0, jnp.ones(6, bool)), np.asarray(jax.nn.softmax(three)), atol=1e-7
    )
    huge = jnp.array([-jnp.inf, 0.0, 0.0, 0.0, 0.0, 0.0])  # q = 0 is lifted to the floor
    np.testing.assert_allclose(project(huge, 0.6, jnp.ones(6, bool))[0], 0.1, rtol=1e-6)
