"""The robustness coefficient by hand, and rules held to their theorems."""

import numpy as np
import pytest

from d2m_jax import aggregation as agg
from d2m_jax.aggregation.robustness import deviation_ratio, least_coefficient, promised


def test_the_ratio_is_that_of_numpy():
    rng = np.random.default_rng(0)
    x, honest = rng.normal(size=(9, 5)), np.arange(9) != 4
    out, good = rng.normal(size=5), x[honest]
    gaps = np.sum((good - good.mean(axis=0)) ** 2, axis=1)
    want = np.sum((out - good.mean(axis=0)) ** 2) / gaps.mean()
    got = deviation_ratio(out.astype(np.float32), x.astype(np.float32), honest)
    np.testing.assert_allclose(got, want, rtol=1e-5)
    same = np.ones((4, 2), np.float32)
    assert deviation_ratio(same[0], same, np.ones(4, bool)) == 0
    assert np.isinf(deviation_ratio(same[0] + 1, same, np.ones(4, bool)))


@pytest.mark.parametrize("f", [1, 2, 3, 4])
def test_trimmed_mean_reaches_the_least_coefficient_there_is(f):
    """f honest rows are alone; the Byzantine ones stand with the others."""
    x = np.zeros((10, 1), np.float32)
    x[10 - f :] = 1
    ratio = deviation_ratio(agg.trimmed_mean(x, f), x, np.arange(10) >= f)
    np.testing.assert_allclose(ratio, least_coefficient(10, f), rtol=1e-5)


@pytest.mark.parametrize("rule", ["trimmed_mean", "krum", "geometric_median", "median"])
def test_rules_keep_what_theorems_promise(rule):
    rng = np.random.default_rng(1)
    for f in (1, 3):
        assert promised(rule, 10, f) >= least_coefficient(10, f)
        for _ in range(5):
            x = rng.normal(0.5, 1, size=(10, 6)).astype(np.float32)
            x[:f] = rng.choice([-1, 1, 30]) * x[f:].mean(axis=0)
            ratio = deviation_ratio(agg.AGGREGATORS[rule](x, f), x, np.arange(10) >= f)
            assert ratio <= promised(rule, 10, f)
    assert promised("martfl", 10, 1) is None
    assert promised("krum", 10, 2, mixed=True) == 8 * 2 / 8 * (promised("krum", 10, 2) + 1)
