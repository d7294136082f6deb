"""Dense networks: logistic regression and a multi-layer perceptron.

Read next: `cnn.py`.
"""

import flax.linen as nn
import jax

from d2m_jax.core import backend
from d2m_jax.tasks.base import Model, from_module


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
        kernel = self.param("kernel", lambda key: self.kernel_init(key, shape).T)
        return x @ kernel.T + self.param("bias", nn.initializers.zeros, (self.width,))[None]


class Dense(nn.Module):
    """Fully connected layers with relu between them, on flattened images."""

    hidden: tuple[int, ...]
    num_classes: int

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        """Returns logits [B, L] of images [B, H, W, Ch]."""
        x = images.reshape(images.shape[0], -1)
        for width in self.hidden:
            x = nn.relu(Linear(width, nn.initializers.he_normal())(x))
        return Linear(self.num_classes, nn.initializers.glorot_uniform())(x)


def logreg(input_shape: tuple[int, int, int], num_classes: int) -> Model:
    """Multinomial logistic regression: convex, the closest to theory."""
    module = Dense((), num_classes)
    return from_module("logreg", module, input_shape, num_classes, backend.choices().map_dense)


def mlp(input_shape: tuple[int, int, int], num_classes: int) -> Model:
    """One hidden layer of 100 rectified units: 79,510 parameters on MNIST."""
    module = Dense((100,), num_classes)
    return from_module("mlp", module, input_shape, num_classes, backend.choices().map_dense)
