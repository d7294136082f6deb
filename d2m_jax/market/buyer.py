"""What may be asked of the buyer's examples in a round, as functions; made inside the trace."""

from collections.abc import Callable
from typing import NamedTuple

import jax

from d2m_jax import tasks
from d2m_jax.core.dataset import num_examples
from d2m_jax.market.scene import Scene
from d2m_jax.tasks import Model


class Buyer(NamedTuple):
    """The buyer's correction and root examples; None where it gave none."""

    losses_of: Callable[[jax.Array], jax.Array] | None  # updates [C, D] -> [C], after each step
    gradient: Callable[..., jax.Array] | None  # update [D] = 0 -> [D], of the loss after it
    root_update: Callable[[], jax.Array] | None  # () -> [D], gradient on the root examples
    damage: Callable[[jax.Array], jax.Array] | None  # aggregate [D] -> [], the loss after it


def buyer_of(model: Model, scene: Scene) -> Buyer:
    """The functions of one round, at the model before it and the server's rate in it."""
    data, theta, rate = scene.data, scene.state.theta, scene.rate
    has_correction, has_root = num_examples(data.correction) > 0, num_examples(data.root) > 0

    def losses_of(updates: jax.Array) -> jax.Array:
        examples = model.prepare(data.correction, data.stats)
        return tasks.losses_of_candidates(model, theta, updates, rate, examples)

    def gradient(update: jax.Array | None = None) -> jax.Array:
        there = theta if update is None else theta - rate * update
        return jax.grad(model.loss)(there, model.prepare(data.correction, data.stats))

    def root_update() -> jax.Array:
        return jax.grad(model.loss)(theta, model.prepare(data.root, data.stats))

    def damage(direction: jax.Array) -> jax.Array:
        examples = model.prepare(data.correction, data.stats)
        return model.loss(theta - rate * direction, examples)

    return Buyer(
        losses_of=losses_of if has_correction else None,
        gradient=gradient if has_correction else None,
        root_update=root_update if has_root else None,
        damage=damage if has_correction else None,
    )
