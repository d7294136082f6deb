"""Losses of very many mixtures of the same few steps of a dense network.

Not here: candidate steps that have nothing in common (`evaluation.py`).
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from d2m_jax.core.types import Batch


def dense_mixtures(
    loss: Callable[..., jax.Array], inputs: int, hidden: int, outputs: int
) -> Callable[..., jax.Array]:
    """Returns `(theta, updates, weights, lr, batch) -> [C]` for a network of one or two layers.

    A first layer is linear in its parameters, so what it does to the inputs is computed for theta
    and for each update, S + 1 times, and mixed C times. On large inputs that is nearly all of the
    work: O(S V I H + C V H (S + O)) instead of O(C V I H).

    Args:
        loss: (outputs [V, O], batch) -> [V].
        inputs: I, numbers of an example.
        hidden: H units between relu; 0 for a single layer.
        outputs: O.
    """

    def losses(
        theta: jax.Array,
        updates: jax.Array,
        weights: jax.Array,
        lr: jax.Array | float,
        batch: Batch,
    ) -> jax.Array:
        width = hidden or outputs
        size, count = width * (inputs + 1), batch["inputs"].shape[0]
        rows = jnp.concatenate([theta[None], -lr * updates])  # bias, kernel [H, I], then the rest
        mix = jnp.concatenate([jnp.ones_like(weights[:, :1]), weights], axis=1)
        kernels = rows[:, width:size].reshape(-1, width, inputs)
        first = jnp.einsum("vi,shi->svh", batch["inputs"].reshape(count, inputs), kernels)
        first = first + rows[:, None, :width]
        first = (mix @ first.reshape(len(rows), -1)).reshape(-1, count, width)
        if hidden:
            rest = mix @ rows[:, size:]
            kernels = rest[:, outputs:].reshape(-1, outputs, hidden)
            first = jax.nn.relu(first) @ kernels.mT + rest[:, None, :outputs]
        return jax.vmap(lambda one: loss(one, batch).mean())(first)

    return losses
