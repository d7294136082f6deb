"""The measures of gradient marketplaces by hand, and against the report of a single payment."""

import jax.numpy as jnp
import numpy as np
import pytest

from d2m_jax.incentives import payment_report
from d2m_jax.report import selection

SELLERS = np.array([[[0, 1], [1, 2], [0, 3]]])  # one world, three rounds of two of four sellers
OFFERED = np.array([[[1, 1], [1, 1], [1, 0]]], bool)
USED = np.array([[[1, 0], [0, 1], [0, 0]]], bool)
HONEST = np.array([[True, True, False, False]])


def test_rates_and_who_is_never_bought():
    good = OFFERED & HONEST[0][SELLERS]
    assert selection.selection_rate(USED, good)[0] == pytest.approx(1 / 4)
    assert selection.selection_rate(USED, OFFERED & ~HONEST[0][SELLERS])[0] == 1
    never = selection.never_used(SELLERS, USED, OFFERED, HONEST)
    assert never[0] == 0.5  # seller 1 offered twice and sold nothing; seller 3 offered nothing
    assert np.isnan(selection.never_used(SELLERS, USED, OFFERED, np.zeros((1, 4), bool)))[0]
    assert np.isnan(selection.selection_rate(USED, OFFERED & False))[0]


def test_what_was_bought_until_a_target():
    rounds, metric = np.array([[1, 3], [1, 3]]), np.array([[0.2, 0.9], [0.2, 0.3]])
    used = np.repeat(USED, 2, axis=0)
    found = selection.bought_until(used, rounds, metric, np.array([0.5, 0.5]))
    assert found[0] == 2 and np.isnan(found[1])
    assert selection.bought_until(used, rounds, metric, np.array([0.1, 0.1])).tolist() == [1, 1]


def test_indices_are_those_of_the_report_of_a_payment():
    rng = np.random.default_rng(0)
    pay, who = rng.integers(0, 50, (5, 7)), rng.random((5, 7)) < 0.7
    who[:, 0], pay[:, 0] = True, 5
    for world in range(5):
        report = payment_report(
            jnp.int32(0), jnp.asarray(pay[world], jnp.int32), jnp.int32(0), jnp.asarray(who[world])
        )
        assert selection.jain(pay, who)[world] == pytest.approx(float(report.jain), rel=1e-5)
        assert selection.gini(pay, who)[world] == pytest.approx(float(report.gini), rel=1e-5)
    nobody = np.zeros((1, 7), int)
    assert np.isnan(selection.jain(nobody, who[:1]))[0]
    assert np.isnan(selection.gini(nobody, who[:1]))[0]
