"""Many sellers, and where a rule refuses: the paths that eleven rows do not reach."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from d2m_jax import aggregation as agg
from d2m_jax.aggregation import centre
from d2m_jax.core.gram import top_eigenpair
from tests.aggregation import oracles


def cloud(n, d=3):
    return np.random.default_rng(n).normal(size=(n, d)).astype(np.float32)


@pytest.mark.few(1)
@pytest.mark.parametrize("name", ["trimmed_mean", "meamed", "phocas", "krum"])
def test_many_sellers_with_traced_f(name):
    """Beyond the limits of the network and of ranks by counting."""
    x = cloud(70)
    mask = np.arange(70) % 7 != 0
    rule = jax.jit(lambda f, mask: agg.AGGREGATORS[name](x, f, mask=mask))
    for f in (0, 13):
        want = getattr(oracles, name)(x[mask].astype(np.float64), f)
        np.testing.assert_allclose(rule(f, mask), want, rtol=1e-4, atol=1e-5)


def test_median_beyond_the_pruned_network():
    x = cloud(131)
    mask = np.arange(131) % 2 == 0
    np.testing.assert_allclose(agg.median(x), np.median(x, axis=0), rtol=1e-6)
    np.testing.assert_allclose(agg.median(x, mask=mask), np.median(x[mask], axis=0), rtol=1e-6)


def test_mda_of_more_rows_lists_the_subsets():
    x = cloud(23)
    want = oracles.mda(x.astype(np.float64), 2)
    np.testing.assert_allclose(agg.mda(x, 2), want, rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match=r"C\(23, 9\) subsets; at most 50,000"):
        agg.mda(x, 9)
    with pytest.raises(ValueError, match="at most 22 rows"):
        agg.mda(x, 2, mask=jnp.ones(23, bool))
    with pytest.raises(ValueError, match="at most 14 rows"):
        agg.smea(cloud(15), jnp.asarray(2))


def test_ties_go_to_the_lowest_index_and_the_lower_value():
    x = np.array([[0.0], [1.0], [2.0], [3.0], [4.0]], np.float32)  # symmetric: ties everywhere
    np.testing.assert_allclose(agg.krum(x, 1), [1.0])  # 1, 2 and 3 tie
    np.testing.assert_allclose(agg.mda(x, 1), [1.5])
    np.testing.assert_allclose(agg.meamed(x, 1), [1.5])  # 0 and 4 are equally far from 2
    np.testing.assert_allclose(agg.meamed(x, jnp.asarray(1)), [1.5])
    np.testing.assert_allclose(agg.phocas(x[::-1], 1), [1.5])  # by value, not by index
    np.testing.assert_allclose(agg.monna(x, 2, pivot=2), [2.0])
    np.testing.assert_allclose(agg.cge(x[[4, 1, 2, 3, 4]], 1), [2.5])  # the later 4 is dropped


def test_bulyan_needs_enough_rows_and_one_shot_is_not_iterative():
    with pytest.raises(ValueError, match=r"f = 2 Byzantine of 10 rows: 0 <= 4 f \+ 2 < rows"):
        agg.bulyan(cloud(10), 2)
    differ = [
        np.abs(agg.bulyan(cloud(n), 2) - agg.bulyan(cloud(n), 2, one_shot=True)).max() > 1e-4
        for n in (11, 12)
    ]
    assert any(differ)


def test_krum_bounds_of_the_two_presets():
    x = cloud(5)
    with pytest.raises(ValueError, match=r"2 f \+ 2 < rows"):
        agg.krum(x, 2)
    assert agg.krum(x, 2, preset="byzfl").shape == (3,)
    with pytest.raises(ValueError, match="f = 3 Byzantine of 5 rows: 0 <= 2 f < rows"):
        agg.krum(x, 3, preset="byzfl")


@pytest.mark.parametrize("preset", ["paper", "byzfl"])
def test_geometric_median_by_passes_is_that_in_the_gram_matrix(monkeypatch, preset):
    x = np.random.default_rng(6).normal(size=(7, 30)).astype(np.float32)
    mask = np.arange(7) != 3
    options = {"preset": preset, "steps": 4, "mask": mask, "weights": np.arange(1.0, 8.0)}
    by_passes = agg.geometric_median(x, **options)
    monkeypatch.setattr(centre, "_FEW_STEPS", 0)
    np.testing.assert_allclose(by_passes, agg.geometric_median(x, **options), atol=1e-5)


def test_geometric_median_needs_a_step():
    with pytest.raises(ValueError, match="steps must be at least 1"):
        agg.geometric_median(cloud(5), steps=0)


def test_geometric_median_is_stationary_and_stops_early():
    """The unit vectors from the optimum to the points sum to zero."""
    x = cloud(9, 4)
    z = np.asarray(agg.geometric_median(x, steps=200))
    pulls = (x - z) / np.linalg.norm(x - z, axis=1, keepdims=True)
    assert np.linalg.norm(pulls.sum(axis=0)) < 1e-3
    early = agg.geometric_median(x, steps=200, tolerance=1e-3)
    assert 1e-6 < np.abs(early - z).max() < 1e-1
    weights = np.array([20.0, 1, 1, 1, 1, 1, 1, 1, 1], np.float32)
    np.testing.assert_allclose(  # the majority of the weight is on one point
        agg.geometric_median(x, weights=weights, steps=200), x[0], atol=1e-3
    )


def test_fltrust_without_any_trust_is_zero():
    x = np.abs(cloud(4))
    np.testing.assert_array_equal(agg.fltrust(x, root=-np.ones(3, np.float32)), 0)


def test_zeno_takes_a_bad_loss_for_the_worst():
    x = cloud(4)
    losses = np.array([np.nan, 1.0, np.inf, 0.5], np.float32)
    np.testing.assert_allclose(agg.zeno(x, 2, losses=losses), x[[1, 3]].mean(axis=0), rtol=1e-6)
    heavy = agg.zeno(x, 3, losses=np.zeros(4, np.float32), penalty=1.0)
    shortest = np.argmin(np.linalg.norm(x, axis=1))
    np.testing.assert_allclose(heavy, x[shortest], rtol=1e-6)


def test_cge_sum_and_robust_learning_rate_threshold():
    x = cloud(6)
    np.testing.assert_allclose(agg.cge(x, 2, total=True), 4 * agg.cge(x, 2), rtol=1e-5)
    flipped = agg.robust_learning_rate(x, 1, threshold=7)  # more than all six can reach
    np.testing.assert_allclose(flipped, -x.mean(axis=0), rtol=1e-5, atol=1e-6)


def test_sign_majority_with_the_scale_of_the_paper():
    x = np.array([[1.0, -2.0], [0.1, -9.0], [-5.0, 3.0]], np.float32)
    np.testing.assert_array_equal(agg.sign_majority(x, scale=1.0), [1.0, -1.0])


@pytest.mark.few(2)
@pytest.mark.parametrize("gap", [0.0, 1e-6, 1e-4, 1e-2, 0.5])
def test_the_top_eigenvalue_is_exact_whatever_the_gap(gap):
    """Against numpy in float64, at every scale that `max_norm` lets through."""
    generator = np.random.default_rng(0)
    for scale in (1e-20, 1.0, 1e30):
        basis = np.linalg.qr(generator.normal(size=(9, 9)))[0]
        values = generator.uniform(0, 1 - gap, 9)
        values[:2] = 1, 1 - gap
        matrix = ((basis * values) @ basis.T * scale).astype(np.float32)
        want = np.linalg.eigvalsh(matrix.astype(np.float64))[-1]
        assert float(top_eigenpair(jnp.asarray(matrix), squarings=20)[0]) == pytest.approx(
            want, rel=2e-6
        )
    assert top_eigenpair(jnp.zeros((3, 3)))[0] == 0


@pytest.mark.parametrize("kind", ["anywhere", "opposite"])
def test_caf_with_identical_copies(kind):
    """Three copies tie: in float32 one of them must not be left behind with next to no weight."""
    rule = jax.jit(lambda x: agg.caf(x, 3))
    for seed in range(40):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(10, (3, 6, 20)[seed % 3]))
        copy = rng.normal(size=x.shape[1]) * rng.choice([1, 3, 10])
        x[7:] = copy if kind == "anywhere" else 3 - 5 * x[:7].mean(axis=0)
        x = x.astype(np.float32)
        want = oracles.caf(x.astype(np.float64), 3)
        np.testing.assert_allclose(rule(x), want, rtol=1e-4, atol=1e-4)
