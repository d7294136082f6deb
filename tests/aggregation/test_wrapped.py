"""Rules that ask another rule, with every rule they know."""

import jax
import numpy as np
import pytest

from d2m_jax import aggregation as agg
from d2m_jax.aggregation.wrapped import COPY_RULES, GROUP_RULES
from tests.aggregation import oracles


def cloud(n=11, d=23, seed=0):
    x = np.random.default_rng(seed).normal(0.4, 1, size=(n, d)).astype(np.float32)
    x[:2] -= 2
    return x


@pytest.mark.few(2)
@pytest.mark.parametrize("rule", GROUP_RULES)
def test_gas_with_every_rule(rule):
    x = cloud()
    want = oracles.gas(x.astype(np.float64), 2, 5, getattr(oracles, rule))
    np.testing.assert_allclose(agg.gas(x, 2, rule=rule, groups=5), want, rtol=1e-4, atol=1e-5)


def test_gas_on_permuted_coordinates():
    """A key permutes the coordinates and nothing else; the groups, and so the scores, change."""
    x, key = cloud(), jax.random.key(5)
    order = np.asarray(jax.random.permutation(key, x.shape[1]))
    want = oracles.gas(x[:, order].astype(np.float64), 2, 5)
    got = agg.gas(x, 2, key=key, groups=5)
    np.testing.assert_allclose(np.asarray(got)[order], want, rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="unknown rule of gas 'mean'"):
        agg.gas(x, 2, rule="mean")
    with pytest.raises(ValueError, match="groups must be at least 1, got 0"):
        agg.gas(x, 2, groups=0)


@pytest.mark.few(2)
@pytest.mark.parametrize("rule", COPY_RULES)
def test_foundation_with_every_rule_and_number_of_copies(rule):
    x = cloud()
    for copies in (0.0, 0.3, 1.0):
        want = oracles.foundation(x.astype(np.float64), 2, getattr(oracles, rule), copies)
        got = agg.foundation(x, 2, rule=rule, copies=copies)
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="f = 6 Byzantine of 11 rows"):
        agg.foundation(x, 6)


def test_two_rows_along_two_axes_break_foundation_and_not_its_rule():
    x = cloud()
    x[:2] = 0
    x[0, 0] = x[1, 1] = 1e6
    assert np.linalg.norm(agg.trimmed_mean(x, 2)) < 10
    assert np.linalg.norm(agg.foundation(x, 2)) > 1e5
