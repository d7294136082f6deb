"""What W finished worlds come to, as rows: one per run, and one per run and round. Host only."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

import d2m_jax
from d2m_jax.cone import Behaviour
from d2m_jax.config.parsing import to_dict
from d2m_jax.ledger import Layout, Phase, wealth
from d2m_jax.market.state import JOB, MarketOutcome
from d2m_jax.sweep.plan import Run

PHASES = {int(phase): phase.name.lower() for phase in Phase}


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
    digest, accuracy = rounds.accepted_digest, outcome.evaluations.test_accuracy
    paid = np.asarray(job.seller_paid, np.int64)[:, JOB]
    weights = np.asarray(closing.weights, np.float64)
    to_bad = np.where(bad, weights, 0).sum(1) / np.maximum(weights.sum(1), 1)
    return {
        "test_accuracy": accuracy[:, -1],
        "best_accuracy": accuracy.max(1),
        "test_loss": outcome.evaluations.test_loss[:, -1],
        "metric": closing.metric,
        "phase": np.array([PHASES[int(phase)] for phase in job.phase[:, JOB]]),
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
        "attempts": rounds.attempts.sum(1),
        "executions": rounds.executions.sum(1),
        "latency": rounds.latency.sum(1),
        "compute_paid": job.compute_paid[:, JOB],
        "refused_updates": rounds.refused.sum(1),
        "excluded": rounds.excluded[:, -1],
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
    facts["config"] = [
        json.dumps({part: to_dict(value) for part, value in run.config._asdict().items()})
        for run in runs
    ]
    return pa.table(facts)


def _plain(value: Any) -> Any:
    """A value that a column can hold: sequences are joined by `+`."""
    return "+".join(map(str, value)) if isinstance(value, list | tuple) else value


def rounds_table(runs: Sequence[Run], outcome: MarketOutcome) -> pa.Table:
    """One row per run and round: every scalar of a round, and the accuracy where it was measured.

    Args:
        runs: V of them.
        outcome: every leaf [W, ...], W at least V.
    """
    count, info = len(runs), outcome.rounds
    num_rounds = info.round.shape[1]
    rows = np.arange(len(info.round))[:, None, None]
    bad = np.asarray(outcome.roles.bad_seller)[rows, info.sellers] & info.present
    facts = {name: value for name, value in info._asdict().items() if value.ndim == 2}
    facts["num_accepted"] = info.accepted.sum(2)
    facts["num_flagged"] = info.flagged.sum(2)
    facts["bad_sampled"] = bad.sum(2)
    facts["bad_accepted"] = (bad & info.accepted).sum(2)
    for name in ("test_accuracy", "test_loss"):
        full = np.full(info.round.shape, np.nan, np.float32)
        at = np.asarray(outcome.evaluations.round) - 1
        np.put_along_axis(full, at, getattr(outcome.evaluations, name), 1)
        facts[name] = full
    table = {"key": np.repeat([run.key for run in runs], num_rounds)}
    return pa.table({**table, **{name: v[:count].reshape(-1) for name, v in facts.items()}})
