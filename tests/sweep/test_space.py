"""Points: products, zips, draws, clashes."""

import numpy as np
import pytest

from d2m_jax.sweep import axis, choice, draws, log_uniform, product, together, uniform


def test_product_by_hand():
    assert product(axis("a", [1, 2]), axis("b", "xy")) == [
        {"a": 1, "b": "x"},
        {"a": 1, "b": "y"},
        {"a": 2, "b": "x"},
        {"a": 2, "b": "y"},
    ]
    assert product() == [{}]
    assert product(axis("a", [1]), axis("b", [])) == []


def test_together_goes_in_step():
    pairs = together(axis("n", [10, 20]), axis("k", [3, 5]))
    assert pairs == [{"n": 10, "k": 3}, {"n": 20, "k": 5}]
    with pytest.raises(ValueError, match=r"equally long, not \[2, 3\]"):
        together(axis("n", [1, 2]), axis("k", [1, 2, 3]))


def test_a_field_is_set_once():
    with pytest.raises(ValueError, match="lr is set by two axes"):
        product(axis("lr", [1]), axis("lr", [2]))


def test_draws_stay_in_range_repeat_and_go_on():
    fields = {"u": uniform(1, 2), "l": log_uniform(1e-4, 1), "c": choice("ab")}
    many = draws(400, fields, seed=3)
    assert many[:10] == draws(10, fields, seed=3) != draws(10, fields, seed=4)
    u, logs = np.array([p["u"] for p in many]), np.log10([p["l"] for p in many])
    assert u.min() >= 1 and u.max() <= 2 and abs(u.mean() - 1.5) < 0.06
    assert logs.min() >= -4 and logs.max() <= 0 and abs(logs.mean() + 2) < 0.25
    assert {p["c"] for p in many} == {"a", "b"}
