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
    value: str = "test_metric",
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Mean of a column and its confidence band, for every combination of some fields.

    Runs on the same data are not independent: they are averaged first, so that n counts data seeds
    where `data.seed` varies, else seeds, else (there is no such column) runs.
    Band: mean -+ t s / sqrt(n), with t of Student's distribution for n - 1 degrees of freedom and
    s the sample deviation over these n means. One of them has no band: NaN.

    Args:
        runs: rows of runs; those that failed are left out.
        by: fields that stay apart; all others are averaged over.
        value: column.
        confidence: of the band.

    Returns:
        One row per combination: the fields, mean, low, high, count (n).
    """
    done = runs[runs["status"] == "done"]
    done = done.assign(**{value: done[value].astype("float64")})
    unit = _unit(done, by)
    if unit:
        done = done.groupby([*by, unit], dropna=False)[value].mean().reset_index()
    facts = done.groupby(list(by), dropna=False)[value].agg(["mean", "std", "count"]).reset_index()
    quantile = stats.t.ppf(0.5 + confidence / 2, np.maximum(facts["count"] - 1, 1))
    half = np.where(facts["count"] > 1, quantile * facts["std"] / np.sqrt(facts["count"]), np.nan)
    return facts.assign(low=facts["mean"] - half, high=facts["mean"] + half).drop(columns="std")


def _unit(runs: pd.DataFrame, by: Sequence[str]) -> str:
    """The column whose values are independent repetitions, empty if there is none."""
    free = [field for field in ("data.seed", "seed") if field in runs and field not in by]
    varied = [field for field in free if runs[field].nunique(dropna=False) > 1]
    return next(iter([*varied, *free]), "")


def worst_case(
    runs: pd.DataFrame,
    by: Sequence[str],
    over: str = "spec.attack",
    value: str = "test_metric",
) -> pd.DataFrame:
    """The attack under which the mean over seeds is least, for every combination of some fields.

    A combination is judged only when it has a result under every value of `over` that occurs in
    `runs`, failed rows included: an attack whose runs failed must not flatter a rule. A combination
    of which all runs failed has a row, too.

    Returns:
        One row per combination: the fields, the worst `over`, mean, low, high, count, note. Where a
        value of `over` is missing, the numbers are NaN and the note names it.
    """
    wanted, every = set(runs[over].dropna()), runs[list(by)].drop_duplicates()
    table = pd.concat([bands(runs, [*by, over], value), every], ignore_index=True)
    rows = []
    for _, group in table.groupby(list(by), dropna=False) if by else [((), table)]:
        known = group[group["mean"].notna()]
        absent = sorted(wanted - set(known[over]), key=str)
        row = (group if absent else known.sort_values("mean", kind="stable")).iloc[0].to_dict()
        if absent:
            row.update(dict.fromkeys(("mean", "low", "high"), np.nan))
            row.update({over: np.nan, "count": 0})
        note = f"no result under {', '.join(map(str, absent))}" if absent else ""
        rows.append({**row, "count": int(row["count"]), "note": note})
    return pd.DataFrame(rows, columns=[*table.columns, "note"])


def whole_mean(values: pd.Series) -> float:
    """The mean of worst cases; NaN if one of them is, for what was not judged must not flatter."""
    return float(values.mean(skipna=False))


def choose(
    runs: pd.DataFrame,
    per: Sequence[str],
    among: Sequence[str],
    *,
    over: str = "spec.attack",
    validation: str = "metric",
    report: str = "test_metric",
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
        worst attack on test, mean, low, high, count, note.

    Source: the hyper-parameter selection of ByzFL (Gonzalez et al. 2025).
    """
    judged = worst_case(runs, [*per, *among], over, validation)
    groups = judged.groupby(list(per), dropna=False) if per else [((), judged)]
    best = judged.loc[[rows["mean"].fillna(-np.inf).idxmax() for _, rows in groups]]
    best = best[[*per, *among, "mean"]].rename(columns={"mean": "validation"})
    return best.merge(worst_case(runs, [*per, *among], over, report), on=[*per, *among])
