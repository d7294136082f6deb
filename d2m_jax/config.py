"""Configurations as `ml_collections.ConfigDict`s: defaults, overrides, and the way back.

A configuration has four parts: `data` (DataSpec), `spec` (Spec), `hparams` (HParams, nested) and
`seed`. Files in `configs/` call `default_config` with what they change; scripts let any field be
overridden on the command line.
"""

import dataclasses
from typing import Any

from ml_collections import ConfigDict

from d2m_jax.hparams import HParams
from d2m_jax.spec import DataSpec, Spec


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    return value


def default_config(
    data: dict[str, Any] | None = None,
    spec: dict[str, Any] | None = None,
    hparams: dict[str, Any] | None = None,
    seed: int = 0,
) -> ConfigDict:
    """The default market with the given fields replaced.

    Args:
        data: fields of `DataSpec`.
        spec: fields of `Spec`.
        hparams: fields of `HParams`, nested by room: `{"learning": {"lr": 0.1}}`.
        seed: of the run.

    Raises:
        KeyError, TypeError: an unknown field or a value of another type.
    """
    config = ConfigDict(
        {
            "data": _plain(DataSpec()),
            "spec": _plain(Spec()),
            "hparams": _plain(HParams()),
            "seed": seed,
        },
        type_safe=True,
    )
    for part, changes in (("data", data), ("spec", spec), ("hparams", hparams)):
        _update(config[part], changes or {}, part)
    return config


def _update(target: ConfigDict, changes: dict[str, Any], path: str) -> None:
    for name, value in changes.items():
        if path == "hparams" and name in ("attack", "aggregator"):
            target[name] = ConfigDict(dict(value))  # keys belong to the named attack or rule
        elif name not in target:
            raise KeyError(f"unknown field {path}.{name}; valid fields: {', '.join(target)}")
        elif isinstance(value, dict):
            _update(target[name], value, f"{path}.{name}")
        else:
            target[name] = value
