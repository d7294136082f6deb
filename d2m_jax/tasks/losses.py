"""Losses per example, by optax: `(outputs, batch) -> [B]`, with the labels in `batch["labels"]`.

Not here: how good a model is (`measures.py`). Read next: `adapters.py`.
"""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from d2m_jax.core.types import Batch


def cross_entropy(outputs: jax.Array, batch: Batch) -> jax.Array:
    """-log softmax(logits)[label] in nats, the mean over the known positions of an example.

    Args:
        outputs: logits [B, ..., L].
        batch: `labels` [B, ...] integers in 0 .. L - 1; negative ones are unknown and left out.
            An example without a known label has loss 0.

    Returns:
        [B] float32 (float64 for float64 logits). A label of L or more gives NaN.

    Raises:
        ValueError: the shapes or dtypes do not belong together.
    """
    labels = class_labels(outputs, batch)
    known = labels >= 0
    losses = optax.losses.softmax_cross_entropy_with_integer_labels(
        wide(outputs), jnp.where(known, labels, 0)
    )
    return mean_of_known(losses, known)


def binary_cross_entropy(outputs: jax.Array, batch: Batch) -> jax.Array:
    """-log of the sigmoid's probability of each label in nats, the mean over an example's labels.

    Args:
        outputs: logits [B, ...], one for each label.
        batch: `labels` [B, ...], 0 or 1; negative ones are unknown and left out.

    Returns:
        [B] float32 (float64 for float64 logits).

    Raises:
        ValueError: outputs and labels differ in shape.
    """
    labels, logits = paired(outputs, batch)
    losses = optax.losses.sigmoid_binary_cross_entropy(logits, jnp.maximum(labels, 0))
    return mean_of_known(losses, labels >= 0)


def squared_error(outputs: jax.Array, batch: Batch) -> jax.Array:
    """0.5 (output - label)^2, the mean over an example's outputs.

    Args:
        outputs: [B, ...]; [B, 1] is taken for labels [B].
        batch: `labels` [B, ...], numbers.

    Returns:
        [B] float32 (float64 for float64 outputs).

    Raises:
        ValueError: outputs and labels differ in shape.
    """
    labels, values = paired(outputs, batch)
    return optax.losses.l2_loss(values, labels).reshape(labels.shape[0], -1).mean(-1)


def class_labels(outputs: jax.Array, batch: Batch) -> jax.Array:
    """Integer labels [B, ...] that belong to logits [B, ..., L].

    Raises:
        ValueError: they do not.
    """
    labels = labels_of(batch)
    if outputs.ndim < 2 or outputs.shape[:-1] != labels.shape:
        raise ValueError(
            f"logits of classes have one axis more than the labels: outputs are {outputs.shape}, "
            f"labels {labels.shape}"
        )
    if not jnp.issubdtype(labels.dtype, jnp.integer):
        raise ValueError(f"labels of classes are integers, not {labels.dtype}")
    return labels.astype(jnp.int32)


def paired(outputs: jax.Array, batch: Batch) -> tuple[jax.Array, jax.Array]:
    """Labels and outputs of one shape and one dtype, of at least float32.

    Raises:
        ValueError: there is not one output for each label.
    """
    labels = labels_of(batch)
    if outputs.shape == (*labels.shape, 1):
        outputs = outputs[..., 0]
    if outputs.shape != labels.shape or labels.ndim < 1:
        raise ValueError(
            f"there must be one output for each label: outputs are {outputs.shape}, "
            f"labels {labels.shape}"
        )
    outputs = wide(outputs)
    return labels.astype(outputs.dtype), outputs


def labels_of(batch: Batch) -> jax.Array:
    """`batch["labels"]` as an array.

    Raises:
        ValueError: there are none.
    """
    if not isinstance(batch, dict) or "labels" not in batch:
        raise ValueError('this loss or metric needs a batch that is a dictionary with "labels"')
    return jnp.asarray(batch["labels"])


def mean_of_known(values: jax.Array, known: jax.Array) -> jax.Array:
    """The mean [B] over the positions of each example where `known`, 0 where there is none."""
    values = jnp.where(known, values, jnp.zeros_like(values))
    axes = tuple(range(1, values.ndim))
    counts = jnp.maximum(known.sum(axes), 1).astype(values.dtype)
    return values.sum(axes) / counts


def wide(outputs: Any) -> jax.Array:
    """Outputs in float32 at least: sums over classes and positions are not taken in bfloat16."""
    outputs = jnp.asarray(outputs)
    return outputs if outputs.dtype == jnp.float64 else outputs.astype(jnp.float32)
