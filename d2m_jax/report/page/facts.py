"""What a template is filled with: titles, scales, orders. Host only.

`place_facts` of every axis and `measure_facts` of every measure go into the page as they are, where
the browser puts them together as `facts_of` does here.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from d2m_jax.report.page.axes import Axis, View
from d2m_jax.report.page.measures import NEITHER, SHARE, SIGNED, WHOLE, Measure
from d2m_jax.report.page.rows import text_of

Facts = dict[str, Any]
ROUND = Axis("round", "round", True, [], "")
FEW_TICKS = 12


def x_facts(axis: Axis | None) -> Facts:
    """An axis along x."""
    facts: Facts
    if axis is None:
        return {"x.type": "nominal", "x.title": ""}
    if axis.is_number:
        few = 0 < len(axis.values) <= FEW_TICKS
        ticks = {"x.ticks": [v for v in axis.values if v is not None]} if few else {}
        scale = "log" if axis.is_log else "linear"
        zero = {} if axis.is_log else {"x.zero": False}
        facts = {"x.type": "quantitative", "x.title": words(axis), "x.scale": scale}
        facts |= ticks | zero
    else:
        facts = {"x.type": "nominal", "x.title": words(axis)}
        facts["x.sort"] = [text_of(value) for value in axis.values]
    longest = max((len(text_of(value)) for value in axis.values), default=0)
    crowded = longest * len(axis.values) > 60 and longest > 4
    return {**facts, "x.angle": -35 if crowded else 0}


def by_facts(axis: Axis | None) -> Facts:
    """An axis of which every value is a line."""
    if axis is None:
        return {"by.title": "all runs", "by.domain": [""], "by.legend": None}
    domain = [text_of(value) for value in axis.values]
    longest = max(map(len, domain))
    columns = max(1, min(len(domain), 90 // (longest + 6)))
    legend = {"orient": "top", "columns": columns, "titleOrient": "left", "titlePadding": 10}
    return {"by.title": words(axis), "by.domain": domain, "by.legend": legend}


def panel_facts(axis: Axis | None) -> Facts:
    """An axis of which every value is a panel."""
    if axis is None:
        return {"panel.title": "panel", "panel.sort": [""]}
    return {"panel.title": words(axis), "panel.sort": [text_of(value) for value in axis.values]}


def words(axis: Axis) -> str:
    """The axis as a title: num_byzantine -> num byzantine."""
    return axis.label.replace("_", " ")


def measure_facts(measure: Measure) -> Facts:
    """A measure along y, or as colour."""
    is_large = measure.style in (WHOLE, SIGNED)
    unit = f" ({measure.unit})" if measure.unit and measure.unit != "0 to 1" else ""
    facts: Facts = {
        "y.label": measure.label,
        "y.title": measure.label + unit,
        "y.axis": f"format(datum.value, '{'~s' if is_large else ',.3~r'}')",
        "y.style": measure.style,
        "y.written": {WHOLE: ".3~s", SIGNED: "+.3~s", SHARE: ".2f"}.get(measure.style, ".3~g"),
        "y.scheme": "blueorange" if measure.style == SIGNED else "viridis",
    }
    facts["heat.legend"] = {
        "title": facts["y.title"],
        "labelExpr": f"format(datum.value, '{'.3~s' if is_large else ',.3~r'}')",
        "orient": "right",
        "gradientLength": 140,
    }
    return facts | ({"y.signed": True} if measure.style == SIGNED else {})


def facts_of(view: View, measure: Measure, axes: Sequence[Axis], kind: str) -> Facts:
    """All facts of a figure but its rows and its size."""
    known: Mapping[str, Axis] = {axis.field: axis for axis in axes} | {"round": ROUND}
    return {
        **x_facts(known.get(view.x)),
        **by_facts(known.get(view.by)),
        **panel_facts(known.get(view.panel)),
        **measure_facts(measure),
        "description": sentence(view, measure, known, kind),
        "size": 45,
        "band": band_opacity(len(known[view.by].values) if view.by else 1),
    }


def band_opacity(lines: int) -> float:
    """How dense the bands of so many lines may be, so that they can be told apart."""
    return min(0.16, 0.45 / max(lines, 1))


def sentence(view: View, measure: Measure, known: Mapping[str, Axis], kind: str) -> str:
    """What a figure shows, for those who cannot see it and as its caption."""
    text = f"{measure.label.capitalize()}: {measure.meaning}"
    if view.worst:
        text += f"; under the worst {words(known[view.worst])}"
    for field, what in (
        (view.x, "over"),
        (view.by, f"a {'row' if kind == 'heat' else 'line'} for each"),
        (view.panel, "a panel for each"),
    ):
        if field:
            text += f", {what} {words(known[field])}"
    return text + ("." if measure.better == NEITHER else _better(measure))


def _better(measure: Measure) -> str:
    return ". More is better." if measure.better > NEITHER else ". Less is better."
