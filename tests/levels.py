"""Which parameters of a test stay at its level: `few(3)`, or `few(1, each="name")` of every rule.

A grid of rules and flags is right or wrong by its rows and by its columns, seldom in one cell. The
quick tests so take some cells of every row, another column in each; the slow ones take the rest.
Of a slow test `few(10, rest="long")` leaves ten cells slow.
"""

from collections.abc import Sequence
from typing import Any

import pytest


def spread(count: int, number: int) -> set[int]:
    """`number` of `count` places, evenly from the first on."""
    number = min(number, count)
    return {place * count // number for place in range(number)}


def diagonal(rows: Sequence[str], number: int) -> set[int]:
    """Places of `number` cells of every row, further on from row to row.

    Args:
        rows: the row that each place belongs to.
        number: cells of each.
    """
    chosen: set[int] = set()
    for shift, row in enumerate(dict.fromkeys(rows)):
        places = [place for place, other in enumerate(rows) if other == row]
        chosen |= {places[(shift + more) % len(places)] for more in range(number)}
    return chosen


def quick_places(items: Sequence[pytest.Item], number: int, each: str | None = None) -> set[int]:
    """Places of the quick ones among the items of a test."""
    if each is None:
        return spread(len(items), number)
    values: list[Any] = [item.callspec.params[each] for item in items]  # type: ignore[attr-defined]
    return diagonal([str(getattr(value, "__name__", value)) for value in values], number)


def mark_rest(items: Sequence[pytest.Item]) -> None:
    """Marks as slow, or as `rest` says, whatever is left out by the mark `few` of its test."""
    tests: dict[str, list[pytest.Item]] = {}
    for item in items:
        if item.get_closest_marker("few"):
            tests.setdefault(item.nodeid.partition("[")[0], []).append(item)
    for group in tests.values():
        mark = group[0].get_closest_marker("few")
        assert mark is not None
        choice = dict(mark.kwargs)
        rest = choice.pop("rest", "slow")
        quick = quick_places(group, *mark.args, **choice)
        for place, item in enumerate(group):
            if place not in quick:
                item.add_marker(getattr(pytest.mark, rest))
