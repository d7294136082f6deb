"""Stop rules and schedules in whole numbers: tables that a ledger and a contract can read.

Made on the host in float64 by the formulas of `exact_rules.py`. Read first: `stop_rules.py`.
"""

import numpy as np

from d2m_jax.cone import exact_rules
from d2m_jax.cone.params import ConeParams, larger
from d2m_jax.cone.schedules import Schedule, default_attempts, schedule_of, totals
from d2m_jax.cone.sortition import SORTITIONS, SortitionChoice, max_voters, sortition_of
from d2m_jax.cone.stop_rules import STOP_RULES, StopChoice, stop_rule_of
from d2m_jax.core.choices import label
from d2m_jax.core.vote_tables import CERTAIN, INFINITE, Score, VoteTables

SCALE = 2**16  # of a nat
SCORES = {
    "lead": Score.VOTES,
    "hypergeometric": Score.LIKELIHOOD,
    "miracle": Score.SQUARES,
    "majority_last": Score.LAST_SET,
}


def vote_tables(
    num_nodes: int,
    params: ConeParams,
    *,
    schedule: Schedule = "exponential",
    stop_rule: StopChoice = "lead",
    sortition: SortitionChoice = "uniform",
    max_attempts: int | None = None,
    more_seats: int = 0,
) -> VoteTables:
    """The tables of a vote in a pool in which everybody is eligible.

    Accept: best score - second >= bounds[min(rivals, C) - 1], and the second is not INFINITE; for
    Score.LAST_SET: 3 best >= 2 seats. Nats are counted in 1/SCALE, coarser in large pools, and a
    score within two such steps of the bound has reached it. A smaller pool (banned nodes) is judged
    by the same tables, which, but for the rounding of the number of bad nodes, ask for no less.

    Args:
        num_nodes: C.
        params: numbers, not arrays.
        schedule, stop_rule, sortition, max_attempts: as for `decide`; named ones only for the rule
            and the sortition.
        more_seats: of every set in a dispute.

    Raises:
        ValueError: a rule or a sortition without tables.
    """
    if stop_rule_of(stop_rule) not in STOP_RULES.values():
        raise ValueError(f"stop rule {label(stop_rule)!r} has no tables: take one of {[*SCORES]}")
    chosen = sortition_of(sortition)
    if chosen not in SORTITIONS.values():
        raise ValueError(f"sortition {label(sortition)!r} has no tables: take uniform or stake")
    name = next(key for key, rule in STOP_RULES.items() if rule == stop_rule_of(stop_rule))
    rule, independent = SCORES[name], schedule_of(schedule).seats is None
    pool = num_nodes if independent else max_voters(sortition, num_nodes)
    attempts = max_attempts or default_attempts(schedule, pool, params)
    ends = np.zeros((2, attempts), np.int32)
    if not independent:
        both = (params, larger(params, more_seats, pool))
        ends[:] = [np.minimum(np.asarray(totals(schedule, p, attempts)), pool) for p in both]
    rows, scores, scale = _scores(rule, pool, params, ends, independent)
    return VoteTables(
        rule,
        independent,
        chosen.by_stake,
        _chance(params) if independent else 0,
        ends,
        rows.astype(np.int32),
        scores.astype(np.int32),
        _bounds(rule, num_nodes, params, scale).astype(np.int32),
    )


def _chance(params: ConeParams) -> int:
    return min(round(exact_rules.number(params.q) * 2**31), CERTAIN)


def _bounds(rule: Score, num_nodes: int, params: ConeParams, scale: float) -> np.ndarray:
    """The bound for 1, 2, .. C rivals, which share beta; at least one vote or step."""
    beta = exact_rules.number(params.beta) / np.arange(1, num_nodes + 1)
    nats = np.log1p(-beta) - np.log(beta)
    if rule == Score.VOTES:
        f_max = exact_rules.number(params.f_max)
        need = np.ceil(nats / (np.log1p(-f_max) - np.log(f_max)) - 1e-5)
    else:
        need = np.floor(nats * scale) - 2
    return np.maximum(need, 1)


def _scores(
    rule: Score, pool: int, params: ConeParams, ends: np.ndarray, independent: bool
) -> tuple[np.ndarray, np.ndarray, float]:
    """Rows, scores, and what a nat counts."""
    rows = np.zeros(ends.shape, np.int64)
    if rule == Score.LIKELIHOOD:
        bad = exact_rules.honest_bad(pool, params)[1]
        nats = exact_rules.log_weight(np.arange(bad + 1), pool, params)
        scale = _scale(nats[-1])
        return rows, np.append(np.rint(nats * scale), INFINITE), scale
    if rule != Score.SQUARES:
        return rows, np.zeros(1), 1
    if independent:
        weight = exact_rules.square_weight(exact_rules.number(params.q), pool, params)
        nats = weight * np.arange(pool + 1.0) ** 2
    else:
        sizes = np.diff(ends, prepend=0).ravel()
        rows = (np.cumsum(sizes + 1) - sizes - 1).reshape(ends.shape)
        parts = [_squares(size, pool, params) for size in sizes.tolist()]
        nats = np.concatenate(parts)
    scale = SCALE
    return rows, np.minimum(np.rint(nats * scale), INFINITE), scale


def _squares(size: int, pool: int, params: ConeParams) -> np.ndarray:
    """The score in nats of 0, 1, .. size votes in a set, in MiRACLE."""
    if size == 0:
        return np.zeros(1)
    return exact_rules.square_weight(size / pool, pool, params) * np.arange(size + 1.0) ** 2


def _scale(most: float) -> float:
    """SCALE, or less where the largest finite score would come near INFINITE."""
    return float(min(SCALE, 2 ** np.floor(np.log2(INFINITE / 2 / max(most, 1)))))
