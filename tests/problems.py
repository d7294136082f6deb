"""Problems of images without a data set, and random raw examples of them."""

import jax
import jax.numpy as jnp
import numpy as np

from d2m_jax.tasks import Model, Problem, make_model

STATS = {"mean": np.full(1, 128.0, np.float32), "std": np.full(1, 128.0, np.float32)}


def of_images(shape: tuple[int, ...], num_classes: int) -> Problem:
    """The problem of raw images [H, W, Ch] and single classes."""
    return Problem("images", shape, np.dtype(np.uint8), num_classes)


def image_model(name: str, shape: tuple[int, ...], num_classes: int) -> Model:
    """A named model over flat parameters."""
    return make_model(name, of_images(shape, num_classes))


def raw_images(
    count: int, shape: tuple[int, ...], num_classes: int, seed: int = 3
) -> dict[str, jax.Array]:
    """A batch of noise as it is stored; with `STATS` its pixels become raw / 128 - 1."""
    keys = jax.random.split(jax.random.key(seed), 2)
    images = jax.random.randint(keys[0], (count, *shape), 0, 256).astype(jnp.uint8)
    return {"inputs": images, "labels": jax.random.randint(keys[1], (count,), 0, num_classes)}
