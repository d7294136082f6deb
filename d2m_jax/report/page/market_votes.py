"""The vote of one round, drawn set by set and node by node. Host only."""

import json
from collections.abc import Sequence
from typing import Any

from d2m_jax.report.page.charts import FONT, PALETTE, SCHEMA, SHAPES, THEME, Spec, fill
from d2m_jax.report.page.market_charts import BLUE, GREEN, GREY, ORANGE, WIDTH
from d2m_jax.report.page.market_data import Run

FATE_COLOURS = {  # of a vote: what it was for, and what came of it
    "right, paid": BLUE,
    "wrong, slashed": ORANGE,
    "wrong, paid": PALETTE[3],
    "another than the accepted, slashed": GREEN,
    "silent": GREY,
    "no result": "#9a7d0a",
}
PER_LINE = 24  # nodes in a line of the drawing of a vote


def fate_of(vote: str, digest: int) -> str:
    """What a vote was for, and what came of it.

    Args:
        vote: of the table of votes.
        digest: what CONE accepted in the round: 0 the right result, > 0 a wrong one.
    """
    if vote == "accepted":
        return "wrong, paid" if digest > 0 else "right, paid"
    if vote == "another":
        return "another than the accepted, slashed" if digest > 0 else "wrong, slashed"
    return vote


def vote_template(behaviours: Sequence[str]) -> Spec:
    """One round of CONE; rows, lines, fates and description are places to fill.

    Colour says how a vote ended, shape what the node is; the number in it is the node.
    """
    y = {"field": "line", "type": "nominal", "sort": "@lines", "title": None,
         "axis": {"ticks": False, "domain": False, "labelFontSize": 12}}  # fmt: skip
    x = {"field": "place", "type": "quantitative", "axis": None,
         "scale": {"domain": [-0.6, PER_LINE - 0.4], "nice": False}}  # fmt: skip
    spot = {"x": x, "y": y}
    marks = {
        "mark": {"type": "point", "filled": True, "size": 620, "opacity": 1},
        "encoding": {**spot, **looks(behaviours), "tooltip": TOOLTIP},
    }
    numbers = {
        "mark": {"type": "text", "color": "white", "fontSize": 11, "fontWeight": 600, "font": FONT},
        "encoding": {**spot, "text": {"field": "node", "type": "nominal"}},
    }
    return {
        "$schema": SCHEMA,
        "description": "@description",
        "data": {"values": "@rows"},
        "config": THEME,
        "width": WIDTH,
        "height": {"step": 40},
        "layer": [marks, numbers],
    }


def looks(behaviours: Sequence[str]) -> Spec:
    """Colour and shape of a node, with their legends."""
    kinds = ["honest", *sorted(set(behaviours) - {"honest"})]
    above = {"orient": "top", "titleOrient": "left"}
    fates = {**above, "title": "the vote", "symbolType": "circle", "values": "@fates"}
    colour = {
        "field": "fate",
        "type": "nominal",
        "scale": {"domain": list(FATE_COLOURS), "range": list(FATE_COLOURS.values())},
        "legend": fates,
    }
    shape = {
        "field": "behaviour",
        "type": "nominal",
        "scale": {"domain": kinds, "range": list(SHAPES[: len(kinds)])},
        "legend": {**above, "title": "the node is", "symbolFillColor": "#777"},
    }
    return {"color": colour, "shape": shape}


TOOLTIP = [
    {"field": "node", "title": "node"},
    {"field": "behaviour", "title": "is"},
    {"field": "set", "title": "set"},
    {"field": "fate", "title": "its vote"},
]


def vote_data(run: Run) -> dict[str, Any]:
    """The votes of all rounds as columns, what the nodes are, and what each round came to."""
    fates, rounds = vote_fates(run), run.rounds
    kinds = list(FATE_COLOURS)
    return {
        "round": [int(v) for v in run.votes["round"]],
        "node": [int(v) for v in run.votes["node"]],
        "set": [int(v) for v in run.votes["set"]],
        "fate": [kinds.index(fate) for fate in fates],
        "kinds": kinds,
        "behaviour": run.nodes["behaviour"].tolist(),
        "per_line": PER_LINE,
        "digest": [int(v) for v in rounds["accepted_digest"]],
        "attempts": [int(v) for v in rounds["attempts"]],
        "executions": [int(v) for v in rounds["executions"]],
        "latency": [float(v) for v in rounds["latency"]],
        "first": notable(run),
    }


def vote_fates(run: Run) -> list[str]:
    """What each vote was for, and what came of it."""
    digest = dict(zip(run.rounds["round"], run.rounds["accepted_digest"]))
    votes = zip(run.votes["round"], run.votes["vote"])
    return [fate_of(vote, digest[number]) for number, vote in votes]


def notable(run: Run) -> int:
    """The round that is shown first: a wrong result, else none, else the most sets."""
    rounds = run.rounds
    for part in (rounds[rounds["accepted_digest"] > 0], rounds[rounds["accepted_digest"] < 0]):
        if len(part):
            return int(part["round"].tolist()[0])
    return int(rounds.sort_values("attempts", ascending=False, kind="stable")["round"].tolist()[0])


def vote_figure(run: Run, number: int) -> Spec:
    """The vote of one round, as the page draws it (`assets/market.js`)."""
    own = run.votes.assign(fate=vote_fates(run))[run.votes["round"] == number]
    rows: list[dict[str, Any]] = []
    lines: list[str] = []
    behaviour = run.nodes["behaviour"].tolist()
    for which in sorted(set(own["set"])):
        part = own[own["set"] == which]
        for at, (node, fate) in enumerate(zip(part["node"].tolist(), part["fate"].tolist())):
            line, place = divmod(at, PER_LINE)
            if not place:
                lines.append(f"set {which}" + "\u200b" * line)
            spot = {"line": lines[-1], "place": place, "set": int(which)}
            rows.append({**spot, "node": node, "fate": fate, "behaviour": behaviour[node]})
    said = f"The vote of round {number}: every node that was drawn, by set."
    template = vote_template(run.nodes["behaviour"].tolist())
    fates = [fate for fate in FATE_COLOURS if fate in set(own["fate"])]
    facts = {"rows": rows, "lines": lines, "fates": fates, "description": said}
    made: Spec = fill(template, facts)
    return json.loads(json.dumps(made))
