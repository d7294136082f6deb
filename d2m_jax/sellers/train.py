"""Local training of all sellers sampled in a round.

Read first: `local.py`. Not here: the attack on the finished updates.
"""

import jax
import jax.numpy as jnp

from d2m_jax.core.training import Holdings, Prepare, Tamper, Trainable
from d2m_jax.core.types import Batch, Key
from d2m_jax.sellers.local import Regularizer, check_local_steps, finish


def draw_batch(
    key: Key,
    data: Holdings,
    seller: jax.Array,
    batch_size: int,
    prepare: Prepare,
    tamper: Tamper | None = None,
) -> Batch:
    """Returns `batch_size` examples of one seller, drawn with replacement.

    Args:
        key: consumed.
        data: who holds what.
        seller: scalar int32 in 0 .. N-1.
        batch_size: B, static.
        prepare: of the model.
        tamper: what this seller does to its data before training; none: nothing.

    Returns:
        A batch [B, ...] as the loss takes it.
    """
    places = jax.random.randint(key, (batch_size,), 0, data.sizes[seller], jnp.int32)
    batch = data.examples_of(seller, places)
    if tamper is not None:
        batch = tamper(jax.random.fold_in(key, 1), seller, batch)
    return prepare(batch, data.stats)


def assigned_batches(
    model: Trainable, key: Key, data: Holdings, sampled: jax.Array, *, batch_size: int
) -> Batch:
    """The batches [S, B, ...] of the first local step, as honest sellers draw them.

    Arguments as in `train_sellers`.
    """

    def one(seller: jax.Array) -> Batch:
        first = jax.random.fold_in(jax.random.fold_in(key, seller), 0)
        return draw_batch(first, data, seller, batch_size, model.prepare)

    return jax.vmap(one)(sampled)


def train_sellers(
    model: Trainable,
    key: Key,
    theta: jax.Array,
    data: Holdings,
    sampled: jax.Array,
    *,
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

    def batch(key: Key, seller: jax.Array) -> tuple[Batch, Key]:
        noise_key = jax.random.fold_in(key, 2)
        return draw_batch(key, data, seller, batch_size, model.prepare, tamper), noise_key

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
