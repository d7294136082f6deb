"""All named parts of a market in one table: where the name stands, what there is, whose numbers.

To offer a part under a name, add a line to its room's registry; to use one of your own, put it in
the place of the name. Read next: `parts.py`.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from d2m_jax import aggregation, attacks, cone, incentives, sampling, sellers, tasks
from d2m_jax.config.spec import Spec
from d2m_jax.core.choices import numbers, pick
from d2m_jax.market.auction import AUCTIONS
from d2m_jax.market.disputes import DISPUTES
from d2m_jax.market.server import SERVER_OPTIMIZERS


class Choice(NamedTuple):
    """One named part."""

    field: str  # of `Spec`
    what: str  # for messages
    registry: Mapping[str, Any]
    numbers: str | None = None  # field of `HParams` with the numbers of the chosen part
    as_part: Callable[[Any], Any] = lambda part: part  # of a plain function


CHOICES: dict[str, Choice] = {
    choice.field: choice
    for choice in (
        Choice("model", "model", tasks.MODELS),
        Choice("metric", "metric", {"default": None, **tasks.METRICS}),
        Choice("sampler", "sampler", sampling.SAMPLERS, "sampler"),
        Choice("aggregator", "aggregator", {"own": None, **aggregation.AGGREGATORS}, "aggregator"),
        Choice("attack", "attack", attacks.ATTACKS, "attack", attacks.as_attack),
        Choice(
            "attack_schedule", "attack schedule", attacks.SCHEDULES, "schedule", attacks.as_schedule
        ),
        Choice("contribution", "contribution", incentives.CONTRIBUTIONS, "contribution"),
        Choice("payment", "payment", incentives.PAYMENTS, "payment"),
        Choice("auction", "auction", AUCTIONS, "auction"),
        Choice("client_momentum", "client momentum", {"none": None, **sellers.MOMENTA}),
        Choice(
            "availability",
            "availability",
            {"always": None, **sellers.AVAILABILITIES},
            "availability",
        ),
        Choice("delay", "delay", {"none": None, **sellers.DELAYS}, "delay"),
        Choice("server_optimizer", "server optimiser", SERVER_OPTIMIZERS),
        Choice("set_schedule", "set schedule", cone.SCHEDULES, "set_schedule"),
        Choice("stop_rule", "stop rule", cone.STOP_RULES, "stop_rule"),
        Choice("sortition", "sortition", cone.SORTITIONS, "sortition"),
        Choice("dispute", "dispute", DISPUTES, "dispute"),
    )
}

# Default numbers of named parts, (field, name) -> part and numbers: a sweep asks for every point.
_NAMED: dict[tuple[str, str], tuple[Any, dict[str, Any]]] = {}


def chosen(spec: Spec, field: str) -> Any:
    """The part that a spec names or gives.

    Raises:
        ValueError: an unknown name, or something that is no part.
    """
    choice, value = CHOICES[field], getattr(spec, field)
    part = pick(choice.registry, value, choice.what)
    return part if isinstance(value, str) else choice.as_part(part)


def part_numbers(choice: Choice, value: Any) -> dict[str, Any]:
    """The default numbers of a part, named or own.

    Raises:
        ValueError: an unknown name.
    """
    part = pick(choice.registry, value, choice.what)
    if part is None:
        return {}
    if not isinstance(value, str):
        return numbers(choice.as_part(part))
    place = choice.field, value
    if place not in _NAMED or _NAMED[place][0] is not part:  # not asked for yet, or replaced
        _NAMED[place] = part, numbers(choice.as_part(part))
    return dict(_NAMED[place][1])


def parts_of(spec: Spec) -> tuple[Any, ...]:
    """All parts that a spec names or gives, in the order of `CHOICES`, then what goes before.

    Raises:
        ValueError: see `chosen`.
    """
    before = (pick(aggregation.PRE_AGGREGATORS, part, "pre-aggregator")
              for part in spec.pre_aggregators)  # fmt: skip
    return (*(chosen(spec, field) for field in CHOICES), *before)
