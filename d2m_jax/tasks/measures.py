"""How good a model is: metrics of a whole set in [0, 1], more is better.

Values are scikit-learn's. Where it has none (a set of one class has no AUC) the docstring says what
is returned. An example with a NaN among its outputs counts as wrong; nothing returns NaN.
Not here: losses (`losses.py`), evaluation in blocks (`metrics.py`).
"""

import jax
import jax.numpy as jnp

from d2m_jax.core.types import Batch
from d2m_jax.tasks.losses import class_labels, cross_entropy, mean_of_known, paired, wide
from d2m_jax.tasks.task import Metric


def _accuracy(outputs: jax.Array, batch: Batch) -> jax.Array:
    """The share [B] of an example's known positions where the largest logit is the label's.

    Ties go to the first class, as `argmax` has it; an example without a known label gives 0.

    Args:
        outputs: logits [B, ..., L].
        batch: `labels` [B, ...] integers, negative: unknown.
    """
    labels = class_labels(outputs, batch)
    right = _predictions(outputs) == labels
    return mean_of_known(right.astype(jnp.float32), labels >= 0)


def _balanced_accuracy(outputs: jax.Array, batch: Batch) -> jax.Array:
    """The mean over the classes that the labels have of the share of it that is found (recall).

    A set without a known label gives 0.

    Args:
        outputs: logits [B, ..., L].
        batch: `labels` [B, ...] integers, negative: unknown.

    Returns:
        [] float32. Source: Brodersen et al. 2010.
    """
    hits, actual, _ = _counts(outputs, batch)
    return _mean_where(hits / jnp.maximum(actual, 1), actual > 0)


def _macro_f1(outputs: jax.Array, batch: Batch) -> jax.Array:
    """The mean of F1 = 2 TP / (2 TP + FP + FN) over the classes among labels or predictions.

    A class that is neither is left out; a set without a known label gives 0.

    Args:
        outputs: logits [B, ..., L].
        batch: `labels` [B, ...] integers, negative: unknown.

    Returns:
        [] float32.
    """
    hits, actual, predicted = _counts(outputs, batch)
    either = actual + predicted
    return _mean_where(2 * hits / jnp.maximum(either, 1), either > 0)


def _auc(outputs: jax.Array, batch: Batch) -> jax.Array:
    """The chance that an example of a class scores above one of another; ties count one half.

    Two classes: the score is the difference of the logits, or the only one. More: each class
    against the rest by log softmax, the mean over the classes that the set can compare. A set of
    one class gives 0.5, as nothing is ranked; a NaN anywhere gives 0.

    Args:
        outputs: logits [B, ..., L], or [B, ...] for labels 0 and 1.
        batch: `labels` [B, ...] integers, negative: unknown.

    Returns:
        [] float32. Cost: O(L n log n) for n labels. Source: Hand and Till 2001 for ties.
    """
    outputs = wide(outputs)
    if outputs.ndim > 1 and outputs.shape[-1] > 1 and outputs.shape != batch["labels"].shape:
        labels = class_labels(outputs, batch).reshape(-1)
        logits = outputs.reshape(-1, outputs.shape[-1])
    else:
        values, single = paired(outputs, batch)
        labels, single = values.astype(jnp.int32).reshape(-1), single.reshape(-1)
        logits = jnp.stack([jnp.zeros_like(single), single], -1)
    known = labels >= 0
    if logits.shape[-1] == 2:
        value, some = _rank(logits[:, 1] - logits[:, 0], labels == 1, known)
        value = jnp.where(some, value, 0.5)
    else:
        scores = jax.nn.log_softmax(logits).T
        classes = jnp.arange(logits.shape[-1], dtype=jnp.int32)
        of_class = labels[None, :] == classes[:, None]
        values, some = jax.vmap(_rank, (0, 0, None))(scores, of_class, known)
        value = jnp.where(some.any(), _mean_where(values, some), 0.5)
    return jnp.where(jnp.isnan(outputs).any(), 0.0, value).astype(jnp.float32)


def _rank(scores: jax.Array, positive: jax.Array, known: jax.Array) -> tuple[jax.Array, jax.Array]:
    """AUC of scores [n], and whether there are two sides to compare."""
    others = known & ~positive
    num_others = others.sum(dtype=jnp.int32)
    table = jnp.sort(jnp.where(others, scores, jnp.inf))
    below = jnp.searchsorted(table, scores, side="left").astype(jnp.int32)
    up_to = jnp.minimum(jnp.searchsorted(table, scores, side="right").astype(jnp.int32), num_others)
    wins = (jnp.minimum(below, num_others) + up_to) / jnp.maximum(2 * num_others, 1)
    return _mean_where(wins, positive), positive.any() & (num_others > 0)


def _r2(outputs: jax.Array, batch: Batch) -> jax.Array:
    """1 - sum (y - x)^2 / sum (y - mean y)^2, the mean over outputs, clipped to [0, 1].

    An output whose labels are all alike gives 1 if every value is right, else 0.

    Args:
        outputs: [B, ...] numbers; [B, 1] is taken for labels [B].
        batch: `labels` [B, ...].

    Returns:
        [] float32.
    """
    labels, values = (part.reshape(part.shape[0], -1) for part in paired(outputs, batch))
    missed = jnp.square(labels - values).sum(0)
    spread = jnp.square(labels - labels.mean(0, keepdims=True)).sum(0)
    spread = jnp.where(jnp.ptp(labels, 0) > 0, spread, 0.0)  # a rounded mean is no spread
    return _unit(_share(missed, spread).mean())


def _one_minus_error(outputs: jax.Array, batch: Batch) -> jax.Array:
    """1 - mean |y - x| / (max y - min y), the mean over outputs, each clipped to [0, 1].

    An output whose labels are all alike gives 1 if every value is right, else 0.

    Args:
        outputs: [B, ...] numbers; [B, 1] is taken for labels [B].
        batch: `labels` [B, ...].

    Returns:
        [] float32.
    """
    labels, values = (part.reshape(part.shape[0], -1) for part in paired(outputs, batch))
    error, width = jnp.abs(labels - values).mean(0), jnp.ptp(labels, 0)
    return _unit(jnp.clip(_share(error, width), 0, 1).mean())


def _subset_accuracy(outputs: jax.Array, batch: Batch) -> jax.Array:
    """1 [B] for an example all of whose known labels are right; a label is 1 above logit 0.

    Args:
        outputs: logits [B, ...], one for each label.
        batch: `labels` [B, ...], 0 or 1, negative: unknown.
    """
    right, known, _ = _yes_or_no(outputs, batch)
    right, known = (part.reshape(part.shape[0], -1) for part in (right, known))
    return ((right | ~known).all(-1) & known.any(-1)).astype(jnp.float32)


def _label_accuracy(outputs: jax.Array, batch: Batch) -> jax.Array:
    """The share [B] of an example's known labels that are right (1 - Hamming loss).

    Args:
        outputs: logits [B, ...], one for each label.
        batch: `labels` [B, ...], 0 or 1, negative: unknown.
    """
    right, known, _ = _yes_or_no(outputs, batch)
    return mean_of_known(right.astype(jnp.float32), known)


def _micro_f1(outputs: jax.Array, batch: Batch) -> jax.Array:
    """2 TP / (2 TP + FP + FN) over all labels of all examples.

    A set without a positive label or prediction gives 0, as scikit-learn has it.

    Args:
        outputs: logits [B, ...], one for each label.
        batch: `labels` [B, ...], 0 or 1, negative: unknown.

    Returns:
        [] float32.
    """
    right, known, positive = _yes_or_no(outputs, batch)
    hits, misses = (right & positive & known).sum(), (~right & known).sum()
    return (2 * hits / jnp.maximum(2 * hits + misses, 1)).astype(jnp.float32)


def _exp_minus(loss: jax.Array) -> jax.Array:
    return _unit(jnp.exp(-loss))


def _predictions(outputs: jax.Array) -> jax.Array:
    """The class [B, ...] with the largest logit, L (none) where a logit is NaN."""
    broken = jnp.isnan(outputs).any(-1)
    return jnp.where(broken, outputs.shape[-1], outputs.argmax(-1).astype(jnp.int32))


def _counts(outputs: jax.Array, batch: Batch) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Right predictions, labels and predictions of each class, [L] int32 each."""
    labels, num_classes = class_labels(outputs, batch).reshape(-1), outputs.shape[-1]
    predicted = _predictions(outputs).reshape(-1)
    known = labels >= 0
    labels = jnp.where(known, labels, num_classes)

    def count(classes: jax.Array, where: jax.Array) -> jax.Array:
        zeros = jnp.zeros(num_classes, jnp.int32)
        return zeros.at[classes].add(where.astype(jnp.int32), mode="drop")

    return count(labels, labels == predicted), count(labels, known), count(predicted, known)


def _yes_or_no(outputs: jax.Array, batch: Batch) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Which labels are right, known and positive, [B, ...] bool each."""
    labels, logits = paired(outputs, batch)
    positive = labels > 0
    right = ((logits > 0) == positive) & ~jnp.isnan(logits)
    return right, labels >= 0, positive


def _share(missed: jax.Array, all_of: jax.Array) -> jax.Array:
    """1 - missed / all; where there is nothing to miss, 1 or, if something is missed, 0."""
    rest = 1 - missed / jnp.where(all_of > 0, all_of, 1)
    return jnp.where(all_of > 0, rest, (missed <= 0).astype(rest.dtype))


def _mean_where(values: jax.Array, where: jax.Array) -> jax.Array:
    total = jnp.where(where, values, jnp.zeros_like(values)).sum()
    return (total / jnp.maximum(where.sum(), 1).astype(total.dtype)).astype(jnp.float32)


def _unit(value: jax.Array) -> jax.Array:
    """A number [] float32 in [0, 1], 0 for NaN."""
    return jnp.clip(jnp.nan_to_num(value, nan=0.0), 0, 1).astype(jnp.float32)


accuracy = Metric("accuracy", per_example=_accuracy)
balanced_accuracy = Metric("balanced_accuracy", of_set=_balanced_accuracy)
f1 = Metric("f1", of_set=_macro_f1)
auc = Metric("auc", of_set=_auc)
r2 = Metric("r2", of_set=_r2)
one_minus_error = Metric("one_minus_error", of_set=_one_minus_error)
exp_nll = Metric("exp_nll", per_example=cross_entropy, finish=_exp_minus)
subset_accuracy = Metric("subset_accuracy", per_example=_subset_accuracy)
label_accuracy = Metric("label_accuracy", per_example=_label_accuracy)
micro_f1 = Metric("micro_f1", of_set=_micro_f1)

METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        accuracy,
        balanced_accuracy,
        f1,
        auc,
        r2,
        one_minus_error,
        exp_nll,
        subset_accuracy,
        label_accuracy,
        micro_f1,
    )
}


def measure(metric: Metric, outputs: jax.Array, batch: Batch) -> jax.Array:
    """The metric of a set that fits in memory, [] float32.

    Args:
        metric: one of `METRICS`, or of one's own.
        outputs: of all examples, leading axis B.
        batch: all examples.
    """
    if metric.of_set is not None:
        return metric.of_set(outputs, batch)
    assert metric.per_example is not None
    mean = metric.per_example(outputs, batch).mean()
    return mean if metric.finish is None else metric.finish(mean)
