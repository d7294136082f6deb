"""What a finished run leaves in its folder: model, ledger, tables, plots. Host only.

Not here: the folder and its configuration (`folder.py`), what is written as a run goes
(`loggers.py`, `checkpoint.py`).
"""

from __future__ import annotations

import dataclasses
import io
import pathlib
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from d2m_jax import incentives, privacy
from d2m_jax.cone import Behaviour
from d2m_jax.config.parsing import Config
from d2m_jax.core.backend import QUICKEST, compile_with
from d2m_jax.core.choices import label
from d2m_jax.core.files import RESUME, kept, write_whole
from d2m_jax.core.types import PyTree
from d2m_jax.ledger import Layout, Ledger, Phase, split_pot, wealth
from d2m_jax.market.state import MarketOutcome
from d2m_jax.privacy.accountant import epsilons, epsilons_a_priori, participations_of
from d2m_jax.report import events, tables
from d2m_jax.report.columns import typed
from d2m_jax.report.folder import write_json
from d2m_jax.report.model_file import MODEL, save_model

if TYPE_CHECKING:
    import pandas as pd


def ledger_dict(ledger: Ledger, layout: Layout) -> dict[str, Any]:
    """The ledger as plain numbers, accounts by role."""
    balances, stakes = np.asarray(ledger.balances), np.asarray(ledger.stakes)
    roles = {"buyers": layout.buyers, "sellers": layout.sellers, "nodes": layout.nodes}
    accounts = {
        role: {"balance": balances[span].tolist(), "stake": stakes[span].tolist()}
        for role, span in roles.items()
    }
    jobs = {
        field.name: np.asarray(getattr(ledger.jobs, field.name)).tolist()
        for field in dataclasses.fields(ledger.jobs)
    }
    return {
        "block": int(ledger.block),
        "supply": int(ledger.supply),
        "burned": int(ledger.burned),
        "treasury": int(balances[layout.treasury]),
        **accounts,
        "banned": np.flatnonzero(np.asarray(ledger.banned)).tolist(),
        "reputation_bps": np.asarray(ledger.reputation_bps).tolist(),
        "jobs": jobs,
    }


def seller_epsilons(
    config: Config, outcome: MarketOutcome, sizes: np.ndarray | jax.Array
) -> dict[str, np.ndarray]:
    """Privacy losses [N] of every seller at privacy.delta, by column.

    `epsilon` is that of a seller drawn in every round, which is known beforehand and depends on
    nobody's data. `epsilon_ex_post` counts the rounds in which it was drawn; a sampler that learns
    draws by what it sees, so this one is no guarantee.

    Args:
        config: of the run.
        outcome: of the run.
        sizes: [N] of the data that the sellers hold; the ledger has what they claim.
    """
    facts: dict[str, Any] = {
        "unit": config.spec.privacy,
        "batch_size": config.spec.batch_size,
        "noise": float(config.hparams.privacy.noise),
        "delta": float(config.hparams.privacy.delta),
    }
    held, drawn = np.asarray(sizes), drawn_rounds(outcome, config.spec.num_listings)
    return {
        "epsilon": epsilons_a_priori(config.spec.num_rounds, held, **facts).values,
        "epsilon_ex_post": epsilons(drawn, held, **facts).values,
    }


def payments_dict(
    config: Config,
    outcome: MarketOutcome,
    layout: Layout,
    earned: np.ndarray | None = None,
) -> dict[str, Any]:
    """Budget balance, individual rationality and fairness of one job.

    Rational is who ends no worse than by staying away: a seller whose pay, less its slashed
    deposit, covers `TRAINING_COST` for each round in which it was drawn; a node that has not lost
    money; the winner, whose value, if the job was settled, covers what it spent.

    Args:
        config: of the run.
        outcome: of one job, on the host.
        layout: accounts.
        earned: [N] units, the pay of sellers less slashed deposits; left out, what their wealth
            gained, which with several jobs is that of all.
    """
    job = jax.tree.map(lambda x: np.asarray(x)[0], outcome.ledger.jobs)
    took_part = job.matched & ~job.excluded
    weights = np.where(took_part, job.weights, 0)
    facts = job.seller_paid, weights, took_part
    pay, summary = jax.device_get(compile_with(jax.jit(_shares).lower(*facts), QUICKEST)(*facts))
    pool = int(job.price) + int(job.compensation)
    spent = [int(x) for x in (job.seller_paid, job.fee_paid, job.compute_paid, job.refunded)]
    honest = ~np.asarray(outcome.roles.bad_seller)
    change = np.asarray(wealth(outcome.ledger)) - np.asarray(wealth(outcome.opening))
    rounds = drawn_rounds(outcome, layout.num_sellers)
    gained = change[layout.sellers] if earned is None else earned
    covered = gained >= incentives.TRAINING_COST * rounds
    good_nodes = np.asarray(outcome.roles.behaviour) == Behaviour.HONEST
    winner, settled = int(job.buyer), int(job.phase) == Phase.SETTLED
    worth = config.hparams.money.buyer_values[winner] if settled and winner >= 0 else 0
    executions = int(np.asarray(outcome.rounds.executions).sum())
    return {
        "price": int(job.price),
        "neither_paid_nor_refunded": pool - sum(spent),
        "sellers_paid_something": float((pay[took_part] > 0).mean()) if took_part.any() else 0.0,
        "honest_share": float(pay[honest].sum() / max(pay.sum(), 1)),
        "jain": float(summary.jain),
        "gini": float(summary.gini),
        "training_cost": incentives.TRAINING_COST,
        "sellers_rational": _share(covered[job.matched]),
        "honest_sellers_rational": _share(covered[job.matched & honest]),
        "honest_nodes_rational": _share((change[layout.nodes] >= 0)[good_nodes]),
        "winner_rational": bool(worth + change[winner] >= 0) if winner >= 0 else None,
        "paid_per_execution": float(outcome.rounds.nodes_paid.sum() / max(executions, 1)),
    }


def _shares(
    pool: jax.Array, weights: jax.Array, took_part: jax.Array
) -> tuple[jax.Array, incentives.PaymentReport]:
    """What each seller got of the pool, and how that looks."""
    pay = split_pot(pool, weights)
    return pay, incentives.payment_report(pool, pay, jnp.zeros_like(pool), took_part)


def _share(who: np.ndarray) -> float | None:
    """The share of True; None of nobody."""
    return float(who.mean()) if who.size else None


def drawn_rounds(outcome: MarketOutcome, num_sellers: int) -> np.ndarray:
    """[N] rounds in which each seller was drawn and delivered; copies of a draw count once."""
    rounds = outcome.rounds
    return participations_of(np.asarray(rounds.sellers), np.asarray(rounds.present), num_sellers)


def write_results(
    folder: pathlib.Path,
    config: Config,
    outcome: MarketOutcome,
    layout: Layout,
    sizes: np.ndarray | jax.Array,
    params: PyTree = None,
    metric: str = "accuracy",
) -> dict[str, pd.DataFrame]:
    """Writes what a finished run leaves in its folder, the costliest to lose first, but plots.

    Args:
        folder: from `open_results`, with the configuration in it.
        config: of the run.
        outcome: on the host.
        layout: accounts.
        sizes: [N] of the data that the sellers hold.
        params: of the trained model, the unravelled tree; None writes no model.
        metric: what the quality of the model is called.

    Returns:
        The tables, for `write_plots`.

    Raises:
        StorageError: the disk is full; the files that are there are whole.
    """
    if params is not None:
        save_model(folder / MODEL, params, about_model(config, outcome))
    write_json(folder / "ledger.json", ledger_dict(outcome.ledger, layout))
    write_json(folder / "payments.json", payments_dict(config, outcome, layout))
    write_json(folder / "closing.json", events.closing_dict(config, outcome, layout, metric))
    found = {
        "rounds": tables.rounds_table(outcome),
        "evaluations": tables.evaluations_table(outcome),
        "sellers": with_epsilons(config, outcome, tables.sellers_table(outcome, layout), sizes),
        "nodes": tables.nodes_table(outcome, layout),
        "money": tables.money_table(outcome, layout),
        "auction": events.auction_table(outcome, layout),
    }
    large = {"work": events.work_table(outcome), "votes": events.votes_table(outcome)}
    write_tables(folder, found, large)
    return found


def about_model(config: Config, outcome: MarketOutcome) -> dict[str, Any]:
    """What the head of a model's file says of it."""
    return {
        "task": label(config.spec.model),
        "data": label(config.data.name),
        "seed": config.seed,
        "metric": float(outcome.closing.metric),
    }


def with_epsilons(
    config: Config,
    outcome: MarketOutcome,
    sellers: pd.DataFrame,
    sizes: np.ndarray | jax.Array,
) -> pd.DataFrame:
    """The table of sellers with their privacy losses, where there is privacy."""
    if config.spec.privacy == "none":
        return sellers
    there = sellers["seller"].to_numpy(int)
    losses = seller_epsilons(config, outcome, sizes)
    of_each = {name: np.asarray(values)[there] for name, values in losses.items()}
    return typed(sellers.assign(**of_each), "sellers")


def write_tables(
    folder: pathlib.Path, found: dict[str, pd.DataFrame], large: dict[str, pd.DataFrame]
) -> None:
    """Writes tables as CSV and large ones as Parquet, and who may see what.

    Raises:
        StorageError: the disk is full or the folder is gone.
    """
    for name, table in found.items():
        write_table(folder / f"{name}.csv", table)
    for name, table in large.items():
        write_parquet(folder / f"{name}.parquet", table)
    write_whole(folder / "visibility.txt", (privacy.table() + "\n").encode())


def write_table(path: pathlib.Path, table: pd.DataFrame) -> None:
    """Writes a CSV file whole.

    Raises:
        StorageError: the disk is full or the folder is gone.
    """
    write_whole(path, table.to_csv(index=False).encode(), f"make room, and {RESUME}")


def write_parquet(path: pathlib.Path, table: pd.DataFrame) -> None:
    """Writes a Parquet file whole.

    Raises:
        StorageError: the disk is full or the folder is gone.
    """
    content = io.BytesIO()
    table.to_parquet(content, index=False, compression="zstd")
    write_whole(path, content.getvalue(), f"make room, and {RESUME}")


def write_plots(
    folder: pathlib.Path,
    config: Config,
    outcome: MarketOutcome,
    found: dict[str, pd.DataFrame],
    metric: str = "accuracy",
) -> None:
    """Draws the four plots of a run.

    Args:
        folder: of the results.
        config: of the run.
        outcome: on the host.
        found: the tables, from `write_results`.
        metric: what the quality of the model is called.

    Raises:
        StorageError: the disk is full; the tables are there.
    """
    from d2m_jax.report import plots  # matplotlib is slow to import, and nothing else needs it

    there = found["sellers"]["seller"].to_numpy(int)
    share = float(np.asarray(outcome.roles.bad_seller)[there].mean())
    with kept(folder):
        tau = float(config.hparams.tau)
        plots.quality(found["evaluations"], tau, folder / "quality.png", metric)
        plots.sampling_mass(found["rounds"], share, folder / "sampling_mass.png")
        plots.income(found["sellers"], folder / "income.png")
        plots.execution_sets(found["rounds"], folder / "execution_sets.png")
