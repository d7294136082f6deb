"""What W finished worlds come to, as rows: one per run, and one per run and round. Host only."""

import json
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
import pandas as pd
import pyarrow as pa

import d2m_jax
from d2m_jax import incentives
from d2m_jax.cone import Behaviour
from d2m_jax.core.choices import is_own, label
from d2m_jax.core.money import BPS
from d2m_jax.ledger import Layout, Phase, wealth
from d2m_jax.market.roles import Roles
from d2m_jax.market.state import JOB, MarketOutcome
from d2m_jax.report import selection
from d2m_jax.report.folder import config_tree
from d2m_jax.report.selection import mean_over as _mean
from d2m_jax.report.tables import nodes_table, phase_name, round_columns, sellers_table
from d2m_jax.sweep.plan import Run


def runs_columns(
    outcome: MarketOutcome, layout: Layout, values: np.ndarray
) -> dict[str, np.ndarray]:
    """The results of W worlds, a column of W values each.

    Args:
        outcome: every leaf [W, ...].
        layout: accounts.
        values: [W, U] what a good model is worth to each buyer, money units.
    """
    rounds, roles, closing = outcome.rounds, outcome.roles, outcome.closing
    job = outcome.ledger.jobs
    byzantine, bad = np.asarray(roles.byzantine), np.asarray(roles.bad_seller)
    honest = honest_sellers(roles)
    fair = np.asarray(roles.behaviour) == Behaviour.HONEST
    change = np.asarray(wealth(outcome.ledger)) - np.asarray(wealth(outcome.opening))
    gained = {
        who: change[:, span]
        for who, span in (
            ("buyers", layout.buyers),
            ("sellers", layout.sellers),
            ("nodes", layout.nodes),
            ("treasury", slice(layout.treasury, layout.treasury + 1)),
        )
    }
    digest, accuracy = rounds.accepted_digest, outcome.evaluations.test_metric
    paid = np.asarray(job.seller_paid, np.int64)[:, JOB]
    weights = np.asarray(closing.weights, np.float64)
    to_bad = np.where(bad, weights, 0).sum(1) / np.maximum(weights.sum(1), 1)
    delivered = is_delivered(outcome)
    found, blamed = detection(outcome)
    success = np.asarray(outcome.attack_success)
    return {
        "delivered": delivered,
        "welfare": welfare(outcome, delivered, values),
        "test_metric": accuracy[:, -1],
        "best_metric": accuracy.max(1),
        "test_loss": outcome.evaluations.test_loss[:, -1],
        "metric": closing.metric,
        "phase": phase_name(outcome),
        "price": job.price[:, JOB],
        "seller_paid": paid,
        "bad_pay_share": np.where(paid > 0, to_bad, 0.0),
        "buyer_change": gained["buyers"].sum(1),
        "honest_seller_income": _mean(gained["sellers"], honest),
        "bad_seller_income": _mean(gained["sellers"], bad),
        "honest_node_income": _mean(gained["nodes"], fair),
        "bad_node_income": _mean(gained["nodes"], ~fair),
        "treasury_change": gained["treasury"].sum(1),
        "burned": outcome.ledger.burned,
        "num_byzantine": byzantine.sum(1),
        "num_bad_nodes": (~fair).sum(1),
        "detection_rate": found,
        "false_positive_rate": blamed,
        **market_measures(outcome),
        "attack_success": np.where(success < 0, np.nan, success),
        "slashed_bad": (closing.slashed & bad).sum(1),
        "slashed_honest": (closing.slashed & ~bad).sum(1),
        "wrong_rounds": (digest > 0).sum(1),
        "undecided_rounds": (digest < 0).sum(1),
        "wrong_verdict": closing.accepted_digest > 0,
        "disputed": closing.disputed,
        "upheld": closing.upheld,
        "dispute_messages": closing.messages,
        "dispute_delay": closing.delay,
        "dispute_gas": closing.gas,
        "attempts": rounds.attempts.sum(1),
        "executions": rounds.executions.sum(1),
        "latency": rounds.latency.sum(1),
        "compute_paid": job.compute_paid[:, JOB],
        "num_refused": rounds.refused.sum(1),
        "num_excluded": rounds.excluded[:, -1],
        "byzantine_mass": rounds.byzantine_mass[:, -1],
        "num_rounds": np.full(len(paid), rounds.round.shape[1]),
    }


def honest_sellers(roles: Roles) -> np.ndarray:
    """[W, N] bool: who is neither bad nor a stranger; a slot that no unit fills is nobody."""
    honest = ~np.asarray(roles.bad_seller) & ~np.asarray(roles.stranger)
    return honest if roles.owners is None else honest & (np.asarray(roles.owners) >= 0)


def is_delivered(outcome: MarketOutcome) -> np.ndarray:
    """[W] bool: the buyer has a model for its price whose true metric reaches the threshold."""
    reached = np.floor(np.asarray(outcome.closing.metric, np.float64) * BPS + 0.5)
    wanted = np.asarray(outcome.ledger.jobs.tau_bps)[:, JOB]
    return (np.asarray(outcome.phase) == Phase.SETTLED) & (reached >= wanted)


def welfare(outcome: MarketOutcome, delivered: np.ndarray, values: np.ndarray) -> np.ndarray:
    """[W] units: what the model is worth to the winner, less what training and votes cost.

    Payments only move money and do not count. A training costs `TRAINING_COST`, an execution
    `EXECUTION_COST`; a model that misses the threshold is worth nothing (our choices).
    """
    rounds = outcome.rounds
    winner = np.maximum(np.asarray(outcome.ledger.jobs.buyer)[:, JOB], 0)
    worth = np.where(delivered, np.asarray(values)[np.arange(len(winner)), winner], 0)
    trained = np.asarray(rounds.present).sum((1, 2))
    executed = np.asarray(rounds.executions, np.int64).sum(1)
    return worth - incentives.TRAINING_COST * trained - incentives.EXECUTION_COST * executed


def detection(outcome: MarketOutcome) -> tuple[np.ndarray, np.ndarray]:
    """[W] shares of the updates that were flagged: of bad sellers, and of all others.

    Only updates that arrived in a round whose right result was accepted count; NaN where there is
    none. A rule that leaves updates out without a word flags nobody.
    """
    rounds = outcome.rounds
    applied = (np.asarray(rounds.accepted_digest) == 0)[..., None]
    arrived, worlds = np.asarray(rounds.present) & applied, np.arange(len(applied))
    bad = np.asarray(outcome.roles.bad_seller)[worlds[:, None, None], np.asarray(rounds.sellers)]
    flagged = np.asarray(rounds.flagged, np.float64)
    found, blamed = (_mean(flat(flagged), flat(arrived & who)) for who in (bad, ~bad))
    return found, blamed


def market_measures(outcome: MarketOutcome) -> dict[str, np.ndarray]:
    """The measures of gradient marketplaces, a column of W values each.

    Only updates that arrived in a round whose right result was accepted count.
    """
    rounds, bad = outcome.rounds, np.asarray(outcome.roles.bad_seller)
    applied = (np.asarray(rounds.accepted_digest) == 0)[..., None]
    offered, sellers = np.asarray(rounds.present) & applied, np.asarray(rounds.sellers)
    used, honest = np.asarray(rounds.accepted) & offered, honest_sellers(outcome.roles)
    worlds = np.arange(len(bad))[:, None, None]
    job, found = outcome.ledger.jobs, outcome.evaluations
    pay = np.asarray(job.weights)[:, JOB] * (np.asarray(job.seller_paid)[:, JOB] > 0)[:, None]
    tau = np.asarray(job.tau_bps)[:, JOB] / BPS
    evaluated, metric = np.asarray(found.round), np.asarray(found.test_metric)
    return {
        "honest_selection_rate": selection.selection_rate(used, offered & honest[worlds, sellers]),
        "bad_selection_rate": selection.selection_rate(used, offered & bad[worlds, sellers]),
        "honest_never_used": selection.never_used(sellers, used, offered, honest),
        "honest_pay_jain": selection.jain(pay, honest),
        "honest_pay_gini": selection.gini(pay, honest),
        "bought_until_target": selection.bought_until(used, evaluated, metric, tau),
    }


def flat(values: np.ndarray) -> np.ndarray:
    """[W, R, S] as [W, R S]."""
    return values.reshape(len(values), -1)


def runs_table(
    runs: Sequence[Run], columns: dict[str, np.ndarray] | None, reason: str | Sequence[str] = ""
) -> pa.Table:
    """One row per run: key, status, what the axes set, the results, the full configuration.

    Args:
        runs: V of them.
        columns: results, at least V values each; None for runs that failed.
        reason: why they failed; one for all, or one each.
    """
    count = len(runs)
    reasons = [reason] * count if isinstance(reason, str) else list(reason)
    facts: dict[str, Any] = {
        "key": [run.key for run in runs],
        "status": ["failed" if columns is None else "done"] * count,
        "reason": reasons,
        "version": [d2m_jax.__version__] * count,
    }
    for field in sorted({field for run in runs for field in run.point}):
        facts[field] = [_plain(run.point.get(field)) for run in runs]
    for name, values in (columns or {}).items():
        facts[name] = values[:count]
    facts["config"] = [json.dumps(config_tree(run.config)) for run in runs]
    return pa.table(facts)


def _plain(value: Any) -> Any:
    """A value that a column can hold: own parts by name, sequences joined by `+`, nested by `|`."""
    if is_own(value):
        return label(value)
    if not isinstance(value, list | tuple):
        return value
    nested = any(isinstance(one, list | tuple) and not is_own(one) for one in value)
    return ("|" if nested else "+").join(str(_plain(one)) for one in value)


def rounds_table(runs: Sequence[Run], outcome: MarketOutcome) -> pa.Table:
    """One row per run and round, with the columns of the rounds of a single run.

    Args:
        runs: V of them.
        outcome: every leaf [W, ...], W at least V.
    """
    facts = round_columns(outcome.rounds, outcome.evaluations, outcome.roles, outcome.ledger)
    return round_rows(runs, facts)


def round_rows(runs: Sequence[Run], facts: dict[str, np.ndarray]) -> pa.Table:
    """Columns [W, R] of the rounds of W worlds as one row per run and round, of the first V."""
    count = len(runs)
    table = {"key": np.repeat([run.key for run in runs], facts["round"].shape[1])}
    return pa.table({**table, **{name: v[:count].reshape(-1) for name, v in facts.items()}})


def party_tables(
    runs: Sequence[Run], outcome: MarketOutcome, layout: Layout
) -> dict[str, pa.Table]:
    """One row per run and seller, and one per run and node, with the columns of a single run.

    Args:
        runs: V of them.
        outcome: every leaf [W, ...], W at least V.
        layout: accounts.
    """
    makers = {"sellers": sellers_table, "nodes": nodes_table}
    worlds = [jax.tree.map(lambda leaf, w=w: leaf[w], outcome) for w in range(len(runs))]
    found = {}
    for name, make in makers.items():
        frames = [make(world, layout).assign(key=run.key) for run, world in zip(runs, worlds)]
        found[name] = pa.Table.from_pandas(pd.concat(frames), preserve_index=False)
    return found
