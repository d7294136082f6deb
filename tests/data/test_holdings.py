"""The report, against a table worked out by hand and float64 loops."""

import numpy as np
import pytest
import scipy.stats

from d2m_jax.data import describe, dirichlet, report


def test_report_by_hand():
    """Labels a a b b b b; the first seller has a a b b, the second b b."""
    table = report(
        [np.array([0, 1, 2, 3]), np.array([4, 5])], np.array([0, 0, 1, 1, 1, 1]), ["a", "b"]
    )
    assert table.index.name == "seller"
    assert table.columns.tolist() == [
        *("size", "share", "class_a", "class_b", "num_classes", "entropy", "tv"),
    ]
    np.testing.assert_allclose(table.loc[0], [4, 2 / 3, 2, 2, 2, 1.0, 1 / 6])
    np.testing.assert_allclose(table.loc[1], [2, 1 / 3, 0, 2, 1, 0.0, 1 / 3])


def test_report_against_scipy():
    labels = np.random.default_rng(0).integers(0, 10, 3000)
    parts = dirichlet(0, labels, 12, alpha=0.3)
    table = report(parts, labels)
    whole = np.bincount(labels, minlength=10) / len(labels)
    for seller, part in enumerate(parts):
        mix = np.bincount(labels[part], minlength=10) / len(part)
        row = table.loc[seller]
        assert row["entropy"] == pytest.approx(scipy.stats.entropy(mix, base=2))
        assert row["tv"] == pytest.approx(np.maximum(mix - whole, 0).sum())
        assert row["num_classes"] == len(np.unique(labels[part]))
    assert table["share"].sum() == pytest.approx(1)


def test_a_seller_without_rows_has_no_distance():
    table = report([np.array([0, 1]), np.array([], int)], np.array([0, 1]))
    assert table.loc[1, "size"] == 0 and table.loc[1, "entropy"] == 0
    assert np.isnan(table.loc[1, "tv"])


def test_describe():
    labels = np.array([0, 0, 1, 1, 1, 1])
    text = describe(report([np.array([0, 1, 2, 3]), np.array([4, 5])], labels))
    assert text.splitlines() == [
        "2 sellers hold 6 images, 2 to 4 (median 3) each",
        "classes per seller 1 to 2 (median 2); distance of a seller's label mix from the whole "
        "(total variation) 0.17 to 0.33 (median 0.25)",
        "  seller 0    ▄▄        4 images",
        "  seller 1    ·█        2 images",
    ]
    short = describe(report([np.array([i]) for i in range(6)], labels), max_sellers=2)
    assert short.splitlines()[-1] == "  ... and 4 more"
