"""Local training of all sellers sampled in a round.

Read first: `local.py`. Not here: the attack on the finished updates.
"""

from collections.abc import Callable
from typing import Any, Protocol

import jax

from d2m_jax.core.types import Key
from d2m_jax.sellers.local import GradientFn, Regularizer, check_local_steps, finish

Normalize = Callable[[jax.Array], jax.Array]
Tamper = Callable[[Key, jax.Array, jax.Array, jax.Array], tuple[jax.Array, jax.Array]]


class Trainable(Protocol):
    """What training needs to know of a model."""

    @property
    def gradient(self) -> GradientFn:
        """(theta [D], images [B, H, W, Ch], labels [B]) -> [D]."""

    @property
    def gradients(self) -> GradientFn:
        """(theta [D], images [S, B, H, W, Ch], labels [S, B]) -> [S, D]."""

    @property
    def map_sellers(self) -> str:
        """`vmap` or `map`."""


def draw_batch(
    key: Key,
    data: Any,
    seller: jax.Array,
    batch_size: int,
    normalize: Normalize,
    tamper: Tamper | None = None,
) -> tuple[jax.Array, jax.Array]:
    """Returns `batch_size` examples of one seller, drawn with replacement.

    Args:
        key: consumed.
        data: has `images` [T, H, W, Ch] uint8, `labels` [T], `index` [N, M], `sizes` [N].
        seller: scalar int32 in 0 .. N-1.
        batch_size: B, static.
        normalize: raw images -> float32.
        tamper: (key, seller, raw images [B, H, W, Ch], labels [B]) -> (images, labels), what this
            seller does to its data before training; none: nothing.

    Returns:
        images [B, H, W, Ch] float32 and labels [B] int32.
    """
    rows = data.index[seller, jax.random.randint(key, (batch_size,), 0, data.sizes[seller])]
    images, labels = data.images[rows], data.labels[rows]
    if tamper is not None:
        images, labels = tamper(jax.random.fold_in(key, 1), seller, images, labels)
    return normalize(images), labels


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
    tamper: Tamper | None = None,
) -> jax.Array:
    """Returns the update of every sampled seller, each as `local_update` gives it.

    The first step of all sellers is taken together, since they share theta.
    A seller's draws depend on `key` and on its number, not on its place in `sampled`.

    Args:
        model: from `tasks.make_model`.
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
        tamper: what sellers do to their batches, as in `draw_batch`; none: honest data.

    Returns:
        [S, D] float32, non-finite rows included.
    """

    check_local_steps(local_steps)

    def batch(key: Key, seller: jax.Array) -> tuple[jax.Array, jax.Array]:
        return draw_batch(key, data, seller, batch_size, normalize, tamper)

    keys = jax.vmap(jax.random.fold_in, in_axes=(None, 0))(key, sampled)
    first_keys = jax.vmap(jax.random.fold_in, in_axes=(0, None))(keys, 0)
    first = model.gradients(theta, *jax.vmap(batch)(first_keys, sampled))

    def one(
        key: Key,
        seller: jax.Array,
        first: jax.Array,
        control: jax.Array | None,
        steps: jax.Array | None,
    ) -> jax.Array:
        regularizer = Regularizer(mu, weight_decay, control)
        return finish(
            key,
            theta,
            regularizer.add(first, theta, None),
            lambda key: batch(key, seller),
            model.gradient,
            local_steps=local_steps,
            lr_local=lr_local,
            regularizer=regularizer,
            steps=steps,
        )

    args = (keys, sampled, first, controls, steps)
    if local_steps > 1 and model.map_sellers == "map":
        return jax.lax.map(lambda xs: one(*xs), args)
    return jax.vmap(one)(*args)
