"""Checks of CONE's numbers on the host, before anything compiles."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from d2m_jax.cone.exact import no_exact_form
from d2m_jax.cone.params import ConeParams
from d2m_jax.cone.schedules import (
    MOST_ATTEMPTS,
    SCHEDULES,
    Schedule,
    SetSchedule,
    check_totals,
    default_attempts,
    schedule_of,
    totals,
)
from d2m_jax.cone.sortition import SortitionChoice, check_independent, max_voters, sortition_of
from d2m_jax.cone.stop_rules import STOP_RULES, StopChoice, StopRule, stop_rule_of

MAX_NODES = 2**20  # more seats than that cannot be told apart by sortition


def validate(
    params: ConeParams,
    pool: int,
    *,
    schedule: Schedule = "exponential",
    stop_rule: StopChoice = "lead",
    sortition: SortitionChoice = "uniform",
    max_attempts: int | None = None,
) -> list[str]:
    """Refuses numbers that make no sense and warns of those that surprise.

    Args:
        params: numbers, or arrays `[P]` of a sweep; every point is checked.
        pool: C, compute nodes.
        schedule, stop_rule, sortition: names, records or functions of your own, as for `decide`.
        max_attempts: as for `decide`.

    Returns:
        Warnings, one sentence each; empty when all is well.

    Raises:
        ValueError: an unknown name or an impossible number, in one sentence.
    """
    sets, rule, chosen = schedule_of(schedule), stop_rule_of(stop_rule), sortition_of(sortition)
    if pool < 1:
        raise ValueError(f"CONE needs at least one compute node, got {pool}")
    if max_attempts is not None and max_attempts < 1:
        raise ValueError(f"max_attempts must be at least 1, got {max_attempts}")
    if sets.seats is None:
        check_independent(chosen)
    voters = pool if sets.seats is None else max_voters(sortition, pool)
    if voters > MAX_NODES:
        most = MAX_NODES * pool // voters
        raise ValueError(f"sortition is built for at most {most:,} nodes, got {pool:,}")
    world = _World(voters, *(_values(getattr(params, name)) for name in _World._fields[1:]))
    _within("cone.f_max (share of bad nodes the vote withstands)", world.f_max, 0, 0.5)
    _within("cone.beta (accepted error per unit of work)", world.beta, 0, 0.5)
    if sets == SCHEDULES["exponential"]:
        _seats("cone.base", world.base)
    if sets == SCHEDULES["fixed"]:
        _seats("cone.size", world.size)
    if sets == SCHEDULES["independent"]:
        _within("cone.q (probability of a seat)", world.q, 0, 1)
    for name, value in (("t_exec", params.t_exec), ("t_block", params.t_block)):
        if not (_values(value) >= 0).all():
            raise ValueError(
                f"cone.{name} must be zero or more seconds, got {_values(value).min():g}"
            )
    attempts, reach = _reach(sets, params, world, max_attempts)
    unknown = no_exact_form(schedule, stop_rule, "uniform" if chosen.by_stake else sortition)
    found = [
        *_rule_warnings(rule, sets, world),
        *_reach_warning(attempts, reach, world, named=max_attempts is not None),
    ]
    return found + [unknown] if unknown else found


class _World(NamedTuple):
    """The voters, and the numbers of a sweep in float64."""

    voters: int
    base: np.ndarray
    size: np.ndarray
    q: np.ndarray
    f_max: np.ndarray
    beta: np.ndarray

    def lead(self) -> np.ndarray:
        """The lead in votes that f_max and beta ask for, at every point."""
        need = np.log1p(-self.beta) - np.log(self.beta)
        need, odds = np.broadcast_arrays(need, np.log1p(-self.f_max) - np.log(self.f_max))
        return np.ceil(need / odds - 1e-5)


def _reach(
    sets: SetSchedule, params: ConeParams, world: _World, max_attempts: int | None
) -> tuple[int, float]:
    """How many sets there are at most, and how many seats they give out at least."""
    if sets.attempts is None:  # of the user's own
        ends = _totals_of_points(sets, params, max_attempts or MOST_ATTEMPTS)
        used_up = (ends >= world.voters).all(axis=0)
        most = int(used_up.argmax()) + 1 if used_up.any() else ends.shape[1]
        attempts = max_attempts or most
        return attempts, float(ends[:, attempts - 1].min())
    attempts = max_attempts or default_attempts(sets, world.voters)
    if sets.seats is None:
        return attempts, float(attempts * np.min(world.q) * world.voters)
    if sets == SCHEDULES["fixed"]:
        return attempts, float(attempts * np.min(world.size))
    return attempts, float(np.min(attempts * world.base + 2.0 ** min(attempts, 60) - 1))


def _totals_of_points(sets: SetSchedule, params: ConeParams, attempts: int) -> np.ndarray:
    """Running totals of an own schedule at every point of a sweep, checked: `[P, A]`."""
    points = jax.tree.map(np.atleast_1d, params)
    points = jax.tree.map(
        jnp.asarray, jax.tree.unflatten(jax.tree.structure(points), _together(points))
    )
    ends = np.asarray(jax.vmap(lambda point: totals(sets, point, attempts))(points))
    check_totals(sets, ends)
    return ends


def _together(points: ConeParams) -> list[np.ndarray]:
    return list(np.broadcast_arrays(*jax.tree.leaves(points)))


def _rule_warnings(rule: StopRule, sets: SetSchedule, world: _World) -> list[str]:
    """What is surprising about a named stop rule."""
    found = []
    if rule == STOP_RULES["majority_last"]:
        found.append(
            "majority_last is unsafe: at 30 % bad nodes and base 4 it accepts a wrong result in "
            "5 % of the units of work; use it for comparison only."
        )
    lead = world.lead()
    margin = world.voters * (1 - 2 * world.f_max)
    short = lead > margin
    if rule == STOP_RULES["lead"] and sets.seats is not None and short.any():
        worst = int(np.argmax(short))
        found.append(
            f"The pool of {world.voters} nodes is small for the lead of {lead.flat[worst]:.0f} "
            f"votes that f_max and beta ask for: with a share f_max of bad nodes it can be at most "
            f"{np.broadcast_to(margin, lead.shape).flat[worst]:.1f}, so the plurality of the whole "
            "pool will decide; take more nodes, a smaller f_max or a larger beta."
        )
    if rule == STOP_RULES["miracle"] and np.min(world.beta) < 1e-4:
        found.append(
            "miracle rests on a Gaussian approximation that is poor in the tails: its error may "
            "exceed a beta below 1e-4 many times; ask cone.exact_error, or use hypergeometric."
        )
    return found


def _reach_warning(attempts: int, reach: float, world: _World, *, named: bool) -> list[str]:
    """Whether all sets together are too small for the lead; `named`: the caller set the number."""
    lead = np.max(world.lead())
    if reach >= world.voters or lead <= reach * (1 - 2 * np.max(world.f_max)):
        return []
    more = "raise max_attempts or the size of the sets" if named else "take larger sets"
    return [
        f"{attempts} attempts give out {reach:.0f} seats at least, too few for a lead of "
        f"{lead:.0f} votes under attack: expect undecided units of work; {more}."
    ]


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
