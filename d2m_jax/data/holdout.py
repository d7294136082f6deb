"""Splits a test set off: stratified, seeded, on the host.

Not here: what the buyer gets of the training examples (`splits.py`).
"""

from typing import Any

import numpy as np

from d2m_jax.core.counts import check_count
from d2m_jax.core.dataset import DataError

LEAST = 4  # training examples: two for the buyer and one for each of two sellers


def hold_out(
    strata: np.ndarray, share: Any, seed: int, clients: np.ndarray | None, what: str
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the rows of training and test, sorted.

    Systematic draw: rows are shuffled, sorted by stratum (and client), and every (1 / share)-th is
    a test row. A stratum that would be left without a training row gets one back, so a label that
    occurs once is in training; likewise a client, unless it has a single row.

    Args:
        strata: [T] int32.
        share: of the test, a number in (0, 1); whatever else a user gave is refused.
        seed: decides which rows.
        clients: [T] int32, or None.
        what: of the data set, for messages.

    Raises:
        DataError: the share is out of range or there are too few rows.
    """
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share < 1:
        raise DataError(f"{what}: the share of the test must be between 0 and 1, not {share!r}")
    try:
        check_count("the seed of the split", seed)
    except ValueError as error:
        raise DataError(f"{what}: {error}") from None
    total = len(strata)
    count = max(round(share * total), 1)
    if total - count < LEAST:
        raise DataError(
            f"{what}: {total} examples are too few: without the test's {count} there must be at "
            f"least {LEAST} to train on"
        )
    rng = np.random.default_rng((seed, 2))
    rows = rng.permutation(total)
    keys = (strata[rows],) if clients is None else (strata[rows], clients[rows])
    rows = rows[np.lexsort(keys)]
    steps = (np.arange(count) + rng.random()) * (total / count)
    is_test = np.zeros(total, bool)
    is_test[rows[np.minimum(steps.astype(np.int64), total - 1)]] = True
    _give_back(is_test, strata, 1)
    if clients is not None:
        _give_back(is_test, clients, 2)
    if not is_test.any():
        raise DataError(f"{what}: every label occurs once, so no example can be spared for a test")
    return np.flatnonzero(~is_test), np.flatnonzero(is_test)


def _give_back(is_test: np.ndarray, groups: np.ndarray, least: int) -> None:
    """Moves the first test row of every group without training rows to training, in place.

    Groups of fewer than `least` rows are left as they are.
    """
    present, sizes = np.unique(groups, return_counts=True)
    trained = np.unique(groups[~is_test])
    for group in np.setdiff1d(present[sizes >= least], trained):
        is_test[np.flatnonzero(groups == group)[0]] = False
