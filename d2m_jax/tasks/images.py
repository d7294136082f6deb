"""Images as the networks want them: normalised per channel, after any tampering with raw pixels."""

import jax
import jax.numpy as jnp

from d2m_jax.core.types import Batch, PyTree


def prepare_images(batch: Batch, stats: PyTree) -> Batch:
    """The batch with (inputs - mean) / std per channel; inputs [..., H, W, Ch] uint8 -> float32.

    Args:
        batch: has `inputs`.
        stats: `mean` and `std` [Ch] float32, of the raw training images.
    """
    return {**batch, "inputs": normalize(batch["inputs"], stats["mean"], stats["std"])}


def normalize(images: jax.Array, mean: jax.Array, std: jax.Array) -> jax.Array:
    """(images - mean) / std per channel, float32."""
    per_channel = (1,) * (images.ndim - 1) + (-1,)
    centred = images.astype(jnp.float32) - mean.reshape(per_channel)
    return centred / std.reshape(per_channel)
