"""The account of a market of several jobs that a person reads, with `rich`. Host only.

Read first: `account.py`, that of one job.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from d2m_jax.config.parsing import Config
from d2m_jax.ledger import Layout
from d2m_jax.market.state import MarketOutcome
from d2m_jax.report import tables
from d2m_jax.report.account import (
    apart,
    incomes_text,
    money_of_groups,
    new_table,
    votes_text,
)
from d2m_jax.report.job_tables import most_welfare, revenue, whole_sellers

MOST_SELLERS = 32  # rows that are shown


def print_jobs(
    console: Console,
    config: Config,
    outcome: MarketOutcome,
    layout: Layout,
    found: dict[str, pd.DataFrame],
    metric: str = "accuracy",
) -> None:
    """Every job, who served whom, CONE, the market as a whole and its money.

    Args:
        console: of rich.
        config: of the run.
        outcome: of all jobs, on the host.
        layout: accounts.
        found: the tables, from `job_results.write_job_results`.
        metric: what the quality of the models is called.
    """
    jobs, sellers = found["jobs"], whole_sellers(found["sellers"])
    matched = np.asarray(outcome.ledger.jobs.matched)
    served = [np.flatnonzero(matched[:, seller]) for seller in sellers["seller"].to_numpy(int)]
    sellers = sellers.assign(serves=[" ".join(map(str, own)) for own in served])
    console.print(_jobs(jobs, metric))
    console.print()
    console.print(_served(sellers, layout.num_jobs))
    console.print(votes_text(found["rounds"]))
    console.print(_whole(jobs, config))
    console.print(money_of_groups(found["money"]))
    console.print(incomes_text(sellers, tables.nodes_table(outcome, layout)))


def _jobs(jobs: pd.DataFrame, metric: str) -> Table:
    columns = ("job", "tags", "winner", "price", "sellers", "bad", metric, "tau", "test", "end")
    table = new_table("Jobs", *columns)
    for row in rows_of(jobs):
        sold, trained = row.price > 0, row.phase in ("settled", "refunded")
        said, wanted = quality(row)
        table.add_row(
            str(row.job),
            tags_text(int(row.tags)),
            f"buyer {row.buyer}" if sold else "-",
            f"{row.price:,}" if sold else "-",
            str(row.sellers),
            str(row.bad_sellers),
            said if trained else "-",
            wanted if sold else "-",
            "-" if pd.isna(row.test_metric) or not trained else f"{row.test_metric:.1%}",
            f"{row.phase}{_remarks(row)}",
            style="" if row.delivered else "yellow",
        )
    return table


def quality(row: Any) -> tuple[str, str]:
    """The metric of a job and its threshold, as `apart` writes them; "-" where it is no number."""
    if pd.isna(row.metric):
        return "-", apart(0.0, row.tau, is_reached=False)[1]
    return apart(float(row.metric), row.tau, round(1e4 * row.metric) >= 1e4 * row.tau)


def rows_of(table: pd.DataFrame) -> Iterator[Any]:
    """The rows of a table, columns by name."""
    return iter(table.itertuples())


def _remarks(row: Any) -> str:
    """What else there is to say of the end of a job."""
    found = ["below its tau"] if row.phase == "settled" and not row.delivered else []
    if row.disputed:
        found.append("disputed, " + ("upheld" if row.upheld else "rejected"))
    return "".join(f", {one}" for one in found)


def tags_text(tags: int) -> str:
    """The tags of a bitmask by number: "0 3"."""
    return " ".join(str(tag) for tag in range(31) if tags >> tag & 1)


def _served(sellers: pd.DataFrame, num_jobs: int) -> Table:
    columns = ("seller", "role", "serves jobs", "used", "flags", "rep.", "", "income")
    table = new_table("Who served whom", *columns)
    order = sellers.sort_values(["role", "change"], ascending=[False, False])
    half = MOST_SELLERS // 2
    shown = order if len(order) <= MOST_SELLERS else pd.concat([order[:half], order[-half:]])
    for row in rows_of(shown):
        fate = "slashed" if row.slashed else "excluded" if row.excluded else ""
        table.add_row(
            str(row.seller),
            str(row.role),
            row.serves or "none",
            str(row.accepted_rounds),
            str(row.flagged_rounds),
            f"{row.reputation:.2f}",
            fate,
            f"{row.change:+,}",
            style="" if row.role in ("honest", "not matched") else "red",
        )
    if len(shown) < len(order):
        table.caption = f"the first and last {half} of {len(order)}, of {num_jobs} jobs"
    return table


def _whole(jobs: pd.DataFrame, config: Config) -> Text:
    """Revenue, what was delivered, what it is worth, and what nobody got."""
    text = Text("The market: ", style="bold")
    counts = jobs["phase"].value_counts()
    ends = ", ".join(f"{n} {phase}" for phase, n in counts.items())
    text.append(
        f"{int(jobs['delivered'].sum())} of {len(jobs)} jobs deliver a good model ({ends})\n",
        style="not bold",
    )
    earned, worth = int(revenue(jobs["phase"], jobs["price"])), int(jobs["value"].sum())
    text.append(
        f"Revenue {earned:,}, the prices of settled jobs. Of all prices and slashed stakes "
        f"{int(jobs['seller_paid'].sum()):,} go to sellers, {int(jobs['compute_paid'].sum()):,} to "
        f"nodes, {int(jobs['fee_paid'].sum()):,} to the treasury, "
        f"{int(jobs['refunded'].sum()):,} back to buyers\n"
        f"What was delivered is worth {worth:,} to its buyers; at most "
        f"{most_welfare(config):,} if every job were\n",
        style="not bold",
    )
    return text
