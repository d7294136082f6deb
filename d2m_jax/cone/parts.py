"""A part of a vote by its name, as a record, or as a function of the user's own.

Used by `schedules.py`, `sortition.py` and `stop_rules.py`, whose registries hold records.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from d2m_jax.core.choices import pick

R = TypeVar("R", bound=tuple[Any, ...])


def resolve(registry: Mapping[str, R], choice: Any, record: Callable[..., R], what: str) -> R:
    """The record of a choice.

    Args:
        registry: name -> record, whose first field is the function.
        choice: a name; a record; a function: of an entry, or the user's own.
        record: makes a record of a function alone.
        what: is being chosen, for the message.

    Raises:
        ValueError: an unknown name, or neither a name, a record nor a function.
    """
    part = pick(registry, choice, what)
    if isinstance(part, type(next(iter(registry.values())))):
        return part
    if not callable(part):
        raise ValueError(f"{what} must be a name or a function of your own, not {choice!r}")
    known = (entry for entry in registry.values() if entry[0] is part)
    return next(known, None) or record(part)
