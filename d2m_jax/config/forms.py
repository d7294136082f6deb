"""Whether numbers are numbers, in the structs where they belong. Not here: ranges (`ranges.py`)."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from d2m_jax.config.hparams import HParams


def check_forms(hparams: Any) -> None:
    """Raises a ValueError, one sentence, for the first field that holds no number; traced or not.

    Arrays of any shape pass: those of a sweep have an axis of points.
    """
    if not isinstance(hparams, HParams):
        raise ValueError(
            f"the numbers of a market are HParams, such as HParams(tau=0.3), not "
            f"{type(hparams).__name__}"
        )
    _check("", hparams, HParams())


def check_single(hparams: HParams) -> None:
    """Raises a ValueError, one sentence, for an array where one number is wanted."""
    if are_plain(hparams):
        return
    for path, leaf in jax.tree_util.tree_flatten_with_path(hparams)[0]:
        if np.shape(leaf):
            name = jax.tree_util.keystr(path, simple=True, separator=".")
            raise ValueError(f"{name} must be one number, not an array of shape {np.shape(leaf)}")


def are_plain(hparams: HParams) -> bool:
    """Whether all numbers are Python's own."""
    return {int, float}.issuperset(map(type, jax.tree.leaves(hparams)))


def _check(name: str, value: Any, like: Any) -> None:
    if type(value) in (int, float) and type(like) in (int, float):
        return
    inner = f"{name}." if name else ""
    fields = _fields(like.__class__)
    if fields:
        if type(value) is not type(like):
            raise ValueError(f"{name} must be {type(like).__name__}(...), not {value!r}")
        for field in fields:
            _check(inner + field, getattr(value, field), getattr(like, field))
    elif isinstance(like, Mapping):
        if not isinstance(value, Mapping):
            raise ValueError(f"{name} must be a dictionary of numbers, not {value!r}")
        for field, number in value.items():
            _check_number(f"{name}.{field}", number)
    elif isinstance(like, tuple):
        if not isinstance(value, tuple):
            raise ValueError(f"{name} must be a tuple of numbers, not {value!r}")
        for place, number in enumerate(value):
            _check_number(f"{name}.{place}", number)
    else:
        _check_number(name, value)


@functools.cache
def _fields(kind: Any) -> tuple[str, ...]:
    if dataclasses.is_dataclass(kind):
        return tuple(field.name for field in dataclasses.fields(kind))
    return getattr(kind, "_fields", ())


def _check_number(name: str, value: Any) -> None:
    plain = isinstance(value, int | float | np.integer | np.floating)
    array = isinstance(value, jax.Array | np.ndarray) and (
        jax.numpy.issubdtype(value.dtype, np.integer)
        or jax.numpy.issubdtype(value.dtype, np.floating)
    )
    if isinstance(value, bool) or not (plain or array):
        raise ValueError(f"{name} must be a number, not {value!r}")
