"""The page of a sweep, whatever it varies. Host only."""

import html
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from d2m_jax.core.choices import lookup
from d2m_jax.core.files import StorageError
from d2m_jax.report.page import summary
from d2m_jax.report.page.axes import (
    DEFENCE,
    Axis,
    View,
    axes_of,
    choose_view,
    field_of,
    swept,
    with_defence,
)
from d2m_jax.report.page.figures import Figure, draw
from d2m_jax.report.page.measures import Measure, measures_of, with_derived
from d2m_jax.report.page.rows import text_of
from d2m_jax.report.page.shell import page, pretty, table
from d2m_jax.report.page.sweep_data import ROUND_MEASURES, data_of, worst_views
from d2m_jax.sweep.selection import choose
from d2m_jax.sweep.store import Results, load

SCRIPTS = ("statistics.js", "figures.js", "table.js", "rows.js", "sweep.js")
COUNT = "hparams.population.num_byzantine"
MOST_LISTED = 24


class Sweep(NamedTuple):
    """A sweep as its page sees it."""

    name: str
    runs: pd.DataFrame  # with the derived measures
    rounds: pd.DataFrame
    manifest: Mapping[str, Any]
    axes: Sequence[Axis]
    measures: Sequence[Measure]
    view: View
    kind: str  # "auto" or "heat"

    def measure(self, name: str) -> Measure:
        """The measure of that name."""
        return next(m for m in self.measures if m.name == name)


def read_sweep(folder: pathlib.Path, wanted: Mapping[str, str | None], kind: str) -> Sweep:
    """A sweep and the first figure of its page.

    Args:
        folder: of the results.
        wanted: x, y, by, panel, worst, as somebody typed them: labels or paths of axes, "none" for
            nothing, `round` for x; None leaves the choice to the page.
        kind: "auto" or "heat".

    Raises:
        StorageError: no results are there, or they cannot be read.
        ValueError: no such axis or measure.
    """
    results: Results = load(folder)
    if not (results.runs["status"] == "done").any():
        raise StorageError(f"{folder} holds no finished run yet")
    runs = with_defence(with_derived(results.runs))
    axes, measures = axes_of(runs), measures_of(runs)
    view = view_of(axes, measures, wanted)
    return Sweep(folder.name, runs, results.rounds, results.manifest, axes, measures, view, kind)


def view_of(
    axes: Sequence[Axis], measures: Sequence[Measure], wanted: Mapping[str, str | None]
) -> View:
    """The first figure: as somebody wants it, else as suits the axes."""
    usable = [axis for axis in swept(axes)]
    given = {}
    for place in ("x", "by", "panel", "worst"):
        name = wanted.get(place)
        if name is not None:
            fixed = name == "none" or (place == "x" and name == "round")
            given[place] = name.replace("none", "") if fixed else field_of(usable, name, place)
    known = {m.name: m for m in measures}
    y = lookup(known, (wanted.get("y") or "test_metric").replace(" ", "_"), "measure for y").name
    chosen = [field for field in given.values() if field]
    if len(set(chosen)) < len(chosen):
        raise ValueError("an axis can stand in one place only: x, by, panel and worst must differ")
    view = choose_view(axes, y, **given)
    if view.x == "round" and y not in ROUND_MEASURES:
        raise ValueError(f"y={y} is not measured in every round; {', '.join(ROUND_MEASURES)} are")
    return view if view.x or view.by else view._replace(x="round")


def render(sweep: Sweep) -> str:
    """The page as text."""
    base = dict(sweep.manifest.get("base", {}))
    data = data_of(
        sweep.name,
        sweep.runs,
        sweep.rounds,
        sweep.axes,
        sweep.measures,
        sweep.view,
        sweep.kind,
        base,
    )
    return page(sweep.name, body(sweep), data, SCRIPTS)


def in_short(sweep: Sweep) -> list[tuple[str, str]]:
    """(measure, sentence): what the sweep says, with noise told apart."""
    axes = {axis.field: axis for axis in sweep.axes}
    x, by = (axes.get(field) for field in (sweep.view.x, sweep.view.by))
    return summary.sentences(sweep.runs, sweep.measures, by or x, x if by else None)


def body(sweep: Sweep) -> Iterator[str]:
    """The sections of the page."""
    yield header(sweep)
    yield "<main>"
    yield "<section><h2>In short</h2><ul>"
    for name, said in in_short(sweep):
        yield f"<li><b>{html.escape(name)}</b>: {html.escape(said)}</li>"
    yield "</ul></section>"
    yield varied(sweep)
    yield EXPLORE
    yield '<section id="gallery"><h2>Everything that varies</h2></section>'
    yield chosen(sweep)
    yield RUNS
    yield failures(sweep.runs)
    yield configuration(sweep.manifest)
    yield "</main>" + DIALOG


def header(sweep: Sweep) -> str:
    """Name, counts, versions."""
    failed = int((sweep.runs["status"] == "failed").sum())
    provenance = sweep.manifest.get("provenance", {})
    made = ", ".join(f"{k} {v}" for k, v in provenance.items() if k != "command")
    done = len(sweep.runs) - failed
    counts = f"{done:,} {'run' if done == 1 else 'runs'}, {failed:,} failed."
    links = " ".join(
        f'<a href="#{name}">{text}</a>'
        for name, text in (("explore", "Figure"), ("gallery", "Everything"), ("table", "Runs"),
                           ("configuration", "Configuration"))
    )  # fmt: skip
    return (
        f"<header><h1>{html.escape(sweep.name)}</h1><p class='note'>{counts} "
        f"{html.escape(made)}</p><nav aria-label='Sections'>{links}</nav></header>"
    )


def varied(sweep: Sweep) -> str:
    """The axes with their values."""
    rows = []
    for axis in sweep.axes:
        values = [text_of(value) for value in axis.values]
        listed = ", ".join(values[:MOST_LISTED]) + (", ..." if len(values) > MOST_LISTED else "")
        note = f", in step with {axis.follows}" if axis.follows else ""
        cells = f"<td class='number'>{len(values)}</td><td>{html.escape(listed + note)}</td>"
        rows.append(f"<tr><th scope='row'>{html.escape(axis.field)}</th>{cells}</tr>")
    text = f"<table>{''.join(rows)}</table>" if rows else "<p>Nothing: this is one run.</p>"
    return f"<section><h2>What was varied</h2>{text}</section>"


EXPLORE = """<section id="explore"><h2>Figure</h2>
<form id="controls" class="controls" onsubmit="return false"
aria-label="What the figure shows"></form>
<p id="caption"></p>
<div id="figure" class="drawing"></div>
<p id="noise" class="verdict" role="status" aria-live="polite"></p>
<div class="bar"><button type="button" id="save-svg">Save SVG</button>
<button type="button" id="save-png">Save PNG</button>
<button type="button" id="save-numbers">Save numbers as CSV</button></div>
<details><summary>The numbers of this figure</summary><div id="numbers"></div></details>
</section>"""

RUNS = """<section id="table"><h2>Runs</h2>
<p class="note">A click on a name sorts. Under it: a word to look for, &gt;0.9, &lt;=3, =2 or
0.5..0.8.</p>
<form class="controls" id="groups" onsubmit="return false" aria-label="Columns shown"></form>
<div id="runs"></div></section>"""

DIALOG = """<dialog id="run" aria-label="One run"><form method="dialog">
<button>Close</button></form><div class="content"></div></dialog>"""


def chosen(sweep: Sweep) -> str:
    """Hyper-parameters as ByzFL chooses them, where a sweep varies more than defence and attack."""
    fields = [axis.field for axis in swept(sweep.axes)]
    among = [f for f in fields if f not in ("defence", *DEFENCE, COUNT, "spec.attack")]
    per = [f for f in fields if f in ("defence", *DEFENCE, COUNT)]
    if not among or not per or "spec.attack" not in fields:
        return ""
    found = choose(sweep.runs, per, among)
    labels = {axis.field: axis.label for axis in sweep.axes}
    note = (
        "Chosen by the worst attack on the buyer's verdict examples; the accuracy is that on the "
        "test set under its worst attack."
    )
    shown = table(found.rename(columns=labels))
    return f"<section><h2>Chosen hyper-parameters</h2><p>{note}</p>{shown}</section>"


def failures(runs: pd.DataFrame) -> str:
    """The reasons of runs that failed."""
    failed = runs[runs["status"] == "failed"]
    if not len(failed):
        return ""
    counts = failed["reason"].value_counts().rename_axis("reason").reset_index(name="runs")
    return f"<section><h2>Failed runs</h2>{table(counts)}</section>"


def configuration(manifest: Mapping[str, Any]) -> str:
    """Command, base, programs."""
    command = html.escape(str(manifest.get("provenance", {}).get("command", "")))
    return (
        f'<section id="configuration"><h2>Configuration</h2><pre>{command}</pre>'
        "<details><summary>The base; the axes replace what is listed above</summary>"
        f"<pre>{pretty(manifest.get('base', {}))}</pre></details>"
        f"<details><summary>Programs</summary><pre>{pretty(manifest.get('widths', {}))}</pre>"
        "</details></section>"
    )


def figures(sweep: Sweep, every: bool = False) -> Iterator[Figure]:
    """The figures that are written as files: the first one, its kin, or all of the page.

    Args:
        sweep: from `read_sweep`.
        every: also those of all other measures that vary.
    """
    view, axes = sweep.view, sweep.axes
    first = sweep.measure(view.y)
    if view.x == "round":
        yield Figure(f"{view.y}-rounds", draw(with_rounds(sweep), view, first, axes))
        return
    kind = "heat" if sweep.kind == "heat" else ""
    yield Figure(view.y + (f"-{kind}" if kind else ""), draw(sweep.runs, view, first, axes, kind))
    if view.x and view.by and not kind:
        yield Figure(f"{view.y}-heat", draw(sweep.runs, view, first, axes, "heat"))
    for worst in worst_views(view._replace(panel=""), axes) if not view.worst else ():
        yield Figure(f"{view.y}-worst-attack", draw(sweep.runs, worst, first, axes))
    if view.y in ROUND_MEASURES and len(sweep.rounds):
        along = View("round", view.y, view.by, view.panel)
        yield Figure(f"{view.y}-rounds", draw(with_rounds(sweep), along, first, axes))
    for measure in sweep.measures if every else ():
        if measure.name != view.y and sweep.runs[measure.name].nunique() > 1:
            one = view._replace(y=measure.name, panel="")
            yield Figure(measure.name, draw(sweep.runs, one, measure, axes))


def with_rounds(sweep: Sweep) -> pd.DataFrame:
    """One row per run and measured round, with the axes of the run."""
    measured = sweep.rounds[sweep.rounds["test_metric"].notna()]
    fields = ["key", "status", *(axis.field for axis in sweep.axes)]
    return measured.merge(sweep.runs[fields], on="key")
