"""The last layer of a named model: how many outputs, which loss, which metric."""

import math
from typing import NamedTuple

from d2m_jax.tasks.losses import binary_cross_entropy, cross_entropy, squared_error
from d2m_jax.tasks.measures import METRICS
from d2m_jax.tasks.problem import Problem
from d2m_jax.tasks.task import Loss, Metric


class Head(NamedTuple):
    """What a network ends with."""

    shape: tuple[int, ...]  # of one example's outputs
    loss: Loss
    metric: Metric
    num_classes: int = 0  # L where a label is one of L classes, else 0

    @property
    def width(self) -> int:
        """How many outputs an example has."""
        return math.prod(self.shape)


def head_of(problem: Problem) -> Head:
    """One logit per class; one per label of a set of labels; one number per number.

    Raises:
        ValueError: one label per position, which the networks for single labels cannot give.
    """
    classes, shape = problem.num_classes, problem.label_shape
    if not classes:
        return Head(shape, squared_error, METRICS["r2"])
    if classes < 2:
        raise ValueError(f"num_classes must be at least 2, not {classes}")
    if shape == ():
        return Head((classes,), cross_entropy, METRICS["accuracy"], classes)
    if shape == (classes,):
        return Head(shape, binary_cross_entropy, METRICS["label_accuracy"])
    raise ValueError(
        f"labels of shape {shape} an example are one per position: choose a model for texts"
    )
