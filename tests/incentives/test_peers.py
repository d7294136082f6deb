"""Pay without known answers: expectations in closed form, by enumeration, and against cheating."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from d2m_jax.incentives.peers import (
    agreement_pay,
    agreement_table,
    co_occurrence,
    determinant_pay,
)

JOINT = np.array([[0.4, 0.1], [0.05, 0.45]])  # of two honest reports
WAYS = {  # strategies: what is said for what is seen
    "truth": np.eye(2),
    "opposite": np.eye(2)[::-1],
    "always 0": np.array([[1.0, 0], [1, 0]]),
    "coin": np.full((2, 2), 0.5),
    "half honest": np.array([[0.9, 0.1], [0.3, 0.7]]),
}


def expected_agreement(joint, agrees):
    """Sum of P(k, l) S(k, l) - sum of P(k) P(l) S(k, l), in float64."""
    return (joint * agrees).sum() - (np.outer(joint.sum(1), joint.sum(0)) * agrees).sum()


def reports(joint, count, tasks, seed):
    flat = np.random.default_rng(seed).choice(joint.size, (count, tasks), p=joint.reshape(-1))
    return jnp.asarray(flat // joint.shape[1]), jnp.asarray(flat % joint.shape[1])


def test_co_occurrence_counts_pairs():
    mine, theirs = jnp.array([0, 1, 1, 2]), jnp.array([0, 1, 0, 7])
    np.testing.assert_array_equal(co_occurrence(mine, theirs, 3), [[1, 0, 0], [1, 1, 0], [0, 0, 0]])


@pytest.mark.parametrize("way", WAYS)
def test_mean_agreement_pay_is_the_closed_form(way):
    joint = WAYS[way].T @ JOINT
    agrees = np.asarray(agreement_table(jnp.asarray(JOINT)))
    np.testing.assert_array_equal(agrees, np.eye(2, dtype=bool))
    mine, theirs = reports(joint, 20_000, 6, seed=3)
    paid = np.asarray(jax.vmap(agreement_pay, (0, 0, None))(mine, theirs, jnp.asarray(agrees)))
    error = 4 * paid.std() / np.sqrt(len(paid))
    assert abs(paid.mean() - expected_agreement(joint, agrees)) <= max(error, 1e-6) < 0.02


def test_no_way_to_report_beats_the_truth():
    """A grid of all strategies of two answers: none earns more, blind ones earn nothing."""
    truth = expected_agreement(JOINT, np.eye(2))
    np.testing.assert_allclose(
        truth, np.maximum(JOINT - np.outer(*map(JOINT.sum, (1, 0))), 0).sum()
    )
    for a, b in itertools.product(np.linspace(0, 1, 21), repeat=2):
        way = np.array([[a, 1 - a], [b, 1 - b]])
        earned = expected_agreement(way.T @ JOINT, np.eye(2))
        assert earned <= truth + 1e-12
        if a == b:
            assert abs(earned) < 1e-12


def exact_determinant(joint, half):
    """E det of a co-occurrence of `half` tasks, by enumeration of the multinomial."""
    total = 0.0
    for cells in itertools.product(range(4), repeat=half):
        counts = np.bincount(cells, minlength=4).reshape(2, 2)
        total += np.linalg.det(counts) * np.prod(joint.reshape(-1)[list(cells)])
    return total


@pytest.mark.parametrize("way", WAYS)
def test_mean_determinant_pay_is_exact_and_falls_by_the_garbling(way):
    """E = (n (n - 1) det P)^2, so a garbling by G costs the factor det(G)^2."""
    joint, half = WAYS[way].T @ JOINT, 4
    exact = exact_determinant(joint, half)
    np.testing.assert_allclose(exact, half * (half - 1) * np.linalg.det(joint), atol=1e-12)
    mine, theirs = reports(joint, 40_000, 2 * half, seed=5)
    paid = np.asarray(jax.vmap(determinant_pay, (0, 0, None))(mine, theirs, 2))
    error = 4.5 * paid.std() / np.sqrt(len(paid))
    assert abs(paid.mean() - exact**2) < max(error, 1e-6)
    factor = np.linalg.det(WAYS[way]) ** 2
    honest = exact_determinant(JOINT, half) ** 2
    np.testing.assert_allclose(exact**2, factor * honest, rtol=1e-9, atol=1e-12)


def test_too_few_tasks_pay_nothing_or_say_so():
    assert determinant_pay(jnp.array([0, 1, 2]), jnp.array([0, 1, 2]), 3) == 0
    with pytest.raises(ValueError, match="at least 2 reports"):
        agreement_pay(jnp.array([0]), jnp.array([0]), jnp.eye(2, dtype=bool))
