"""A Python file of the user's: a configuration, or a sweep. Not here: where it is (`paths.py`)."""

import importlib.machinery
import importlib.util
import pathlib
import sys
from collections.abc import Callable, Iterable, Mapping
from types import ModuleType
from typing import Any

from ml_collections import ConfigDict

from d2m_jax.cli.paths import ROOT, shown


def load(path: pathlib.Path) -> ModuleType:
    """The file as a module, whatever its ending.

    Raises:
        Exception: whatever the file raises; `sentences.py` says where.
    """
    _offer_configs()
    name = f"d2m_user_{path.stem}"
    loader = importlib.machinery.SourceFileLoader(name, str(path.absolute()))
    spec = importlib.util.spec_from_loader(name, loader)
    assert spec is not None  # there is a loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    loader.exec_module(module)
    return module


def _offer_configs() -> None:
    """Lets a file import from `configs`, which is no package of its own where d2m is installed."""
    if importlib.util.find_spec("configs") is None:
        package = ModuleType("configs")
        package.__path__ = [str(ROOT / "configs")]
        sys.modules["configs"] = package


def get_config(module: ModuleType, argument: str | None = None) -> ConfigDict:
    """What get_config() of the file returns, unlocked.

    Args:
        module: from `load`.
        argument: passed on, what stands behind the colon in `--config=FILE:ARGUMENT`.

    Raises:
        ValueError: no such function, or it returns something else.
    """
    config = _function(module, "get_config")(*([] if argument is None else [argument]))
    if not isinstance(config, ConfigDict | Mapping):
        raise ValueError(
            f"get_config() of {shown(str(module.__file__))} must return a ConfigDict, "
            f"not {type(config).__name__}; see d2m_jax.default_config"
        )
    return config if isinstance(config, ConfigDict) else ConfigDict(config)


def get_points(module: ModuleType) -> list[dict[str, Any]]:
    """The points of a sweep file.

    Raises:
        ValueError: no such function, or it returns something else, or nothing.
    """
    name = shown(str(module.__file__))
    points = _function(module, "get_points", ": it is no sweep file")()
    if not isinstance(points, Iterable) or isinstance(points, str | Mapping):
        raise ValueError(f"get_points() of {name} must return a list of points, not {points!r}")
    points = list(points)
    for point in points:
        if not isinstance(point, Mapping):
            raise ValueError(f"a point of get_points() of {name} must be a dictionary: {point!r}")
    if not points:
        raise ValueError(f"get_points() of {name} returns no point")
    return points


def get_constraints(module: ModuleType) -> dict[str, Callable[..., bool]]:
    """CONSTRAINTS of a sweep file, empty if it has none.

    Raises:
        ValueError: it is no dictionary of functions.
    """
    constraints = getattr(module, "CONSTRAINTS", {})
    fine = isinstance(constraints, Mapping) and all(map(callable, constraints.values()))
    if not fine:
        raise ValueError(
            f"CONSTRAINTS of {shown(str(module.__file__))} must be a dictionary of functions"
        )
    return dict(constraints)


def _function(module: ModuleType, name: str, hint: str = "") -> Callable[..., Any]:
    function = getattr(module, name, None)
    if not callable(function):
        raise ValueError(f"{shown(str(module.__file__))} has no function {name}(){hint}")
    return function
