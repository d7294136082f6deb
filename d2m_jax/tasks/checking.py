"""Whether a task is one: its fields, and by shape its losses and its metric.

`flatten` holds every task to it, so whatever is wrong is said in the first trace at the latest;
`check_examples` looks before. Not here: networks of other libraries (`network.py`).
"""

from typing import Any

import flax
import jax

from d2m_jax.core.promises import Broken, checked, floats, numbers
from d2m_jax.core.types import Batch, PyTree
from d2m_jax.tasks.task import Loss, Metric, Task

# What libraries raise when a network meets arrays that it cannot take.
UNFIT = (
    TypeError,
    ValueError,
    LookupError,
    AttributeError,
    AssertionError,
    ArithmeticError,
    flax.errors.FlaxError,
)
MANY = 7  # examples in a batch whose shapes are looked at: no likely width of an output
KINDS = ("images", "table", "text", "arrays")
MAPS = ("vmap", "map")


def check_fields(task: Task) -> None:
    """Raises a ValueError, one sentence, for a field of a task that is not what it must be."""
    name = task.name
    if not isinstance(name, str):
        raise ValueError(f"the name of a task must be text, not {name!r}")
    for field in ("init", "apply", "loss"):
        if not callable(getattr(task, field)):
            raise ValueError(
                f"{field} of task {name!r} must be a function, not {getattr(task, field)!r}"
            )
    for field in ("prepare", "units", "fast"):
        value = getattr(task, field)
        if value is not None and not callable(value):
            raise ValueError(f"{field} of task {name!r} must be a function or None, not {value!r}")
    for field, valid in (("kind", KINDS), ("map_sellers", MAPS)):
        value = getattr(task, field)
        if value not in valid:
            known = ", ".join(valid)
            raise ValueError(f"{field} of task {name!r} must be one of {known}, not {value!r}")
    classes: Any = task.num_classes
    if isinstance(classes, bool) or not isinstance(classes, int) or classes < 0:
        raise ValueError(f"num_classes of task {name!r} must be a count, not {classes!r}")
    check_metric(task.metric, name)


def check_metric(metric: Any, name: str) -> None:
    """Raises a ValueError, one sentence, for something that is no metric."""
    if not isinstance(metric, Metric):
        raise ValueError(
            f"the metric of task {name!r} must be a Metric, as those of tasks.METRICS are, not "
            f"{metric!r}: Metric(name, per_example=...) makes one of a function"
        )
    if (metric.per_example is None) == (metric.of_set is None):
        raise ValueError(f"metric {metric.name!r} must have either per_example or of_set")
    for field in ("per_example", "of_set", "finish"):
        value = getattr(metric, field)
        if value is not None and not callable(value):
            raise ValueError(f"{field} of metric {metric.name!r} must be a function, not {value!r}")


def held_loss(loss: Loss, name: str) -> Loss:
    """The loss, which says where it is not one floating number for each example."""
    return checked(loss, f"the loss of task {name!r}", lambda _, batch: floats(*_length(batch)))


def held_metric(metric: Metric, name: str) -> Metric:
    """The metric, which says where it is not what its fields promise."""
    what = f"metric {metric.name!r} of task {name!r}"
    each, one = metric.per_example, metric.of_set
    finish = metric.finish
    return metric._replace(
        per_example=each and checked(each, what, lambda _, batch: numbers(*_length(batch))),
        of_set=one and checked(one, what, lambda _, batch: numbers()),
        finish=finish and checked(finish, f"`finish` of {what}", lambda mean: numbers()),
    )


def check_outputs(loss: Loss, metric: Metric, outputs: Any, batch: Batch) -> None:
    """Raises a ValueError where loss or metric break their promise on these shapes."""

    def all_of_it(outputs: Any, batch: Batch) -> Any:
        found = loss(outputs, batch)
        if metric.per_example is None:
            return found, metric.of_set and metric.of_set(outputs, batch)
        mean = metric.per_example(outputs, batch).mean()
        return found, metric.finish(mean) if metric.finish else mean

    jax.eval_shape(all_of_it, outputs, batch)


def check_examples(model: Any, examples: Batch, stats: PyTree = ()) -> None:
    """Raises a ValueError, one sentence, for examples that a model cannot be trained on.

    Only shapes and dtypes are looked at.

    Args:
        model: from `flatten`.
        examples: batch as it is stored.
        stats: of the data set, for `Task.prepare`.
    """

    def outputs_of(theta: jax.Array, batch: Batch, stats: PyTree) -> Any:
        batch = model.prepare(batch, stats)
        return model.apply(theta, batch), batch

    few = jax.tree.map(lambda x: jax.ShapeDtypeStruct((MANY, *x.shape[1:]), _dtype(x)), examples)
    stats = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, _dtype(x)), stats)
    theta = jax.eval_shape(model.init, jax.eval_shape(jax.random.key, 0))
    try:
        outputs, batch = jax.eval_shape(outputs_of, theta, few, stats)
        check_outputs(model.of_outputs, model.metric, outputs, batch)
    except Broken:
        raise
    except UNFIT as error:
        said = " ".join(str(error).split())[:200] or type(error).__name__
        raise ValueError(
            f"task {model.name!r} does not take examples of {described(few)}: {said}"
        ) from error


def described(batch: Batch) -> str:
    """The shapes of a batch, such as `inputs float32[B,4]`."""
    leaves = jax.tree.leaves_with_path(batch)
    return ", ".join(
        f"{jax.tree_util.keystr(path, simple=True, separator='.')} {leaf.dtype}"
        f"[{','.join(['B', *map(str, leaf.shape[1:])])}]".strip()
        for path, leaf in leaves
    )


def _dtype(leaf: Any) -> Any:
    return jax.dtypes.canonicalize_dtype(leaf.dtype)


def _length(batch: Batch) -> tuple[int, ...]:
    return jax.tree.leaves(batch)[0].shape[:1]
