"""Whether test examples are also training examples. Host only."""

import numpy as np

from d2m_jax.core.dataset import Dataset
from d2m_jax.core.types import Batch

UNKNOWN = "<unknown>"  # among a text's `columns`: the token of words outside the vocabulary
_DEVIATIONS = 4.0  # how far chance may exceed what repetition explains


def shared_examples(train: Batch, test: Batch, *, unknown: int | None = None) -> int:
    """Returns how many test examples also occur in training, value by value.

    Looks at `inputs` where the batch has them, else at all its leaves. Images (uint8, three or
    more axes) all count. Elsewhere the same values need not be the same example: a table of a few
    categories repeats itself. Were the test drawn like the training set, a share d of it would
    occur there, d the share of training examples that occur more than once; the answer is 0
    unless the test exceeds that by four deviations.

    Args:
        train: [T, ...] leaves.
        test: [E, ...] leaves of the same shapes and dtypes.
        unknown: a token; examples that hold it are not told apart and never count.

    Cost: by 64-bit hashes, a false hit has a chance of T E / 2^64; 0.2 s for CIFAR-10.
    """
    first, second = _told_apart(train, unknown), _told_apart(test, unknown)
    known: dict[int, int] = {}
    for row in _hashes(first):
        known[row] = known.get(row, 0) + 1
    hits = sum(row in known for row in _hashes(second))
    if first[0].dtype == np.uint8 and first[0].ndim > 3:
        return hits
    repeated = sum(count for count in known.values() if count > 1) / max(len(first[0]), 1)
    return hits if hits > _by_chance(repeated, len(second[0]), len(first[0])) else 0


def shared_in(dataset: Dataset) -> int:
    """Returns `shared_examples` of a data set; texts with unknown words never count."""
    coded = dataset.kind == "text" and UNKNOWN in dataset.columns
    unknown = dataset.columns.index(UNKNOWN) if coded else None
    return shared_examples(dataset.train, dataset.test, unknown=unknown)


def _by_chance(share: float, num_test: int, num_train: int) -> float:
    variance = share * (1 - share) * num_test * (1 + num_test / max(num_train, 1))
    return share * num_test + _DEVIATIONS * float(np.sqrt(variance))


def _told_apart(batch: Batch, unknown: int | None) -> list[np.ndarray]:
    """Returns the leaves that are compared, without examples that hold the unknown token."""
    if isinstance(batch, dict) and "inputs" in batch:
        batch = batch["inputs"]
    if not isinstance(batch, np.ndarray):
        import jax

        return [np.ascontiguousarray(leaf) for leaf in jax.tree.leaves(batch)]
    if unknown is not None:
        batch = batch[~(batch == unknown).reshape(len(batch), -1).any(1)]
    return [np.ascontiguousarray(batch)]


def _hashes(columns: list[np.ndarray]) -> list[int]:
    if len(columns) == 1:
        return [hash(row.tobytes()) for row in columns[0]]
    return [hash(tuple(value.tobytes() for value in row)) for row in zip(*columns)]
