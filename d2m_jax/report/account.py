"""The account of a market that a person reads, with `rich`. Host only."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from d2m_jax.config.parsing import Config
from d2m_jax.config.population import Population
from d2m_jax.config.spec import Spec
from d2m_jax.core.choices import label
from d2m_jax.core.types import Number
from d2m_jax.ledger import Layout, Phase
from d2m_jax.market.auction import format_of
from d2m_jax.market.engine import Market
from d2m_jax.market.state import MarketOutcome
from d2m_jax.report import tables

if TYPE_CHECKING:
    import pandas as pd

_ENDINGS = {
    Phase.SETTLED: ("settled: sellers, nodes and the fee are paid", "green"),
    Phase.REFUNDED: ("refunded: the buyer has its money back, honest compute stays paid", "yellow"),
    Phase.ABORTED: (
        "aborted: too few sellers carry the tags, the buyer is refunded, less the fee",
        "yellow",
    ),
    Phase.IDLE: ("no sale: nobody bid the reserve", "yellow"),
}


def print_header(console: Console, config: Config, market: Market) -> None:
    """Names the world in three lines."""
    spec, who = config.spec, config.hparams.population
    console.print(
        f"[bold]D2M market[/] on {escape(label(config.data.name))}: {label(spec.model)} with "
        f"{market.model.num_params:,} parameters, seed {config.seed}"
    )
    defence = label(spec.sampler)
    if spec.aggregator != "own":
        defence += f" + {label(spec.aggregator)}"
    sellers = {
        f"Byzantine ({label(spec.attack)})": who.num_byzantine,
        "lying about tags": who.num_tag_liars,
        "without the tags": who.num_strangers,
    }
    nodes = {
        "colluding": who.num_colluding,
        "lone liars": who.num_lone_liars,
        "silent": who.num_silent,
        "copying": who.num_copying,
        "adaptive": who.num_adaptive,
    }
    drawn = "of their units sampled" if spec.unit_slots else "sampled"
    console.print(
        f"  {spec.num_sellers} sellers ({_kinds(sellers)}), {spec.num_sampled} {drawn} a round, "
        f"defence {defence}"
    )
    console.print(
        f"  {jobs_line(spec, who)}{spec.num_nodes} compute nodes ({_kinds(nodes)}), "
        f"{label(spec.set_schedule)} execution sets, {label(spec.stop_rule)} rule\n"
    )


def jobs_line(spec: Spec, who: Population) -> str:
    """How many jobs there are and how many of them a seller's data fits; empty for one job."""
    if spec.num_jobs == 1:
        return ""
    return (
        f"{spec.num_jobs} jobs at once, {spec.num_buyers} buyers; the data of a seller fits "
        f"{who.breadth} of them\n  "
    )


def _kinds(counts: Mapping[str, Number]) -> str:
    """The kinds that occur, as text: "6 Byzantine (alie), 1 lying about tags"."""
    return ", ".join(f"{n} {kind}" for kind, n in counts.items() if n) or "all honest"


def print_account(
    console: Console,
    config: Config,
    outcome: MarketOutcome,
    layout: Layout,
    metric: str = "accuracy",
) -> None:
    """Auction, training, CONE, verdict and money of a finished market."""
    job = {name: np.asarray(value)[0] for name, value in vars(outcome.ledger.jobs).items()}
    rounds = tables.rounds_table(outcome)
    sellers = tables.sellers_table(outcome, layout)
    console.print(_auction(outcome, job, layout))
    if job["price"] > 0:
        terms = {**config.hparams.rules, **format_of(config.spec.auction)}
        price = "second" if terms["second_price"] else "first"
        console.print(
            f"  buyer {job['buyer']} wins and pays {job['price']:,} "
            f"({price} price); {int(job['matched'].sum())} sellers matched\n"
        )
    if job["phase"] in (Phase.IDLE, Phase.ABORTED):
        console.print(Text("Ending: ", style="bold").append(*_ENDINGS[Phase(int(job["phase"]))]))
    else:
        console.print(_sellers(sellers))
        console.print(votes_text(rounds))
        console.print(_verdict(config, outcome, job, metric))
    console.print(money_of_groups(tables.money_table(outcome, layout)))
    console.print(incomes_text(sellers, tables.nodes_table(outcome, layout)))


def new_table(title: str, *columns: str) -> Table:
    """A table without lines, whose first column is text and whose others are numbers."""
    table = Table(title=title, title_justify="left", title_style="bold", box=None, padding=(0, 2))
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 else "right", header_style="dim")
    return table


def _auction(outcome: MarketOutcome, job: dict[str, np.ndarray], layout: Layout) -> Table:
    bids = int(outcome.auction.num_bids)
    table = new_table(f"Auction: {bids} accepted bids", "buyer", "limit", "bid", "")
    for buyer in range(layout.num_buyers):
        won = "wins" if buyer == job["buyer"] else ""
        limit, last = int(outcome.auction.limits[buyer]), int(outcome.auction.highest[buyer])
        table.add_row(str(buyer), f"{limit:,}", f"{last:,}" if last else "-", won)
    return table


def _sellers(sellers: pd.DataFrame) -> Table:
    import pandas as pd

    is_units = bool((sellers["owner"] != sellers["seller"]).any())
    table = new_table(
        "Who trained",
        "unit" if is_units else "seller",
        "role (owner)" if is_units else "role",
        "samples",
        "used",
        "flags",
        "mass",
        "rep.",
        "",
        "income",
    )
    order = sellers.sort_values(["role", "change"], ascending=[False, False])
    shown = order if len(order) <= 24 else pd.concat([order.head(12), order.tail(12)])
    for row in shown.itertuples():
        style = "" if row.role == "honest" else "red"
        fate = (
            "found out"
            if row.found_out
            else "slashed"
            if row.slashed
            else "excluded"
            if row.excluded
            else ""
        )
        table.add_row(
            str(row.seller),
            str(row.role) + (f" ({row.owner})" if is_units else ""),
            f"{row.samples:,}",
            str(row.accepted_rounds),
            str(row.flagged_rounds),
            f"{row.mass:.3f}",
            f"{row.reputation:.2f}",
            fate,
            f"{row.change:+,}",
            style=style,
        )
    if len(shown) < len(order):
        table.caption = f"the first and last 12 of {len(order)}"
    return table


def votes_text(rounds: pd.DataFrame) -> Text:
    """What CONE executed, and what it got wrong.

    Args:
        rounds: from `tables.rounds_table`, or those of all jobs.
    """
    wrong = int((rounds["accepted_digest"] > 0).sum())
    void = int((rounds["accepted_digest"] < 0).sum())
    text = Text("\nCONE: ", style="bold")
    text.append(
        f"{rounds['executions'].sum():,} executions in {len(rounds)} rounds, "
        f"{rounds['attempts'].mean():.2f} sets a round (at most {rounds['attempts'].max()})",
        style="not bold",
    )
    text.append(f"; {wrong} wrong results accepted", style="not bold " + ("red" if wrong else ""))
    if void:
        text.append(f"; {void} rounds undecided", style="not bold yellow")
    return text


def _verdict(
    config: Config, outcome: MarketOutcome, job: dict[str, np.ndarray], metric: str
) -> Text:
    closing, tau = outcome.closing, float(config.hparams.tau)
    ending, colour = _ENDINGS[Phase(int(job["phase"]))]
    value = float(closing.metric)
    is_reached = math.isfinite(value) and round(1e4 * value) >= int(job["tau_bps"])
    reached = "reaches" if is_reached else "misses"
    said, wanted = apart(value, tau, is_reached)
    text = Text("Verdict: ", style="bold")
    text.append(
        f"{metric} {said} on the buyer's examples {reached} tau = {wanted}; "
        f"{float(outcome.test_metric):.1%} on the test set\n",
        style="not bold",
    )
    if int(closing.accepted_digest) > 0:
        claim = int(closing.reported_bps) / 1e4
        text.append(f"CONE accepted a false metric: {claim:.1%}\n", style="not bold red")
    if int(closing.accepted_digest) < 0 and job["matched"].any():
        text.append("CONE did not decide on the metric\n", style="not bold yellow")
    if bool(closing.disputed):
        why = "a wrong result" if bool(closing.was_true) else "nothing wrong"
        fate = "upheld" if bool(closing.upheld) else "rejected"
        if bool(closing.corrected):
            fate += f", metric corrected from {int(closing.reported_bps) / 1e4:.1%}"
        text.append(f"Dispute: over {why}, {fate}\n", style="not bold")
    text.append("Ending: ").append(ending + "\n", style=f"not bold {colour}")
    return text


def apart(value: float, threshold: float, is_reached: bool) -> tuple[str, str]:
    """Two shares in per cent, with digits until they tell what happened: ("89.96%", "90%").

    Args:
        value: in [0, 1]; at least one digit after the point is shown.
        threshold: in [0, 1], as short as it is written.
        is_reached: the value is shown below the threshold unless it reaches it.
    """
    wanted = f"{100 * threshold:.6g}%"
    for digits in range(1, 9):
        said = f"{value:.{digits}%}"
        if (float(said[:-1]) >= float(wanted[:-1])) == is_reached:
            return said, wanted
    return f"{value:.2%}", wanted  # the ledger counts in basis points: a threshold between two


def money_of_groups(money: pd.DataFrame) -> Table:
    """The table of money, `tables.money_table`, as people write it."""
    table = new_table("Money, in units", "group", "parties", "before", "after", "change")
    for row in money.itertuples():
        is_total = row.group == "total"
        table.add_row(
            str(row.group),
            "" if is_total else str(row.parties),
            f"{row.before:,}",
            f"{row.after:,}",
            f"{row.change:+,}",
            style="bold" if is_total else "",
        )
    return table


def incomes_text(sellers: pd.DataFrame, nodes: pd.DataFrame) -> Text:
    """Mean incomes of honest and of misbehaving sellers and nodes, from their tables."""
    text = Text("\nIncome per head: ", style="bold")
    parts = []
    for what, table, column, good in (
        ("seller", sellers[sellers["role"] != "not matched"], "role", "honest"),
        ("node", nodes, "behaviour", "honest"),
    ):
        for kind, rows in (
            ("honest", table[table[column] == good]),
            ("misbehaving", table[table[column] != good]),
        ):
            if len(rows):
                parts.append(f"{kind} {what} {rows['change'].mean():+,.0f}")
    text.append(", ".join(parts), style="not bold")
    return text
