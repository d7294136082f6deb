"""The partition of natural clients: hospitals, roles, devices stay whole. Host only.

Read next: `partition.py`, the partitions that are drawn.
"""

import heapq

import numpy as np

from d2m_jax.data.dealing import Partition, checked, tidy

_SHUFFLE = 0.25  # deviation of the logarithm of the sizes by which clients are put in order


def natural_clients(
    seed: int,
    labels: np.ndarray,
    num_sellers: int,
    *,
    clients: np.ndarray | None = None,
    min_samples: int = 1,
) -> Partition:
    """Deals whole clients to sellers: one each when there are as many, else groups of similar size.

    Groups: clients, by falling size up to a random factor, each go to the seller that has fewest
    rows so far; if that leaves a seller below `min_samples`, by exactly falling size. So a client
    below `min_samples` is merged with others, and none is dropped.

    Args:
        seed: of `numpy.random.default_rng`; no effect when each seller is one client.
        labels: [T]; only their number matters here.
        num_sellers: N.
        clients: [T] integers, to whom each row belongs. Seller m is the m-th client that occurs
            when there are N.
        min_samples: rows that every seller gets at least.

    Returns:
        N sorted arrays of row numbers that cover every row. Cost O(T log T).

    Raises:
        ValueError: no clients are known, fewer than N of them, or too small ones for N groups.

    Source: Graham, Bounds on Multiprocessing Timing Anomalies, 1969 (largest first).
    """
    labels = checked(labels, num_sellers, min_samples)
    if clients is None:
        raise ValueError("the partition of natural clients needs data that says whose each row is")
    found, codes, sizes = np.unique(clients, return_inverse=True, return_counts=True)
    if len(codes) != len(labels):
        raise ValueError(f"there are {len(labels)} labels but {len(codes)} clients")
    if len(found) < num_sellers:
        raise ValueError(
            f"{num_sellers} sellers cannot be {len(found)} whole clients: at most {len(found)}"
        )
    owner = np.arange(num_sellers)
    if len(found) > num_sellers:
        owner = _grouped(np.random.default_rng(seed), sizes, num_sellers, min_samples)
    held = np.bincount(owner, weights=sizes, minlength=num_sellers)
    if held.min() < min_samples:
        raise ValueError(
            f"{len(found)} whole clients cannot be grouped into {num_sellers} sellers with at "
            f"least {min_samples} samples each (the smallest would have {held.min():.0f}); take "
            "fewer sellers"
        )
    seller = owner[codes.reshape(-1)]
    order = np.argsort(seller, kind="stable")
    return tidy(np.split(order, np.searchsorted(seller[order], np.arange(1, num_sellers))))


def _grouped(
    rng: np.random.Generator, sizes: np.ndarray, num_sellers: int, min_samples: int
) -> np.ndarray:
    """Returns the seller [K] of each of K > N clients."""
    noisy = sizes * np.exp(_SHUFFLE * rng.standard_normal(len(sizes)))
    names = rng.permutation(num_sellers)
    owner = _smallest_first(np.argsort(-noisy, kind="stable"), sizes, num_sellers)
    if np.bincount(owner, weights=sizes, minlength=num_sellers).min() < min_samples:
        owner = _smallest_first(np.argsort(-sizes, kind="stable"), sizes, num_sellers)
    return names[owner]


def _smallest_first(order: np.ndarray, sizes: np.ndarray, num_sellers: int) -> np.ndarray:
    heap = [(0, seller) for seller in range(num_sellers)]
    owner = np.empty(len(sizes), np.int64)
    for client in order.tolist():
        held, seller = heapq.heappop(heap)
        owner[client] = seller
        heapq.heappush(heap, (held + int(sizes[client]), seller))
    return owner
