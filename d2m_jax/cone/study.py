"""Rows of a study of the vote: exact and simulated error, attempts, executions, latency.

Used by `cli/cone_study.py`. Read first: `exact.py`, `consensus.py`.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from d2m_jax.cone.behaviours import Behaviour
from d2m_jax.cone.consensus import Consensus, decide
from d2m_jax.cone.exact import exact_vote
from d2m_jax.cone.exact_rules import number
from d2m_jax.cone.params import ConeParams
from d2m_jax.cone.schedules import Schedule
from d2m_jax.cone.stop_rules import STOP_RULES, StopChoice
from d2m_jax.core.choices import label
from d2m_jax.core.types import Key

CONFIDENCE = 0.99  # of the Clopper-Pearson intervals around simulated errors


@dataclasses.dataclass(frozen=True)
class Point:
    """One world of the study: a share of the pool works against a vote."""

    pool: int
    asked: float  # share of bad nodes, before rounding to whole nodes
    params: ConeParams
    schedule: Schedule = "exponential"
    stop_rule: StopChoice = "lead"
    adaptive: bool = False
    max_attempts: int | None = None

    @property
    def bad(self) -> int:
        """Bad nodes."""
        return round(self.asked * self.pool)

    @property
    def sets(self) -> str:
        """The schedule with its number, for legends: "base 4", "fixed 20", "q 0.1"."""
        schedule = label(self.schedule)
        value = {"exponential": "base", "fixed": "size", "independent": "q"}.get(schedule)
        if value is None:
            return schedule
        name = "fixed" if value == "size" else value
        return f"{name} {number(getattr(self.params, value)):g}"


def study_row(point: Point, runs: int = 0, key: Key | None = None) -> dict[str, Any]:
    """Everything about one world, as one row of a tidy table.

    Args:
        point: the world.
        runs: simulated votes; 0 for exact numbers only.
        key: needed when runs > 0.

    Returns:
        `error`, `undecided`, `attempts`, `attempts_p95`, `executions`, `latency` (all exact means
        or probabilities), and with runs `simulated_error` with `low` and `high` (99 % interval),
        `simulated_attempts`, `simulated_executions` and `agrees` (the exact error is inside).
    """
    params = point.params
    vote = exact_vote(
        point.pool,
        point.bad,
        params,
        schedule=point.schedule,
        stop_rule=point.stop_rule,
        adaptive=point.adaptive,
        max_attempts=point.max_attempts,
    )
    seconds = number(params.t_exec) + 2 * number(params.t_block)
    row = {
        "pool": point.pool,
        "bad": point.bad,
        "asked": point.asked,
        "share": point.bad / point.pool,
        "schedule": label(point.schedule),
        "sets": point.sets,
        "stop_rule": label(point.stop_rule),
        "adaptive": point.adaptive,
        "base": number(params.base),
        "size": number(params.size),
        "q": number(params.q),
        "f_max": number(params.f_max),
        "beta": number(params.beta),
        "error": vote.error,
        "undecided": vote.undecided,
        "attempts": vote.mean_attempts,
        "attempts_p95": int((vote.by_attempt.cumsum() < 0.95).sum()) + 1,
        "executions": vote.mean_executions,
        "latency": vote.mean_attempts * seconds,
        "runs": runs,
    }
    if runs:
        assert key is not None, "a simulation needs a key"
        row |= _simulated(point, runs, key, vote.error)
    return row


def _simulated(point: Point, runs: int, key: Key, error: float) -> dict[str, Any]:
    votes = simulate(
        jax.random.split(key, runs),
        jnp.int32(point.bad),
        point.params,
        pool=point.pool,
        schedule=point.schedule,
        stop_rule=point.stop_rule,
        adaptive=point.adaptive,
        max_attempts=point.max_attempts,
    )
    from scipy.stats import binomtest  # takes long to load

    wrong = int((np.asarray(votes.accepted) > 0).sum())
    low, high = binomtest(wrong, runs).proportion_ci(CONFIDENCE, "exact")
    return {
        "simulated_error": wrong / runs,
        "low": low,
        "high": high,
        "simulated_attempts": float(np.mean(votes.attempts)),
        "simulated_executions": float(np.mean(votes.executions)),
        "agrees": bool(low <= error <= high),
    }


@partial(jax.jit, static_argnames=("pool", "schedule", "stop_rule", "adaptive", "max_attempts"))
def simulate(
    keys: Key,
    bad: jax.Array,
    params: ConeParams,
    *,
    pool: int,
    schedule: Schedule,
    stop_rule: StopChoice,
    adaptive: bool = False,
    max_attempts: int | None = None,
) -> Consensus:
    """Many votes in one world, `[runs]` in every field; outcomes of nodes are left out.

    Args:
        keys: `[runs]`.
        bad: `[] int32`.
        params: traced numbers.
        pool: C, static, and so the options of `decide`.
        schedule, stop_rule, adaptive, max_attempts: as for `exact_vote`.
    """
    kind = Behaviour.ADAPTIVE if adaptive else Behaviour.COLLUDE
    behaviour = jnp.where(jnp.arange(pool) < bad, jnp.int32(kind), jnp.int32(Behaviour.HONEST))
    eligible = jnp.ones(pool, bool)

    def one(key: Key) -> Consensus:
        vote = decide(
            key,
            behaviour,
            eligible,
            params,
            schedule=schedule,
            stop_rule=stop_rule,
            max_attempts=max_attempts,
        )
        return vote._replace(outcome=jnp.int32(0))

    return jax.lax.map(one, keys, batch_size=max(1, 200_000 // pool))


def compare_sets(
    shares: Sequence[float],
    bases: Sequence[int],
    sizes: Sequence[int],
    pools: Sequence[int],
    f_max: float,
    beta: float,
) -> Iterator[Point]:
    """Exponential sets of every base against fixed sets of every size, lead rule."""
    for pool in pools:
        for share in shares:
            world = partial(Point, pool, share)
            for base in bases:
                yield world(ConeParams(base=base, f_max=f_max, beta=beta))
            for size in sizes:
                params = ConeParams(size=size, f_max=f_max, beta=beta)
                yield world(params, "fixed", max_attempts=min(pool, 64))


def compare_rules(shares: Sequence[float], betas: Sequence[float], f_max: float) -> Iterator[Point]:
    """Every stop rule, 100 nodes: sets of base 4, of 10 seats, of 10 % of the nodes each."""
    pool = 100
    for beta in betas:
        params = ConeParams(base=4, size=10, q=0.1, f_max=f_max, beta=beta)
        for share in shares:
            for schedule, attempts in (("exponential", None), ("fixed", 10), ("independent", 24)):
                for rule in STOP_RULES:
                    yield Point(pool, share, params, schedule, rule, max_attempts=attempts)
