"""The points of a sweep, as a plain list of dictionaries from field to value.

    product(
        axis("spec.aggregator", ["krum", "median"]),
        together(axis("spec.num_sellers", [20, 100]), axis("spec.num_sampled", [10, 30])),
        draws(5, {"hparams.learning.lr": log_uniform(0.01, 1.0)}, seed=0),
        axis("seed", range(4)),
    )

Every function returns such a list, so `+`, slices and comprehensions work too. Read next:
`plan.py`.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

import numpy as np

Point: TypeAlias = dict[str, Any]  # {"spec.attack": "alie", "hparams.attack.alie.z": 1.0, ...}
Draw: TypeAlias = Callable[[np.random.Generator], Any]


def axis(field: str, values: Iterable[Any]) -> list[Point]:
    """One field taking every value in turn."""
    return [{field: value} for value in values]


def product(*spaces: list[Point]) -> list[Point]:
    """Every combination of the spaces; the last one varies fastest.

    Raises:
        ValueError: two spaces set the same field.
    """
    points: list[Point] = [{}]
    for space in spaces:
        points = [_merge(left, right) for left in points for right in space]
    return points


def together(*spaces: list[Point]) -> list[Point]:
    """The first points of all spaces merged, then the second ones, ... (a zip).

    Raises:
        ValueError: different lengths, or two spaces set the same field.
    """
    lengths = {len(space) for space in spaces}
    if len(lengths) > 1:
        raise ValueError(f"axes that go together must be equally long, not {sorted(lengths)}")
    points: list[Point] = [{} for _ in range(min(lengths, default=0))]
    for space in spaces:
        points = [_merge(left, right) for left, right in zip(points, space)]
    return points


def draws(count: int, fields: Mapping[str, Draw], *, seed: int) -> list[Point]:
    """`count` random points; the same seed gives the same ones, and more of them go on with them.

    Args:
        count: how many.
        fields: from field to `uniform`, `log_uniform`, `choice` or any function of a generator.
        seed: of the draws, apart from the seeds of data and training.
    """
    rng = np.random.default_rng(seed)
    return [{field: draw(rng) for field, draw in fields.items()} for _ in range(count)]


def uniform(low: float, high: float) -> Draw:
    """A float between low and high."""
    return lambda rng: float(rng.uniform(low, high))


def log_uniform(low: float, high: float) -> Draw:
    """A float whose logarithm is uniform, both ends positive."""
    return lambda rng: float(np.exp(rng.uniform(np.log(low), np.log(high))))


def choice(values: Iterable[Any]) -> Draw:
    """One of the values."""
    values = list(values)
    return lambda rng: values[int(rng.integers(len(values)))]


def _merge(left: Point, right: Point) -> Point:
    twice = sorted(set(left) & set(right))
    if twice:
        raise ValueError(f"the field {twice[0]} is set by two axes")
    return {**left, **right}
