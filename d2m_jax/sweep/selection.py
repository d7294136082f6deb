"""Hyper-parameters chosen on validation and judged on test; confidence bands over seeds. Host only.

Pure functions of the frame `load(path).runs`. Not here: figures (`report/page/`).
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


def against_best(
    runs: pd.DataFrame,
    by: str,
    value: str = "test_metric",
    better: int = 1,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Every value of a field against the best one: is the difference more than noise?

    Runs are averaged per value of `by` and repetition (as in `bands`); differences are those of the
    same repetition, so that what all share drops out. A difference is within noise when the
    interval d -+ t s / sqrt(n) holds 0, at a level by which all pairs hold together (Bonferroni,
    because the best one is picked by looking).

    Args:
        runs: rows of runs; those that failed are left out.
        by: field whose values are compared.
        value: column.
        better: 1 where more is better, -1 where less is.
        confidence: of all pairs together.

    Returns:
        One row per value of `by`, the best one first: it, mean, low, high (as `bands`), gap (to the
        best one), margin (of the gap; NaN where it is not known), noise: "best", "within noise",
        "worse" or "unknown" (one repetition, or a few with exactly the same difference).
    """
    done = runs[(runs["status"] == "done") & runs[by].notna()]
    table = bands(done, [by], value, confidence)
    table = table[table["mean"].notna()].sort_values("mean", ascending=better < 0, kind="stable")
    unit, pairs = _unit(done, [by]), max(len(table) * (len(table) - 1) // 2, 1)
    level = 1 - (1 - confidence) / (2 * pairs)
    means = done.assign(**{value: done[value].astype("float64")})
    means = means.pivot_table(index=unit or by, columns=by, values=value)
    first, facts = table[by].iloc[0] if len(table) else None, []
    for name, mean in zip(table[by], table["mean"]):
        apart = (means[first] - means[name]).dropna().to_numpy() if unit else np.empty(0)
        gap = float(abs(apart.mean() if len(apart) else table["mean"].iloc[0] - mean))
        margin = _margin(apart, level) if gap else 0.0
        facts.append((gap, margin, "best" if name == first else _noise(gap, margin)))
    told = pd.DataFrame(facts, columns=["gap", "margin", "noise"], index=table.index)
    return table.join(told).reset_index(drop=True)


def _margin(differences: np.ndarray, level: float) -> float:
    """Half the width of the interval of a mean difference; NaN where nothing can be said.

    Differences that are all the same have no spread to judge by: only their number counts, by a
    sign test, as for facts that came out alike in a few repetitions.
    """
    count = len(differences)
    if count < 2:
        return np.nan
    if np.ptp(differences) <= 1e-6 * np.abs(differences).max():
        return 0.0 if 0.5**count <= 1 - level else np.nan
    deviation = differences.std(ddof=1) / np.sqrt(count)
    return float(stats.t.ppf(level, count - 1) * deviation)


def _noise(gap: float, margin: float) -> str:
    if np.isnan(margin):
        return "unknown"
    return "within noise" if gap <= margin else "worse"
