"""What a finished run of several jobs leaves in its folder. Host only.

The tables are those of one job with a column `job`; `closing.json` and `payments.json` hold a list
of jobs; every job has a model. Read first: `results.py`, `job_tables.py`.
"""

import pathlib
from typing import Any

import jax
import numpy as np
import pandas as pd

from d2m_jax.config.parsing import Config
from d2m_jax.core.files import kept
from d2m_jax.core.types import PyTree
from d2m_jax.ledger import Layout
from d2m_jax.market.jobs import job_of
from d2m_jax.market.state import MarketOutcome
from d2m_jax.report import events, job_tables, tables
from d2m_jax.report.folder import write_json
from d2m_jax.report.model_file import save_model
from d2m_jax.report.results import (
    about_model,
    ledger_dict,
    payments_dict,
    seller_epsilons,
    write_tables,
)


def write_job_results(
    folder: pathlib.Path,
    config: Config,
    outcome: MarketOutcome,
    layout: Layout,
    sizes: np.ndarray | jax.Array,
    params: PyTree = None,
    metric: str = "accuracy",
) -> dict[str, pd.DataFrame]:
    """Writes what a finished run of several jobs leaves, the costliest to lose first.

    Args:
        folder: from `open_results`, with the configuration in it.
        config: of the run.
        outcome: of all jobs, on the host.
        layout: accounts.
        sizes: [N], or [J, N] where every job has data of its own, that the sellers hold.
        params: of the trained models, every leaf with a leading J; None writes no model.
        metric: what the quality of the models is called.

    Returns:
        The tables.

    Raises:
        StorageError: the disk is full; the files that are there are whole.
    """
    jobs = [job_of(outcome, job) for job in range(layout.num_jobs)]
    if params is not None:
        for job, one in enumerate(jobs):
            own = jax.tree.map(lambda leaf, job=job: leaf[job], params)
            about = {**about_model(config, one), "job": job}
            save_model(folder / f"model-job{job}.safetensors", own, about)
    write_json(folder / "ledger.json", ledger_dict(outcome.ledger, layout))
    write_json(folder / "payments.json", payments_of_jobs(config, outcome, layout))
    closings = [events.closing_dict(config, one, layout, metric) for one in jobs]
    write_json(folder / "closing.json", {"jobs": closings})
    values = [int(value) for value in config.hparams.money.buyer_values]
    sellers = with_job_epsilons(config, jobs, job_tables.sellers_table(outcome, layout), sizes)
    found = {
        "jobs": job_tables.jobs_table(outcome, values),
        "serves": job_tables.serves_table(sellers, outcome),
        "rounds": tables.round_frame(
            outcome.rounds, outcome.evaluations, outcome.roles, outcome.ledger
        ),
        "evaluations": tables.evaluation_frame(outcome.evaluations),
        "sellers": sellers,
        "nodes": tables.nodes_table(outcome, layout),
        "money": tables.money_table(outcome, layout),
        "auction": job_tables.of_jobs(events.auction_table, outcome, layout, table="auction"),
    }
    large = {
        "work": job_tables.of_jobs(events.work_table, outcome, table="work"),
        "votes": job_tables.of_jobs(events.votes_table, outcome, table="votes"),
    }
    write_tables(folder, found, large)
    return found


def payments_of_jobs(config: Config, outcome: MarketOutcome, layout: Layout) -> dict[str, Any]:
    """`payments_dict` of every job, sellers by what that job paid them, and what all jobs share.

    A node works for all jobs with one wealth, so whether it is rational is said once. A buyer bids
    for one job, so its wealth changes by that job alone.

    Args:
        config: of the run.
        outcome: of all jobs, on the host.
        layout: accounts.
    """
    earned = job_tables.earned_by_job(outcome, config.hparams.rules)
    jobs = [
        payments_dict(config, job_of(outcome, job), layout, earned[job])
        for job in range(layout.num_jobs)
    ]
    nodes = [one.pop("honest_nodes_rational") for one in jobs]
    return {"honest_nodes_rational": nodes[0], "jobs": jobs}


def with_job_epsilons(
    config: Config, jobs: list[MarketOutcome], sellers: pd.DataFrame, sizes: np.ndarray | jax.Array
) -> pd.DataFrame:
    """The table of jobs and sellers with the privacy losses in each job, where there is privacy."""
    if config.spec.privacy == "none":
        return sellers
    held = np.broadcast_to(np.asarray(sizes), (len(jobs), np.shape(sizes)[-1]))
    losses = [seller_epsilons(config, one, own) for one, own in zip(jobs, held)]
    at = sellers["job"].to_numpy(int), sellers["seller"].to_numpy(int)
    columns = {name: np.stack([own[name] for own in losses])[at] for name in losses[0]}
    return sellers.assign(**columns)


def write_job_plots(
    folder: pathlib.Path,
    config: Config,
    outcome: MarketOutcome,
    found: dict[str, pd.DataFrame],
    metric: str = "accuracy",
    *,
    every: bool = False,
) -> None:
    """Draws who serves whom and, on request, the quality of every job's model.

    Args:
        folder: of the results.
        config: of the run.
        outcome: of all jobs, on the host.
        found: the tables, from `write_job_results`.
        metric: what the quality of the models is called.
        every: the quality over the rounds, too.

    Raises:
        StorageError: the disk is full; the tables are there.
    """
    from d2m_jax.report import job_plots  # matplotlib is slow to import, and nothing else needs it

    jobs, roles = outcome.ledger.jobs, outcome.roles
    fits = (np.asarray(jobs.tags)[:, None] & ~np.asarray(roles.holds)[None]) == 0
    with kept(folder):
        job_plots.plot_jobs(found["jobs"], fits, np.asarray(jobs.matched), folder / "jobs.png")
        if every:
            path = folder / "quality.png"
            job_plots.plot_quality(found["evaluations"], found["jobs"], path, metric)
