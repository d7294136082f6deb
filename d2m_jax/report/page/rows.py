"""The rows that a figure of a sweep is drawn from: means with intervals, per place. Host only.

The page in the browser makes the same rows when somebody chooses (`assets/statistics.js`).
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from d2m_jax.report.page.axes import REPEATS, Axis, View
from d2m_jax.report.page.measures import NEITHER, Measure
from d2m_jax.sweep.selection import against_best, bands, worst_case

NOT_SET = "not set"
WORDS = {"best": "the best one", "within noise": "within noise", "worse": "worse, beyond noise",
         "unknown": "too few repetitions to tell"}  # fmt: skip


def text_of(value: Any) -> str:
    """A value of an axis as it is written everywhere: 0.1, krum, not set."""
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return NOT_SET
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def figure_rows(
    runs: pd.DataFrame, view: View, measure: Measure, axes: Sequence[Axis]
) -> list[dict[str, Any]]:
    """One row per place of a figure, with all that its tooltip says.

    Args:
        runs: from `with_derived`; with a column `round` where that is along x.
        view: what stands where.
        measure: along y.
        axes: of the sweep.
    """
    places = [field for field in (view.x, view.by, view.panel) if field]
    table = _worst(runs, places, view, measure) if view.worst else bands(runs, places, measure.name)
    table = table[table["mean"].notna()]
    noise = dict(_noise(runs, view, measure)) if not view.worst else {}
    said_of = _settings(runs, view, axes)
    rows = []
    for record in table.to_dict("records"):
        place = tuple(text_of(record[field]) for field in places)
        x = record.get(view.x, "") if view.x else ""
        low, high = (clipped(record[name], measure) for name in ("low", "high"))
        rows.append(
            {
                "x": _number(x) if _is_number(view.x, axes) else text_of(x),
                "by": text_of(record[view.by]) if view.by else "",
                "panel": text_of(record[view.panel]) if view.panel else "",
                "mean": record["mean"],
                "low": low,
                "high": high,
                "count": int(record["count"]),
                "noise": WORDS.get(noise.get(place, ""), "not compared"),
                "setting": said_of(record),
            }
        )
    return [row for row in rows if row["x"] is not None]


def clipped(value: float, measure: Measure) -> float | None:
    """An end of an interval, inside of what the measure can be."""
    if value is None or math.isnan(value):
        return None
    low = -math.inf if measure.low is None else measure.low
    high = math.inf if measure.high is None else measure.high
    return float(min(max(value, low), high))


def _is_number(field: str, axes: Sequence[Axis]) -> bool:
    return field == "round" or any(axis.field == field and axis.is_number for axis in axes)


def _number(value: Any) -> float | None:
    return None if value is None or pd.isna(value) else float(value)


def _worst(runs: pd.DataFrame, places: list[str], view: View, measure: Measure) -> pd.DataFrame:
    """As `worst_case`; where less is better the worst is the largest."""
    if measure.better >= NEITHER:
        return worst_case(runs, places, view.worst, measure.name)
    flipped = runs.assign(**{measure.name: -runs[measure.name].astype("float64")})
    table = worst_case(flipped, places, view.worst, measure.name)
    ends = {"mean": -table["mean"], "low": -table["high"], "high": -table["low"]}
    return table.assign(**ends)


def _noise(
    runs: pd.DataFrame, view: View, measure: Measure
) -> Iterator[tuple[tuple[str, ...], str]]:
    """Place -> how its line stands against the best one there, where lines are compared."""
    if not view.by or measure.better == NEITHER:
        return
    outer = [field for field in (view.x, view.panel) if field]
    for _, part in runs.groupby(outer, dropna=False) if outer else [((), runs)]:
        found = against_best(part, view.by, measure.name, measure.better)
        ends = {field: text_of(part[field].iloc[0]) for field in outer}
        for by, word in zip(found[view.by], found["noise"]):
            place = {**ends, view.by: text_of(by)}
            yield tuple(place[f] for f in (view.x, view.by, view.panel) if f), word


def _settings(runs: pd.DataFrame, view: View, axes: Sequence[Axis]) -> Any:
    """A function from a record to the configuration behind it, in words."""
    shown = {view.x, view.by, view.panel}
    rest = [axis for axis in axes if axis.field not in shown and axis.field in runs]

    def said(record: dict[str, Any]) -> str:
        parts = []
        for axis in rest:
            values = [text_of(value) for value in axis.values]
            if axis.field == view.worst:
                parts.append(f"{axis.label} = {text_of(record[axis.field])} (the worst)")
            elif len(values) == 1:
                parts.append(f"{axis.label} = {values[0]}")
            else:
                listed = ", ".join(values[:6]) + (", ..." if len(values) > 6 else "")
                word = "repeats" if axis.field in REPEATS else "mean over"
                parts.append(f"{axis.label}: {word} {listed}")
        return "; ".join(parts) or "as the base"

    return said


def significant(value: Any, digits: int = 6) -> float | int | None:
    """A number short enough for a page; None for what is missing."""
    if value is None or value is pd.NA or not np.isfinite(value):
        return None
    if isinstance(value, bool | np.bool_):
        return int(value)
    short = float(f"{float(value):.{digits}g}")
    return int(short) if short.is_integer() and abs(short) < 2**53 else short
