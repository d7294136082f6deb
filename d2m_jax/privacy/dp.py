"""Differential privacy at the seller: clipping and Gaussian noise before an update leaves it.

Two units of protection. "example": every example's gradient is clipped and noise is added to the
sum over a Poisson batch (DP-SGD, Abadi et al. 2016). "update": the whole update is clipped and
noised, which protects a seller's participation. Not here: the noise itself, which is drawn on a
grid (`noise.py`), and what it costs in epsilon (`accountant.py`).
"""

import math

import jax
import jax.numpy as jnp

from d2m_jax.core.training import Holdings, OfBatch, Tamper, Trainable
from d2m_jax.core.types import Batch, Key, Number
from d2m_jax.privacy.noise import private_sum

UNITS = ("none", "example", "update")


def private_update(key: Key, update: jax.Array, clip: Number, noise: Number) -> jax.Array:
    """clip(u) + noise * clip * N(0, I): the Gaussian mechanism on one update [D], on a grid.

    Args:
        key: consumed.
        update: [D].
        clip: [] c, the sensitivity to adding or leaving out this seller.
        noise: [] multiplier, standard deviation over c; 0 only clips.
    """
    return private_sum(key, update[None], jnp.ones(1, bool), clip, noise).astype(update.dtype)


def batch_capacity(batch_size: int) -> int:
    """Slots for a Poisson batch of this expected size: exceeded with probability below 1e-7."""
    return batch_size + math.ceil(6 * math.sqrt(batch_size)) + 6


def poisson_batch(key: Key, size: jax.Array, batch_size: int) -> tuple[jax.Array, jax.Array]:
    """A Poisson sample of a seller's examples in arrays of fixed shape.

    Every example is in with probability q = min(1, batch_size / size), independently: the gaps
    between those that are in are geometric, `1 + floor(ln(u) / ln(1 - q))`. A count above the
    capacity is cut.

    Args:
        key: consumed.
        size: [] int32, examples of the seller.
        batch_size: expected size, static.

    Returns:
        places [K] int32 among the seller's examples, rising, and the [K] bool of those in the
        batch; the other places are 0. Cost: K draws, whatever the size.
    """
    capacity = batch_capacity(batch_size)
    chance = jnp.minimum(1.0, batch_size / size.astype(jnp.float32))
    tiny = jnp.finfo(jnp.float32).tiny
    draws = jax.random.uniform(key, (capacity,), jnp.float32, minval=tiny)
    skipped = jnp.floor(jnp.log(draws) / jnp.log1p(-chance))  # all in: ln(0), nothing is skipped
    skipped = jnp.minimum(jnp.where(chance < 1, skipped, 0.0), size.astype(jnp.float32))
    places = jnp.cumsum(skipped.astype(jnp.int32) + 1) - 1
    inside = (places >= 0) & (places < size)
    return jnp.where(inside, places, 0), inside


def private_gradient(
    key: Key,
    gradient: OfBatch,
    theta: jax.Array,
    batch: Batch,
    in_batch: jax.Array,
    *,
    batch_size: int,
    clip: Number,
    noise: Number,
) -> jax.Array:
    """(sum over the batch of clip(g_i) + noise * clip * N(0, I)) / batch_size -> [D].

    Args:
        key: consumed.
        gradient: (theta, batch of one example, key) -> [D].
        theta: [D].
        batch: [K, ...].
        in_batch: [K] bool.
        batch_size: expected size, which divides (the real one would leak).
        clip: [] bound on the gradient of one example.
        noise: [] multiplier.

    Cost: K gradients of single examples, memory [K, D].
    """
    noise_key, model_key = jax.random.split(key)

    def alone(example: Batch, place: jax.Array) -> jax.Array:
        one = jax.tree.map(lambda leaf: leaf[None], example)
        return gradient(theta, one, jax.random.fold_in(model_key, place))

    rows = jax.vmap(alone)(batch, jnp.arange(in_batch.shape[0]))
    return private_sum(noise_key, rows, in_batch, clip, noise) / batch_size


def private_sellers(
    model: Trainable,
    key: Key,
    theta: jax.Array,
    data: Holdings,
    sampled: jax.Array,
    *,
    batch_size: int,
    clip: Number,
    noise: Number,
    tamper: Tamper | None = None,
) -> jax.Array:
    """The DP-SGD update of every sampled seller, [S, D]; arguments as in `sellers.train_sellers`.

    One seller after the other, which bounds the memory to one batch of single gradients.
    """

    def one(seller: jax.Array) -> jax.Array:
        batch_key, tamper_key, noise_key = jax.random.split(jax.random.fold_in(key, seller), 3)
        places, in_batch = poisson_batch(batch_key, data.sizes[seller], batch_size)
        batch = data.examples_of(seller, places)
        if tamper is not None:
            batch = tamper(tamper_key, seller, batch)
        batch = model.prepare(batch, data.stats)
        return private_gradient(
            noise_key,
            model.gradient,
            theta,
            batch,
            in_batch,
            batch_size=batch_size,
            clip=clip,
            noise=noise,
        )

    return jax.lax.map(one, sampled)
