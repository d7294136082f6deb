"""Leak probes: how much of the sellers' data shows in the model and in single updates.

Metrics for tables, not attacks on anybody: membership inference by losses, and gradient inversion
of one update. Read next: `docs/privacy.md`.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from d2m_jax.core.training import OfBatch
from d2m_jax.core.types import Key, Number


class Membership(NamedTuple):
    """How well losses tell members from others."""

    auc: jax.Array  # [] float32, 0.5 is blind
    advantage: jax.Array  # [] float32, true minus false positive rate at the held-out threshold


def membership(
    members: jax.Array,
    others: jax.Array,
    reference_members: jax.Array | None = None,
    reference_others: jax.Array | None = None,
) -> Membership:
    """Membership inference by thresholding losses: a low loss says "was in the training set".

    Calibrated (Watson et al. 2022) when the losses under a reference model that saw neither are
    given: the score is then the fall of the loss from the reference. The threshold is chosen on the
    even half of the examples and the advantage (Yeom et al. 2018) measured on the odd half, so that
    a blind score has an expected advantage of 0.

    Args:
        members: [A] losses of examples of the training set.
        others: [B] losses of examples that were not in it.
        reference_members: [A] losses under the reference model.
        reference_others: [B] the same.
    """
    if reference_members is not None and reference_others is not None:
        members, others = members - reference_members, others - reference_others
    return Membership(_auc(members, others), _advantage(members, others))


def _auc(low: jax.Array, high: jax.Array) -> jax.Array:
    """P(a member's loss is smaller), ties count one half."""
    order = jnp.sort(high)
    below = jnp.searchsorted(order, low, side="left")
    upto = jnp.searchsorted(order, low, side="right")
    return 1.0 - 0.5 * (below + upto).astype(low.dtype).mean() / high.shape[0]


def _advantage(low: jax.Array, high: jax.Array) -> jax.Array:
    cuts = jnp.concatenate([low[::2], high[::2]])
    inside = (low[None, ::2] <= cuts[:, None]).astype(low.dtype).mean(1)
    outside = (high[None, ::2] <= cuts[:, None]).astype(low.dtype).mean(1)
    cut = cuts[jnp.argmax(inside - outside)]
    found, false = low[1::2] <= cut, high[1::2] <= cut
    return found.astype(low.dtype).mean() - false.astype(low.dtype).mean()


class Inversion(NamedTuple):
    """A reconstruction of one image from one gradient."""

    image: jax.Array  # [H, W, Ch] float32, in normalised units
    similarity: jax.Array  # [] float32, cosine of the two gradients at the end


def invert_gradient(
    key: Key,
    gradient: OfBatch,
    theta: jax.Array,
    update: jax.Array,
    label: jax.Array,
    shape: tuple[int, int, int],
    *,
    steps: int = 300,
    rate: Number = 0.1,
) -> Inversion:
    """Searches the image whose gradient points where the update does: max cos(grad(x), update).

    Adam with cosine decay on the sign-free cosine; the label is taken as known (it shows in the
    last bias of a single gradient). Source: Geiping et al. 2020, without their total variation (our
    images are small).

    Args:
        key: consumed; start image.
        gradient: (theta, batch of one example as the model takes it) -> [D].
        theta: [D] the model the seller started from.
        update: [D] what it sent.
        label: [] int32.
        shape: (H, W, Ch).
        steps: static.
        rate: of Adam.
    """
    unit = update / jnp.maximum(jnp.linalg.norm(update), 1e-30)

    def distance(image: jax.Array) -> jax.Array:
        mine = gradient(theta, {"inputs": image[None], "labels": label[None]})
        return 1.0 - (mine @ unit) / jnp.maximum(jnp.linalg.norm(mine), 1e-30)

    adam = optax.adam(optax.cosine_decay_schedule(rate, steps), b1=0.9, b2=0.99)

    def step(carry: tuple[jax.Array, optax.OptState], _: None) -> tuple[Any, None]:
        image, memory = carry
        slope = jax.grad(distance)(image)
        with jax.numpy_dtype_promotion("standard"):  # optax counts in int32 and decays in floats
            change, memory = adam.update(slope, memory)
        return (image + jnp.asarray(change, image.dtype), memory), None

    start = 0.1 * jax.random.normal(key, shape, update.dtype)
    (image, _), _ = jax.lax.scan(step, (start, adam.init(start)), length=steps)
    return Inversion(image, 1.0 - distance(image))


def correlation(image: jax.Array, truth: jax.Array) -> jax.Array:
    """Pearson correlation of a reconstruction with the image: 1 is the image up to contrast."""
    a, b = image - image.mean(), truth - truth.mean()
    return (a * b).sum() / jnp.maximum(jnp.linalg.norm(a) * jnp.linalg.norm(b), 1e-30)
