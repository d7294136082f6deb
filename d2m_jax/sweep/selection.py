"""Hyper-parameters chosen on validation and judged on test; confidence bands over seeds. Host only.

Pure functions of the frame `load(path).runs`. Not here: plots (`report/sweep.py`).
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats


def bands(
    runs: pd.DataFrame,
    by: Sequence[str],
    value: str = "test_accuracy",
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Mean of a column and its confidence band, for every combination of some fields.

    Band: mean -+ t s / sqrt(n), with t of Student's distribution for n - 1 degrees of freedom and
    s the sample deviation over the n runs (seeds). One run has no band: NaN.

    Args:
        runs: rows of runs; those that failed are left out.
        by: fields that stay apart; all others are averaged over.
        value: column.
        confidence: of the band.

    Returns:
        One row per combination: the fields, mean, low, high, count.
    """
    done = runs[runs["status"] == "done"]
    facts = done.groupby(list(by), dropna=False)[value].agg(["mean", "std", "count"]).reset_index()
    quantile = stats.t.ppf(0.5 + confidence / 2, np.maximum(facts["count"] - 1, 1))
    half = np.where(facts["count"] > 1, quantile * facts["std"] / np.sqrt(facts["count"]), np.nan)
    return facts.assign(low=facts["mean"] - half, high=facts["mean"] + half).drop(columns="std")


def worst_case(
    runs: pd.DataFrame,
    by: Sequence[str],
    over: str = "spec.attack",
    value: str = "test_accuracy",
) -> pd.DataFrame:
    """The attack under which the mean over seeds is least, for every combination of some fields.

    Returns:
        One row per combination: the fields, the worst `over`, mean, low, high, count.
    """
    table = bands(runs, [*by, over], value)
    worst = table.groupby(list(by), dropna=False)["mean"].idxmin()
    return table.loc[worst].reset_index(drop=True)


def choose(
    runs: pd.DataFrame,
    per: Sequence[str],
    among: Sequence[str],
    *,
    over: str = "spec.attack",
    validation: str = "metric",
    report: str = "test_accuracy",
) -> pd.DataFrame:
    """The best setting for every defence, as ByzFL chooses it.

    For every combination of `per` (say, rule and Byzantine count) and every setting of `among`
    (say, learning rate), the validation metric is averaged over seeds and the worst attack counts;
    the setting with the best worst case is chosen, and only its test accuracy is reported, again
    under the worst attack. The test set has no part in the choice.

    Args:
        runs: rows of runs.
        per: fields for which a setting is chosen separately.
        among: fields that make up a setting.
        over: field whose worst value counts.
        validation: column to choose by: the accuracy on the buyer's verdict examples.
        report: column to report.

    Returns:
        One row per combination of `per`: it, the chosen setting, `validation` (worst case), the
        worst attack on test, mean, low, high, count.

    Source: the hyper-parameter selection of ByzFL (Gonzalez et al. 2025).
    """
    judged = worst_case(runs, [*per, *among], over, validation)
    groups = judged.groupby(list(per), dropna=False) if per else [((), judged)]
    best = judged.loc[[rows["mean"].idxmax() for _, rows in groups]]
    best = best[[*per, *among, "mean"]].rename(columns={"mean": "validation"})
    return best.merge(worst_case(runs, [*per, *among], over, report), on=[*per, *among])
