"""What W worlds of several jobs come to: one row per market, and on request one per job. Host only.

A column of a market is the sum, the mean or whatever else suits it of the columns of its jobs,
which are those of a market of one job (`tables.py`).
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
import pandas as pd
import pyarrow as pa

from d2m_jax.ledger import Layout
from d2m_jax.market.jobs import job_of
from d2m_jax.market.state import MarketOutcome
from d2m_jax.report.job_tables import jobs_table, revenue, sellers_table, whole_sellers
from d2m_jax.report.tables import nodes_table, round_columns
from d2m_jax.sweep import tables
from d2m_jax.sweep.plan import Run

Combine = Callable[[np.ndarray], np.ndarray]  # [J, ...] of the jobs -> [...] of the market


def total(values: np.ndarray) -> np.ndarray:
    """The sum over jobs."""
    found: np.ndarray = values.sum(0)
    return found


def mean(values: np.ndarray) -> np.ndarray:
    """The mean over the jobs that have a value; NaN where none has."""
    known = ~np.isnan(values)
    summed = np.where(known, values, 0).sum(0) / np.maximum(known.sum(0), 1)
    return np.where(known.any(0), summed, np.nan).astype(values.dtype)


def alike(values: np.ndarray) -> np.ndarray:
    """What all jobs share."""
    found: np.ndarray = values[0]
    return found


def some(values: np.ndarray) -> np.ndarray:
    """Whether it holds of any job."""
    found: np.ndarray = np.any(values, axis=0)
    return found


def every(values: np.ndarray) -> np.ndarray:
    """Whether it holds of all jobs."""
    found: np.ndarray = np.all(values, axis=0)
    return found


def last(values: np.ndarray) -> np.ndarray:
    """The largest: the clock waits for the last job."""
    found: np.ndarray = values.max(0)
    return found


def counted(phases: np.ndarray) -> np.ndarray:
    """How the jobs ended: "settled" where all did, else "1 refunded, 3 settled"."""
    return np.array([_counted(column) for column in phases.T], object)


def _counted(phases: np.ndarray) -> str:
    names, counts = np.unique(phases.astype(str), return_counts=True)
    if len(names) == 1:
        return str(names[0])
    return ", ".join(f"{count} {name}" for name, count in zip(names, counts))


def worst(digests: np.ndarray) -> np.ndarray:
    """A wrong digest if there is one, else -1 if some job has none, else 0."""
    found: np.ndarray = np.where((digests > 0).any(0), digests.max(0), digests.min(0))
    return found


RUNS: dict[str, Combine] = {
    "delivered": every,
    "phase": counted,
    **dict.fromkeys(("wrong_verdict", "disputed", "upheld"), some),
    **dict.fromkeys(
        ("welfare", "price", "seller_paid", "slashed_bad", "slashed_honest", "wrong_rounds",
         "undecided_rounds", "dispute_messages", "dispute_delay", "dispute_gas", "attempts",
         "executions", "compute_paid", "num_refused", "num_excluded", "num_rounds"),
        total,
    ),
    **dict.fromkeys(
        ("buyer_change", "honest_seller_income", "bad_seller_income", "honest_node_income",
         "bad_node_income", "treasury_change", "burned", "num_byzantine", "num_bad_nodes"),
        alike,
    ),
}  # fmt: skip
ROUNDS: dict[str, Combine] = {
    "round": alike,
    "accepted_digest": worst,
    "latency": last,
    **dict.fromkeys(
        ("num_refused", "num_excluded", "attempts", "executions", "nodes_paid", "num_accepted",
         "num_flagged", "bad_sampled", "bad_accepted", "gas"),
        total,
    ),
}  # fmt: skip


def combined(
    jobs: Sequence[dict[str, np.ndarray]], rules: dict[str, Combine]
) -> dict[str, np.ndarray]:
    """The columns of the market from those of its jobs; the mean where no rule is given."""
    found = {}
    for name in jobs[0]:
        values = np.stack([np.asarray(own[name]) for own in jobs])
        found[name] = rules.get(name, mean)(values)
    return found


def worlds_of(outcome: MarketOutcome, layout: Layout) -> list[MarketOutcome]:
    """W worlds of every job, as of markets of one job."""
    return [job_of(outcome, job, worlds=True) for job in range(layout.num_jobs)]


def runs_columns(
    outcome: MarketOutcome, layout: Layout, values: np.ndarray
) -> dict[str, np.ndarray]:
    """The results of W worlds of several jobs, a column of W values each.

    Args:
        outcome: every leaf [W, ...].
        layout: accounts.
        values: [W, U] what a good model is worth to each buyer, money units.
    """
    own = layout._replace(num_jobs=1)
    jobs = [tables.runs_columns(one, own, values) for one in worlds_of(outcome, layout)]
    paid = np.stack([one["seller_paid"] for one in jobs])
    to_bad = np.stack([one["bad_pay_share"] for one in jobs]) * paid
    phases = np.stack([one["phase"] for one in jobs])
    return {
        **combined(jobs, RUNS),
        "bad_pay_share": to_bad.sum(0) / np.maximum(paid.sum(0), 1),
        "latency": np.asarray(outcome.rounds.latency).max(-1).sum(-1),
        "num_jobs": np.full(len(values), len(jobs)),
        "num_delivered": np.stack([one["delivered"] for one in jobs]).sum(0),
        "num_settled": (phases == "settled").sum(0),
        "revenue": revenue(phases, np.stack([one["price"] for one in jobs])),
    }


def rounds_table(runs: Sequence[Run], outcome: MarketOutcome, layout: Layout) -> pa.Table:
    """One row per run and round, over all jobs.

    Args:
        runs: V of them.
        outcome: every leaf [W, ...], W at least V.
        layout: accounts.
    """
    jobs = [
        round_columns(one.rounds, one.evaluations, one.roles, one.ledger)
        for one in worlds_of(outcome, layout)
    ]
    return tables.round_rows(runs, combined(jobs, ROUNDS))


def more_tables(
    runs: Sequence[Run],
    outcome: MarketOutcome,
    layout: Layout,
    values: np.ndarray,
    *,
    parties: bool,
    jobs: bool,
) -> dict[str, pa.Table]:
    """One row per run and seller (over all jobs), and node; one per run and job.

    Args:
        runs: V of them.
        outcome: every leaf [W, ...], W at least V.
        layout: accounts.
        values: [W, U] what a good model is worth to each buyer, money units.
        parties: sellers and nodes are asked for.
        jobs: jobs are asked for.
    """
    found: dict[str, list[pd.DataFrame]] = {}
    for place, run in enumerate(runs):
        world: Any = jax.tree.map(lambda leaf, place=place: leaf[place], outcome)
        if parties:
            whole = whole_sellers(sellers_table(world, layout))
            found.setdefault("sellers", []).append(whole.assign(key=run.key))
            found.setdefault("nodes", []).append(nodes_table(world, layout).assign(key=run.key))
        if jobs:
            own = jobs_table(world, values[place].tolist())
            found.setdefault("jobs", []).append(own.assign(key=run.key))
    return {
        name: pa.Table.from_pandas(pd.concat(frames), preserve_index=False)
        for name, frames in found.items()
    }
