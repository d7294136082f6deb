"""Losses of very many mixtures of the same few steps, as exact Shapley values ask for.

Not here: candidate steps that have nothing in common (`metrics.py`).
"""

import math

import jax
import jax.numpy as jnp

from d2m_jax.tasks.base import Model, cross_entropies
from d2m_jax.tasks.metrics import losses_of_candidates


def losses_of_mixtures(
    model: Model,
    theta: jax.Array,
    updates: jax.Array,
    weights: jax.Array,
    lr: jax.Array | float,
    images: jax.Array,
    labels: jax.Array,
) -> jax.Array:
    """Returns L(theta - lr * weights[c] @ updates) for every c -> [C].

    A first layer is linear in its parameters, so what it does to the images is computed for theta
    and for each update, S + 1 times, and mixed C times. With a dense network on large images that
    is nearly all of the work. Other networks are evaluated one by one.

    Args:
        model: from `make_model`; "logreg" and "mlp" are fast.
        theta: [D].
        updates: [S, D].
        weights: [C, S], what each mixture takes of each update.
        lr: server learning rate.
        images: [V, H, W, Ch] float32, normalised.
        labels: [V] int32.

    Cost for "mlp" with I inputs and H hidden units: O(S V I H + C V H (S + L)) instead of
    O(C V I H).
    """
    if model.name not in ("logreg", "mlp"):
        return losses_of_candidates(model, theta, weights @ updates, lr, images, labels)
    inputs, outputs = math.prod(model.input_shape), model.num_classes
    hidden = outputs
    if model.name == "mlp":
        hidden = (model.num_params - outputs) // (inputs + 1 + outputs)
    size, count = hidden * (inputs + 1), labels.shape[0]
    rows = jnp.concatenate([theta[None], -lr * updates])  # bias [H], kernel [H, I], then the rest
    mix = jnp.concatenate([jnp.ones_like(weights[:, :1]), weights], axis=1)
    kernels = rows[:, hidden:size].reshape(-1, hidden, inputs)
    first = jnp.einsum("vi,shi->svh", images.reshape(count, inputs), kernels)
    first = first + rows[:, None, :hidden]
    first = (mix @ first.reshape(len(rows), -1)).reshape(-1, count, hidden)
    labels = jnp.broadcast_to(labels, first.shape[:2])
    if model.name == "logreg":
        return cross_entropies(first, labels).mean(1)
    rest = mix @ rows[:, size:]
    kernels = rest[:, outputs:].reshape(-1, outputs, hidden)
    logits = jax.nn.relu(first) @ kernels.mT + rest[:, None, :outputs]
    return cross_entropies(logits, labels).mean(1)
