"""Host helpers of `federated.py`: stratified draws, disjointness."""

from collections.abc import Mapping

import numpy as np


def take(
    rng: np.random.Generator, labels: np.ndarray, rows: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Draws `count` of `rows` with the class shares of `rows`; returns (taken, left), sorted.

    Systematic draw: rows are shuffled, sorted by class, and every (T / count)-th is taken from a
    random start. So each class gets its share rounded down or up, and every row has the same
    chance, count / T.

    Args:
        rng: is advanced.
        labels: a label per row number.
        rows: [T] row numbers to draw from.
        count: how many, 0 .. T.

    Source: Madow and Madow, On the Theory of Systematic Sampling, 1944.
    """
    shuffled = rng.permutation(rows)
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    steps = (np.arange(count) + rng.random()) * (len(rows) / max(count, 1))
    chosen = np.zeros(len(rows), bool)
    chosen[np.minimum(steps.astype(np.int64), len(rows) - 1)] = True
    return np.sort(by_class[chosen]), np.sort(by_class[~chosen])


def assert_disjoint(parts: Mapping[str, np.ndarray]) -> None:
    """Raises ValueError when a row number occurs twice, within one part or in two.

    Args:
        parts: name -> row numbers of one and the same array.
    """
    if not parts:
        return
    names = list(parts)
    rows = np.concatenate([np.asarray(parts[name], np.int64) for name in names])
    owner = np.repeat(np.arange(len(names)), [len(parts[name]) for name in names])
    order = np.argsort(rows, kind="stable")
    rows, owner = rows[order], owner[order]
    twice = np.flatnonzero(rows[1:] == rows[:-1])
    if len(twice):
        first, second = (names[owner[twice[0] + i]] for i in (0, 1))
        where = f"twice in {first}" if first == second else f"in {first} and in {second}"
        raise ValueError(f"row {rows[twice[0]]} is {where}; parts must be disjoint")
