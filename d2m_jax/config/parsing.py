"""Configurations as `ml_collections.ConfigDict`s: defaults, changes, and the way to typed structs.

A configuration has four parts: `data` (DataSpec), `spec` (Spec), `hparams` (HParams, nested) and
`seed`. Files in `configs/` call `default_config` with what they change; scripts let any field be
overridden on the command line. The numbers of every part stand under its name
(`hparams.attack.alie.z`), those of an own part under the name of its function, so that a part and
its numbers can be chosen together; only those of the chosen one reach `HParams`. Shares of bad
parties (`hparams.population.byzantine_share`, see `shares.py`) reach it as counts.
"""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar

from ml_collections import ConfigDict

from d2m_jax.config.hparams import HParams
from d2m_jax.config.shares import Shares, as_counts
from d2m_jax.config.spec import DataSpec, Spec
from d2m_jax.core.choices import digest, is_own, label
from d2m_jax.market.choices import CHOICES, part_numbers

T = TypeVar("T")
PLAIN = (int, float, str, bool, type(None))  # most leaves: not looked at twice


@functools.cache
def named_numbers(field: str) -> Mapping[str, Mapping[str, Any]]:
    """The default numbers of every part that has a name and numbers, by name."""
    choice = CHOICES[field]
    known = {name: part_numbers(choice, name) for name in choice.registry}
    return {name: values for name, values in known.items() if values}


class Config(NamedTuple):
    """A parsed configuration; `hparams` holds plain Python numbers (see `as_arrays`)."""

    data: DataSpec
    spec: Spec
    hparams: HParams
    seed: int


def _fields(value: Any) -> dict[str, Any] | None:
    """The named fields of a dataclass or NamedTuple, None for anything else."""
    names = _names(value.__class__)
    return None if names is None else {name: getattr(value, name) for name in names}


@functools.cache
def _names(kind: Any) -> tuple[str, ...] | None:
    if dataclasses.is_dataclass(kind):
        return tuple(field.name for field in dataclasses.fields(kind))
    return getattr(kind, "_fields", None) if issubclass(kind, tuple) else None


def to_dict(value: Any) -> Any:
    """Nested dictionaries of a nested struct; an own part becomes name and digest.

    Two configurations are the same exactly when their dictionaries are.
    """
    if type(value) in PLAIN:
        return value
    if is_own(value):
        return {"own": label(value), "digest": digest(value)}
    fields = _fields(value)
    if fields is not None:
        return {name: to_dict(field) for name, field in fields.items()}
    if isinstance(value, Mapping):
        return {name: to_dict(field) for name, field in value.items()}
    return tuple(map(to_dict, value)) if isinstance(value, list | tuple) else value


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
    defaults: dict[str, Any] = dict(vars(Spec()))
    numbers = {**to_dict(HParams()), **all_numbers({**defaults, **(spec or {})})}
    numbers["population"] |= Shares()._asdict()
    config = ConfigDict(
        {"data": dict(vars(DataSpec())), "spec": defaults, "hparams": numbers, "seed": seed}
    )
    for part, changes in (("data", data), ("spec", spec), ("hparams", hparams)):
        _update(config[part], changes or {}, part)
    return config


def all_numbers(spec: Mapping[str, Any]) -> dict[str, dict[str, dict[str, Any]]]:
    """The default numbers of every named part and of the own parts of a spec, by `HParams` field.

    Raises:
        ValueError: an unknown name in the spec.
    """
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for field, choice in CHOICES.items():
        if choice.numbers is None:
            continue
        known = {name: dict(values) for name, values in named_numbers(field).items()}
        if is_own(spec[field]):
            known[label(spec[field])] = part_numbers(choice, spec[field])
        found[choice.numbers] = known
    return found


def _update(target: ConfigDict, changes: Mapping[str, Any], path: str) -> None:
    for name, value in changes.items():
        if name not in target:
            raise ValueError(f"unknown field {path}.{name}; valid fields: {', '.join(target)}")
        if isinstance(value, Mapping) and isinstance(target[name], ConfigDict):
            _update(target[name], value, f"{path}.{name}")
        elif is_own(value) or is_own(target[name]):
            with target.ignore_type():
                target[name] = value
        else:
            target[name] = value


def parse_config(config: ConfigDict | Mapping[str, Any]) -> Config:
    """A configuration as typed structs, with the numbers of the named attack, schedule and rule.

    Raises:
        ValueError: an unknown field, a seed that is no int32 from 0, or a share that cannot be.
    """
    tree = config.to_dict() if isinstance(config, ConfigDict) else config
    if not 0 <= int(tree["seed"]) < 2**31:
        raise ValueError(f"seed must lie in [0, 2**31 - 1], not {tree['seed']}")
    spec = _build(Spec(), tree["spec"], "spec")
    given = dict(tree["hparams"])
    if "population" in given:
        given["population"] = as_counts(given["population"], vars(spec))
    for field, choice in CHOICES.items():
        if choice.numbers is not None:
            value = getattr(spec, field)
            mine = given.get(choice.numbers, {}).get(label(value), {})
            given[choice.numbers] = {**part_numbers(choice, value), **mine}
    return Config(
        data=_build(DataSpec(), tree["data"], "data"),
        spec=spec,
        hparams=_build(HParams(), given, "hparams"),
        seed=int(tree["seed"]),
    )


def _build(default: T, tree: Mapping[str, Any], path: str) -> T:
    """The struct `default` with the fields of `tree`, recursively."""
    if type(default) in PLAIN:
        return tree  # type: ignore[return-value]
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
