"""What a sweep says, in sentences that know noise. Host only."""

from collections.abc import Sequence

import pandas as pd

from d2m_jax.report.page.axes import Axis
from d2m_jax.report.page.measures import HEADLINES, MORE, NEITHER, SHARE, Measure
from d2m_jax.report.page.rows import text_of
from d2m_jax.sweep.selection import against_best, bands

CONFIDENCE = 0.95
FEW = "too few repetitions to tell noise"
NAMED = 6  # at most so many are named in a sentence


def sentences(
    runs: pd.DataFrame, measures: Sequence[Measure], by: Axis | None, x: Axis | None
) -> list[tuple[str, str]]:
    """(measure, sentence) for every headline measure that these runs have.

    Args:
        runs: from `with_derived`; those that failed are left out.
        measures: of these runs.
        by: whose values are compared, over all runs.
        x: whose values are looked at one by one, too.
    """
    chosen = [m for name in HEADLINES for m in measures if m.name == name]
    return [(m.label, sentence(runs, m, by, x)) for m in chosen]


def sentence(runs: pd.DataFrame, measure: Measure, by: Axis | None, x: Axis | None) -> str:
    """What one measure says of the values of an axis."""
    values = runs[measure.name].dropna()
    if values.nunique() == 1:
        return f"{say(float(values.iloc[0]), measure)} in every run."
    if by is None:
        return f"{_whole(runs, measure)} on average."
    text = compared(runs, measure, by.field, by.label)
    places = places_apart(runs, measure, by.field, x.field) if x else []
    if places and x:
        text = f"{text[:-1]}. Beyond noise at {x.label} = {_named(places)}."
    return text


def places_apart(runs: pd.DataFrame, measure: Measure, by: str, x: str) -> list[str]:
    """The values of x at which some value of `by` is worse than the best one, beyond noise.

    At a level by which all values of x hold together (Bonferroni).
    """
    groups = list(runs.groupby(x))
    level = 1 - (1 - CONFIDENCE) / max(len(groups), 1)
    found = []
    for value, part in groups:
        table = against_best(part, by, measure.name, measure.better or MORE, level)
        if (table["noise"] == "worse").any():
            found.append(text_of(value))
    return found


def compared(runs: pd.DataFrame, measure: Measure, by: str, label: str) -> str:
    """How the values of a field stand against the best one, over all runs."""
    table = against_best(runs, by, measure.name, measure.better or MORE)
    name = {value: text_of(value) for value in table[by]}
    first, rest = table.iloc[0], table.iloc[1:]
    low, high = say(table["mean"].min(), measure), say(table["mean"].max(), measure)
    if low == high:
        return f"{low} for every value of {label}."
    if (rest["noise"] == "unknown").all():
        return f"{low} to {high}, best {name[first[by]]}; {FEW}."
    alike = [name[value] for value in rest[by][rest["noise"] == "within noise"]]
    worse = rest[rest["noise"] == "worse"]
    unknown = [name[value] for value in rest[by][rest["noise"] == "unknown"]]
    if not len(worse) and not unknown:
        return f"within noise for all values of {label}: {low} to {high}."
    best = "highest" if measure.better == NEITHER else "best"
    text = f"{best} with {label} = {name[first[by]]}: {_interval(first, measure)}"
    if alike:
        text += f"; within noise of it: {_named(alike)}"
    if unknown:
        text += f"; not to be told from it, {FEW}: {_named(unknown)}"
    if not len(worse):
        return f"{text}."
    last = worse.iloc[-1]
    apart = f"by {say(last['gap'], measure)} \u00b1 {say(last['margin'], measure)}"
    others = _named([name[value] for value in worse[by]])
    return f"{text}; beyond noise: {others} ({'the last ' if len(worse) > 1 else ''}{apart})."


def _whole(runs: pd.DataFrame, measure: Measure) -> str:
    table = bands(runs.assign(all=0), ["all"], measure.name)
    return _interval(table.iloc[0], measure)


def _interval(row: pd.Series, measure: Measure) -> str:
    if pd.isna(row["low"]):
        return say(row["mean"], measure)
    ends = f"{say(row['low'], measure)} to {say(row['high'], measure)}"
    return f"{say(row['mean'], measure)} ({ends})"


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def say(value: float, measure: Measure) -> str:
    """A number of a measure, as people write it."""
    if measure.style == SHARE:
        return f"{value:.3f}"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"
