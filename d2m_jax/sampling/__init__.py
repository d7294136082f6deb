"""Who is sampled, and how their updates become the aggregate. Read next: `base.py`.

`make_defence(name, num_sampled=S)` gives three pure functions (init, sample, aggregate).
"""

from functools import partial
from typing import Any

import jax

from d2m_jax.core import choices, promises
from d2m_jax.core.protocols import Aggregator, RuleFn
from d2m_jax.core.types import Count, Number, PyTree
from d2m_jax.sampling.base import (
    BuildDefence,
    Context,
    Defence,
    DefenceInfo,
    DefenceParams,
    DefenceState,
    Selection,
    slashable,
)
from d2m_jax.sampling.baselines import MABS, VRB, Learner, osmd_learner
from d2m_jax.sampling.coarse import coarse, coarse_mass, coarse_osmd
from d2m_jax.sampling.corrected import corrected_defence
from d2m_jax.sampling.draws import draw_distinct, draw_independent
from d2m_jax.sampling.osmd import optimal, osmd_init, osmd_update
from d2m_jax.sampling.selecting import selecting
from d2m_jax.sampling.simplex import kl_project
from d2m_jax.sampling.weighted import bandit_defence, uniform_defence

__all__ = [
    "MABS",
    "SAMPLERS",
    "VRB",
    "BuildDefence",
    "Context",
    "Defence",
    "DefenceInfo",
    "DefenceParams",
    "DefenceState",
    "Learner",
    "Selection",
    "as_aggregator",
    "as_sampler",
    "coarse",
    "coarse_mass",
    "draw_distinct",
    "draw_independent",
    "kl_project",
    "make_defence",
    "optimal",
    "osmd_init",
    "osmd_learner",
    "osmd_update",
    "selecting",
    "slashable",
]


def make_defence(
    sampler: str | BuildDefence | Defence,
    *,
    num_sampled: int,
    aggregator: Aggregator | RuleFn | None = None,
    horizon: int = 1000,
    **numbers: Number,
) -> Defence:
    """Returns the defence of this name, or the user's own.

    Call it inside the traced function when the numbers are traced.

    Args:
        sampler: a name in `SAMPLERS`, or what `as_sampler` takes.
        num_sampled: S, sellers sampled in a round.
        aggregator: from `aggregation.make_aggregator`, or a plain `rule(updates, f, mask=)`; None
            is the sampler's own weighted mean.
            "corrected_osmd" and "coarse_osmd" bring their own aggregate and take none.
        horizon: rounds; for "osmd" it fixes the number of experts.
        numbers: of a sampler of the user's own. Those of the named ones are `DefenceParams`.

    Raises:
        ValueError: unknown name or number, S < 1, a rule for a sampler that brings its own, or a
            rule that knows sellers apart beside a sampler that draws with replacement.
    """
    if isinstance(sampler, str):
        build = choices.lookup(SAMPLERS, sampler, "sampler")
    else:
        build = as_sampler(sampler)
    name = choices.label(sampler)
    if num_sampled < 1:
        raise ValueError(f"num_sampled is {num_sampled}; at least one seller must be sampled")
    known = choices.numbers(build)
    for number in numbers:
        choices.lookup(known, number, f"number of sampler {name!r}")
    rule = as_aggregator(aggregator)
    given = choices.taken(build, {"aggregator": rule, "horizon": horizon})
    promises.check_call(f"sampler {name!r}", build, num_sampled, **given, **numbers)
    if isinstance(sampler, str) and rule is not None and "aggregator" not in given:
        raise ValueError(f"{name} brings its own aggregate; give it no aggregator")
    defence = checked_defence(build(num_sampled, **given, **numbers), num_sampled, name)
    if rule is not None and "aggregator" not in given:
        raise ValueError(f"{name} brings its own aggregate; give it no aggregator")
    return defence


def checked_defence(defence: Any, num_sampled: int, name: str) -> Defence:
    """A defence held to the shapes of `base.py` while it is traced.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(defence, Defence):
        raise ValueError(
            f"sampler {name!r} must be a Defence or make one of the number of sampled sellers, not "
            f"{type(defence).__name__}"
        )
    booleans, floats, what = promises.booleans, promises.floats, f"of sampler {name!r}"
    drawn = Selection(promises.integers(num_sampled), floats(num_sampled), booleans(num_sampled))

    def aggregate(_: Any, state: Any, __: Any, updates: jax.Array, *___: Any) -> Any:
        rows = updates.shape[0]
        seen = booleans(rows), booleans(rows), booleans(rows), floats(rows)
        info = DefenceInfo(*seen, promises.integers(), promises.integers(), booleans())
        return floats(updates.shape[1]), promises.Like(state), info

    return Defence(
        defence.init,
        promises.checked(defence.sample, f"`sample` {what}", lambda *_: drawn),
        promises.checked(defence.aggregate, f"`aggregate` {what}", aggregate),
    )


def as_sampler(part: BuildDefence | Defence) -> BuildDefence:
    """A sampler from a part of the user's own.

    Args:
        part: a `Defence`, which is for one number of sampled sellers, or a function
            `(num_sampled, **numbers) -> Defence` with keywords `aggregator` and `horizon` if it
            wants them.

    Raises:
        ValueError: neither.
    """
    if isinstance(part, Defence):
        return partial(_always, part)
    if not callable(part):
        raise ValueError(f"a sampler must be a Defence or a function, not {part!r}")
    return part


def _always(defence: Defence, num_sampled: int) -> Defence:
    del num_sampled  # the defence has its own
    return defence


def as_aggregator(rule: Aggregator | RuleFn | None) -> Aggregator | None:
    """A plain `rule(updates, f, mask=)` in the form of an `Aggregator`; others unchanged."""
    if rule is None or isinstance(rule, Aggregator):
        return rule

    what = f"aggregator {choices.label(rule)!r}"
    rule = promises.checked(rule, what, lambda updates, *_, **__: promises.floats(updates.shape[1]))

    def apply(memory: PyTree, updates: jax.Array, f: Count, mask: Any = None, **_: Any) -> Any:
        return rule(updates, f, mask=mask), memory

    return Aggregator(lambda num_sellers, dim, **_: (), apply)


def _uniform(num_sampled: int, *, aggregator: Aggregator | None) -> Defence:
    """Every seller alike; the aggregate is a named rule or the weighted mean."""
    return uniform_defence(num_sampled, aggregator)


def _osmd(num_sampled: int, *, aggregator: Aggregator | None, horizon: int) -> Defence:
    """Online stochastic mirror descent: draws whose updates are long (Zhao et al., 2025)."""
    return bandit_defence(num_sampled, osmd_learner(horizon), aggregator)


def _mabs(num_sampled: int, *, aggregator: Aggregator | None) -> Defence:
    """Multi-armed bandit sampling, as the OSMD paper compares with; see `baselines.py`."""
    return bandit_defence(num_sampled, MABS, aggregator)


def _vrb(num_sampled: int, *, aggregator: Aggregator | None) -> Defence:
    """Variance-reducing bandit, as the OSMD paper compares with; see `baselines.py`."""
    return bandit_defence(num_sampled, VRB, aggregator)


SAMPLERS: dict[str, BuildDefence] = {
    "uniform": _uniform,
    "selecting": selecting,
    "osmd": _osmd,
    "mabs": _mabs,
    "vrb": _vrb,
    "corrected_osmd": corrected_defence,
    "coarse_osmd": coarse_osmd,
}
