"""From a network of any library to a task: what is refused, which loss and metric are meant.

Everything is looked at by shape, before anything compiles. Not here: the libraries (`adapters.py`).
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from d2m_jax.core.types import Batch, Key, PyTree
from d2m_jax.tasks import losses, measures
from d2m_jax.tasks.checking import (
    MANY,
    UNFIT,
    check_metric,
    check_outputs,
    held_loss,
    held_metric,
)
from d2m_jax.tasks.task import Loss, Metric, Task


class TaskError(ValueError):
    """A network or a sample that makes no task; the message is one sentence."""


class Network(NamedTuple):
    """A network apart from the batch, the loss and the metric."""

    name: str
    init: Callable[[Key, Any], PyTree]  # (key, inputs) -> params
    apply: Callable[[PyTree, Any, Key | None], Any]  # (params, inputs, key) -> outputs


class Aims(NamedTuple):
    """What the user said of the task; None and 0: read it from the outputs and the labels."""

    loss: Loss | None
    metric: Metric | None
    num_classes: int


def task_of(network: Network, sample: Batch, aims: Aims, inputs: str | None) -> Task:
    """The task of a network on batches like `sample`.

    Args:
        network: of any library.
        sample: a batch as `apply` and `loss` see it, arrays or `jax.ShapeDtypeStruct`s.
        aims: loss, metric and number of classes.
        inputs: the entry of the batch that the network is called with; None: the whole batch.

    Raises:
        TaskError: in one sentence, what does not fit.
    """
    name = network.name
    batch = _shapes(name, sample, MANY)
    network_inputs = _entry(name, batch, inputs)
    one = _entry(name, _shapes(name, sample, 1), inputs)

    def init(key: Key) -> PyTree:
        zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), one)
        return network.init(key, zeros)

    def apply(params: PyTree, batch: Batch, key: Key | None) -> Any:
        return network.apply(params, batch if inputs is None else batch[inputs], key)

    key = jax.random.key(0)
    params = _tried(name, one, jax.eval_shape, init, key)
    check_parameters(name, params)
    outputs = _tried(
        name, network_inputs, jax.eval_shape, lambda p, b: apply(p, b, None), params, batch
    )
    _tried(name, network_inputs, jax.eval_shape, apply, params, batch, key)
    _check_outputs(name, outputs)
    loss, metric, num_classes = _aims(name, outputs, batch, aims)
    _check_losses(name, loss, metric, outputs, batch)
    _check_labels(name, sample, num_classes)
    return Task(init, apply, loss, metric, name, num_classes=num_classes)


def refuse_untrained(name: str, found: list[str]) -> None:
    """Refuses variables that are changed by calls and not by gradients.

    A seller's update is a gradient; statistics of its own data would reveal that data, are not
    robustly aggregated, and differ from seller to seller.

    Args:
        name: of the network.
        found: what was found, a few words each.

    Raises:
        TaskError: something was found.
    """
    if found:
        more = f" and {len(found) - 3} more" if len(found) > 3 else ""
        raise TaskError(
            f"{name} has variables that no gradient trains ({', '.join(found[:3])}{more}), and "
            "sellers train parameters alone: use LayerNorm or GroupNorm in place of BatchNorm"
        )


def check_parameters(name: str, params: PyTree) -> None:
    """Refuses parameters that are not floating, or none at all.

    Raises:
        TaskError: the path and the dtype of the first, or that there is nothing to train.
    """
    leaves = jax.tree.leaves_with_path(params)
    for path, leaf in leaves:
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            where = jax.tree_util.keystr(path)
            raise TaskError(
                f"{name} has a parameter {where} of {leaf.dtype}, and only floating ones can be "
                "trained: keep constants as numpy arrays or numbers of the module"
            )
    if not sum(leaf.size for _, leaf in leaves):
        raise TaskError(f"{name} has no parameters, so there is nothing to train")


def _entry(name: str, batch: Batch, inputs: str | None) -> Any:
    if inputs is None:
        return batch
    if not isinstance(batch, Mapping) or inputs not in batch:
        raise TaskError(
            f"the sample of {name} has no entry {inputs!r}: give inputs= the entry that the "
            "network is called with, or inputs=None for the whole batch"
        )
    return batch[inputs]


def _shapes(name: str, sample: Batch, size: int) -> Batch:
    """The sample's shapes with a leading axis of `size`; float64 and int64 as JAX has them."""

    def of(leaf: Any) -> jax.ShapeDtypeStruct:
        dtype, shape = getattr(leaf, "dtype", None), getattr(leaf, "shape", ())
        if dtype is None or not shape:
            raise TaskError(
                f"the sample of {name} must hold arrays with a leading axis of examples, "
                f"not {type(leaf).__name__} of shape {shape}"
            )
        return jax.ShapeDtypeStruct((size, *shape[1:]), jax.dtypes.canonicalize_dtype(dtype))

    return jax.tree.map(of, sample)


def _tried(name: str, inputs: Any, fn: Callable[..., Any], *args: Any) -> Any:
    """`fn(*args)`, and in one sentence what a network says to inputs that it cannot take."""
    try:
        return fn(*args)
    except TaskError:
        raise
    except UNFIT as error:
        shapes = ", ".join(
            f"{leaf.dtype}[{','.join(['B', *map(str, leaf.shape[1:])])}]"
            for leaf in jax.tree.leaves(inputs)
        )
        said = " ".join(str(error).split())[:200] or type(error).__name__
        raise TaskError(f"{name} fails on inputs {shapes}: {said}") from error


def _check_outputs(name: str, outputs: Any) -> None:
    for leaf in jax.tree.leaves(outputs):
        if leaf.shape[:1] != (MANY,):
            raise TaskError(
                f"outputs of {name} must have the leading axis of the batch, but {MANY} examples "
                f"gave shape {leaf.shape}"
            )


def _aims(name: str, outputs: Any, batch: Batch, aims: Aims) -> tuple[Loss, Metric, int]:
    """Loss, metric and number of classes, those not given by `defaults`."""
    if aims.loss is not None and aims.metric is not None:
        return aims.loss, aims.metric, aims.num_classes
    if not isinstance(batch, dict) or "labels" not in batch or not hasattr(outputs, "shape"):
        raise TaskError(
            f"{name} needs loss= and metric=: they are only chosen for outputs that are one array "
            'and batches with "labels"'
        )
    loss, metric, num_classes = defaults(outputs, batch["labels"], aims.num_classes)
    return aims.loss or loss, aims.metric or metric, aims.num_classes or num_classes


def defaults(outputs: Any, labels: Any, num_classes: int = 0) -> tuple[Loss, Metric, int]:
    """The loss and the metric that labels and outputs ask for, and the number of classes.

    Integers [B, ...] with logits [B, ..., L]: cross entropy and accuracy. Integers or bool [B, ...]
    with as many logits: binary cross entropy and label accuracy. Floats [B, ...] with as many
    outputs: squared error and r2.

    Args:
        outputs: anything with `shape`.
        labels: anything with `shape` and `dtype`.
        num_classes: 0: the last axis of the outputs, or 2.

    Raises:
        TaskError: they do not belong together, or there are fewer outputs than classes.
    """
    shape, target = tuple(outputs.shape), tuple(labels.shape)
    single = shape in (target, (*target, 1))
    if jnp.issubdtype(labels.dtype, jnp.floating) and single:
        return losses.squared_error, measures.r2, 0
    if jnp.issubdtype(labels.dtype, jnp.floating) or not (single or shape[:-1] == target):
        raise TaskError(
            f"outputs {shape} do not belong to {labels.dtype} labels {target}: numbers want one "
            "output each, classes one axis of logits more than labels"
        )
    if single:
        return losses.binary_cross_entropy, measures.label_accuracy, num_classes or 2
    if num_classes not in (0, shape[-1]):
        raise TaskError(f"{num_classes} classes need as many logits, not {shape[-1]}")
    return losses.cross_entropy, measures.accuracy, shape[-1]


def _check_losses(name: str, loss: Loss, metric: Metric, outputs: Any, batch: Batch) -> None:
    try:
        check_metric(metric, name)
        check_outputs(held_loss(loss, name), held_metric(metric, name), outputs, batch)
    except ValueError as error:
        raise TaskError(" ".join(str(error).split())) from error


def _check_labels(name: str, sample: Batch, num_classes: int) -> None:
    labels = sample.get("labels") if isinstance(sample, Mapping) else None
    if num_classes and isinstance(labels, np.ndarray | jax.Array) and labels.size:
        highest = int(np.max(labels))
        if highest >= num_classes:
            raise TaskError(
                f"{name} has {num_classes} classes, labels 0 to {num_classes - 1}, but the sample "
                f"has a label {highest}"
            )
