"""What a model says of random inputs, which no data are needed for. Read next: `evaluation.py`."""

import jax
import jax.numpy as jnp

from d2m_jax.core.protocols import OutputsOf
from d2m_jax.core.types import Batch, Key, Number, PyTree
from d2m_jax.tasks.evaluation import over_updates
from d2m_jax.tasks.flat import Model


def noise_like(key: Key, batch: Batch, count: int) -> Batch:
    """`count` random examples in the place of those of a batch, leaf by leaf.

    Bytes are uniform, floats standard normal, booleans even, other integers uniform up to the
    largest of the batch.

    Args:
        key: consumed.
        batch: `[B, ...]` leaves.
        count: static.
    """
    leaves, tree = jax.tree.flatten(batch)
    keys = jax.random.split(key, len(leaves))

    def like(key: Key, leaf: jax.Array) -> jax.Array:
        shape = count, *leaf.shape[1:]
        if leaf.dtype == jnp.uint8:
            return jax.random.bits(key, shape, jnp.uint8)
        if leaf.dtype == bool:
            return jax.random.bernoulli(key, 0.5, shape)
        if jnp.issubdtype(leaf.dtype, jnp.integer):
            most = leaf.max(initial=0).astype(jnp.int32)
            return jax.random.randint(key, shape, 0, most + 1, jnp.int32).astype(leaf.dtype)
        return jax.random.normal(key, shape, leaf.dtype)

    return jax.tree.unflatten(tree, [like(*pair) for pair in zip(keys, leaves)])


def outputs_on_noise(
    model: Model,
    theta: jax.Array,
    lr: Number,
    batch: Batch,
    stats: PyTree,
    key: Key,
    count: int = 200,
) -> OutputsOf:
    """Returns a function updates `[K, D]` -> outputs `[K, count, ...]` after each step on noise.

    Args:
        model: from `flatten`.
        theta: `[D]`.
        lr: server learning rate.
        batch: examples like which the noise is.
        stats: of the data, for `Task.prepare`.
        key: of the noise.
        count: inputs, static.
    """

    def outputs_of(updates: jax.Array) -> jax.Array:
        inputs = model.prepare(noise_like(key, batch, count), stats)
        return over_updates(model, lambda update: model.apply(theta - lr * update, inputs), updates)

    return outputs_of
