"""The pages of a market of several jobs: one of the whole, and one of every job. Host only.

    index.html          every job in a line, who serves whom, the money of all
    job0/index.html     the page of one job, `market.py`

Read next: `market_data.py`, how the tables are told apart.
"""

import html
from collections.abc import Iterator
from typing import Any, NamedTuple

import pandas as pd

from d2m_jax.report.job_tables import revenue
from d2m_jax.report.page import market
from d2m_jax.report.page.charts import PALETTE, Spec
from d2m_jax.report.page.figures import Figure
from d2m_jax.report.page.market_charts import records, whole
from d2m_jax.report.page.market_data import Run
from d2m_jax.report.page.shell import page

TILES = ("jobs", "delivered", "revenue", "worth to the buyers", "bad sellers", "bad nodes")
COLUMNS = ("tags", "buyer", "price", "sellers", "bad_sellers", "metric", "tau", "test_metric",
           "phase", "delivered", "wrong_rounds", "seller_paid", "compute_paid",
           "refunded")  # fmt: skip
SERVES = "A cell is a seller that serves a job, by the share of the job's pay that it gets."


class Jobs(NamedTuple):
    """A finished market of several jobs."""

    name: str
    runs: list[Run]
    jobs: pd.DataFrame
    serves: pd.DataFrame


def render(made: Jobs) -> str:
    """The page of the whole as text."""
    data = {"name": made.name, "tables": {}, "figures": {"serves": serving(made)}}
    return page(made.name, body(made), data, market.SCRIPTS)


def body(made: Jobs) -> Iterator[str]:
    """The sections of the page."""
    first = made.runs[0]
    yield header(made)
    yield "<main>"
    yield market.section("jobs", "The jobs", "", table(made.jobs))
    yield market.section("serves", "Who serves whom", SERVES, market.drawing("serves"))
    yield market.section(
        "money", "Money", "In units; the total does not change.", market.money(first.money)
    )
    yield market.configuration(first.config)
    yield "</main>"


def header(made: Jobs) -> str:
    """What was run, and what it came to."""
    first, jobs = made.runs[0], made.jobs
    values = (
        len(jobs),
        int(jobs["delivered"].sum()),
        f"{int(revenue(jobs['phase'], jobs['price'])):,}",
        f"{int(jobs['value'].sum()):,}",
        int(first.sellers["role"].isin(["Byzantine", "tag liar"]).sum()),
        int((first.nodes["behaviour"] != "honest").sum()),
    )
    tiles = "".join(
        f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in zip(TILES, values)
    )
    data, spec = html.escape(str(first.config["data"]["name"])), first.config["spec"]
    return (
        f"<header><h1>{html.escape(made.name)}</h1><p class='note'>{len(jobs)} jobs at once on "
        f"{data}: {html.escape(str(spec['model']))}, {spec['num_buyers']} buyers, "
        f"{spec['num_sellers']} sellers, {spec['num_nodes']} nodes, seed {first.config['seed']}."
        f"</p><dl class='tiles'>{tiles}</dl></header>"
    )


def table(jobs: pd.DataFrame) -> str:
    """A line per job, with a link to its page."""
    names = ("job", *COLUMNS)
    head = "".join(f"<th>{name.replace('_', ' ')}</th>" for name in names)
    lines = []
    for row in jobs.to_dict("records"):
        link = f'<a href="job{row["job"]}/index.html">job {row["job"]}</a>'
        cells = "".join(f"<td>{said(row[name])}</td>" for name in COLUMNS)
        lines.append(f"<tr><td>{link}</td>{cells}</tr>")
    body = f"<thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody>"
    return f'<div class="scroll" tabindex="0"><table>{body}</table></div>'


def said(value: Any) -> str:
    """A value of a table as text."""
    if pd.isna(value):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.1%}"
    return f"{value:,}" if isinstance(value, int) else html.escape(str(value))


def serving(made: Jobs) -> Spec:
    """Jobs along y, sellers along x, a cell for each that serves, darker with its share of pay."""
    paid = made.serves.groupby("job")["paid"].transform("sum").clip(lower=1)
    table = made.serves.assign(share=made.serves["paid"] / paid)
    axis = {"ticks": False, "labelAngle": 0}
    names = ("seller", "job", "role", "paid", "share", "accepted_rounds", "slashed")
    view = {
        "width": {"step": 18},
        "height": {"step": 26},
        "mark": {"type": "rect", "stroke": "white"},
        "encoding": {
            "x": {"field": "seller", "type": "ordinal", "axis": axis},
            "y": {"field": "job", "type": "ordinal", "axis": axis},
            "color": {
                "field": "share",
                "type": "quantitative",
                "scale": {"range": ["#dbe7f0", PALETTE[0]]},
                "legend": {"title": "share of pay"},
            },
            "tooltip": [{"field": name, "title": name.replace("_", " ")} for name in names],
        },
    }
    return whole(records(table), "Who serves which job, and its share of the pay.", view)


def in_short(made: Jobs) -> list[tuple[str, str]]:
    """(job, sentence) of every job."""
    return [(f"job {job}", market.in_short(run)[-1][1]) for job, run in enumerate(made.runs)]


def figures(made: Jobs) -> Iterator[Figure]:
    """The figures that are written as files: who serves whom."""
    yield Figure("serves", serving(made))
