"""Evaluation in blocks, and the losses of many candidate steps at once.

Not here: training (`sellers/`).
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from d2m_jax.tasks.base import Model, cross_entropies


def evaluate(
    model: Model,
    theta: jax.Array,
    examples: Any,
    normalize: Callable[[jax.Array], jax.Array] | None = None,
    *,
    block: int = 250,
) -> tuple[jax.Array, jax.Array]:
    """Returns accuracy and mean cross-entropy on `examples`, block by block.

    The last block is padded by repeating the last example with weight 0, so any number of
    examples is exact, and memory is that of one block.

    Args:
        model: from `make_model`.
        theta: [D] flat parameters.
        examples: has `images` [E, H, W, Ch] and `labels` [E] int32.
        normalize: maps stored images (uint8) to float32, applied block by block; none: as is.
        block: images at a time.

    Returns:
        accuracy (share) and mean loss (nats), float32 scalars.
    """
    images, labels = examples.images, examples.labels
    total = labels.shape[0]
    block = min(block, total)
    num_blocks = -(-total // block)

    def one(start: jax.Array) -> tuple[jax.Array, jax.Array]:
        rows = start + jnp.arange(block)
        weight = rows < total
        rows = jnp.minimum(rows, total - 1)
        batch = images[rows]
        logits = model.apply(theta, batch if normalize is None else normalize(batch))
        right = (logits.argmax(-1) == labels[rows]) & weight
        return right.sum(), jnp.where(weight, cross_entropies(logits, labels[rows]), 0.0).sum()

    right, loss = jax.lax.map(one, jnp.arange(num_blocks) * block)
    return right.sum().astype(jnp.float32) / total, loss.sum() / total


def losses_of_candidates(
    model: Model,
    theta: jax.Array,
    updates: jax.Array,
    lr: jax.Array | float,
    images: jax.Array,
    labels: jax.Array,
) -> jax.Array:
    """Returns the loss after each seller's step alone: L(theta - lr * updates[s]) for every s.

    A non-finite update gives a non-finite loss in its own row only.

    Args:
        model: from `make_model`.
        theta: [D].
        updates: [S, D].
        lr: server learning rate, number or scalar array.
        images: [V, H, W, Ch] float32, normalised validation images.
        labels: [V] int32.

    Returns:
        [S] float32, mean cross-entropy in nats.
    """

    def one(update: jax.Array) -> jax.Array:
        return model.loss(theta - lr * update, images, labels)

    if model.map_sellers == "map":
        return jax.lax.map(one, updates)
    return jax.vmap(one)(updates)
