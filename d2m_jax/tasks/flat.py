"""A task as the market sees it: pure functions of one flat vector of parameters.

Rules, attacks and the ledger know nothing of trees; they get theta [D] and updates [S, D]. Here the
tree is ravelled once, at the edge. Read first: `task.py`.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from d2m_jax.core.training import OfBatch
from d2m_jax.core.types import Batch, Key, PyTree
from d2m_jax.tasks.checking import check_fields, held_loss, held_metric
from d2m_jax.tasks.task import Metric, Task

ApplyFlat: TypeAlias = Callable[..., Any]  # (theta [D], batch, key=None) -> outputs
OfOutputs: TypeAlias = Callable[[Any, Batch], jax.Array]  # (outputs, batch) -> losses [B]


class Model(NamedTuple):
    """A task over flat parameters; every function is pure, jittable and vmappable."""

    name: str
    num_params: int  # D
    num_classes: int  # L; 0: the labels are no classes
    kind: str  # of the data: "images", "table", "text" or "arrays"
    map_sellers: str  # "vmap" or "map": the faster way over sellers on this backend
    metric: Metric
    unravel: Callable[[jax.Array], PyTree]  # theta [D] -> params
    init: Callable[[Key], jax.Array]  # key -> theta [D], float32 or wider
    prepare: Callable[[Batch, PyTree], Batch]  # examples as they are stored -> as apply sees them
    apply: ApplyFlat
    losses: OfBatch  # [B]
    loss: OfBatch  # their mean, []
    gradient: OfBatch  # of the mean, [D]
    gradients: OfBatch  # of many sellers at one theta: batches [S, B, ...], keys [S] -> [S, D]
    of_outputs: OfOutputs  # of outputs that are there already
    mixtures: Callable[..., jax.Array] | None = None  # see `mixtures.py`
    units: Callable[[], tuple[jax.Array, int]] | None = None  # groups [D] of parameters that are
    # of use alone, and how many: what partial models cut
    layers: tuple[int, ...] = ()  # sizes of the parameter arrays, in the order of theta


def flatten(task: Task) -> Model:
    """Returns the task over theta [D], with the faster forms that it brings.

    Theta is float32, or wider if a parameter is: half precision is a matter of `apply`, the
    parameters that the market adds up are kept in full. Leaves follow each other in the order of
    `jax.tree.leaves`.

    Raises:
        ValueError: a field that is not what it must be; a parameter that is no floating number, or
            none at all. Later, in the trace: losses or a metric of another shape than they promise.
    """
    check_fields(task)
    loss, metric = held_loss(task.loss, task.name), held_metric(task.metric, task.name)
    shapes = jax.eval_shape(task.init, jax.eval_shape(jax.random.key, 0))
    leaves, tree = jax.tree.flatten(shapes)
    _check(task.name, shapes)
    dtype = jnp.result_type(jnp.float32, *(leaf.dtype for leaf in leaves))
    sizes = [math.prod(leaf.shape) for leaf in leaves]
    num_params = sum(sizes)

    def unravel(theta: jax.Array) -> PyTree:
        pieces = jax.lax.split(theta, sizes)
        parts = [p.reshape(leaf.shape).astype(leaf.dtype) for p, leaf in zip(pieces, leaves)]
        return jax.tree.unflatten(tree, parts)

    def init(key: Key) -> jax.Array:
        parts = jax.tree.leaves(task.init(key))
        return jnp.concatenate([part.reshape(-1).astype(dtype) for part in parts])

    def apply(theta: jax.Array, batch: Batch, key: Key | None = None) -> Any:
        return task.apply(unravel(theta), batch, key)

    model = Model(
        name=task.name,
        num_params=num_params,
        num_classes=task.num_classes,
        kind=task.kind,
        map_sellers=task.map_sellers,
        metric=metric,
        unravel=unravel,
        init=init,
        prepare=task.prepare or (lambda batch, stats: batch),
        of_outputs=loss,
        units=task.units,
        layers=tuple(sizes),
        **of_apply(apply, loss, task.map_sellers),
    )
    return task.fast(model) if task.fast else model


def of_apply(apply: ApplyFlat, loss: OfOutputs, how: str) -> dict[str, Any]:
    """What follows from `apply` and a loss per example: losses, their mean, gradients.

    Args:
        apply: (theta, batch, key) -> outputs.
        loss: (outputs, batch) -> [B].
        how: "vmap" or "map" over sellers.
    """

    def losses(theta: jax.Array, batch: Batch, key: Key | None = None) -> jax.Array:
        return loss(apply(theta, batch, key), batch)

    def mean(theta: jax.Array, batch: Batch, key: Key | None = None) -> jax.Array:
        return losses(theta, batch, key).mean()

    gradient = jax.grad(mean)
    return {
        "apply": apply,
        "losses": losses,
        "loss": mean,
        "gradient": gradient,
        "gradients": over_sellers(gradient, how),
    }


def over_sellers(gradient: OfBatch, how: str) -> OfBatch:
    """The gradient of one batch for many sellers, one after the other where `how` is "map"."""

    def one(theta: jax.Array, batch: Batch, key: Key | None) -> jax.Array:
        return gradient(theta, batch, key)

    def gradients(theta: jax.Array, batch: Batch, key: Key | None = None) -> jax.Array:
        if how == "map":
            return jax.lax.map(lambda pair: one(theta, *pair), (batch, key))
        return jax.vmap(one, in_axes=(None, 0, 0))(theta, batch, key)

    return gradients


def _check(name: str, shapes: PyTree) -> None:
    found = jax.tree_util.tree_flatten_with_path(shapes)[0]
    if not found:
        raise ValueError(f"the task {name!r} has no parameters")
    for path, leaf in found:
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            where = jax.tree_util.keystr(path, simple=True, separator=".")
            raise ValueError(
                f"the task {name!r} has a parameter {where} of type {leaf.dtype}; parameters are "
                "floating numbers, constants belong into `apply`"
            )
