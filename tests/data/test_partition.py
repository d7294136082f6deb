"""Partitions: what every one guarantees, and each against theory or a hand-made case."""

import time

import hypothesis.strategies as st
import numpy as np
import pytest
import scipy.stats
from hypothesis import given

from d2m_jax.data import (
    PARTITIONS,
    dealing,
    dirichlet,
    gamma_similarity,
    iid,
    inner_dirichlet,
    lognormal_sizes,
    shards,
)

POWERS = st.floats(-6, 6)


@st.composite
def cases(draw):
    """(name, labels, sellers, options): every parameter anywhere in its range."""
    name = draw(st.sampled_from(sorted(PARTITIONS)))
    num_rows = draw(st.integers(1, 120))
    num_classes = draw(st.integers(1, 12))
    label_seed = draw(st.integers(0, 9))
    labels = np.random.default_rng(label_seed).integers(0, num_classes, num_rows)
    num_sellers = draw(st.integers(1, num_rows))
    if name == "clients":
        ids = np.random.default_rng(label_seed + 1).integers(0, num_classes, num_rows) * 7
        return name, labels, draw(st.integers(1, len(np.unique(ids)))), {"clients": ids}
    options = {"min_samples": draw(st.integers(0, num_rows // num_sellers))}
    if name in ("dirichlet", "inner_dirichlet"):
        options["alpha"] = 10 ** draw(POWERS)
    if name in ("inner_dirichlet", "lognormal_sizes"):
        options["sigma"] = draw(st.floats(0, 50))
    if name == "gamma_similarity":
        options["gamma"] = draw(st.floats(0, 1))
    if name == "shards":
        least = -(-len(np.unique(labels)) // num_sellers)
        options["classes_per_seller"] = draw(st.integers(least, least + 5))
    return name, labels, num_sellers, options


@given(case=cases(), seed=st.integers(0, 2**32))
def test_disjoint_complete_served_and_repeatable(case, seed):
    name, labels, num_sellers, options = case
    parts = PARTITIONS[name](seed, labels, num_sellers, **options)
    assert len(parts) == num_sellers
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(labels)))
    assert min(len(part) for part in parts) >= options.get("min_samples", 1)
    again = PARTITIONS[name](seed, labels, num_sellers, **options)
    assert all(np.array_equal(a, b) for a, b in zip(parts, again))


@pytest.mark.parametrize("name", PARTITIONS)
def test_seeds_differ_and_parts_are_sorted(name):
    labels = np.arange(600) % 10
    own = {"clients": np.arange(600) % 29} if name == "clients" else {}
    one, two = (PARTITIONS[name](seed, labels, 6, **own) for seed in (0, 1))
    assert any(not np.array_equal(a, b) for a, b in zip(one, two))
    assert all((np.diff(part) > 0).all() and part.dtype == np.int64 for part in one)


@pytest.mark.parametrize("name", PARTITIONS)
@pytest.mark.parametrize(
    "options", [{"alpha": 1e-6, "sigma": 1e3, "gamma": 0.0}, {"alpha": 1e6, "sigma": 0.0}]
)
def test_as_many_sellers_as_samples_ends_soon(name, options):
    """The case in which drawing again until all are served would never end."""
    labels = np.arange(3000) % 10
    known = {"dirichlet": "alpha", "inner_dirichlet": "alpha sigma", "lognormal_sizes": "sigma"}
    known["gamma_similarity"] = "gamma"
    own = {key: options[key] for key in known.get(name, "").split() if key in options}
    if name == "clients":
        own["clients"] = np.arange(3000)
    start = time.perf_counter()
    parts = PARTITIONS[name](0, labels, 3000, **own)
    assert time.perf_counter() - start < 20
    assert [len(part) for part in parts] == [1] * 3000


@pytest.mark.parametrize("alpha", [1e-308, 5e-324, 1e308])
def test_dirichlet_takes_any_positive_float(alpha):
    for deal in (dirichlet, inner_dirichlet):
        parts = deal(0, np.arange(100) % 3, 7, alpha=alpha)
        assert sorted(np.concatenate(parts).tolist()) == list(range(100))


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("iid", {"num_sellers": 0}, "num_sellers must be at least 1, not 0"),
        ("iid", {"num_sellers": 31}, "31 samples, but there are 30"),
        ("iid", {"min_samples": 16}, "2 sellers with at least 16 samples each need 32 samples"),
        ("iid", {"min_samples": -1}, "min_samples must not be negative"),
        ("iid", {"labels": np.zeros((3, 2), int)}, "labels must have one axis"),
        ("dirichlet", {"alpha": 0}, "alpha must be a positive number, not 0"),
        ("dirichlet", {"alpha": -1.0}, "alpha must be a positive number"),
        ("dirichlet", {"alpha": float("nan")}, "alpha must be a positive number, not nan"),
        ("inner_dirichlet", {"alpha": float("inf")}, "alpha must be a positive number, not inf"),
        ("inner_dirichlet", {"sigma": -0.1}, "sigma must be a number of at least 0"),
        ("lognormal_sizes", {"sigma": float("nan")}, "sigma must be a number of at least 0"),
        ("gamma_similarity", {"gamma": 1.01}, "gamma must be between 0 and 1, not 1.01"),
        ("gamma_similarity", {"gamma": float("nan")}, "gamma must be between 0 and 1"),
        ("shards", {"classes_per_seller": 0}, "classes_per_seller must be at least 1"),
        ("shards", {"classes_per_seller": 4}, r"2 sellers .* cannot hold all 10 classes"),
    ],
)
def test_arguments_out_of_range(name, arguments, message):
    arguments = {"seed": 0, "labels": np.arange(30) % 10, "num_sellers": 2} | arguments
    with pytest.raises(ValueError, match=message):
        PARTITIONS[name](**arguments)


# ------------------------------------------------------------------------------ one at a time


def test_iid_is_even_and_unskewed():
    labels = np.repeat(np.arange(10), 1000)
    parts = iid(0, labels, 7)
    sizes = [len(part) for part in parts]
    assert max(sizes) - min(sizes) <= 1
    counts = np.stack([np.bincount(labels[part], minlength=10) for part in parts])
    # independence of seller and label; rows are dealt without replacement
    assert scipy.stats.chi2_contingency(counts).pvalue > 1e-4


@pytest.mark.parametrize(("alpha", "n"), [(0.1, 5), (0.5, 20), (2.0, 10), (100.0, 4)])
def test_dirichlet_shares_have_the_moments_of_theory(alpha, n):
    """1,000 classes are 1,000 independent draws: mean 1/n, variance (n-1)/(n^2 (n alpha + 1)).

    Intervals are five standard errors; that of the variance uses the beta law's kurtosis. Cutting
    1,000 rows adds a rounding variance below 2 / (12 * 1000^2).
    """
    classes, per_class = 1000, 1000
    labels = np.repeat(np.arange(classes), per_class)
    parts = dirichlet(0, labels, n, alpha=alpha)
    shares = np.stack([np.bincount(labels[part], minlength=classes) for part in parts]) / per_class
    variance = (n - 1) / (n**2 * (n * alpha + 1))
    mean_error = 5 * np.sqrt(variance / classes)
    np.testing.assert_allclose(shares.mean(1), 1 / n, atol=mean_error)
    excess = float(scipy.stats.beta.stats(alpha, (n - 1) * alpha, moments="k"))
    variance_error = 5 * variance * np.sqrt((excess + 2) / classes) + 2 / (12 * per_class**2)
    np.testing.assert_allclose(shares.var(1), variance, atol=variance_error)


def test_dirichlet_shares_follow_the_beta_law():
    labels = np.repeat(np.arange(1000), 2000)
    parts = dirichlet(1, labels, 8, alpha=3.0)
    for seller in (0, 7):  # also the last one, who gets what the cuts leave
        shares = np.bincount(labels[parts[seller]], minlength=1000) / 2000
        assert scipy.stats.kstest(shares, scipy.stats.beta(3.0, 21.0).cdf).pvalue > 1e-3


def test_dirichlet_extremes():
    labels = np.repeat(np.arange(10), 100)
    even = dirichlet(0, labels, 10, alpha=1e6)
    counts = np.stack([np.bincount(labels[part], minlength=10) for part in even])
    assert np.abs(counts - 10).max() <= 1
    alone = dirichlet(0, labels, 10, alpha=1e-6, min_samples=0)
    counts = np.stack([np.bincount(labels[part], minlength=10) for part in alone])
    assert ((counts == 0) | (counts == 100)).all()


def test_inner_dirichlet_has_its_own_sizes_and_mixes():
    labels = np.repeat(np.arange(10), 2000)
    parts = inner_dirichlet(0, labels, 40, alpha=1e-3)
    sizes = [len(part) for part in parts]
    assert max(sizes) - min(sizes) <= 1
    top = [np.bincount(labels[part]).max() / len(part) for part in parts]
    assert np.median(top) > 0.95  # one class each, until classes run out
    mixed = inner_dirichlet(0, labels, 40, alpha=1e6)
    counts = np.stack([np.bincount(labels[part], minlength=10) for part in mixed])
    assert np.abs(counts - 50).max() <= 5  # rounding only; the last seller gets its sum


def test_lognormal_sizes_have_the_spread_asked_for():
    """log sizes are normal with deviation sigma, up to the common factor; 1,000 sellers."""
    labels = np.zeros(2_000_000, np.int8)
    sizes = np.array([len(part) for part in lognormal_sizes(0, labels, 1000, sigma=0.7)])
    logs = np.log(sizes)
    assert abs(logs.std() - 0.7) < 5 * 0.7 / np.sqrt(2 * 1000)
    assert scipy.stats.kstest((logs - logs.mean()) / logs.std(), "norm").pvalue > 1e-3
    even = lognormal_sizes(0, labels[:1003], 10, sigma=0)
    assert {len(part) for part in even} <= {100, 101}


@pytest.mark.parametrize(("n", "c"), [(5, 2), (10, 1), (20, 2), (7, 3), (3, 10)])
def test_shards_hold_few_classes_in_equal_shares(n, c):
    labels = np.repeat(np.arange(10), 420)
    parts = shards(0, labels, n, classes_per_seller=c)
    held = [len(np.unique(labels[part])) for part in parts]
    assert max(held) <= c
    counts = np.stack([np.bincount(labels[part], minlength=10) for part in parts])
    size = [420 / k for k in (np.floor(n * c / 10), np.ceil(n * c / 10))]  # shards per class
    multiples = [counts[counts > 0] / s for s in size]
    near = np.minimum(*(np.abs(m - np.rint(m)) * s for m, s in zip(multiples, size)))
    assert near.max() <= c  # each count is a sum of at most c whole shards, up to rounding


@pytest.mark.parametrize("n", [2, 3, 10, 15])
def test_gamma_0_is_the_sorted_cut_and_gamma_1_is_even(n):
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(10), 31))
    blocks = np.array_split(np.sort(labels), n)
    parts = gamma_similarity(0, labels, n, gamma=0.0)
    assert [sorted(labels[part]) for part in parts] == [block.tolist() for block in blocks]
    for gamma in (0.3, 1.0):
        parts = gamma_similarity(0, labels, n, gamma=gamma)
        assert [len(part) for part in parts] == [len(block) for block in blocks]


def test_gamma_is_the_share_dealt_evenly():
    """10 sellers, 10 classes: a seller has 1 - gamma of its own class and gamma of a fair mix."""
    labels = np.repeat(np.arange(10), 5000)
    parts = gamma_similarity(3, labels, 10, gamma=0.4)
    counts = np.stack([np.bincount(labels[part], minlength=10) for part in parts])
    expected = np.where(np.eye(10), 0.6 * 5000 + 0.4 * 500, 0.4 * 500)
    assert np.abs(counts - expected).max() < 5 * np.sqrt(0.4 * 5000 * 0.25)


# ------------------------------------------------------------------------------------- helpers


@pytest.mark.parametrize(
    ("sizes", "least", "result"),
    [
        ([10, 0, 0], 2, [6, 2, 2]),
        ([5, 5, 0], 3, [3, 4, 3]),
        ([3, 3, 3], 3, [3, 3, 3]),
        ([9, 4, 1], 4, [6, 4, 4]),
        ([0, 7], 0, [0, 7]),
    ],
)
def test_repair_takes_from_the_largest(sizes, least, result):
    parts = np.split(np.arange(sum(sizes)), np.cumsum(sizes)[:-1])
    repaired = dealing.repair(np.random.default_rng(0), parts, least)
    assert [len(part) for part in repaired] == result
    assert sorted(np.concatenate(repaired).tolist()) == list(range(sum(sizes)))
    for before, after in zip(parts, repaired):  # nobody both gives and takes
        assert set(before) <= set(after) or set(after) <= set(before)


@pytest.mark.parametrize(
    ("weights", "total", "result"),
    [
        ([1, 1, 1], 3, [1, 1, 1]),
        ([10, 20, 70], 10, [2, 2, 6]),  # 1 + (0.7, 1.4, 4.9): two left, to .9 and .7
        ([1, 999], 4, [1, 3]),
    ],
)
def test_apportion_by_hand(weights, total, result):
    assert dealing.apportion(np.array(weights), total).tolist() == result


@pytest.mark.parametrize(
    ("shares", "total", "result"),
    [([0.5, 0.5], 3, [2]), ([0.25, 0.25, 0.5], 8, [2, 4]), ([1e-9, 1.0], 5, [0]), ([2, 6], 8, [2])],
)
def test_borders_by_hand(shares, total, result):
    assert dealing.borders(np.array(shares), total).tolist() == result


def test_fill_never_takes_what_is_not_there():
    rng = np.random.default_rng(0)
    left = np.array([3, 0, 50, 2])
    for size in (0, 5, 55):
        taken = dealing.fill(rng, size, np.array([1.0, 0.0, 0.0, 0.0]), left)
        assert taken.sum() == size and (taken <= left).all()
        assert taken[0] == min(size, 3)


def test_fill_rounds_without_bias():
    """7 rows in shares 0.1, 0.2 and 0.7: each class rounded down or up, right on average."""
    rng, mix, left = np.random.default_rng(0), np.array([0.1, 0.2, 0.7]), np.full(3, 100)
    draws = np.stack([dealing.fill(rng, 7, mix, left) for _ in range(4000)])
    assert (np.abs(draws - 7 * mix) < 1).all()
    np.testing.assert_allclose(draws.mean(0), 7 * mix, atol=5 * 0.5 / np.sqrt(4000))
