"""The figures of the page of one market, as Vega-Lite specifications. Host only."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from d2m_jax.report.page.charts import PALETTE, SCHEMA, THEME, Spec
from d2m_jax.report.page.market_data import Run
from d2m_jax.report.page.rows import significant

BLUE, ORANGE, GREEN, GREY = PALETTE[0], PALETTE[1], PALETTE[2], "#8c8c8c"
RESULTS = {"right": BLUE, "wrong": ORANGE, "none": GREY}
WORK_COLOURS = {"used": BLUE, "left out": "#c8d7e3", "flagged": ORANGE}
WIDTH = 900
MOST_MARKS = 6_000  # of the figure of work; a larger market shows its first sellers
MOST_BARS = 400  # of a figure of incomes


def whole(rows: Sequence[dict[str, Any]], description: str, view: Spec) -> Spec:
    """A specification with its data."""
    return {
        "$schema": SCHEMA,
        "description": description,
        "data": {"values": list(rows)},
        "config": THEME,
        **view,
    }


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows of a table as plain JSON values."""
    kinds = {str(name): pd.api.types.is_numeric_dtype(kind) and not pd.api.types.is_bool_dtype(kind)
             for name, kind in table.dtypes.items()}  # fmt: skip
    return [
        {str(k): significant(v) if kinds[str(k)] else _plain(v) for k, v in row.items()}
        for row in table.to_dict("records")
    ]


def _plain(value: Any) -> Any:
    return None if pd.isna(value) else bool(value) if isinstance(value, bool) else str(value)


def unnamed(last: int) -> Spec:
    """The rounds along x, named by the strip below."""
    return {**axis_x(last), "title": None, "axis": {"labels": False, "ticks": False}}


def axis_x(last: int) -> Spec:
    """The rounds along x, the same for all strips."""
    scale = {"domain": [0, last + 1], "nice": False}
    return {"field": "round", "type": "quantitative", "title": "round", "scale": scale,
            "axis": {"tickMinStep": 1, "format": "d"}}  # fmt: skip


def timeline(run: Run) -> Spec:
    """Strips over the rounds: the model, the mass of bad sellers, the votes."""
    last = int(run.rounds["round"].max())
    names = ["round", "byzantine_mass", "executions", "attempts", "accepted_digest", "latency",
             "num_flagged", "test_metric"]  # fmt: skip
    rows = records(run.rounds[names].assign(result=result_of(run.rounds)))
    quality = str(run.closing["quality"])
    strips = [
        strip_quality(run, last, quality),
        strip_line("byzantine_mass", "mass of bad sellers", last),
        strip_votes(last),
    ]
    view = {"vconcat": strips, "spacing": 14, "resolve": {"scale": {"color": "independent"}}}
    said = f"Over the rounds: test {quality} with the threshold, the probability that a bad seller "
    return whole(rows, said + "is drawn, and the executions with what CONE accepted.", view)


def result_of(rounds: pd.DataFrame) -> list[str]:
    """What CONE accepted in each round, as a word."""
    return ["right" if d == 0 else "wrong" if d > 0 else "none" for d in rounds["accepted_digest"]]


def strip_quality(run: Run, last: int, quality: str) -> Spec:
    """The curve of the model, with the buyer's threshold."""
    tau = float(run.closing["tau"])
    y = {"field": "test_metric", "type": "quantitative", "title": f"test {quality}",
         "scale": {"domain": [0, 1]}, "axis": {"tickCount": 5}}  # fmt: skip
    tooltip = [
        {"field": "round", "title": "round"},
        {"field": "test_metric", "title": f"test {quality}", "format": ".3f"},
    ]
    line = {"type": "line", "color": BLUE, "point": {"size": 45, "filled": True, "color": BLUE}}
    rule = {
        "data": {"values": [{"tau": tau, "said": f"threshold {tau:.6g}", "round": 0}]},
        "layer": [
            {"mark": {"type": "rule", "strokeDash": [5, 3], "color": "#444"},
             "encoding": {"y": {"field": "tau", "type": "quantitative"}}},
            {"mark": {"type": "text", "align": "left", "dx": 4, "dy": -7, "color": "#444"},
             "encoding": {"y": {"field": "tau", "type": "quantitative"},
                          "x": {"value": 0}, "text": {"field": "said"}}},
        ],
    }  # fmt: skip
    curve = {
        "transform": [{"filter": "isValid(datum.test_metric)"}],
        "mark": line,
        "encoding": {"x": unnamed(last), "y": y, "tooltip": tooltip},
    }
    return {"width": WIDTH, "height": 150, "layer": [curve, rule]}


def strip_line(field: str, title: str, last: int) -> Spec:
    """One number of every round as a line."""
    y = {"field": field, "type": "quantitative", "title": title, "axis": {"tickCount": 4}}
    tooltip = [
        {"field": "round", "title": "round"},
        {"field": field, "title": title, "format": ".3f"},
    ]
    return {
        "width": WIDTH,
        "height": 80,
        "mark": {"type": "area", "line": {"color": ORANGE}, "color": ORANGE, "opacity": 0.25},
        "encoding": {"x": unnamed(last), "y": y, "tooltip": tooltip},
    }


def strip_votes(last: int) -> Spec:
    """The executions of every round, by what CONE accepted."""
    scale = {"domain": list(RESULTS), "range": list(RESULTS.values())}
    legend = {"orient": "bottom", "title": "CONE accepted the result that is",
              "titleOrient": "left", "symbolType": "square"}  # fmt: skip
    tooltip = [
        {"field": "round", "title": "round"},
        {"field": "executions", "title": "executions"},
        {"field": "attempts", "title": "sets"},
        {"field": "latency", "title": "seconds"},
        {"field": "result", "title": "accepted"},
    ]
    return {
        "width": WIDTH,
        "height": 90,
        "mark": {"type": "bar", "width": {"expr": f"max(1, {WIDTH} / {last + 1} - 1)"}},
        "encoding": {
            "x": axis_x(last),
            "y": {"field": "executions", "type": "quantitative", "title": "executions",
                  "axis": {"tickCount": 3}},
            "color": {"field": "result", "type": "nominal", "scale": scale, "legend": legend},
            "tooltip": tooltip,
        },
    }  # fmt: skip


def incomes(table: pd.DataFrame, party: str, kind: str) -> Spec:
    """What every party gained or lost, by kind, the largest first; of many, evenly fewer.

    Args:
        table: of sellers or nodes, with `why`.
        party: "seller" or "node".
        kind: "role" or "behaviour".
    """
    order = table.sort_values([kind, "change"], ascending=[True, False])
    order = order.iloc[:: -(-len(order) // MOST_BARS)]
    rows = records(order[[party, kind, "change", "why"]])
    kinds = ["honest", *sorted(set(order[kind]) - {"honest"})]
    colours = [BLUE, ORANGE, GREEN, *PALETTE[3:]][: len(kinds)]
    tooltip = [
        {"field": party, "title": party},
        {"field": kind, "title": kind},
        {"field": "change", "title": "change of wealth", "format": "+,"},
        {"field": "why", "title": "why"},
    ]
    crowded = len(rows) > 40
    x = {
        "field": party,
        "type": "nominal",
        "sort": [row[party] for row in rows],
        "title": party,
        "axis": {"labelAngle": 0, "ticks": False, "labels": not crowded, "labelOverlap": False},
    }
    legend = {"orient": "top", "title": None}
    scale = {"domain": kinds, "range": colours}
    encoding = {
        "x": x,
        "y": {"field": "change", "type": "quantitative", "title": "change, money units",
              "axis": {"labelExpr": "format(datum.value, '~s')"}},
        "color": {"field": kind, "type": "nominal", "scale": scale, "legend": legend},
        "tooltip": tooltip,
    }  # fmt: skip
    said = f"Change of wealth of every {party}, by {kind}."
    return whole(rows, said, {"width": WIDTH, "height": 170, "mark": "bar", "encoding": encoding})


def bids(run: Run) -> Spec:
    """How far every buyer goes, and what it bid."""
    rows = records(run.auction.assign(label=[f"buyer {b}" for b in run.auction["buyer"]]))
    y = {"field": "label", "type": "nominal", "title": None, "axis": {"ticks": False}}
    number = {"type": "quantitative", "title": "money units",
              "axis": {"labelExpr": "format(datum.value, '~s')"}}  # fmt: skip
    won = {"condition": {"test": "datum.won", "value": BLUE}, "value": "#b9c6d2"}
    tooltip = [{"field": name, "title": title, "format": ","} for name, title in
               (("bid", "bid"), ("limit", "limit"), ("paid", "paid"))]  # fmt: skip
    tooltip.append({"field": "won", "title": "won", "format": ""})
    bar = {
        "mark": {"type": "bar", "height": 16},
        "encoding": {"y": y, "x": {"field": "bid", **number}, "color": won, "tooltip": tooltip[:3]},
    }
    limit = {
        "mark": {"type": "tick", "color": "#222", "thickness": 2, "size": 22},
        "encoding": {"y": y, "x": {"field": "limit", **number}},
    }
    price = int(run.closing["price"])
    paid = {
        "data": {"values": [{"price": price, "said": f"price {price:,}"}]},
        "mark": {"type": "rule", "color": ORANGE, "strokeDash": [5, 3], "strokeWidth": 2},
        "encoding": {"x": {"field": "price", "type": "quantitative"}},
    }
    layers = [bar, limit, paid] if price else [bar, limit]
    said = "Bids of the buyers as bars, their limits as ticks, the price as a dashed line."
    return whole(rows, said, {"width": WIDTH, "height": {"step": 26}, "layer": layers})


def work(run: Run) -> Spec:
    """Who sent an update in which round, and what became of it."""
    table = run.work.assign(fate=fates(run.work))
    order = run.sellers.sort_values(["role", "seller"], ascending=[False, True])
    names = {s: f"{s} {'' if r == 'honest' else r}".strip()
             for s, r in zip(order["seller"], order["role"])}  # fmt: skip
    rounds = max(int(run.rounds["round"].max()), 1)
    shown = list(names)[: max(MOST_MARKS // rounds, 1)]
    table = table[table["seller"].isin(shown)]
    rows = records(table.assign(name=[names[s] for s in table["seller"]]))
    scale = {"domain": list(WORK_COLOURS), "range": list(WORK_COLOURS.values())}
    legend = {"orient": "top", "title": "the update was", "symbolType": "square",
              "titleOrient": "left"}  # fmt: skip
    tooltip = [
        {"field": "name", "title": "seller"},
        {"field": "round", "title": "round"},
        {"field": "fate", "title": "the update was"},
        {"field": "credit", "title": "credit", "format": ".3f"},
    ]
    axis = {"ticks": False, "labelOverlap": True}
    step = max(4, min(16, 420 // max(len(shown), 1)))
    view = {
        "width": WIDTH,
        "height": {"step": step},
        "mark": {"type": "rect", "width": {"expr": f"max(1, {WIDTH} / {rounds + 1} - 0.5)"},
                 "height": {"band": 0.86}},
        "encoding": {
            "x": axis_x(rounds),
            "y": {"field": "name", "type": "nominal", "title": "seller",
                  "sort": [names[s] for s in shown], "axis": axis},
            "color": {"field": "fate", "type": "nominal", "scale": scale, "legend": legend},
            "tooltip": tooltip,
        },
    }  # fmt: skip
    return whole(rows, "Every update: used, left out or flagged, by seller and round.", view)


def fates(work: pd.DataFrame) -> list[str]:
    """What became of every update, as a word."""
    return ["flagged" if flagged else "used" if used else "left out"
            for used, flagged in zip(work["used"], work["flagged"])]  # fmt: skip
