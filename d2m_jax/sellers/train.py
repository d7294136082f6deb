"""Local training of all sellers sampled in a round.

Read first: `local.py`. Not here: the attack on the finished updates.
"""

from collections.abc import Callable
from typing import Any, Protocol

import jax
import jax.numpy as jnp

from d2m_jax.sellers.local import LossFn, local_update
from d2m_jax.types import Key

Normalize = Callable[[jax.Array], jax.Array]
Poison = Callable[[Key, jax.Array, jax.Array], tuple[jax.Array, jax.Array]]


class Trainable(Protocol):
    """What training needs to know of a model."""

    @property
    def loss(self) -> LossFn:
        """(theta [D], images [B, H, W, Ch], labels [B]) -> mean loss."""

    @property
    def map_sellers(self) -> str:
        """`vmap` or `map`."""


def draw_batch(
    key: Key, data: Any, seller: jax.Array, batch_size: int, normalize: Normalize
) -> tuple[jax.Array, jax.Array]:
    """Returns `batch_size` examples of one seller, drawn with replacement.

    Args:
        key: consumed.
        data: has `images` [T, H, W, Ch] uint8, `labels` [T], `index` [N, M], `sizes` [N].
        seller: scalar int32 in 0 .. N-1.
        batch_size: B, static.
        normalize: uint8 images -> float32.

    Returns:
        images [B, H, W, Ch] float32 and labels [B] int32.
    """
    rows = data.index[seller, jax.random.randint(key, (batch_size,), 0, data.sizes[seller])]
    return normalize(data.images[rows]), data.labels[rows]


def train_sellers(
    model: Trainable,
    key: Key,
    theta: jax.Array,
    data: Any,
    sampled: jax.Array,
    *,
    normalize: Normalize,
    batch_size: int,
    local_steps: int = 1,
    lr_local: jax.Array | float = 0.1,
    mu: jax.Array | float = 0.0,
    weight_decay: jax.Array | float = 0.0,
    controls: jax.Array | None = None,
    steps: jax.Array | None = None,
    poison: Poison | None = None,
    poisoned: jax.Array | None = None,
) -> jax.Array:
    """Returns the update of every sampled seller, each as `local_update` gives it.

    A seller's draws depend on `key` and on its number, not on its place in `sampled`.

    Args:
        model: from `models.make_model`.
        key: the round's key for training; consumed.
        theta: [D].
        data: as in `draw_batch`.
        sampled: [S] int32 sellers of this round.
        normalize: uint8 images -> float32.
        batch_size: B, static.
        local_steps: static.
        lr_local: local learning rate (only with several steps).
        mu: FedProx coefficient.
        weight_decay: L2 coefficient.
        controls: [S, D] SCAFFOLD's c - c_s; none: plain.
        steps: [S] int32 local steps that each finishes (`participation`); none: all.
        poison: (key, images, labels) -> (images, labels) of one batch of a Byzantine seller,
            on normalised images; none: honest data.
        poisoned: [S] bool, whose batches are poisoned; needed with `poison`.

    Returns:
        [S, D] float32, non-finite rows included.
    """
    if poison is not None and poisoned is None:
        raise ValueError("poison needs poisoned, the [S] bool that says whose batches it changes")

    def one(
        seller: jax.Array,
        control: jax.Array | None,
        steps: jax.Array | None,
        is_poisoned: jax.Array | None,
    ) -> jax.Array:
        def batch_fn(key: Key) -> tuple[jax.Array, jax.Array]:
            if poison is None:
                return draw_batch(key, data, seller, batch_size, normalize)
            batch_key, poison_key = jax.random.split(key)
            images, labels = draw_batch(batch_key, data, seller, batch_size, normalize)
            bad_images, bad_labels = poison(poison_key, images, labels)
            images = jnp.where(is_poisoned, bad_images, images)
            return images, jnp.where(is_poisoned, bad_labels, labels)

        return local_update(
            jax.random.fold_in(key, seller),
            theta,
            batch_fn,
            model.loss,
            local_steps=local_steps,
            lr_local=lr_local,
            mu=mu,
            weight_decay=weight_decay,
            control=control,
            steps=steps,
        )

    args = (sampled, controls, steps, poisoned)
    if model.map_sellers == "map":
        return jax.lax.map(lambda xs: one(*xs), args)
    return jax.vmap(one)(*args)
