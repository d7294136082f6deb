"""Who is sampled, and how their updates become the aggregate. Read next: `base.py`.

`make_defence(name, num_sampled=S)` gives three pure functions (init, sample, aggregate).
"""

from collections.abc import Callable

import jax

from d2m_jax.core.choices import lookup
from d2m_jax.sampling.base import (
    Aggregator,
    Context,
    Defence,
    DefenceInfo,
    DefenceParams,
    DefenceState,
    Selection,
    slashable,
)
from d2m_jax.sampling.baselines import MABS, UNIFORM, VRB, Sampler, osmd_sampler
from d2m_jax.sampling.corrected import corrected_defence
from d2m_jax.sampling.draws import draw_distinct, draw_independent
from d2m_jax.sampling.osmd import optimal, osmd_init, osmd_update
from d2m_jax.sampling.simplex import kl_project
from d2m_jax.sampling.weighted import StatelessRule, bandit_defence, uniform_defence

__all__ = [
    "MABS",
    "SAMPLERS",
    "UNIFORM",
    "VRB",
    "Context",
    "Defence",
    "DefenceInfo",
    "DefenceParams",
    "DefenceState",
    "Sampler",
    "Selection",
    "draw_distinct",
    "draw_independent",
    "kl_project",
    "make_defence",
    "optimal",
    "osmd_init",
    "osmd_sampler",
    "osmd_update",
    "slashable",
]


def make_defence(
    sampler: str,
    *,
    num_sampled: int,
    aggregator: Aggregator | Callable[..., jax.Array] | None = None,
    horizon: int = 1000,
) -> Defence:
    """Returns the defence of this name.

    Args:
        sampler: a name in `SAMPLERS`.
        num_sampled: S, sellers sampled in a round.
        aggregator: from `aggregation.make_aggregator`, or a plain `rule(updates, f, mask=)`; None
            is the sampler's own weighted mean.
            "corrected_osmd" brings its own aggregate and takes none.
        horizon: rounds; for "osmd" it fixes the number of experts.

    Raises:
        ValueError: unknown name, S < 1, or a rule given to "corrected_osmd".
    """
    build = lookup(SAMPLERS, sampler, "sampler")
    if num_sampled < 1:
        raise ValueError(f"num_sampled is {num_sampled}; at least one seller must be sampled")
    if sampler == "corrected_osmd" and aggregator is not None:
        raise ValueError("corrected_osmd brings its own aggregate; give it no aggregator")
    if aggregator is not None and not hasattr(aggregator, "apply"):
        aggregator = StatelessRule(aggregator)
    return build(num_sampled=num_sampled, aggregator=aggregator, horizon=horizon)


SAMPLERS: dict[str, Callable[..., Defence]] = {
    "uniform": lambda num_sampled, aggregator, **_: uniform_defence(num_sampled, aggregator),
    "osmd": lambda num_sampled, aggregator, horizon, **_: bandit_defence(
        num_sampled, osmd_sampler(horizon), aggregator
    ),
    "mabs": lambda num_sampled, aggregator, **_: bandit_defence(num_sampled, MABS, aggregator),
    "vrb": lambda num_sampled, aggregator, **_: bandit_defence(num_sampled, VRB, aggregator),
    "corrected_osmd": lambda num_sampled, **_: corrected_defence(num_sampled),
}
