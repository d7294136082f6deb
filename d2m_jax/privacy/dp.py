"""Differential privacy at the seller: clipping and Gaussian noise before an update leaves it.

Two units of protection. "example": every example's gradient is clipped and noise is added to the
sum over a Poisson batch (DP-SGD, Abadi et al. 2016). "update": the whole update is clipped and
noised, which protects a seller's participation. Not here: what it costs in epsilon
(`accountant.py`).
"""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from d2m_jax.core.types import Key, Number

UNITS = ("none", "example", "update")


def clip_rows(rows: jax.Array, clip: Number) -> jax.Array:
    """[B, D] rows, each shortened to a Euclidean norm of at most `clip`."""
    size = jnp.linalg.norm(rows, axis=1, keepdims=True)
    return rows * jnp.minimum(1.0, clip / jnp.maximum(size, 1e-30))


def private_update(key: Key, update: jax.Array, clip: Number, noise: Number) -> jax.Array:
    """clip(u) + noise * clip * N(0, I): the Gaussian mechanism on one update [D].

    Args:
        key: consumed.
        update: [D].
        clip: [] c, the sensitivity to adding or leaving out this seller.
        noise: [] multiplier, standard deviation over c; 0 only clips.
    """
    draw = jax.random.normal(key, update.shape, update.dtype)
    return clip_rows(update[None], clip)[0] + noise * clip * draw


def batch_capacity(batch_size: int) -> int:
    """Slots for a Poisson batch of this expected size: exceeded with probability below 1e-7."""
    return batch_size + math.ceil(6 * math.sqrt(batch_size)) + 6


def poisson_batch(
    key: Key, size: jax.Array, width: int, batch_size: int
) -> tuple[jax.Array, jax.Array]:
    """A Poisson sample of a seller's examples in arrays of fixed shape.

    Every example is in with probability q = min(1, batch_size / size). Drawn as a binomial count
    and that many distinct examples, which is the same distribution; a count above the capacity
    is cut.

    Args:
        key: consumed.
        size: [] int32, examples of the seller.
        width: M, columns of the index table.
        batch_size: expected size, static.

    Returns:
        columns [K] int32 of the table and the [K] bool of those in the batch.
    """
    capacity = min(batch_capacity(batch_size), width)
    count_key, order_key = jax.random.split(key)
    chance = jnp.minimum(1.0, batch_size / size.astype(jnp.float32))
    is_in = jax.random.uniform(count_key, (width,)) < chance
    count = (is_in & (jnp.arange(width) < size)).sum()
    lots = jnp.where(jnp.arange(width) < size, jax.random.uniform(order_key, (width,)), jnp.inf)
    columns = jnp.argsort(lots)[:capacity].astype(jnp.int32)
    return columns, jnp.arange(capacity) < count


def private_gradient(
    key: Key,
    gradient: Callable[[jax.Array, jax.Array, jax.Array], jax.Array],
    theta: jax.Array,
    images: jax.Array,
    labels: jax.Array,
    in_batch: jax.Array,
    *,
    batch_size: int,
    clip: Number,
    noise: Number,
) -> jax.Array:
    """(sum over the batch of clip(g_i) + noise * clip * N(0, I)) / batch_size -> [D].

    Args:
        key: consumed.
        gradient: (theta, images [1, ...], labels [1]) -> [D].
        theta: [D].
        images: [K, H, W, Ch].
        labels: [K].
        in_batch: [K] bool.
        batch_size: expected size, which divides (the real one would leak).
        clip: [] bound on the gradient of one example.
        noise: [] multiplier.

    Cost: K gradients of single examples, memory [K, D].
    """
    rows = jax.vmap(lambda x, y: gradient(theta, x[None], y[None]))(images, labels)
    total = in_batch.astype(rows.dtype) @ clip_rows(rows, clip)
    return (total + noise * clip * jax.random.normal(key, total.shape)) / batch_size


def private_sellers(
    gradient: Callable[[jax.Array, jax.Array, jax.Array], jax.Array],
    key: Key,
    theta: jax.Array,
    data: Any,
    sampled: jax.Array,
    *,
    normalize: Callable[[jax.Array], jax.Array],
    batch_size: int,
    clip: Number,
    noise: Number,
    tamper: Callable[..., tuple[jax.Array, jax.Array]] | None = None,
) -> jax.Array:
    """The DP-SGD update of every sampled seller, [S, D]; arguments as in `sellers.train_sellers`.

    One seller after the other, which bounds the memory to one batch of single gradients.
    """

    def one(seller: jax.Array) -> jax.Array:
        batch_key, tamper_key, noise_key = jax.random.split(jax.random.fold_in(key, seller), 3)
        width = data.index.shape[1]
        columns, in_batch = poisson_batch(batch_key, data.sizes[seller], width, batch_size)
        rows = data.index[seller, columns]
        images, labels = data.images[rows], data.labels[rows]
        if tamper is not None:
            images, labels = tamper(tamper_key, seller, images, labels)
        return private_gradient(
            noise_key,
            gradient,
            theta,
            normalize(images),
            labels,
            in_batch,
            batch_size=batch_size,
            clip=clip,
            noise=noise,
        )

    return jax.lax.map(one, sampled)
