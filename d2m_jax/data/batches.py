"""`from_batches`: a data set of any two pytrees of arrays.

Host only. Not here: plain inputs and labels (`arrays.py`).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from d2m_jax.core.dataset import DataError, Dataset
from d2m_jax.core.types import Batch, PyTree
from d2m_jax.data.checks import checked_kind, client_codes, enough, in_range, narrowed, same_length
from d2m_jax.data.labels import plain


def from_batches(
    train: Batch,
    test: Batch,
    *,
    strata: np.ndarray | None = None,
    clients: np.ndarray | None = None,
    name: str = "own data",
    kind: str = "arrays",
    class_names: Sequence[str] = (),
    stats: PyTree = (),
) -> Dataset:
    """Makes a data set of two pytrees of arrays with a leading axis of examples.

    Args:
        train: [T, ...] leaves.
        test: [E, ...] leaves, of the same structure, shapes and dtypes.
        strata: [T] integers, strings or booleans that splits and skewed partitions look at; None:
            the classes in `train["labels"]` when they are integers [T], else all are alike.
        clients: [T] integers or strings, to whom each training example belongs by nature.
        name: for messages and reports.
        kind: "images", "table", "text" or "arrays".
        class_names: L names when `train["labels"]` are classes 0 .. L-1.
        stats: what `Task.prepare` needs.

    Raises:
        DataError: the trees differ, or their leaves are no arrays of one length.
    """
    checked_kind(kind, name)
    train, test = _leaves_alike(train, test, name)
    labels = train.get("labels") if isinstance(train, dict) else None
    if class_names and isinstance(labels, np.ndarray) and labels.dtype.kind in "iu":
        for part in (labels, test["labels"]):
            in_range(part, len(class_names), name)
    if strata is None and isinstance(labels, np.ndarray):
        strata = labels if labels.ndim == 1 and labels.dtype.kind in "iub" else None
    num_train = _length(train, f"{name}: train")
    codes = None
    if strata is not None:
        same_length(name, inputs=range(num_train), strata=strata)
        classes = np.unique(plain(strata, f"{name}: the strata"), return_inverse=True)
        codes = np.asarray(strata) if class_names and strata is labels else classes[1]
        codes = codes.astype(np.int32)
    same_length(name, inputs=range(num_train), clients=clients)
    ids, client_names = client_codes(clients, name)
    names = tuple(str(class_name) for class_name in class_names)
    return Dataset(name, train, test, kind, names, codes, ids, client_names, stats)


def check_num_classes(dataset: Dataset, num_classes: int) -> None:
    """Holds the number of classes of a task to the labels of a data set.

    Raises:
        DataError: some label is `num_classes` or larger, or negative.
    """
    for batch in (dataset.train, dataset.test):
        labels = batch.get("labels") if isinstance(batch, dict) else None
        if labels is not None and np.asarray(labels).dtype.kind in "iu" and num_classes > 0:
            in_range(np.asarray(labels), num_classes, dataset.name)


def _leaves_alike(train: Batch, test: Batch, name: str) -> tuple[Batch, Batch]:
    """Returns both trees with numpy leaves that devices have, of the same structure and shapes."""
    import jax

    paths, _ = jax.tree.flatten_with_path(train)
    tree: Any = jax.tree.structure(train)
    test_leaves = jax.tree.leaves(test)
    if tree != jax.tree.structure(test) or not paths:
        raise DataError(f"{name}: train and test must be the same non-empty tree of arrays")
    pairs = []
    for (path, leaf), other in zip(paths, test_leaves):
        where = f"{name}: {jax.tree_util.keystr(path) or 'the batch'}"
        leaf, other = np.asarray(leaf), np.asarray(other)
        known = leaf.dtype.kind in "biuf" or leaf.dtype.name == "bfloat16"
        if not known or 0 in (leaf.ndim, other.ndim):
            raise DataError(f"{where} must be an array [T, ...] of numbers, not {leaf.dtype}")
        if leaf.shape[1:] != other.shape[1:] or leaf.dtype != other.dtype:
            raise DataError(
                f"{where} is {leaf.dtype} {leaf.shape[1:]} in train but {other.dtype} "
                f"{other.shape[1:]} in test"
            )
        for part in (leaf, other):
            if where.endswith("['labels']"):
                plain(part, where)
            _no_nan(part, where)
        pairs.append((narrowed(leaf, where), narrowed(other, where)))
    train, test = (jax.tree.unflatten(tree, [pair[i] for pair in pairs]) for i in (0, 1))
    for batch, split in ((train, "train"), (test, "test")):
        _length(batch, f"{name}: {split}")
    enough(_length(train, name), name)
    return train, test


def _no_nan(leaf: np.ndarray, where: str) -> None:
    """Raises DataError for NaN; infinite values may be masks."""
    if leaf.dtype.kind in "biu" or not leaf.size:
        return
    bad = np.isnan(leaf.reshape(len(leaf), -1)).any(1)
    if bad.any():
        raise DataError(
            f"{where} are NaN in {bad.sum()} of {len(bad)} examples; leave those examples out or "
            "fill them in"
        )


def _length(batch: Batch, what: str) -> int:
    import jax

    lengths = {leaf.shape[0] for leaf in jax.tree.leaves(batch)}
    if len(lengths) != 1 or 0 in lengths:
        raise DataError(f"{what} must have leaves of one length above 0, not {sorted(lengths)}")
    return lengths.pop()
