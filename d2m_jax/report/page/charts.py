"""The figures of the pages, as Vega-Lite templates with places to fill. Host only.

A template is plain JSON in which a text "@name" is a place: `fill` puts the fact of that name
there, and drops the key where there is none. The page in the browser fills the same templates
(`assets/figures.js`), so that a figure on the page and one on paper are drawn alike. Rows of all
templates have the same fields: x, by, panel, mean, floor, roof (the interval, or the mean where
there is none), and what the tooltip says.
"""

from collections.abc import Mapping
from typing import Any

Spec = dict[str, Any]

# Okabe and Ito 2008, safe for the colour-blind; the yellow, too light for lines, is left out.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000", "#8A6D3B")
SHAPES = ("circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "triangle-right",
          "triangle-left")  # fmt: skip
DASHES = ([1, 0], [6, 3], [2, 2], [8, 2, 2, 2], [12, 3], [4, 4], [1, 3], [10, 2, 4, 2])
FONT = "Inter, Helvetica, Arial, sans-serif"
SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"  # a name, never fetched
THEME: Spec = {
    "font": FONT,
    "background": "white",
    "view": {"stroke": None},
    "axis": {
        "labelFontSize": 11,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "titleColor": "#222",
        "labelColor": "#333",
        "gridColor": "#e8e8e8",
        "domainColor": "#888",
        "tickColor": "#888",
        "labelLimit": 220,
    },
    "axisX": {"grid": False},
    "header": {"labelFontSize": 12, "labelFontWeight": 600, "titleFontSize": 12, "labelLimit": 240,
               "titleFontWeight": "normal", "titleColor": "#222"},
    "legend": {"labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal",
               "labelLimit": 260, "titleLimit": 300, "symbolSize": 90, "symbolOpacity": 1,
               "symbolStrokeWidth": 0},
}  # fmt: skip

TOOLTIP = [
    {"field": "by", "type": "nominal", "title": "@by.title"},
    {"field": "panel", "type": "nominal", "title": "@panel.title"},
    {"field": "x", "type": "@x.type", "title": "@x.title"},
    {"field": "said", "type": "nominal", "title": "@y.label"},
    {"field": "noise", "type": "nominal", "title": "against the best here"},
    {"field": "count", "type": "quantitative", "title": "repetitions"},
    {"field": "setting", "type": "nominal", "title": "configuration"},
]
PLAIN_NUMBER = "format(datum.value, ',.6~r')"
X = {"field": "x", "type": "@x.type", "title": "@x.title", "sort": "@x.sort"}
BY = {"field": "by", "type": "nominal", "title": "@by.title"}


def fill(template: Any, facts: Mapping[str, Any]) -> Any:
    """The template with its places filled; keys and items without a fact are left out."""
    if isinstance(template, dict):
        filled = {key: fill(value, facts) for key, value in template.items()}
        return {key: value for key, value in filled.items() if value is not MISSING}
    if isinstance(template, list):
        return [v for v in (fill(item, facts) for item in template) if v is not MISSING]
    if isinstance(template, str) and template.startswith("@"):
        return facts.get(template[1:], MISSING)
    return template


MISSING = object()


def templates() -> dict[str, Spec]:
    """Every template by name; a page carries them all."""
    kinds = {"curve": curve(), "dots": dots(), "heat": heat()}
    alone = {name: whole({"width": "@width", "height": "@height", "layer": layers})
             for name, layers in kinds.items()}  # fmt: skip
    many = {f"{name}_panels": whole(in_panels(layers)) for name, layers in kinds.items()}
    return {**alone, **many}


def whole(view: Spec) -> Spec:
    """A specification that stands alone."""
    return {
        "$schema": SCHEMA,
        "description": "@description",
        "data": {"values": "@rows"},
        "config": THEME,
        **view,
    }


def in_panels(layers: list[Spec]) -> Spec:
    """The layers once for every panel."""
    panel = {
        "field": "panel",
        "type": "nominal",
        "title": "@panel.title",
        "sort": "@panel.sort",
        "header": {"labelPadding": 4},
    }
    inner = {"width": "@width", "height": "@height", "layer": layers}
    return {"facet": panel, "columns": "@columns", "spec": inner}


def curve() -> list[Spec]:
    """Lines with bands over a number."""
    axis = {"values": "@x.ticks", "labelExpr": PLAIN_NUMBER, "labelOverlap": True}
    x = {**X, "axis": axis, "scale": {"type": "@x.scale", "zero": "@x.zero", "nice": False}}
    return [
        {
            "mark": {"type": "area", "opacity": "@band"},
            "encoding": {"x": x, **band(), "color": colour()},
        },
        {
            "mark": {"type": "line", "strokeWidth": 2},
            "encoding": {"x": x, "y": height(), "color": colour(), "strokeDash": dash()},
        },
        {
            "mark": {"type": "point", "filled": True, "size": "@size", "opacity": 1},
            "encoding": {
                "x": x,
                "y": height(),
                "color": colour(),
                "shape": shape(),
                "tooltip": TOOLTIP,
            },
        },
    ]


def dots() -> list[Spec]:
    """Points with intervals over words, those of a word side by side."""
    axis = {"labelAngle": "@x.angle", "labelOverlap": False, "ticks": False}
    x = {**X, "axis": axis, "scale": {"paddingInner": 0.25}}
    offset = {"field": "by", "type": "nominal", "sort": "@by.domain"}
    spot = {"x": x, "xOffset": offset, "color": colour()}
    return [
        {"mark": {"type": "rule", "strokeWidth": 1.6}, "encoding": {**spot, **band()}},
        {
            "mark": {"type": "point", "filled": True, "size": 70, "opacity": 1},
            "encoding": {**spot, "y": height(), "shape": shape(), "tooltip": TOOLTIP},
        },
    ]


def heat() -> list[Spec]:
    """Numbers as colours, with the numbers written in."""
    spot = {
        "x": {**X, "type": "ordinal", "axis": {"labelAngle": "@x.angle", "ticks": False}},
        "y": {**BY, "sort": "@by.domain", "axis": {"ticks": False}},
    }
    scale = {"scheme": "@y.scheme", "domain": "@heat.domain"}
    ink = {"condition": {"test": "datum.dark", "value": "white"}, "value": "black"}
    said = {"field": "written", "type": "nominal"}
    return [
        {
            "mark": {"type": "rect", "stroke": "white", "strokeWidth": 1},
            "encoding": {
                **spot,
                "color": {
                    "field": "mean",
                    "type": "quantitative",
                    "scale": scale,
                    "legend": "@heat.legend",
                },
                "tooltip": TOOLTIP,
            },
        },
        {
            "mark": {"type": "text", "fontSize": 11},
            "encoding": {**spot, "text": said, "color": ink},
        },
    ]


def height() -> Spec:
    """The mean along y."""
    scale = {"zero": False, "nice": True}
    axis = {"labelExpr": "@y.axis", "tickCount": 5}
    return {"field": "mean", "type": "quantitative", "title": "@y.title", "axis": axis,
            "scale": scale}  # fmt: skip


def band() -> Spec:
    """The interval along y."""
    return {"y": {**height(), "field": "floor"}, "y2": {"field": "roof"}}


def colour() -> Spec:
    """A colour for every line; the legend stands above."""
    legend = "@by.legend"
    return {**BY, "scale": {"domain": "@by.domain", "range": list(PALETTE)}, "legend": legend}


def shape() -> Spec:
    """A shape for every line, so that colour is not needed to tell them apart."""
    return {**BY, "scale": {"domain": "@by.domain", "range": list(SHAPES)}, "legend": "@by.legend"}


def dash() -> Spec:
    """A dash for every line."""
    scale = {"domain": "@by.domain", "range": [list(d) for d in DASHES]}
    return {**BY, "scale": scale, "legend": "@by.legend"}
