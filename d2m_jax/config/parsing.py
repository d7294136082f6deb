"""Configurations as `ml_collections.ConfigDict`s: defaults, changes, and the way to typed structs.

A configuration has four parts: `data` (DataSpec), `spec` (Spec), `hparams` (HParams, nested) and
`seed`. Files in `configs/` call `default_config` with what they change; scripts let any field be
overridden on the command line. The numbers of every attack, schedule and rule stand under its name
(`hparams.attack.alie.z`), so that a name and its numbers can be chosen together; only those of the
chosen one reach `HParams`.
"""

import dataclasses
import inspect
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar

from ml_collections import ConfigDict

from d2m_jax.aggregation import AGGREGATORS, Rule
from d2m_jax.attacks import ATTACKS, SCHEDULES
from d2m_jax.config.hparams import HParams
from d2m_jax.config.spec import DataSpec, Spec

T = TypeVar("T")


def _rule_numbers(rule: Rule) -> dict[str, float]:
    """The keywords of a rule whose default is a float: its numbers that may be traced."""
    parameters = inspect.signature(rule.step or rule.fn).parameters.values()
    return {p.name: p.default for p in parameters if isinstance(p.default, float)}


NUMBERS: dict[str, dict[str, dict[str, float]]] = {
    "attack": {name: dict(attack.hyper) for name, attack in ATTACKS.items()},
    "schedule": {name: dict(schedule.hyper) for name, schedule in SCHEDULES.items()},
    "aggregator": {name: _rule_numbers(rule) for name, rule in AGGREGATORS.items()},
}


class Config(NamedTuple):
    """A parsed configuration; `hparams` holds plain Python numbers (see `as_arrays`)."""

    data: DataSpec
    spec: Spec
    hparams: HParams
    seed: int


def _fields(value: Any) -> dict[str, Any] | None:
    """The named fields of a dataclass or NamedTuple, None for anything else."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return value._asdict()
    return None


def to_dict(value: Any) -> Any:
    """Nested dictionaries of a nested struct; leaves as they are."""
    fields = _fields(value)
    if fields is None:
        return dict(value) if isinstance(value, Mapping) else value
    return {name: to_dict(field) for name, field in fields.items()}


def default_config(
    data: Mapping[str, Any] | None = None,
    spec: Mapping[str, Any] | None = None,
    hparams: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> ConfigDict:
    """The default market with some fields replaced.

    Args:
        data: fields of `DataSpec`.
        spec: fields of `Spec`.
        hparams: fields of `HParams`, nested by room: `{"learning": {"lr": 0.1}}`.
        seed: of the run.

    Raises:
        ValueError: an unknown field; the sentence lists the valid ones.
        TypeError: a value of another type than the default.
    """
    numbers = to_dict(HParams())
    for field, registry in NUMBERS.items():
        numbers[field] = {name: dict(values) for name, values in registry.items() if values}
    config = ConfigDict(
        {"data": to_dict(DataSpec()), "spec": to_dict(Spec()), "hparams": numbers, "seed": seed}
    )
    for part, changes in (("data", data), ("spec", spec), ("hparams", hparams)):
        _update(config[part], changes or {}, part)
    return config


def _update(target: ConfigDict, changes: Mapping[str, Any], path: str) -> None:
    for name, value in changes.items():
        if name not in target:
            raise ValueError(f"unknown field {path}.{name}; valid fields: {', '.join(target)}")
        elif isinstance(value, Mapping):
            _update(target[name], value, f"{path}.{name}")
        else:
            target[name] = value


def parse_config(config: ConfigDict | Mapping[str, Any]) -> Config:
    """A configuration as typed structs, with the numbers of the named attack, schedule and rule.

    Raises:
        ValueError: an unknown field, or a seed that is no int32 from 0.
    """
    tree = config.to_dict() if isinstance(config, ConfigDict) else config
    if not 0 <= int(tree["seed"]) < 2**31:
        raise ValueError(f"seed must lie in [0, 2**31 - 1], not {tree['seed']}")
    spec = _build(Spec(), tree["spec"], "spec")
    chosen = {
        "attack": spec.attack,
        "schedule": spec.attack_schedule,
        "aggregator": spec.aggregator,
    }
    numbers = {
        **tree["hparams"],
        **{field: tree["hparams"][field].get(name, {}) for field, name in chosen.items()},
    }
    return Config(
        data=_build(DataSpec(), tree["data"], "data"),
        spec=spec,
        hparams=_build(HParams(), numbers, "hparams"),
        seed=int(tree["seed"]),
    )


def _build(default: T, tree: Mapping[str, Any], path: str) -> T:
    """The struct `default` with the fields of `tree`, recursively."""
    fields = _fields(default)
    if fields is None:
        if isinstance(default, tuple):
            return tuple(tree)  # type: ignore[return-value]
        return dict(tree) if isinstance(default, Mapping) else tree  # type: ignore[return-value]
    unknown = sorted(set(tree) - set(fields))
    if unknown:
        raise ValueError(f"unknown field {path}.{unknown[0]}; valid fields: {', '.join(fields)}")
    values = {
        name: _build(field, tree[name], f"{path}.{name}") if name in tree else field
        for name, field in fields.items()
    }
    return type(default)(**values)
