"""The axes of a sweep: what was varied, what only repeats, what stands on a figure. Host only."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import pandas as pd

from d2m_jax.core.choices import lookup
from d2m_jax.report.columns import TABLES

DEFENCE = ("spec.sampler", "spec.pre_aggregators", "spec.aggregator")  # together: "defence"
REPEATS = ("seed", "data.seed")  # runs that differ in these alone repeat each other
FIRST_X = ("num_byzantine", "byzantine_share", "num_colluding", "colluding_share")
FIRST_BY = ("defence", "aggregator", "sampler", "stop_rule", "payment", "auction")
FIRST_PANEL = ("attack",)
MOST_LINES, MOST_PANELS = 16, 16
LOG = 30.0  # positive values this far apart stand on a logarithmic axis


class Axis(NamedTuple):
    """A field of the configuration that was set."""

    field: str  # its column: "hparams.population.num_byzantine"
    label: str  # the shortest end of it that no other axis has: "num_byzantine"
    is_number: bool
    values: list[Any]  # that occur, sorted; None where some points do not set it
    follows: str  # another axis with which it always changes in step; empty if there is none

    @property
    def is_log(self) -> bool:
        """Whether a logarithmic scale suits it."""
        known = [value for value in self.values if value is not None]
        return bool(
            self.is_number and len(known) > 2 and min(known) > 0 and max(known) / min(known) > LOG
        )


class View(NamedTuple):
    """What stands where on a figure; empty: nothing."""

    x: str
    y: str
    by: str = ""  # a line each
    panel: str = ""  # a panel each
    worst: str = ""  # the axis over which the worst value counts


def with_defence(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs with the column `defence`, where more than one part of it was varied.

    Rules, what stands before them and samplers make sense together only: "nnm + krum".
    """
    varied = [field for field in DEFENCE if field in runs and runs[field].nunique(dropna=False) > 1]
    if len(varied) < 2:
        return runs
    parts = runs[varied].astype("string").fillna("")
    names = [" + ".join(p for p in row if p not in ("", "own")) for row in parts.to_numpy()]
    return runs.assign(defence=pd.array(names, dtype="string"))


def axes_of(runs: pd.DataFrame) -> list[Axis]:
    """The fields that the points set, also those of which all have the same value.

    Args:
        runs: from `with_defence`.
    """
    known = {column.name for column in TABLES["runs"]}
    named = [name for name in ("defence", "seed") if name in runs]
    columns = [str(name) for name in runs]
    fields = [name for name in columns if name in named or ("." in name and name not in known)]
    fields = sorted(fields, key=lambda field: field != "defence")  # the parts follow it
    labels, found = _labels(fields), list[Axis]()
    for field in fields:
        column = runs[field]
        is_number = pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
        values = sorted(column.dropna().unique().tolist(), key=None if is_number else str)
        if column.isna().any():
            values.append(None)
        earlier = (axis for axis in found if len(axis.values) == len(values) > 1)
        twin = next((a.field for a in earlier if not a.follows and _in_step(runs, a, field)), "")
        if field in DEFENCE and "defence" in runs:
            twin = "defence"
        found.append(Axis(field, labels[field], is_number, values, twin))
    return found


def _labels(fields: Sequence[str]) -> dict[str, str]:
    """Every field by the shortest end of its path that no other has."""
    found = {}
    for field in fields:
        parts = [field] if field in REPEATS else field.split(".")
        ends = [".".join(parts[-n:]) for n in range(1, len(parts) + 1)]
        taken = [other for other in fields if other != field]
        found[field] = next(e for e in ends if not any(f"{o}.".endswith(f".{e}.") or o == e
                                                       for o in taken))  # fmt: skip
    return found


def _in_step(runs: pd.DataFrame, axis: Axis, field: str) -> bool:
    pairs = runs[[axis.field, field]].drop_duplicates()
    return len(pairs) == len(axis.values) and axis.field not in REPEATS


def swept(axes: Sequence[Axis]) -> list[Axis]:
    """The axes that a figure can show: that vary, on their own, and do not merely repeat."""
    return [a for a in axes if len(a.values) > 1 and a.field not in REPEATS and not a.follows]


def field_of(axes: Sequence[Axis], name: str, what: str) -> str:
    """The field of an axis that somebody names by its path or by its label.

    Raises:
        ValueError: no such axis; the sentence lists them.
    """
    names = {axis.label: axis.field for axis in axes} | {axis.field: axis.field for axis in axes}
    if not names:
        raise ValueError(f"{what}={name}: this sweep varies nothing")
    field: str = lookup(names, name, f"axis for {what}")
    return field


def choose_view(axes: Sequence[Axis], y: str, **given: str) -> View:
    """A figure that suits the axes: numbers along x, words as lines and panels.

    Args:
        axes: from `axes_of`.
        y: measure.
        given: fields by place (x, by, panel, worst), where somebody has chosen; "" chooses nothing.
    """
    taken = {field for field in given.values() if field}
    free = [axis for axis in swept(axes) if axis.field not in taken]
    x = given.get("x")
    if x is None:
        x = _pick(free, _rank_x)
    free = [axis for axis in free if axis.field != x]
    by = given.get("by")
    if by is None:
        by = _pick([a for a in free if len(a.values) <= MOST_LINES], _rank(FIRST_BY, FIRST_PANEL))
    free = [axis for axis in free if axis.field != by]
    worst, panel = given.get("worst", ""), given.get("panel")
    if panel is None:
        small = [a for a in free if len(a.values) <= MOST_PANELS and a.field != worst]
        panel = _pick(small, _rank(FIRST_PANEL, ()))
    return View(x, y, by, panel, worst)


def _pick(axes: Sequence[Axis], rank: Any) -> str:
    return min(axes, key=rank).field if axes else ""


def _rank_x(axis: Axis) -> tuple[Any, ...]:
    """Numbers before words, known ones first, then those with most values."""
    known = FIRST_X.index(axis.label) if axis.label in FIRST_X else math.inf
    return not axis.is_number, known, -len(axis.values)


def _rank(first: Sequence[str], last: Sequence[str]) -> Any:
    """Words before numbers, some of them first or last, then those with fewest values."""

    def rank(axis: Axis) -> tuple[Any, ...]:
        name = axis.field.rpartition(".")[2]
        place = first.index(name) if name in first else math.inf
        return axis.is_number, name in last, place, len(axis.values)

    return rank
