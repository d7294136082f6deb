"""Figures of a sweep as files, SVG and PDF, from the same templates as the page. Host only."""

import json
import math
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import pandas as pd

from d2m_jax.core.files import write_whole
from d2m_jax.report.page.axes import Axis, View
from d2m_jax.report.page.charts import Spec, fill, templates
from d2m_jax.report.page.facts import facts_of
from d2m_jax.report.page.measures import Measure
from d2m_jax.report.page.rows import figure_rows

VEGA_LITE = "6.4"


class Figure(NamedTuple):
    """A figure that is ready to be drawn."""

    name: str  # of its files
    spec: Spec


def kind_of(view: View, axes: Sequence[Axis]) -> str:
    """The template that suits a view: a curve over numbers, dots over words."""
    number = view.x == "round" or any(a.field == view.x and a.is_number for a in axes)
    return "curve" if number else "dots"


def draw(
    runs: pd.DataFrame, view: View, measure: Measure, axes: Sequence[Axis], kind: str = ""
) -> Spec:
    """The specification of a figure, with its data.

    Args:
        runs: from `with_derived`; with the column `round` where that is along x.
        view: what stands where.
        measure: along y, or as colour.
        axes: of the sweep.
        kind: "curve", "dots" or "heat"; by default what suits.
    """
    kind = kind or kind_of(view, axes)
    rows = figure_rows(runs, view, measure, axes)
    facts = {**facts_of(view, measure, axes, kind), **size(view, rows, kind)}
    name = f"{kind}_panels" if view.panel else kind
    if "y.signed" in facts:
        facts["heat.domain"] = around_zero(rows)
    made: Spec = fill(templates()[name], {**facts, "rows": with_ink(rows, facts)})
    return made


def size(view: View, rows: Sequence[dict[str, Any]], kind: str) -> dict[str, Any]:
    """Width and height of one panel, as suits paper."""
    panels = len({row["panel"] for row in rows})
    columns = balanced(panels, 4)
    across, down = (len({row[name] for row in rows}) for name in ("x", "by"))
    if kind == "heat":
        width, height = max(44 * across, 120), max(26 * down, 60)
    else:
        width, height = (480, 280) if panels == 1 else (190, 150)
        if kind == "dots":
            width = max(width, 16 * across * max(down, 2))
    return {"width": width, "height": height, "columns": columns}


def balanced(panels: int, most: int) -> int:
    """How many panels stand in a row, so that all rows are about as long."""
    lines = -(-panels // most)
    return max(-(-panels // lines) if lines else 1, 1)


def around_zero(rows: Sequence[dict[str, Any]]) -> list[float]:
    """The domain of colours that tell the sign: as far to both sides."""
    top = max((abs(row["mean"]) for row in rows), default=0.0) or 1.0
    return [-top, top]


def with_ink(rows: list[dict[str, Any]], facts: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows with what a heat map writes into its cells, and whether in white."""
    means = [row["mean"] for row in rows] or [0.0]
    low, high = min(means), max(means)
    signed = "y.signed" in facts
    top = max(abs(low), abs(high)) or 1.0

    def is_dark(value: float) -> bool:
        if signed:
            return abs(value) > 0.65 * top
        return high > low and (value - low) / (high - low) < 0.55

    return [
        {**row, "dark": is_dark(row["mean"]), "written": short(row["mean"], facts["y.written"]),
         "said": said(row, facts), **ends(row)}
        for row in rows
    ]  # fmt: skip


def ends(row: dict[str, Any]) -> dict[str, Any]:
    """Where the interval is drawn: at the mean where there is none."""
    is_known = row["low"] is not None
    return {
        "floor": row["low" if is_known else "mean"],
        "roof": row["high" if is_known else "mean"],
    }


def said(row: dict[str, Any], facts: dict[str, Any]) -> str:
    """A mean with its interval, as a tooltip says it."""
    mean, low, high = (short(row[name], facts["y.style"]) for name in ("mean", "low", "high"))
    return mean if row["low"] is None else f"{mean} ({low} to {high})"


def short(value: float | None, style: str) -> str:
    """A number in a format of d3, of those that the measures use."""
    if value is None:
        return "-"
    sign = "+" if style.startswith("+") and value > 0 else ""
    if style.endswith("~s"):
        steps = ((1e6, "M"), (1e3, "k"), (1.0, ""))
        factor, letter = next(((f, s) for f, s in steps if abs(value) >= f), (1.0, ""))
        return f"{sign}{value / factor:.3g}{letter}"
    if style.endswith(".0f"):
        return f"{sign}{value:,.0f}"
    if style in (".2f", ".3f"):
        return format(value, style)
    digits = 0 if value == 0 else max(0, 2 - math.floor(math.log10(abs(value))))
    text = f"{value:,.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def save(figures: Iterable[Figure], folder: pathlib.Path) -> list[pathlib.Path]:
    """Writes every figure as SVG and PDF.

    Raises:
        StorageError: the disk is full or the folder is gone.
    """
    import vl_convert  # slow to import, and nothing else needs it

    paths = []
    for figure in figures:
        text = json.dumps(figure.spec)
        for ending, content in (
            ("svg", vl_convert.vegalite_to_svg(text, vl_version=VEGA_LITE).encode()),
            ("pdf", vl_convert.vegalite_to_pdf(text, vl_version=VEGA_LITE)),
        ):
            paths.append(folder / f"{figure.name}.{ending}")
            write_whole(paths[-1], content)
    return paths
