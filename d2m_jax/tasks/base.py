"""What a model is: pure functions of one flat parameter vector.

Not here: the networks (`dense.py`, `cnn.py`), the loss and the metrics (`metrics.py`).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from d2m_jax.core.types import Key


class Model(NamedTuple):
    """A network over flat parameters; every function is pure, jittable and vmappable."""

    name: str
    input_shape: tuple[int, int, int]  # H, W, Ch
    num_classes: int  # L
    num_params: int  # D
    map_sellers: str  # "vmap" or "map": the faster way over sellers on this backend
    init: Callable[[Key], jax.Array]  # key -> theta [D] float32
    apply: Callable[[jax.Array, jax.Array], jax.Array]  # theta [D], images [B, H, W, Ch] -> [B, L]
    loss: Callable[[jax.Array, jax.Array, jax.Array], jax.Array]  # theta, images, labels [B] -> []
    gradient: Callable[[jax.Array, jax.Array, jax.Array], jax.Array]  # of the loss -> [D]
    gradients: Callable[[jax.Array, jax.Array, jax.Array], jax.Array]  # many sellers, one theta:
    # theta [D], images [S, B, H, W, Ch], labels [S, B] -> [S, D]


def from_module(
    name: str,
    module: nn.Module,
    input_shape: tuple[int, int, int],
    num_classes: int,
    map_sellers: str = "vmap",
) -> Model:
    """Makes a `Model` of any linen module that maps images [B, H, W, Ch] to logits [B, L].

    The parameters are ravelled in the order of `ravel_pytree` (layer names, sorted). Gradients
    are those of `jax.grad`, one seller after the other where `map_sellers` is "map".
    """
    unravel, num_params = flat_parameters(module, input_shape)

    def init(key: Key) -> jax.Array:
        return ravel_pytree(module.init(key, jnp.zeros((1, *input_shape), jnp.float32)))[0]

    def apply(theta: jax.Array, images: jax.Array) -> jax.Array:
        return module.apply(unravel(theta), images)  # type: ignore[return-value]

    loss = mean_cross_entropy(apply)
    gradient = jax.grad(loss)

    def gradients(theta: jax.Array, images: jax.Array, labels: jax.Array) -> jax.Array:
        if map_sellers == "map":
            return jax.lax.map(lambda batch: gradient(theta, *batch), (images, labels))
        return jax.vmap(gradient, in_axes=(None, 0, 0))(theta, images, labels)

    return Model(
        name,
        input_shape,
        num_classes,
        num_params,
        map_sellers,
        init,
        apply,
        loss,
        gradient,
        gradients,
    )


def flat_parameters(
    module: nn.Module, input_shape: tuple[int, int, int]
) -> tuple[Callable[[jax.Array], Any], int]:
    """Returns the function from theta [D] to the module's parameters, and D."""
    sample = jax.ShapeDtypeStruct((1, *input_shape), jnp.float32)
    shapes = jax.eval_shape(module.init, jax.random.key(0), sample)
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    flat, unravel = ravel_pytree(zeros)
    return unravel, flat.size


def mean_cross_entropy(
    apply: Callable[[jax.Array, jax.Array], jax.Array],
) -> Callable[[jax.Array, jax.Array, jax.Array], jax.Array]:
    """Returns the loss (theta, images, labels) -> mean cross-entropy in nats of `apply`."""

    def loss(theta: jax.Array, images: jax.Array, labels: jax.Array) -> jax.Array:
        return cross_entropies(apply(theta, images), labels).mean()

    return loss


def cross_entropies(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Returns -log softmax(logits)[label] of every example, in nats.

    Args:
        logits: [..., L].
        labels: [...] int32.
    """
    chosen = jnp.take_along_axis(logits, labels[..., None], axis=-1)[..., 0]
    return jax.nn.logsumexp(logits, axis=-1) - chosen
