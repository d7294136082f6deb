"""Dense networks: logistic or linear regression and a multi-layer perceptron.

Read next: `cnn.py`.
"""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from d2m_jax.core import backend
from d2m_jax.core.types import Batch, Key, PyTree
from d2m_jax.tasks.flat import Model
from d2m_jax.tasks.heads import Head, head_of
from d2m_jax.tasks.images import prepare_images
from d2m_jax.tasks.mixtures import dense_mixtures
from d2m_jax.tasks.problem import Problem
from d2m_jax.tasks.task import Loss, Task
from d2m_jax.tasks.units import unit_groups

HIDDEN = 100


class Linear(nn.Module):
    """x W^T + b with W [Out, In], so that the gradient delta^T x comes out as it is stored.

    With W [In, Out] XLA makes the same product for many sellers and then turns it, on a CPU a copy
    that costs more than the product. `kernel_init` is called with (In, Out), as in `nn.Dense`.
    """

    width: int
    kernel_init: nn.initializers.Initializer

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Returns [B, Out] of x [B, In]."""
        shape = (x.shape[-1], self.width)
        kernel = self.param("kernel", lambda key: self.kernel_init(key, shape, jnp.float32).T)
        return (
            x @ kernel.T
            + self.param("bias", nn.initializers.zeros, (self.width,), jnp.float32)[None]
        )


class Dense(nn.Module):
    """Fully connected layers with relu between them, on flattened inputs."""

    hidden: tuple[int, ...]
    width: int

    @nn.compact
    def __call__(self, inputs: jax.Array) -> jax.Array:
        """Returns outputs [B, O] of inputs [B, ...]."""
        x = inputs.reshape(inputs.shape[0], -1)
        for width in self.hidden:
            x = nn.relu(Linear(width, nn.initializers.he_normal())(x))
        return Linear(self.width, nn.initializers.glorot_uniform())(x)


def logreg(problem: Problem) -> Task:
    """Multinomial logistic, or linear, regression: convex, the closest to theory."""
    return _dense("logreg", problem, 0)


def mlp(problem: Problem) -> Task:
    """One hidden layer of 100 rectified units: 79,510 parameters on MNIST."""
    return _dense("mlp", problem, HIDDEN)


def _dense(name: str, problem: Problem, hidden: int) -> Task:
    head, num_inputs = head_of(problem), math.prod(problem.input_shape)
    if problem.kind == "text":
        raise ValueError(f"{name} takes numbers, and {problem.kind} is made of tokens")
    if problem.kind == "images" and len(problem.input_shape) != 3:
        raise ValueError(
            f"{name} needs images [height, width, channels], not of shape {problem.input_shape}"
        )
    module = Dense((hidden,) if hidden else (), head.width)

    def init(key: Key) -> PyTree:
        return module.init(key, jnp.zeros((1, *problem.input_shape), jnp.float32))

    def apply(params: PyTree, batch: Batch, key: Key | None) -> jax.Array:
        del key  # no dropout
        outputs: jax.Array = module.apply(params, batch["inputs"])  # type: ignore[assignment]
        return outputs.reshape(-1, *head.shape)

    def units() -> tuple[jax.Array, int]:
        shapes = [(hidden,), (hidden, num_inputs), (head.width,), (head.width, hidden)]
        return unit_groups(shapes, hidden), hidden + 1

    def fast(model: Model) -> Model:
        sized = (num_inputs, hidden, head.width)
        return model._replace(mixtures=dense_mixtures(_of_rows(head), *sized))

    return Task(
        init,
        apply,
        head.loss,
        head.metric,
        name=name,
        prepare=prepare_images if problem.kind == "images" else None,
        num_classes=head.num_classes,
        kind=problem.kind,
        map_sellers=backend.choices().map_dense,
        units=units if hidden else None,
        fast=fast,
    )


def _of_rows(head: Head) -> Loss:
    return lambda outputs, batch: head.loss(outputs.reshape(-1, *head.shape), batch)
