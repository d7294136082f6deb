"""The results folder of one run: configuration, tables, final ledger, plots."""

import dataclasses
import json
import pathlib
import platform
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from d2m_jax import incentives, privacy
from d2m_jax.cone import Behaviour
from d2m_jax.config.parsing import Config, to_dict
from d2m_jax.ledger import Layout, Ledger, Phase, split_pot, wealth
from d2m_jax.market.engine import MarketOutcome
from d2m_jax.report import plots, tables


def prepare_folder(path: str | pathlib.Path) -> pathlib.Path:
    """Makes the results folder and checks that it can be written, before anything is computed.

    Raises:
        ValueError: the folder cannot be made or written.
    """
    folder = pathlib.Path(path).expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".probe"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise ValueError(
            f"the results folder {folder} cannot be written: {error.strerror}"
        ) from error
    return folder


def provenance() -> dict[str, Any]:
    """Versions, device and command, to be stored with every result."""
    from d2m_jax import __version__

    return {
        "d2m_jax": __version__,
        "jax": jax.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "device": jax.devices()[0].device_kind,
        "command": " ".join(sys.argv),
    }


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
) -> np.ndarray:
    """[N] epsilon of every seller after the rounds in which it was drawn, at privacy.delta.

    `sizes` [N] are those of the data that the sellers hold and draw their batches from; the ledger
    has what they claim.
    """
    from d2m_jax.privacy.accountant import epsilons  # the only use of dp-accounting

    return epsilons(
        drawn_rounds(outcome, config.spec.num_sellers),
        np.asarray(sizes),
        unit=config.spec.privacy,
        batch_size=config.spec.batch_size,
        noise=config.hparams.privacy.noise,
        delta=config.hparams.privacy.delta,
    )


def payments_dict(config: Config, outcome: MarketOutcome, layout: Layout) -> dict[str, Any]:
    """Budget balance, individual rationality and fairness of one job.

    Rational is who ends no worse than by staying away: a seller whose pay, less its slashed
    deposit, covers `TRAINING_COST` for each round in which it was drawn; a node that has not lost
    money; the winner, whose value, if the job was settled, covers what it spent.
    """
    job = jax.tree.map(lambda x: np.asarray(x)[0], outcome.ledger.jobs)
    took_part = job.matched & ~job.excluded
    weights = np.where(took_part, job.weights, 0)
    pay = np.asarray(split_pot(jnp.int32(job.seller_paid), jnp.asarray(weights)))
    pool = int(job.price) + int(job.compensation)
    spent = [int(x) for x in (job.seller_paid, job.fee_paid, job.compute_paid, job.refunded)]
    summary = incentives.payment_report(
        jnp.int32(job.seller_paid), jnp.asarray(pay), jnp.int32(0), jnp.asarray(took_part)
    )
    honest = ~np.asarray(outcome.roles.bad_seller)
    change = np.asarray(wealth(outcome.ledger)) - np.asarray(wealth(outcome.opening))
    rounds = drawn_rounds(outcome, layout.num_sellers)
    covered = change[layout.sellers] >= incentives.TRAINING_COST * rounds
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


def _share(who: np.ndarray) -> float | None:
    """The share of True; None of nobody."""
    return float(who.mean()) if who.size else None


def drawn_rounds(outcome: MarketOutcome, num_sellers: int) -> np.ndarray:
    """[N] rounds in which each seller was drawn and delivered."""
    drawn = np.asarray(outcome.rounds.sellers)[np.asarray(outcome.rounds.present)]
    return np.bincount(drawn, minlength=num_sellers)


def write_results(
    folder: pathlib.Path,
    config: Config,
    outcome: MarketOutcome,
    layout: Layout,
    sizes: np.ndarray | jax.Array,
) -> None:
    """Writes everything a run leaves behind into `folder`; `sizes` [N] of what sellers hold."""
    rounds = tables.rounds_table(outcome)
    evaluations = tables.evaluations_table(outcome)
    sellers = tables.sellers_table(outcome, layout)
    if config.spec.privacy != "none":
        sellers["epsilon"] = seller_epsilons(config, outcome, sizes)
    (folder / "visibility.txt").write_text(privacy.table() + "\n")
    full = {part: to_dict(value) for part, value in config._asdict().items()}
    _dump(folder / "config.json", {**full, "provenance": provenance()})
    _dump(folder / "payments.json", payments_dict(config, outcome, layout))
    _dump(folder / "ledger.json", ledger_dict(outcome.ledger, layout))
    for name, table in (
        ("rounds", rounds),
        ("evaluations", evaluations),
        ("sellers", sellers),
        ("nodes", tables.nodes_table(outcome, layout)),
        ("money", tables.money_table(outcome, layout)),
    ):
        table.to_csv(folder / f"{name}.csv", index=False)
    share = float(np.asarray(outcome.roles.bad_seller).mean())
    plots.accuracy(evaluations, config.hparams.tau, folder / "accuracy.png")
    plots.sampling_mass(rounds, share, folder / "sampling_mass.png")
    plots.income(sellers, folder / "income.png")
    plots.execution_sets(rounds, folder / "execution_sets.png")


def _dump(path: pathlib.Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2, default=_plain) + "\n")


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else str(value)
