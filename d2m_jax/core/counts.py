"""Whole numbers and switches as a user gives them: one sentence for what is none."""

import numbers
from typing import Any


def check_count(name: str, value: Any, least: int = 0, most: int | None = None) -> None:
    """Raises a ValueError, one sentence, unless a value is a whole number in its range."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise ValueError(f"{name} must be a whole number, not {value!r}")
    count = int(value)
    if count < least and least == 0:
        raise ValueError(f"{name} must not be negative, not {count}")
    if count < least:
        raise ValueError(f"{name} must be at least {least}, not {count}")
    if most is not None and count > most:
        raise ValueError(f"{name} must be at most {most:,}, not {count:,}")


def check_switch(name: str, value: Any) -> None:
    """Raises a ValueError, one sentence, unless a value is True or False."""
    if not isinstance(value, bool):
        raise ValueError(f"{name} must be True or False, not {value!r}")
