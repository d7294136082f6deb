"""What the page of a sweep carries: runs, rounds, axes, measures, templates. Host only.

Every axis is a column of codes into its values, every measure a column of numbers; constant parts
of the configuration stand once, in the base. A run costs about 100 bytes.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from d2m_jax.report.columns import TABLES
from d2m_jax.report.page.axes import REPEATS, Axis, View, swept
from d2m_jax.report.page.charts import templates
from d2m_jax.report.page.facts import (
    ROUND,
    by_facts,
    measure_facts,
    panel_facts,
    words,
    x_facts,
)
from d2m_jax.report.page.measures import GROUPS, HEADLINES, Measure
from d2m_jax.report.page.rows import significant, text_of
from d2m_jax.report.page.summary import say

WORD_COLUMNS = ("status", "phase", "reason")
ROUND_MEASURES = ("test_metric", "test_loss", "byzantine_mass")
MOST_NUMBERS = 400_000  # of the rounds; more rounds than that are thinned out


def data_of(
    name: str,
    runs: pd.DataFrame,
    rounds: pd.DataFrame,
    axes: Sequence[Axis],
    measures: Sequence[Measure],
    view: View,
    kind: str,
    base: dict[str, Any],
) -> dict[str, Any]:
    """The data of the page.

    Args:
        name: of the sweep.
        runs: from `with_derived`, those that failed too.
        rounds: of the runs that are done.
        axes: from `axes_of`.
        measures: from `measures_of`.
        view: the first figure.
        kind: "auto" or "heat".
        base: the configuration that the axes change.
    """
    source = {
        "count": len(runs),
        "codes": {axis.field: codes(runs[axis.field], axis) for axis in axes},
        "numbers": {m.name: column(runs[m.name]) for m in measures},
    }
    free = {axis.field for axis in swept(axes)}
    return {
        "name": name,
        "axes": [axis_data(axis, axis.field in free) for axis in axes],
        "measures": [measure_data(m) for m in measures],
        "groups": [group_data(group, runs, measures) for group in GROUPS],
        "headlines": HEADLINES,
        "source": source,
        "keys": runs["key"].tolist(),
        "words": {n: word_column(runs[n], n) for n in WORD_COLUMNS if _is_told(runs, n)},
        "rounds": round_data(runs, rounds, measures),
        "round": x_facts(ROUND),
        "nothing": {"x": x_facts(None), "by": by_facts(None), "panel": panel_facts(None)},
        "templates": templates(),
        "view": view._asdict(),
        "kind": kind,
        "gallery": gallery(view, axes, measures, runs),
        "base": base,
    }


def axis_data(axis: Axis, is_swept: bool) -> dict[str, Any]:
    """An axis with what a template needs of it in each place."""
    return {
        "field": axis.field,
        "label": axis.label,
        "words": words(axis),
        "is_number": axis.is_number,
        "values": axis.values,
        "texts": [text_of(value) for value in axis.values],
        "follows": axis.follows,
        "repeats": axis.field in REPEATS,
        "swept": is_swept,
        "facts": {"x": x_facts(axis), "by": by_facts(axis), "panel": panel_facts(axis)},
    }


def measure_data(measure: Measure) -> dict[str, Any]:
    """A measure with what a template needs of it."""
    told = {**measure._asdict(), "label": measure.label, "is_fact": measure.is_fact}
    told["facts"] = measure_facts(measure)
    return {key: value for key, value in told.items() if value is not None}


def group_data(group: str, runs: pd.DataFrame, measures: Sequence[Measure]) -> dict[str, str]:
    """A group, and what of it is the same in every run."""
    same = [m for m in measures if m.group == group and runs[m.name].nunique() == 1]
    told = [f"{m.label} {say(float(runs[m.name].dropna().iloc[0]), m)}" for m in same]
    return {"name": group, "same": f"The same in every run: {', '.join(told)}." if told else ""}


def codes(values: pd.Series, axis: Axis) -> list[int]:
    """Places of the values of a column among those of its axis."""
    place = {value: at for at, value in enumerate(axis.values)}
    return [place[None if pd.isna(value) else value] for value in values]


def column(values: pd.Series) -> list[float | int | None]:
    """The numbers of a column."""
    plain = values.astype("Float64").to_numpy(float, na_value=np.nan)
    return [significant(value) for value in plain]


def word_column(values: pd.Series, name: str) -> dict[str, Any]:
    """A column of few different words."""
    plain = values.astype("string").fillna("")
    known = sorted(plain.unique())
    place = {word: at for at, word in enumerate(known)}
    meaning = next(c.meaning for c in TABLES["runs"] if c.name == name)
    return {"values": known, "codes": [place[word] for word in plain], "meaning": meaning}


def _is_told(runs: pd.DataFrame, name: str) -> bool:
    return name in runs and bool(runs[name].fillna("").astype(str).str.len().gt(0).any())


def round_data(
    runs: pd.DataFrame, rounds: pd.DataFrame, measures: Sequence[Measure]
) -> dict[str, Any]:
    """The rounds in which the model was measured, thinned out where they are many."""
    names = [m.name for m in measures if m.name in ROUND_MEASURES and m.name in rounds]
    if not len(rounds) or "test_metric" not in rounds:
        return {"count": 0, "run": [], "round": [], "numbers": {}}
    kept = thinned(rounds[rounds["test_metric"].notna()], len(names) + 2)
    place = {key: at for at, key in enumerate(runs["key"])}
    return {
        "count": len(kept),
        "run": [place[key] for key in kept["key"]],
        "round": [int(r) for r in kept["round"]],
        "numbers": {name: column(kept[name]) for name in names},
    }


def thinned(rounds: pd.DataFrame, width: int) -> pd.DataFrame:
    """Evenly fewer rounds, the last one among them, so that the page stays small."""
    every = -(-len(rounds) * width // MOST_NUMBERS)
    if every < 2:
        return rounds
    there = sorted(rounds["round"].unique())[::-1]
    return rounds[rounds["round"].isin(there[::every])]


def gallery(
    view: View, axes: Sequence[Axis], measures: Sequence[Measure], runs: pd.DataFrame
) -> list[dict[str, Any]]:
    """Every measure that varies over the axes of the first figure, and what else tells most."""
    axis = {a.field: a for a in axes}
    plain = View(view.x, "", view.by) if view.x != "round" else View("", "", view.by)
    if not (plain.x or plain.by):
        return []
    plain = plain if plain.x else View(plain.by, "")
    kind = "curve" if axis[plain.x].is_number else "dots"
    found = []
    for measure in measures:
        if runs[measure.name].nunique() < 2:
            continue
        views = [(plain, kind)]
        if measure.name == "test_metric":
            views += [(v, kind) for v in worst_views(plain, axes)]
            views += [(plain, "heat")] if plain.by else []
        for one, how in views:
            told = {"view": one._replace(y=measure.name)._asdict(), "kind": how}
            found.append({"group": measure.group, **told})
    return found


def worst_views(view: View, axes: Sequence[Axis]) -> list[View]:
    """The view with the worst attack in place of the mean over attacks, where they are an axis."""
    attacks = [a.field for a in swept(axes) if a.field == "spec.attack"]
    return [view._replace(worst=a) for a in attacks if a not in (view.x, view.by)]
