"""The page of one market: the job step by step, who got what and why, every vote. Host only."""

import html
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from d2m_jax.report.columns import TABLES
from d2m_jax.report.page import market_charts as charts
from d2m_jax.report.page.charts import Spec
from d2m_jax.report.page.figures import Figure
from d2m_jax.report.page.market_data import Run
from d2m_jax.report.page.market_story import BAD, GOOD, story
from d2m_jax.report.page.market_votes import notable, vote_data, vote_figure, vote_template
from d2m_jax.report.page.shell import page, pretty, table

SCRIPTS = ("figures.js", "table.js", "market.js")
MARKS = {GOOD: "\u2713", BAD: "\u2717"}
OWN_WORDS = {  # columns that the page adds to the tables of a run
    "share": ("share", "of the credit of all sellers that are paid"),
    "pay": ("money units", "what it got"),
    "lost": ("money units", "what was slashed of its deposit"),
    "why": ("", "why it got that"),
    "drawn": ("rounds", "in which it sat in an execution set"),
    "accepted": ("rounds", "in which it voted for the accepted result: paid"),
    "another": ("rounds", "in which it voted for another: slashed"),
    "silent": ("rounds", "in which it revealed nothing: a small slash"),
    "no_result": ("rounds", "in which nothing was accepted: neither paid nor slashed"),
}
SHOWN = {
    "sellers": ("seller", "role", "paid", "change", "why", "share", "accepted_rounds",
                "flagged_rounds", "samples", "reputation", "slashed", "excluded"),
    "nodes": ("node", "behaviour", "change", "why", "drawn", "accepted", "another", "silent",
              "no_result"),
    "rounds": ("round", "test_metric", "num_accepted", "num_flagged", "bad_sampled", "bad_accepted",
               "byzantine_mass", "accepted_digest", "attempts", "executions", "latency",
               "nodes_paid", "gas"),
}  # fmt: skip


def render(run: Run) -> str:
    """The page as text."""
    data: dict[str, Any] = {"name": run.name, "figures": specs(run), "tables": {}}
    if run.is_trained:
        data["vote"] = vote_template(run.nodes["behaviour"].tolist())
        data["votes"] = vote_data(run)
        data["tables"] = {name: table_data(getattr(run, name), name) for name in SHOWN}
    return page(run.name, body(run), data, SCRIPTS)


def specs(run: Run) -> dict[str, Spec]:
    """The figures that do not change, by the element that holds them."""
    if not run.is_trained:
        return {"bids": charts.bids(run)}
    return {
        "bids": charts.bids(run),
        "timeline": charts.timeline(run),
        "seller-income": charts.incomes(run.sellers, "seller", "role"),
        "node-income": charts.incomes(run.nodes, "node", "behaviour"),
        "work": charts.work(run),
    }


def table_data(frame: pd.DataFrame, name: str) -> dict[str, Any]:
    """Rows and words of a table that sorts and filters."""
    words = {c.name: (c.unit, c.meaning) for c in TABLES[name]} | OWN_WORDS
    columns = [column for column in SHOWN[name] if column in frame]
    numeric = [
        pd.api.types.is_numeric_dtype(frame[c]) and not pd.api.types.is_bool_dtype(frame[c])
        for c in columns
    ]
    said = [f"{words[c][1]} ({words[c][0]})" if words[c][0] else words[c][1] for c in columns]
    rows = charts.records(frame[columns])
    return {
        "columns": columns,
        "words": said,
        "numeric": numeric,
        "rows": [[row[column] for column in columns] for row in rows],
    }


def body(run: Run) -> Iterator[str]:
    """The sections of the page."""
    yield header(run)
    yield "<main>"
    yield steps(run)
    yield section("auction", "The auction", BIDS, drawing("bids"))
    if run.is_trained:
        yield from trained(run)
    yield section("money", "Money", "In units; the total does not change.", money(run.money))
    if run.is_trained:
        yield section("all-rounds", "Table of the rounds", "", '<div id="table-rounds"></div>')
    yield configuration(run.config)
    yield "</main>"


def trained(run: Run) -> Iterator[str]:
    """The sections of a job that found a buyer and sellers."""
    yield section("rounds", "The rounds", "", drawing("timeline"))
    yield section("sellers", "Sellers: who got what, and why", "", drawing("seller-income"),
                  '<div id="table-sellers"></div>')  # fmt: skip
    yield section("updates", "Every update", UPDATES, drawing("work"))
    yield VOTE
    yield section("nodes", "Nodes: who got what, and why", "", drawing("node-income"),
                  '<div id="table-nodes"></div>')  # fmt: skip


UPDATES = "A cell is an update that arrived, with what the defence made of it."
BIDS = ("A bar is what a buyer bid, blue if it won; the tick is how far it would have gone, the "
        "dashed line the price.")  # fmt: skip

VOTE = """<section id="vote"><h2>The vote of one round, node by node</h2>
<form class="controls" onsubmit="return false" aria-label="Which round">
<label><span>Round <output id="round-said"></output></span>
<input type="range" id="round" min="1" step="1"></label>
<label><span>Go to</span><select id="jump"></select></label></form>
<p id="vote-said" role="status" aria-live="polite"></p>
<div id="vote-figure" class="drawing"></div></section>"""


def section(name: str, title: str, note: str, *parts: str) -> str:
    """A part of the page."""
    said = f'<p class="note">{note}</p>' if note else ""
    return f'<section id="{name}"><h2>{title}</h2>{said}{"".join(parts)}</section>'


def drawing(name: str) -> str:
    """A place for a figure."""
    return f'<div class="drawing" id="figure-{name}"></div>'


def header(run: Run) -> str:
    """What was run, and how it ended."""
    spec, closing, made = run.config["spec"], run.closing, run.config.get("provenance", {})
    data = run.config["data"]["name"]
    quality = {
        f"test {closing['quality']}": f"{run.evaluations['test_metric'].iloc[-1]:.1%}",
        "threshold": f"{100 * closing['tau']:.6g}%",
        "wrong rounds": int((run.rounds["accepted_digest"] > 0).sum()),
    }
    facts = {
        "ended": closing["phase"],
        "price": f"{closing['price']:,}",
        **(quality if run.is_trained else {}),
        "bad sellers": int(run.sellers["role"].isin(["Byzantine", "tag liar"]).sum()),
        "bad nodes": int((run.nodes["behaviour"] != "honest").sum()),
    }
    tiles = "".join(
        f"<div><dt>{html.escape(k)}</dt><dd>{html.escape(str(v))}</dd></div>"
        for k, v in facts.items()
    )
    about = ", ".join(f"{k} {v}" for k, v in made.items() if k != "command")
    inner = ("rounds", "sellers", "vote", "nodes") if run.is_trained else ()
    names = ("steps", *inner, "money", "configuration")
    links = " ".join(f'<a href="#{name}">{name.capitalize()}</a>' for name in names)
    return (
        f"<header><h1>{html.escape(run.name)}</h1><p class='note'>One market on "
        f"{html.escape(str(data))}: {html.escape(str(spec['model']))}, {spec['num_sellers']} "
        f"sellers, {spec['num_nodes']} nodes, {len(run.rounds)} rounds, seed {run.config['seed']}. "
        f"{html.escape(about)}</p><nav aria-label='Sections'>{links}</nav>"
        f"<dl class='tiles'>{tiles}</dl></header>"
    )


def steps(run: Run) -> str:
    """The job as a list."""
    items = "".join(
        f'<li class="{step.tone}"><b>{MARKS.get(step.tone, "")} {html.escape(step.title)}</b> '
        f"{html.escape(step.said)}</li>"
        for step in story(run)
    )
    return section("steps", "The job, step by step", "", f'<ol class="steps">{items}</ol>')


def money(frame: pd.DataFrame) -> str:
    """The table of money as people write it."""
    shown = frame.copy()
    for name in ("before", "after"):
        shown[name] = [f"{value:,}" for value in frame[name]]
    shown["change"] = [f"{value:+,}" for value in frame["change"]]
    return table(shown, "Money")


def configuration(config: Mapping[str, Any]) -> str:
    """The command and the whole configuration."""
    command = html.escape(str(config.get("provenance", {}).get("command", "")))
    whole = f"<details><summary>All of it</summary><pre>{pretty(dict(config))}</pre></details>"
    return section("configuration", "Configuration", "", f"<pre>{command}</pre>", whole)


def in_short(run: Run) -> list[tuple[str, str]]:
    """(step, sentence) of the job."""
    return [(step.title.lower(), step.said) for step in story(run)]


def figures(run: Run) -> Iterator[Figure]:
    """The figures that are written as files."""
    for name, spec in specs(run).items():
        yield Figure(name, spec)
    if run.is_trained:
        yield Figure("vote", vote_figure(run, notable(run)))
