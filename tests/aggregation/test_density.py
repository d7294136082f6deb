"""HDBSCAN against scikit-learn's, on clouds in which no two distances are equal."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.cluster import HDBSCAN

from d2m_jax.aggregation.density import hdbscan

N = 24


@functools.cache
def labels(neighbours=1, least=3):
    return jax.jit(functools.partial(hdbscan, neighbours=neighbours, least=least))


def oracle(distances, neighbours=1, least=3):
    tree = HDBSCAN(min_cluster_size=least, min_samples=neighbours, metric="precomputed", copy=True)
    return tree.fit_predict(distances)


def clouds(seed):
    rng = np.random.default_rng(seed)
    centres = rng.normal(scale=4, size=(rng.integers(1, 5), 3))
    points = centres[rng.integers(0, len(centres), N)] + rng.normal(size=(N, 3))
    points[rng.random(N) < 0.2] *= 3
    return np.linalg.norm(points[:, None] - points, axis=2)


def together(labels):
    """[N, N] bool: in one cluster; on the diagonal, whether it is in one at all."""
    labels = np.asarray(labels)
    return (labels[:, None] == labels) & (labels >= 0)


@pytest.mark.parametrize("least", [3, 5])
def test_same_clusters_as_scikit_learn(least):
    sizes = set()
    for seed in range(40):
        distances = clouds(seed)
        want = oracle(distances, least=least)
        got = labels(least=least)(distances.astype(np.float32), np.ones(N, bool))
        np.testing.assert_array_equal(together(got), together(want), err_msg=str(seed))
        sizes.add(want.max())
    assert len(sizes) > 2  # two clusters and more


def test_with_core_distances_only_ties_are_broken_otherwise():
    """Rows share core distances, and scikit-learn joins equally near rows in another order."""
    same = 0
    for seed in range(40):
        distances = clouds(seed)
        got = labels(neighbours=3)(distances.astype(np.float32), np.ones(N, bool))
        differ = together(got) != together(oracle(distances, neighbours=3))
        assert differ.mean() < 0.15
        same += not differ.any()
    assert same >= 36


def test_absent_rows_are_as_if_they_were_not_there():
    for seed in range(10):
        distances, there = clouds(seed), np.random.default_rng(seed).random(N) < 0.7
        spoilt = np.where(there[:, None] & there, distances, np.nan).astype(np.float32)
        got = np.asarray(labels()(spoilt, there))
        want = oracle(distances[np.ix_(there, there)])
        np.testing.assert_array_equal(together(got[there]), together(want))
        assert (got[~there] == -1).all()


def test_equal_rows_are_clusters_and_nobody_is_noise():
    points = np.repeat(np.float32([0, 1, 5]), 8)
    got = np.asarray(labels(neighbours=3)(np.abs(points[:, None] - points), np.ones(N, bool)))
    assert len(set(got)) == 3 and got.min() >= 0
    assert all(len(set(got[i : i + 8])) == 1 for i in (0, 8, 16))
    nobody = labels(neighbours=3)(jnp.zeros((N, N)), jnp.zeros(N, bool))
    np.testing.assert_array_equal(nobody, -1)
