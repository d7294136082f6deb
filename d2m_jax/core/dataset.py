"""A data set on the host: examples as pytrees of numpy arrays, and who they belong to.

Not here: reading files (`sources.py`), dealing examples to sellers (`federated.py`).
"""

from typing import NamedTuple

import numpy as np

from d2m_jax.core.types import Batch, PyTree


class DataError(ValueError):
    """Data that is missing, damaged or not what it claims to be; the message is one sentence."""


class Dataset(NamedTuple):
    """Examples for training and for the test, in the order of their source.

    A batch is any pytree of arrays with a leading axis of examples. Sets that come with the
    package and those of `from_arrays`, `from_frame` and `from_file` are dictionaries
    `{"inputs", "labels"}`.
    """

    name: str
    train: Batch  # [T, ...] leaves, numpy
    test: Batch  # [E, ...] leaves, numpy; only for reports
    kind: str = "arrays"  # "images" | "table" | "text" | "arrays": what a sensible task looks at
    class_names: tuple[str, ...] = ()  # L names; empty when the labels are numbers, not classes
    strata: np.ndarray | None = None  # [T] int32, the class, or a bin of the label: what splits and
    # skewed partitions look at; None: all examples are alike
    clients: np.ndarray | None = None  # [T] int32, to whom each training example belongs by nature
    client_names: tuple[str, ...] = ()
    stats: PyTree = ()  # what `Task.prepare` needs, of the training examples alone
    notes: tuple[str, ...] = ()  # what was done to the source, a sentence each
    columns: tuple[str, ...] = ()  # F names of a table's inputs; of a text, its tokens

    @property
    def num_train(self) -> int:
        """T."""
        return num_examples(self.train)

    @property
    def num_test(self) -> int:
        """E."""
        return num_examples(self.test)


def num_examples(batch: Batch) -> int:
    """The length of the leading axis of a batch."""
    import jax

    return int(jax.tree.leaves(batch)[0].shape[0])
