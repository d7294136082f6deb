"""Choice by name: one helper that every registry uses."""

import difflib
from collections.abc import Mapping
from typing import TypeVar

T = TypeVar("T")


def lookup(registry: Mapping[str, T], name: str, what: str) -> T:
    """Returns `registry[name]`.

    Args:
        registry: the room's plain dictionary from name to function.
        name: what the user asked for.
        what: what is being chosen, for the message ("model", "attack").

    Raises:
        ValueError: the name is unknown; the message lists the valid ones and the nearest.
    """
    if name in registry:
        return registry[name]
    near = difflib.get_close_matches(str(name), registry, n=1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    raise ValueError(f"unknown {what} {name!r}{hint}; valid names: {', '.join(sorted(registry))}")
