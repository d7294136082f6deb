"""Deals the rows of a labelled pool to sellers: numpy on the host, one seed, no rejection loops.

Every partition takes `(seed, labels, num_sellers, *, min_samples=1, ...)` and returns one sorted
array of row numbers per seller. Those with a name are disjoint, cover every row, and give every
seller at least `min_samples` rows, for any parameter in range: a draw that starves a seller is
repaired (`dealing.repair`), never drawn again. One of the user's own may give two sellers the same
row, and leave rows out, which `holdings.describe` says. One that names a keyword `clients` is told
to whom each row belongs by nature, one that names `rows` its number in the training set.
Not here: natural clients (`clients.py`), the steps they share (`dealing.py`), what a partition
looks like (`holdings.py`), validation and test (`federated.py`).
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from d2m_jax.core.choices import pick
from d2m_jax.core.counts import check_count
from d2m_jax.data.clients import natural_clients
from d2m_jax.data.dealing import (
    Partition,
    apportion,
    borders,
    checked,
    checked_rows,
    fill,
    lognormal_counts,
    not_negative,
    positive,
    repair,
    rows_by_class,
    share,
    tidy,
)


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
    labels = checked(labels, num_sellers, min_samples)
    rng = np.random.default_rng(seed)
    return tidy(np.array_split(rng.permutation(len(labels)), num_sellers))


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
    labels = checked(labels, num_sellers, min_samples)
    concentration = np.full(num_sellers, positive("alpha", alpha))
    rng = np.random.default_rng(seed)
    pieces: list[list[np.ndarray]] = [[] for _ in range(num_sellers)]
    for rows in rows_by_class(rng, labels):
        shares = rng.dirichlet(concentration)
        for seller, piece in enumerate(np.split(rows, borders(shares, len(rows)))):
            pieces[seller].append(piece)
    return tidy(repair(rng, [np.concatenate(p) for p in pieces], min_samples))


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
    labels = checked(labels, num_sellers, min_samples)
    alpha, sigma = positive("alpha", alpha), not_negative("sigma", sigma)
    rng = np.random.default_rng(seed)
    sizes = lognormal_counts(rng, len(labels), num_sellers, sigma)
    classes = rows_by_class(rng, labels)
    left = np.array([len(rows) for rows in classes])
    parts: Partition = [np.empty(0, np.int64)] * num_sellers
    for seller in rng.permutation(num_sellers):
        mix = rng.dirichlet(np.full(len(classes), alpha))
        taken = fill(rng, int(sizes[seller]), mix, left)
        pieces = [rows[n - t : n] for rows, n, t in zip(classes, left, taken)]
        parts[seller] = np.concatenate(pieces)
        left -= taken
    return tidy(repair(rng, parts, min_samples))


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
    to be repaired. Shards of different classes differ in size, up to a factor of about two when
    there are few.

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
    labels = checked(labels, num_sellers, min_samples)
    check_count("classes_per_seller", classes_per_seller, 1)
    rng = np.random.default_rng(seed)
    classes = rows_by_class(rng, labels)
    num_shards = num_sellers * classes_per_seller
    if num_shards < len(classes):
        raise ValueError(
            f"{num_sellers} sellers with classes_per_seller={classes_per_seller} cannot hold "
            f"all {len(classes)} classes; raise one of them"
        )
    counts = apportion(np.array([len(rows) for rows in classes]), num_shards)
    cut = [piece for rows, n in zip(classes, counts) for piece in np.array_split(rows, n)]
    order = rng.permutation(num_shards).reshape(num_sellers, classes_per_seller)
    parts = [np.concatenate([cut[shard] for shard in hand]) for hand in order]
    return tidy(repair(rng, parts, min_samples))


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
    labels = checked(labels, num_sellers, min_samples)
    gamma = share("gamma", gamma)
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(labels))
    shared, rest = np.split(rows, [round(gamma * len(rows))])
    rest = rest[np.argsort(labels[rest], kind="stable")]
    even = np.array_split(shared, num_sellers)
    # blocks fill each seller up to an even size (both remainders go to the first sellers)
    sizes = np.array([len(part) for part in np.array_split(rows, num_sellers)])
    blocks = np.split(rest, np.cumsum(sizes - [len(part) for part in even])[:-1])
    return tidy([np.concatenate(pair) for pair in zip(even, blocks)])


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
    labels = checked(labels, num_sellers, min_samples)
    sigma = not_negative("sigma", sigma)
    rng = np.random.default_rng(seed)
    sizes = lognormal_counts(rng, len(labels), num_sellers, sigma)
    parts = np.split(rng.permutation(len(labels)), np.cumsum(sizes)[:-1])
    return tidy(repair(rng, parts, min_samples))


Deal: TypeAlias = Callable[..., Partition]  # (seed, labels, num_sellers, **options) -> N arrays
PARTITIONS: dict[str, Deal] = {
    "iid": iid,
    "dirichlet": dirichlet,
    "inner_dirichlet": inner_dirichlet,
    "shards": shards,
    "gamma_similarity": gamma_similarity,
    "lognormal_sizes": lognormal_sizes,
    "clients": natural_clients,
}


def as_partition(
    choice: str | Deal | Sequence[np.ndarray],
) -> Deal:
    """Returns the partition that is chosen: by name, one's own function, or a list of rows.

    Raises:
        ValueError: an unknown name, or neither a name nor a function nor a list of arrays.
    """
    if isinstance(choice, list | tuple):
        return fixed_partition(choice)
    deal: Any = pick(PARTITIONS, choice, "partition")
    return deal


def fixed_partition(parts: Sequence[np.ndarray]) -> Deal:
    """Returns a partition that deals seller m the training examples `parts[m]`.

    Examples of the buyer leave a seller's hand; the others are found by their number in the
    training set, whatever the buyer took. Two sellers may hold the same example.

    Args:
        parts: N arrays of distinct row numbers of the training set.

    Raises:
        ValueError: a part is empty or no array of row numbers.
    """
    held = [checked_rows(part, seller, None) for seller, part in enumerate(parts)]

    def fixed(
        seed: int,
        labels: np.ndarray,
        num_sellers: int,
        *,
        rows: np.ndarray | None = None,
        min_samples: int = 1,
    ) -> Partition:
        """Deals the rows as they were given; `rows` [T] are the training set's numbers."""
        del seed
        if len(held) != num_sellers:
            raise ValueError(f"the list deals to {len(held)} sellers, not to {num_sellers}")
        if rows is None:
            parts = [checked_rows(part, m, len(labels)) for m, part in enumerate(held)]
        else:
            parts = [np.flatnonzero(np.isin(rows, part)) for part in held]
        least = min(range(num_sellers), key=lambda m: len(parts[m]))
        if len(parts[least]) < max(min_samples, 1):
            raise ValueError(
                f"the list leaves seller {least} {len(parts[least])} samples of the "
                f"{max(min_samples, 1)} that each must have (the buyer's are taken out)"
            )
        return tidy(parts)

    return fixed
