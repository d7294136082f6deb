"""What is known of a data set before a model is chosen: shapes, types, classes. Host only."""

from typing import NamedTuple

import numpy as np

from d2m_jax.core.dataset import Dataset


class Problem(NamedTuple):
    """The shapes of one example, and what its label is."""

    kind: str  # "images" | "table" | "text" | "arrays"
    input_shape: tuple[int, ...]  # of one example
    input_dtype: np.dtype
    num_classes: int  # L; 0: the labels are numbers
    label_shape: tuple[int, ...] = ()  # of one example; (S,) for one label per position
    vocabulary: int = 0  # tokens of a text; 0: no text


def problem_of(dataset: Dataset) -> Problem:
    """The problem that a data set of inputs and labels poses.

    Raises:
        ValueError: its batches are no dictionaries of `inputs` and `labels`; such a data set needs
            a `Task` of the user's own.
    """
    batch = dataset.train
    if not is_labelled(batch):
        raise ValueError(
            f"the data set {dataset.name} holds no dictionary of one array 'inputs' and one array "
            "'labels', so no named model fits it: give a Task of your own"
        )
    inputs, labels = batch["inputs"], batch["labels"]
    classes = len(dataset.class_names)
    words = len(dataset.columns) if dataset.kind == "text" and dataset.columns else classes
    return Problem(
        kind=dataset.kind,
        input_shape=tuple(inputs.shape[1:]),
        input_dtype=np.dtype(inputs.dtype),
        num_classes=classes,
        label_shape=tuple(labels.shape[1:]),
        vocabulary=words if dataset.kind == "text" else 0,
    )


def is_labelled(batch: object) -> bool:
    """Whether a batch is a dictionary of one array `inputs` and one array `labels`."""
    if not isinstance(batch, dict) or not {"inputs", "labels"} <= set(batch):
        return False
    return all(hasattr(batch[name], "shape") for name in ("inputs", "labels"))
