"""Checks of CONE's numbers on the host, before anything compiles."""

import numpy as np
from jax.typing import ArrayLike

from d2m_jax.cone.params import ConeParams
from d2m_jax.cone.schedules import SCHEDULES, default_attempts
from d2m_jax.cone.sortition import SORTITIONS, max_voters
from d2m_jax.cone.stop_rules import STOP_RULES
from d2m_jax.core.choices import lookup

MAX_NODES = 2**20  # more seats than that cannot be told apart by sortition


def validate(
    params: ConeParams,
    pool: int,
    *,
    schedule: str = "exponential",
    stop_rule: str = "lead",
    sortition: str = "uniform",
    max_attempts: int | None = None,
) -> list[str]:
    """Refuses numbers that make no sense and warns of those that surprise.

    Args:
        params: numbers, or arrays `[P]` of a sweep; every point is checked.
        pool: C, compute nodes.
        schedule: a name of `SCHEDULES`.
        stop_rule: a name of `STOP_RULES`.
        sortition: a name of `SORTITIONS`.
        max_attempts: as for `decide`.

    Returns:
        Warnings, one sentence each; empty when all is well.

    Raises:
        ValueError: an unknown name or an impossible number, in one sentence.
    """
    lookup(SCHEDULES, schedule, "schedule")
    lookup(STOP_RULES, stop_rule, "stop rule")
    lookup(SORTITIONS, sortition, "sortition")
    if pool < 1:
        raise ValueError(f"CONE needs at least one compute node, got {pool}")
    if max_attempts is not None and max_attempts < 1:
        raise ValueError(f"max_attempts must be at least 1, got {max_attempts}")
    voters = pool if schedule == "independent" else max_voters(sortition, pool)
    if voters > MAX_NODES:
        most = MAX_NODES * pool // voters
        raise ValueError(f"sortition is built for at most {most:,} nodes, got {pool:,}")
    base, size, q = _values(params.base), _values(params.size), _values(params.q)
    f_max, beta = _values(params.f_max), _values(params.beta)
    _within("cone.f_max (share of bad nodes the vote withstands)", f_max, 0, 0.5)
    _within("cone.beta (accepted error per unit of work)", beta, 0, 0.5)
    if schedule == "exponential":
        _seats("cone.base", base)
    if schedule == "fixed":
        _seats("cone.size", size)
    if schedule == "independent":
        _within("cone.q (probability of a seat)", q, 0, 1)
    for name, value in (("t_exec", params.t_exec), ("t_block", params.t_block)):
        if not (_values(value) >= 0).all():
            raise ValueError(
                f"cone.{name} must be zero or more seconds, got {_values(value).min():g}"
            )
    attempts = max_attempts or default_attempts(schedule, voters)
    return _warnings(voters, schedule, stop_rule, attempts, base, size, q, f_max, beta)


def _warnings(
    pool: int,
    schedule: str,
    stop_rule: str,
    attempts: int,
    base: np.ndarray,
    size: np.ndarray,
    q: np.ndarray,
    f_max: np.ndarray,
    beta: np.ndarray,
) -> list[str]:
    found = []
    if stop_rule == "majority_last":
        found.append(
            "majority_last is unsafe: at 30 % bad nodes and base 4 it accepts a wrong result in "
            "5 % of the units of work; use it for comparison only."
        )
    need = np.log1p(-beta) - np.log(beta)
    lead, odds = np.broadcast_arrays(need, np.log1p(-f_max) - np.log(f_max))
    lead = np.ceil(lead / odds - 1e-5)
    margin = pool * (1 - 2 * f_max)
    short = lead > margin
    if stop_rule == "lead" and schedule != "independent" and short.any():
        worst = int(np.argmax(short))
        found.append(
            f"The pool of {pool} nodes is small for the lead of {lead.flat[worst]:.0f} votes that "
            f"f_max and beta ask for: with a share f_max of bad nodes it can be at most "
            f"{np.broadcast_to(margin, lead.shape).flat[worst]:.1f}, so the plurality of the whole "
            "pool will decide; take more nodes, a smaller f_max or a larger beta."
        )
    reach = {
        "exponential": np.min(attempts * base + 2.0 ** min(attempts, 60) - 1),
        "fixed": attempts * np.min(size),
        "independent": attempts * np.min(q) * pool,
    }[schedule]
    if reach < pool and np.max(lead) > reach * (1 - 2 * np.max(f_max)):
        found.append(
            f"{attempts} attempts give out {reach:.0f} seats at least, too few for a lead of "
            f"{np.max(lead):.0f} votes under attack: expect undecided units of work; raise "
            "max_attempts or the size of the sets."
        )
    if stop_rule == "miracle" and np.min(beta) < 1e-4:
        found.append(
            "miracle rests on a Gaussian approximation that is poor in the tails: its error may "
            "exceed a beta below 1e-4 many times; ask cone.exact_error, or use hypergeometric."
        )
    return found


def _values(number: ArrayLike) -> np.ndarray:
    return np.asarray(number, np.float64)


def _seats(what: str, values: np.ndarray) -> None:
    wrong = values[~((values >= 1) & (values <= MAX_NODES))]  # NaN is wrong
    if wrong.size:
        raise ValueError(f"{what} must lie between 1 and {MAX_NODES:,} seats, got {wrong[0]:g}")


def _within(what: str, values: np.ndarray, low: float, high: float) -> None:
    inside = (values > low) & (values < high)  # NaN is outside
    if not inside.all():
        wrong = values.flat[int(np.argmin(inside))]
        raise ValueError(f"{what} must lie between {low:g} and {high:g}, got {wrong:g}")
