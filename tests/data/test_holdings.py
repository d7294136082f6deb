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
        "2 sellers hold 6 examples, 2 to 4 (median 3) each",
        "classes per seller 1 to 2 (median 2); distance of a seller's label mix from the whole "
        "(total variation) 0.17 to 0.33 (median 0.25)",
        "  seller 0    ▄▄        4 examples",
        "  seller 1    ·█        2 examples",
    ]
    short = describe(report([np.array([i]) for i in range(6)], labels), max_sellers=2)
    assert short.splitlines()[-1] == "  ... and 4 more"


def test_numbers_are_reported_by_quantiles():
    labels = np.array([0.0, 1, 2, 3, 4, 10, 20, 30])
    table = report([np.arange(5), np.arange(5, 8)], labels)
    assert table.columns.tolist() == [
        *("size", "share", "label_0.05", "label_0.25", "label_0.5", "label_0.75", "label_0.95"),
        "ks",
    ]
    assert table["label_0.5"].tolist() == [2, 20]
    for seller, own in enumerate((labels[:5], labels[5:])):
        expected = scipy.stats.ks_2samp(own, labels).statistic
        assert table.loc[seller, "ks"] == pytest.approx(expected)
    lines = describe(table, what="rows").splitlines()
    assert lines[0] == "2 sellers hold 8 rows, 3 to 5 (median 4) each"
    assert "distance of a seller's labels from the whole" in lines[1]
    assert lines[2] == "  seller 0    labels 0.2 to 3.8, half below 2         5 rows"


@pytest.mark.parametrize("labels", [None, np.zeros((4, 3), int)])
def test_without_labels_there_are_sizes(labels):
    table = report([np.array([0, 1, 2]), np.array([3])], labels)
    assert table.columns.tolist() == ["size", "share"] and table["size"].tolist() == [3, 1]
    assert describe(table).splitlines()[1] == "  seller 0           3 examples"


def test_strata_beyond_the_names_have_their_number():
    table = report([np.array([0, 1, 2])], np.array([0, 2, 1]), ["a"])
    assert [name for name in table if name.startswith("class_")] == [
        "class_a",
        "class_1",
        "class_2",
    ]
