"""The steps that partitions share: checks, shuffles, cuts, apportionment, repair (host)."""

import heapq
from collections.abc import Iterable, Sequence

import numpy as np

from d2m_jax.core.counts import check_count

Partition = list[np.ndarray]  # N arrays of row numbers, int64


def checked(labels: np.ndarray, num_sellers: int, min_samples: int) -> np.ndarray:
    """Returns the labels as an array when they suffice for N sellers, else raises ValueError."""
    labels = np.asarray(labels)
    if labels.ndim != 1:
        raise ValueError(f"labels must have one axis, not shape {labels.shape}")
    check_count("num_sellers", num_sellers, 1)
    check_count("min_samples", min_samples)
    if num_sellers * max(min_samples, 1) > len(labels):
        raise ValueError(
            f"{num_sellers} sellers with at least {max(min_samples, 1)} samples each need "
            f"{num_sellers * max(min_samples, 1)} samples, but there are {len(labels)}"
        )
    return labels


def positive(name: str, value: float) -> float:
    """Checks a concentration; beyond 1e-100 and 1e100 nothing changes but overflow."""
    if not (is_number(value) and value > 0):
        raise ValueError(f"{name} must be a positive number, not {value}")
    return float(np.clip(value, 1e-100, 1e100))


def share(name: str, value: float) -> float:
    """Checks a share of the whole."""
    if not (is_number(value) and 0 <= value <= 1):
        raise ValueError(f"{name} must be between 0 and 1, not {value!r}")
    return float(value)


def is_number(value: object) -> bool:
    """Whether a value is a finite number, and no switch."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        return False
    return bool(np.isfinite(value))


def not_negative(name: str, value: float) -> float:
    """Checks a spread; beyond 1e100 nothing changes but overflow."""
    if not (is_number(value) and value >= 0):
        raise ValueError(f"{name} must be a number of at least 0, not {value}")
    return float(min(value, 1e100))


def rows_by_class(rng: np.random.Generator, labels: np.ndarray) -> Partition:
    """Returns the shuffled rows of every class that occurs, by label."""
    rows = rng.permutation(len(labels))
    rows = rows[np.argsort(labels[rows], kind="stable")]
    _, starts = np.unique(labels[rows], return_index=True)
    return np.split(rows, starts[1:])


def borders(shares: np.ndarray, total: int) -> np.ndarray:
    """Returns the inner borders of `total` things cut by `shares` (rounded cumulative sums)."""
    cumulative = np.cumsum(shares)
    return np.rint(cumulative[:-1] / cumulative[-1] * total).astype(np.int64)


def lognormal_counts(
    rng: np.random.Generator, total: int, num_sellers: int, sigma: float
) -> np.ndarray:
    """Returns N sizes that add up to `total`, proportional to exp(sigma Z)."""
    exponents = sigma * rng.standard_normal(num_sellers)
    inner = borders(np.exp(exponents - exponents.max()), total)
    return np.diff(inner, prepend=0, append=total)


def apportion(weights: np.ndarray, total: int) -> np.ndarray:
    """Splits `total` >= len(weights) in proportion to `weights`, at least one each.

    Largest remainders on what is left after one each (our choice).
    """
    ideal = weights / weights.sum() * (total - len(weights))
    counts = np.floor(ideal).astype(np.int64)
    most_short = np.argsort(counts - ideal, kind="stable")
    counts[most_short[: total - len(weights) - counts.sum()]] += 1
    return counts + 1


def fill(rng: np.random.Generator, size: int, mix: np.ndarray, left: np.ndarray) -> np.ndarray:
    """Returns how many rows of each class make up `size`, by `mix`, never more than `left`.

    Shares are rounded up or down at random, without bias. Each turn of the loop either completes
    the size or exhausts a class, so it ends.
    """
    taken = np.zeros_like(left)
    while (missing := size - taken.sum()) > 0:
        free = left - taken
        weights = np.where(free > 0, mix, 0.0)
        if weights.sum() <= 0:
            weights = free.astype(float)
        cumulative = np.cumsum(weights)
        steps = np.floor(cumulative / cumulative[-1] * missing + rng.random())
        counts = np.diff(np.minimum(steps, missing).astype(np.int64), prepend=0)
        taken += np.minimum(counts, free)
    return taken


def repair(rng: np.random.Generator, parts: Sequence[np.ndarray], least: int) -> Partition:
    """Moves random rows, one at a time, from the largest seller to those with fewer than `least`.

    Ends after at most N `least` moves: while someone lacks rows, and the rows suffice for all,
    the largest seller has more than `least`. Cost O(N least log N).
    """
    parts = list(parts)
    if all(len(part) >= least for part in parts):
        return parts
    stacks = [rng.permutation(part).tolist() for part in parts]
    largest = [(-len(stack), seller) for seller, stack in enumerate(stacks)]
    heapq.heapify(largest)
    for poor in (stack for stack in stacks if len(stack) < least):
        while len(poor) < least:
            size, seller = heapq.heappop(largest)
            poor.append(stacks[seller].pop())
            heapq.heappush(largest, (size + 1, seller))
    return [np.array(stack, np.int64) for stack in stacks]


def tidy(parts: Sequence[np.ndarray]) -> Partition:
    """Returns the parts sorted, as int64."""
    return [np.sort(part).astype(np.int64) for part in parts]


def checked_parts(dealt: object, num_sellers: int, num_rows: int) -> Partition:
    """Returns what a partition dealt, a user's own too, as N int64 arrays of row numbers.

    Args:
        dealt: what the partition returned.
        num_sellers: N.
        num_rows: T; rows are 0 .. T-1. Two sellers may hold the same row, and nobody need hold
            one: `holdings.describe` says how many were dealt.

    Raises:
        ValueError: not N non-empty arrays of integers in range, without repetition within a seller.
    """
    if not isinstance(dealt, list | tuple | np.ndarray):
        raise ValueError(
            f"the partition must give a list of arrays of row numbers, not {type(dealt).__name__}"
        )
    if len(dealt) != num_sellers:
        raise ValueError(f"the partition served {len(dealt)} sellers instead of {num_sellers}")
    return [checked_rows(part, seller, num_rows) for seller, part in enumerate(dealt)]


def checked_rows(part: object, seller: int, num_rows: int | None) -> np.ndarray:
    """Returns the rows of one seller as int64; see `checked_parts`. No `num_rows`: any length."""
    rows = np.asarray(part if isinstance(part, np.ndarray) else list(_iterable(part, seller)))
    if rows.size == 0:
        raise ValueError(f"the partition left seller {seller} without samples")
    if rows.ndim != 1 or rows.dtype.kind not in "iu":
        raise ValueError(
            f"the partition gave seller {seller} {rows.dtype} of shape {rows.shape} instead of an "
            "array of row numbers"
        )
    last = np.iinfo(np.int64).max if num_rows is None else num_rows - 1
    if rows.min() < 0 or rows.max() > last:
        raise ValueError(f"the partition gave seller {seller} rows outside 0 to {last}")
    if len(np.unique(rows)) != len(rows):
        raise ValueError(f"the partition gave seller {seller} a row twice")
    return rows.astype(np.int64)


def _iterable(part: object, seller: int) -> Iterable[object]:
    if not isinstance(part, Iterable) or isinstance(part, str | bytes | dict):
        raise ValueError(
            f"the partition gave seller {seller} {type(part).__name__} instead of an array of row "
            "numbers"
        )
    return part
