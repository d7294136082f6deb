"""What W finished worlds come to, as rows: one per run, and one per run and round. Host only."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

import d2m_jax
from d2m_jax.cone import Behaviour
from d2m_jax.core.choices import is_own, label
from d2m_jax.ledger import Layout, wealth
from d2m_jax.market.state import JOB, MarketOutcome
from d2m_jax.report.folder import config_tree
from d2m_jax.report.tables import phase_name, round_columns
from d2m_jax.sweep.plan import Run


def _mean(values: np.ndarray, who: np.ndarray) -> np.ndarray:
    """Means over the chosen of every row, [W]; NaN where there are none."""
    count = who.sum(1)
    total = np.where(who, values, 0).sum(1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def runs_columns(outcome: MarketOutcome, layout: Layout) -> dict[str, np.ndarray]:
    """The results of W worlds, a column of W values each.

    Args:
        outcome: every leaf [W, ...].
        layout: accounts.
    """
    rounds, roles, closing = outcome.rounds, outcome.roles, outcome.closing
    job = outcome.ledger.jobs
    byzantine, bad = np.asarray(roles.byzantine), np.asarray(roles.bad_seller)
    honest = ~bad & ~np.asarray(roles.stranger)
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
    return {
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
    """A value that a column can hold: own parts by name, sequences joined by `+`."""
    if is_own(value):
        return label(value)
    return "+".join(str(_plain(v)) for v in value) if isinstance(value, list | tuple) else value


def rounds_table(runs: Sequence[Run], outcome: MarketOutcome) -> pa.Table:
    """One row per run and round, with the columns of the rounds of a single run.

    Args:
        runs: V of them.
        outcome: every leaf [W, ...], W at least V.
    """
    count = len(runs)
    facts = round_columns(outcome.rounds, outcome.evaluations, outcome.roles, outcome.ledger)
    table = {"key": np.repeat([run.key for run in runs], facts["round"].shape[1])}
    return pa.table({**table, **{name: v[:count].reshape(-1) for name, v in facts.items()}})
