"""How good a model is on a whole set, block by block, and the losses of many candidate steps.

Not here: what is measured (`measures.py`), training (`sellers/`).
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from d2m_jax.core.dataset import num_examples
from d2m_jax.core.types import Batch, PyTree
from d2m_jax.tasks.flat import Model
from d2m_jax.tasks.task import Metric

BLOCK = 250  # examples at a time
_ROUNDING = 1e-5


def evaluate(
    model: Model, theta: jax.Array, examples: Batch, stats: PyTree = (), *, block: int = BLOCK
) -> tuple[jax.Array, jax.Array]:
    """Returns the metric and the mean loss on `examples`.

    The last block is padded by repeating the last example with weight 0, so any number of
    examples is exact, and memory is that of one block; a metric of the whole set keeps the outputs
    of all examples.

    Args:
        model: from `flatten`.
        theta: [D] flat parameters.
        examples: batch of E examples as they are stored.
        stats: of the data set, for `Task.prepare`.
        block: examples at a time.

    Returns:
        metric in [0, 1] and mean loss, floating scalars.

    Raises:
        ValueError: outside of a program, a metric that is not in [0, 1].
    """
    total, metric = num_examples(examples), model.metric
    block = min(block, total)
    num_blocks = -(-total // block)

    def one(start: jax.Array) -> tuple[jax.Array, Any]:
        rows = start + jnp.arange(block)
        weight = rows < total
        rows = jnp.minimum(rows, total - 1)
        batch = model.prepare(jax.tree.map(lambda leaf: leaf[rows], examples), stats)
        outputs = model.apply(theta, batch)
        loss = jnp.where(weight, model.of_outputs(outputs, batch), 0.0).sum()
        if metric.per_example is None:
            return loss, outputs
        return loss, jnp.where(weight, metric.per_example(outputs, batch), 0.0).sum()

    losses, found = jax.lax.map(one, jnp.arange(num_blocks) * block)
    loss = losses.sum() / total
    if metric.per_example is None:
        outputs = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:])[:total], found)
        assert metric.of_set is not None  # `check_metric`
        value = metric.of_set(outputs, model.prepare(examples, stats))
    else:
        mean = found.sum() / total
        value = metric.finish(mean) if metric.finish else mean
    if not isinstance(value, jax.core.Tracer):
        check_unit(metric, value)
    return value, loss


def check_unit(metric: Metric, value: Any) -> None:
    """Raises a ValueError for a metric outside [0, 1]; NaN is that of a broken model.

    Args:
        metric: what it is.
        value: [] of one model, or [J] of several.
    """
    for found in np.ravel(value).tolist():
        if found < -_ROUNDING or found > 1 + _ROUNDING:
            raise ValueError(
                f"metric {metric.name!r} must lie in [0, 1], more is better, and is {found:g}: "
                "scale it"
            )


def losses_of_candidates(
    model: Model, theta: jax.Array, updates: jax.Array, lr: jax.Array | float, batch: Batch
) -> jax.Array:
    """Returns the loss after each seller's step alone: L(theta - lr * updates[s]) for every s.

    A non-finite update gives a non-finite loss in its own row only.

    Args:
        model: from `flatten`.
        theta: [D].
        updates: [S, D].
        lr: server learning rate, number or scalar array.
        batch: validation examples as `Task.prepare` leaves them.

    Returns:
        [S] mean losses.
    """

    return over_updates(model, lambda update: model.loss(theta - lr * update, batch), updates)


def over_updates(
    model: Model, one: Callable[[jax.Array], jax.Array], updates: jax.Array
) -> jax.Array:
    """`one` of every update, one after the other where the model says that this is faster."""
    found: jax.Array = (
        jax.lax.map(one, updates) if model.map_sellers == "map" else jax.vmap(one)(updates)
    )
    return found


def losses_of_mixtures(
    model: Model,
    theta: jax.Array,
    updates: jax.Array,
    weights: jax.Array,
    lr: jax.Array | float,
    batch: Batch,
) -> jax.Array:
    """Returns L(theta - lr * weights[c] @ updates) for every c -> [C].

    What exact Shapley values ask for. A model that brings `mixtures` shares the work of its first
    layer among all mixtures (`mixtures.py`); others are evaluated one by one.

    Args:
        model: from `flatten`.
        theta: [D].
        updates: [S, D].
        weights: [C, S], what each mixture takes of each update.
        lr: server learning rate.
        batch: validation examples as `Task.prepare` leaves them.
    """
    if model.mixtures is None:
        return losses_of_candidates(model, theta, weights @ updates, lr, batch)
    return model.mixtures(theta, updates, weights, lr, batch)
