"""Choice of hyper-parameters and bands, against numbers worked out by hand."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from d2m_jax.sweep.selection import against_best, bands, choose, worst_case


def frame(rows):
    table = pd.DataFrame(rows, columns=["lr", "spec.attack", "seed", "metric", "test_metric"])
    return table.assign(status="done", **{"spec.aggregator": "krum"})


RUNS = frame(
    [
        (0.1, "alie", 0, 0.90, 0.80),
        (0.1, "alie", 1, 0.80, 0.70),
        (0.1, "ipm", 0, 0.50, 0.99),
        (0.1, "ipm", 1, 0.50, 0.97),
        (1.0, "alie", 0, 0.60, 0.10),
        (1.0, "alie", 1, 0.60, 0.30),
        (1.0, "ipm", 0, 0.70, 0.90),
        (1.0, "ipm", 1, 0.70, 0.90),
    ]
)


def test_bands_by_hand():
    """0.8 and 0.7: mean 0.75, s = 0.0707, t(0.975, 1) = 12.706, half width 0.6353."""
    row = bands(RUNS, ["lr", "spec.attack"]).iloc[0]
    assert row["count"] == 2 and row["mean"] == pytest.approx(0.75)
    assert row["high"] - row["mean"] == pytest.approx(12.7062 * 0.0707107 / 2**0.5, rel=1e-4)
    one = bands(RUNS[RUNS["seed"] == 0], ["lr", "spec.attack"])
    assert one["low"].isna().all() and (one["count"] == 1).all()


def test_data_seeds_are_the_repetitions_where_they_vary():
    """Two data seeds with means 0.5 and 0.7: n = 2, not 4; mean 0.6, half width 12.706 * 0.1."""
    rows = RUNS[(RUNS["lr"] == 0.1)].assign(test_metric=[0.4, 0.6, 0.65, 0.75])
    rows["data.seed"] = [0, 0, 1, 1]
    (row,) = bands(rows, ["lr"]).to_dict("records")
    assert row["count"] == 2 and row["mean"] == pytest.approx(0.6)
    assert row["high"] - row["mean"] == pytest.approx(1.27062, rel=1e-4)
    (row,) = bands(rows.assign(**{"data.seed": 0}), ["lr"]).to_dict("records")  # over seeds
    assert row["count"] == 2 and row["mean"] == pytest.approx((0.525 + 0.675) / 2)
    assert row["high"] - row["mean"] == pytest.approx(12.7062 * 0.075, rel=1e-4)


@pytest.mark.parametrize("absent", ["failed", "nan", "gone"])
def test_an_attack_without_a_result_does_not_flatter(absent):
    """lr 0.1 without its runs under ipm would look best; it is not judged, and 1.0 is chosen."""
    hole = (RUNS["lr"] == 0.1) & (RUNS["spec.attack"] == "ipm")
    runs = RUNS.copy()
    if absent == "failed":
        runs.loc[hole, "status"] = "failed"
    elif absent == "nan":
        runs.loc[hole, ["metric", "test_metric"]] = np.nan
    else:
        runs = runs[~hole]
    one, two = worst_case(runs, ["lr"]).to_dict("records")
    assert np.isnan([one["mean"], one["low"], one["high"]]).all()
    assert one["note"] == "no result under ipm" and pd.isna(one["spec.attack"])
    assert two["mean"] == pytest.approx(0.2) and two["note"] == ""
    assert choose(runs, ["spec.aggregator"], ["lr"])["lr"].tolist() == [1.0]
    (row,) = choose(runs[runs["lr"] == 0.1], ["lr"], ["spec.aggregator"]).to_dict("records")
    assert absent == "gone" or (np.isnan(row["validation"]) and "ipm" in row["note"])


def test_a_defence_of_which_all_runs_failed_has_a_row():
    lost = RUNS.assign(status="failed", **{"spec.aggregator": "caf"})
    rows = worst_case(pd.concat([RUNS, lost]), ["spec.aggregator"]).to_dict("records")
    assert [row["spec.aggregator"] for row in rows] == ["caf", "krum"]
    assert np.isnan(rows[0]["mean"]) and rows[0]["count"] == 0
    assert rows[0]["note"] == "no result under alie, ipm" and rows[1]["note"] == ""
    (row,) = choose(lost, ["spec.aggregator"], []).to_dict("records")
    assert np.isnan(row["validation"]) and np.isnan(row["mean"])


def test_bands_cover_the_truth_as_often_as_they_say():
    rng = np.random.default_rng(0)
    draws = rng.normal(3, 2, (2_000, 5))
    rows = pd.DataFrame({"x": np.repeat(np.arange(2_000), 5), "v": draws.ravel()})
    table = bands(rows.assign(status="done"), ["x"], "v", confidence=0.9)
    hits = ((table["low"] <= 3) & (table["high"] >= 3)).sum()
    assert stats.binomtest(int(hits), 2_000, 0.9).pvalue > 1e-4


def test_the_choice_is_by_the_worst_attack_on_validation_and_test_is_only_reported():
    """lr 0.1 has worst validation 0.5 (ipm), lr 1.0 has 0.6 (alie), so 1.0 is chosen, though on
    test 0.1 would look far better."""
    (row,) = choose(RUNS, ["spec.aggregator"], ["lr"]).to_dict("records")
    assert row["lr"] == 1.0 and row["validation"] == pytest.approx(0.6)
    assert row["spec.attack"] == "alie" and row["mean"] == pytest.approx(0.2)
    spoilt = RUNS.assign(test_metric=1 - RUNS["test_metric"])
    assert choose(spoilt, ["spec.aggregator"], ["lr"])["lr"].tolist() == [1.0]
    assert choose(RUNS, [], ["lr"])["lr"].tolist() == [1.0]


def test_failed_runs_do_not_count():
    bad = RUNS.assign(status=np.where(RUNS["seed"] == 1, "failed", "done"))
    table = worst_case(bad, ["lr"])
    assert table["mean"].tolist() == pytest.approx([0.8, 0.1]) and (table["count"] == 1).all()


def noisy(gap, seeds=6, shared=0.3, own=0.02, start=0):
    """Three rules in the same worlds: the world moves all alike, each rule has noise of its own."""
    rng, table = np.random.default_rng(start), []
    for seed in range(seeds):
        world = shared * rng.normal()
        for rule, mean in {"a": 0.6, "b": 0.6 - gap, "c": 0.3}.items():
            table.append((0.1, rule, seed, 0.0, mean + world + own * rng.normal()))
    return frame(table)


def test_differences_in_the_same_world_tell_what_means_alone_cannot():
    runs = noisy(0.1)
    table = against_best(runs, "spec.attack").set_index("spec.attack")
    assert table["noise"].to_dict() == {"a": "best", "b": "worse", "c": "worse"}
    assert table.loc["b", "low"] < table.loc["a", "mean"] < table.loc["b", "high"]  # bands overlap
    wide = runs.pivot(index="seed", columns="spec.attack", values="test_metric")
    apart = wide["a"] - wide["b"]
    level = 1 - 0.05 / (2 * 3)  # three pairs
    margin = stats.t.ppf(level, 5) * apart.std(ddof=1) / np.sqrt(6)
    assert table.loc["b", "gap"] == pytest.approx(apart.mean())
    assert table.loc["b", "margin"] == pytest.approx(margin)
    assert stats.ttest_rel(wide["a"], wide["b"]).pvalue < 0.05 / 3  # as scipy has it


def test_where_less_is_better_the_best_is_the_least():
    table = against_best(noisy(0.1), "spec.attack", better=-1)
    assert table["spec.attack"].tolist() == ["c", "b", "a"] and table["noise"].iloc[0] == "best"


def test_rules_that_are_alike_are_rarely_told_apart():
    """The picked best one included: at most 5 % of 400 worlds in which nobody is better."""
    false = 0
    for start in range(400):
        runs = noisy(0.0, start=start)
        table = against_best(runs[runs["spec.attack"] != "c"], "spec.attack")
        false += (table["noise"] == "worse").any()
    assert false / 400 < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 400)


@pytest.mark.parametrize(("seeds", "word"), [(1, "unknown"), (4, "unknown"), (8, "worse")])
def test_exactly_the_same_difference_counts_as_a_sign(seeds, word):
    """Of three pairs, 0.5^n must be below 0.05 / 6: seven repetitions."""
    table = against_best(noisy(0.1, seeds, shared=0.0, own=0.0), "spec.attack")
    assert table["noise"].tolist() == ["best", word, word]


def test_the_same_numbers_are_within_noise():
    assert against_best(noisy(0.0, 2, 0.1, 0.0), "spec.attack")["noise"].tolist()[:2] == [
        "best", "within noise",
    ]  # fmt: skip


def test_failed_runs_are_not_compared():
    runs = noisy(0.1)
    runs.loc[runs["spec.attack"] == "a", "status"] = "failed"
    assert against_best(runs, "spec.attack")["spec.attack"].tolist() == ["b", "c"]
    nobody = against_best(runs.assign(status="failed"), "spec.attack")
    assert len(nobody) == 0 and "noise" in nobody
