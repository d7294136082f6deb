"""Deals the rows of a labelled pool to sellers: numpy on the host, one seed, no rejection loops.

Every partition takes `(seed, labels, num_sellers, *, min_samples=1, ...)` and returns one sorted
array of row numbers per seller. All of them are disjoint, cover every row, and give every seller
at least `min_samples` rows, for any parameter in range: a draw that starves a seller is repaired
(`_repair`), never drawn again. Not here: what a partition looks like (`holdings.py`), validation
and test (`federated.py`).
"""

import heapq
from collections.abc import Callable, Sequence

import numpy as np

Partition = list[np.ndarray]  # N arrays of row numbers, int64


def iid(seed: int, labels: np.ndarray, num_sellers: int, *, min_samples: int = 1) -> Partition:
    """Deals shuffled rows evenly; sizes differ by at most one.

    Args:
        seed: of `numpy.random.default_rng`.
        labels: [T] integers; only their number matters here.
        num_sellers: N.
        min_samples: rows that every seller gets at least.

    Returns:
        N sorted arrays of row numbers.

    Raises:
        ValueError: a number is out of range, or there are too few rows.
    """
    labels = _checked(labels, num_sellers, min_samples)
    rng = np.random.default_rng(seed)
    return _sorted(np.array_split(rng.permutation(len(labels)), num_sellers))


def dirichlet(
    seed: int,
    labels: np.ndarray,
    num_sellers: int,
    *,
    alpha: float = 0.5,
    min_samples: int = 1,
) -> Partition:
    """Splits each class among the sellers by its own draw of Dirichlet(alpha, ..., alpha).

    The share of class l that seller m gets has mean 1/N and variance
    (N - 1) / (N^2 (N alpha + 1)), up to rounding to whole rows. Small alpha: few sellers hold a
    class; large alpha: even. Sizes differ too. Repair of starved sellers is our choice; the
    source draws again until all are served, which need not end.

    Args:
        seed: of `numpy.random.default_rng`.
        labels: [T] integers.
        num_sellers: N.
        alpha: concentration, > 0.
        min_samples: rows that every seller gets at least.

    Returns:
        N sorted arrays of row numbers. Cost O(T + N L).

    Raises:
        ValueError: a number is out of range, or there are too few rows.

    Source: Yurochkin et al., Bayesian Nonparametric Federated Learning, ICML 2019, section 4;
    Li et al., Federated Learning on Non-IID Data Silos, ICDE 2022, section 4.1.
    """
    labels = _checked(labels, num_sellers, min_samples)
    concentration = np.full(num_sellers, _clipped("alpha", alpha))
    rng = np.random.default_rng(seed)
    pieces: list[list[np.ndarray]] = [[] for _ in range(num_sellers)]
    for rows in _rows_by_class(rng, labels):
        shares = rng.dirichlet(concentration)
        for seller, piece in enumerate(np.split(rows, _cuts(shares, len(rows)))):
            pieces[seller].append(piece)
    return _sorted(_repair(rng, [np.concatenate(p) for p in pieces], min_samples))


def inner_dirichlet(
    seed: int,
    labels: np.ndarray,
    num_sellers: int,
    *,
    alpha: float = 0.5,
    sigma: float = 0.0,
    min_samples: int = 1,
) -> Partition:
    """Gives each seller a size and its own class mix, drawn from Dirichlet(alpha, ..., alpha).

    Sizes as in `lognormal_sizes` (sigma = 0: equal). Sellers fill up in random order; where a
    class has run out, the rest is taken from the remaining classes in proportion to the mix, and
    from whatever remains when the mix has nothing left there (so the last ones are less skewed;
    our choice).

    Args:
        seed: of `numpy.random.default_rng`.
        labels: [T] integers.
        num_sellers: N.
        alpha: concentration of a seller's class mix, > 0.
        sigma: standard deviation of the logarithm of the sizes, >= 0.
        min_samples: rows that every seller gets at least.

    Returns:
        N sorted arrays of row numbers. Cost O(T + N L^2).

    Raises:
        ValueError: a number is out of range, or there are too few rows.

    Source: Acar et al., Federated Learning Based on Dynamic Regularization, ICLR 2021, section 4
    (Dirichlet per client, log-normal sizes).
    """
    labels = _checked(labels, num_sellers, min_samples)
    alpha, sigma = _clipped("alpha", alpha), _not_negative("sigma", sigma)
    rng = np.random.default_rng(seed)
    sizes = _lognormal(rng, len(labels), num_sellers, sigma)
    classes = _rows_by_class(rng, labels)
    left = np.array([len(rows) for rows in classes])
    parts: Partition = [np.empty(0, np.int64)] * num_sellers
    for seller in rng.permutation(num_sellers):
        mix = rng.dirichlet(np.full(len(classes), alpha))
        taken = _fill(rng, int(sizes[seller]), mix, left)
        pieces = [rows[n - t : n] for rows, n, t in zip(classes, left, taken)]
        parts[seller] = np.concatenate(pieces)
        left -= taken
    return _sorted(_repair(rng, parts, min_samples))


def shards(
    seed: int,
    labels: np.ndarray,
    num_sellers: int,
    *,
    classes_per_seller: int = 2,
    min_samples: int = 1,
) -> Partition:
    """Cuts the rows, sorted by label, into shards and deals each seller the same number of them.

    As the source, but shards never straddle two classes: each class is cut into a number of
    shards in proportion to its size, at least one. So a seller holds at most
    `classes_per_seller` classes (fewer when it is dealt two shards of one class), unless it had
    to be repaired.

    Args:
        seed: of `numpy.random.default_rng`.
        labels: [T] integers.
        num_sellers: N.
        classes_per_seller: shards a seller gets, >= 1; N times it must reach the number of
            classes, else not every row could be dealt.
        min_samples: rows that every seller gets at least.

    Returns:
        N sorted arrays of row numbers.

    Raises:
        ValueError: a number is out of range, or there are too few rows.

    Source: McMahan et al., Communication-Efficient Learning of Deep Networks from Decentralized
    Data, AISTATS 2017, section 3 (pathological non-IID).
    """
    labels = _checked(labels, num_sellers, min_samples)
    if classes_per_seller < 1:
        raise ValueError(f"classes_per_seller must be at least 1, not {classes_per_seller}")
    rng = np.random.default_rng(seed)
    classes = _rows_by_class(rng, labels)
    num_shards = num_sellers * classes_per_seller
    if num_shards < len(classes):
        raise ValueError(
            f"{num_sellers} sellers with classes_per_seller={classes_per_seller} cannot hold "
            f"all {len(classes)} classes; raise one of them"
        )
    counts = _apportion(np.array([len(rows) for rows in classes]), num_shards)
    cut = [piece for rows, n in zip(classes, counts) for piece in np.array_split(rows, n)]
    order = rng.permutation(num_shards).reshape(num_sellers, classes_per_seller)
    parts = [np.concatenate([cut[shard] for shard in hand]) for hand in order]
    return _sorted(_repair(rng, parts, min_samples))


def gamma_similarity(
    seed: int,
    labels: np.ndarray,
    num_sellers: int,
    *,
    gamma: float = 0.5,
    min_samples: int = 1,
) -> Partition:
    """Deals a share gamma of the rows evenly, the rest in equal blocks of the label-sorted rows.

    gamma = 1 is `iid`, gamma = 0 gives each seller as few classes as possible. Sizes differ by
    at most one.

    Args:
        seed: of `numpy.random.default_rng`.
        labels: [T] integers.
        num_sellers: N.
        gamma: share in [0, 1].
        min_samples: rows that every seller gets at least.

    Returns:
        N sorted arrays of row numbers.

    Raises:
        ValueError: a number is out of range, or there are too few rows.

    Source: Karimireddy et al., SCAFFOLD, ICML 2020, section 7 (s % similarity), after Hsu et
    al., 2019.
    """
    labels = _checked(labels, num_sellers, min_samples)
    if not 0 <= gamma <= 1:
        raise ValueError(f"gamma must be between 0 and 1, not {gamma}")
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(labels))
    shared, rest = np.split(rows, [round(gamma * len(rows))])
    rest = rest[np.argsort(labels[rest], kind="stable")]
    even = np.array_split(shared, num_sellers)
    # blocks fill each seller up to an even size (both remainders go to the first sellers)
    sizes = np.array([len(part) for part in np.array_split(rows, num_sellers)])
    blocks = np.split(rest, np.cumsum(sizes - [len(part) for part in even])[:-1])
    return _sorted([np.concatenate(pair) for pair in zip(even, blocks)])


def lognormal_sizes(
    seed: int,
    labels: np.ndarray,
    num_sellers: int,
    *,
    sigma: float = 1.0,
    min_samples: int = 1,
) -> Partition:
    """Deals shuffled rows in sizes proportional to exp(sigma Z), Z standard normal.

    Size skew without label skew; sigma = 0 is `iid`.

    Args:
        seed: of `numpy.random.default_rng`.
        labels: [T] integers; only their number matters here.
        num_sellers: N.
        sigma: standard deviation of the logarithm of the sizes, >= 0.
        min_samples: rows that every seller gets at least.

    Returns:
        N sorted arrays of row numbers.

    Raises:
        ValueError: a number is out of range, or there are too few rows.

    Source: Acar et al., ICLR 2021, section 4 (unbalanced data).
    """
    labels = _checked(labels, num_sellers, min_samples)
    sigma = _not_negative("sigma", sigma)
    rng = np.random.default_rng(seed)
    sizes = _lognormal(rng, len(labels), num_sellers, sigma)
    parts = np.split(rng.permutation(len(labels)), np.cumsum(sizes)[:-1])
    return _sorted(_repair(rng, parts, min_samples))


# ------------------------------------------------------------------------------------ helpers


def _checked(labels: np.ndarray, num_sellers: int, min_samples: int) -> np.ndarray:
    labels = np.asarray(labels)
    if labels.ndim != 1:
        raise ValueError(f"labels must have one axis, not shape {labels.shape}")
    if num_sellers < 1:
        raise ValueError(f"num_sellers must be at least 1, not {num_sellers}")
    if min_samples < 0:
        raise ValueError(f"min_samples must not be negative, not {min_samples}")
    if num_sellers * max(min_samples, 1) > len(labels):
        raise ValueError(
            f"{num_sellers} sellers with at least {max(min_samples, 1)} samples each need "
            f"{num_sellers * max(min_samples, 1)} samples, but there are {len(labels)}"
        )
    return labels


def _clipped(name: str, value: float) -> float:
    """Checks a concentration; beyond 1e-100 and 1e100 nothing changes but overflow."""
    if not (value > 0 and np.isfinite(value)):
        raise ValueError(f"{name} must be a positive number, not {value}")
    return float(np.clip(value, 1e-100, 1e100))


def _not_negative(name: str, value: float) -> float:
    if not (value >= 0 and np.isfinite(value)):
        raise ValueError(f"{name} must be a number of at least 0, not {value}")
    return float(value)


def _rows_by_class(rng: np.random.Generator, labels: np.ndarray) -> Partition:
    """Returns the shuffled rows of every class that occurs, by label."""
    rows = rng.permutation(len(labels))
    rows = rows[np.argsort(labels[rows], kind="stable")]
    _, starts = np.unique(labels[rows], return_index=True)
    return np.split(rows, starts[1:])


def _cuts(shares: np.ndarray, total: int) -> np.ndarray:
    """Returns the inner borders of `total` things cut by `shares` (rounded cumulative sums)."""
    cumulative = np.cumsum(shares)
    return np.rint(cumulative[:-1] / cumulative[-1] * total).astype(np.int64)


def _lognormal(rng: np.random.Generator, total: int, num_sellers: int, sigma: float) -> np.ndarray:
    """Returns N sizes that add up to `total`, proportional to exp(sigma Z)."""
    exponents = sigma * rng.standard_normal(num_sellers)
    cuts = _cuts(np.exp(exponents - exponents.max()), total)
    return np.diff(cuts, prepend=0, append=total)


def _apportion(weights: np.ndarray, total: int) -> np.ndarray:
    """Splits `total` >= len(weights) in proportion to `weights`, at least one each.

    Largest remainders on what is left after one each (our choice).
    """
    ideal = weights / weights.sum() * (total - len(weights))
    counts = np.floor(ideal).astype(np.int64)
    most_short = np.argsort(counts - ideal, kind="stable")
    counts[most_short[: total - len(weights) - counts.sum()]] += 1
    return counts + 1


def _fill(rng: np.random.Generator, size: int, mix: np.ndarray, left: np.ndarray) -> np.ndarray:
    """Returns how many rows of each class make up `size`, by `mix`, never more than `left`.

    Each turn of the loop either completes the size or exhausts a class, so it ends.
    """
    taken = np.zeros_like(left)
    while (missing := size - taken.sum()) > 0:
        free = left - taken
        weights = np.where(free > 0, mix, 0.0)
        if weights.sum() <= 0:
            weights = free.astype(float)
        taken += np.minimum(rng.multinomial(missing, weights / weights.sum()), free)
    return taken


def _repair(rng: np.random.Generator, parts: Sequence[np.ndarray], least: int) -> Partition:
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


def _sorted(parts: Sequence[np.ndarray]) -> Partition:
    return [np.sort(part).astype(np.int64) for part in parts]


PARTITIONS: dict[str, Callable[..., Partition]] = {
    "iid": iid,
    "dirichlet": dirichlet,
    "inner_dirichlet": inner_dirichlet,
    "shards": shards,
    "gamma_similarity": gamma_similarity,
    "lognormal_sizes": lognormal_sizes,
}
