"""Epsilon in a moment for any noise, which accountant said so, and the figure known beforehand."""

import time

import numpy as np
import pytest

from d2m_jax.privacy import accountant
from d2m_jax.privacy.accountant import (
    epsilons,
    epsilons_a_priori,
    gaussian_epsilon,
    participations_of,
    sampled_gaussian_epsilon,
    zcdp_epsilon,
)

KNOWN = {"unit": "example", "batch_size": 32, "delta": 1e-5}


@pytest.mark.parametrize("noise", [1e-6, 1e-3, 0.03])
@pytest.mark.parametrize("unit", ["example", "update"])
def test_little_noise_has_an_epsilon_in_a_moment(noise, unit):
    """noise = 0.001 asked for 151 GiB."""
    start = time.perf_counter()
    found = epsilons([20, 100, 0], [400, 64, 9], **{**KNOWN, "unit": unit}, noise=noise)
    assert time.perf_counter() - start < 5
    assert found.accountants == ("gaussian", "gaussian", "none")
    few, many, none = found.values
    assert 0 == none < few < many <= zcdp_epsilon(100, noise, 1e-5)
    assert few > 1 / (2 * noise**2)  # one release alone costs that much


def test_the_bound_in_closed_form_holds_and_meets_the_exact_figure_without_sampling():
    for times, chance, noise in ((20, 0.1, 1.0), (300, 0.05, 0.8), (50, 0.5, 2.0)):
        tight, how = accountant._epsilon(times, chance, noise, 1e-5, "pld")
        bound = sampled_gaussian_epsilon(times, chance, noise, 1e-5)
        assert how == "pld" and tight < bound < zcdp_epsilon(times, noise, 1e-5)
    assert sampled_gaussian_epsilon(9, 1.0, 0.4, 1e-6) == gaussian_epsilon(9, 0.4, 1e-6)
    assert gaussian_epsilon(1, 1e9, 1e-5) == 0  # delta alone covers it


def test_a_priori_is_the_figure_of_every_round():
    sizes = [40, 400]
    before = epsilons_a_priori(30, sizes, **KNOWN, noise=1.0)
    after = epsilons([12, 30], sizes, **KNOWN, noise=1.0)
    assert before.values[0] > after.values[0]
    assert before.values[1] == after.values[1]
    assert before.accountants == ("pld", "pld")


def test_a_seller_drawn_twice_in_a_round_took_part_once():
    sellers = np.array([[0, 0, 2], [0, 1, 1], [2, 2, 2]])
    present = np.array([[True, True, True], [False, True, True], [True, False, False]])
    assert participations_of(sellers, present, 4).tolist() == [1, 1, 2, 0]
    whole = participations_of(np.array([[1, 1]]), np.ones((1, 2), bool), 2)
    assert (
        epsilons(whole, [40, 40], **KNOWN, noise=1.0).values[1]
        == (epsilons([1], [40], **KNOWN, noise=1.0).values[0])
    )
