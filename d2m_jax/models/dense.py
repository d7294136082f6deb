"""Dense networks: logistic regression and a multi-layer perceptron.

Read next: `cnn.py`.
"""

import flax.linen as nn
import jax

from d2m_jax import backend
from d2m_jax.models.base import Model, from_module


class Dense(nn.Module):
    """Fully connected layers with relu between them, on flattened images."""

    hidden: tuple[int, ...]
    num_classes: int

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        """Returns logits [B, L] of images [B, H, W, Ch]."""
        x = images.reshape(images.shape[0], -1)
        for width in self.hidden:
            x = nn.relu(nn.Dense(width, kernel_init=nn.initializers.he_normal())(x))
        return nn.Dense(self.num_classes, kernel_init=nn.initializers.glorot_uniform())(x)


def logreg(input_shape: tuple[int, int, int], num_classes: int) -> Model:
    """Multinomial logistic regression: convex, the closest to theory."""
    module = Dense((), num_classes)
    return from_module("logreg", module, input_shape, num_classes, backend.choices().map_dense)


def mlp(input_shape: tuple[int, int, int], num_classes: int) -> Model:
    """One hidden layer of 100 rectified units: 79,510 parameters on MNIST."""
    module = Dense((100,), num_classes)
    return from_module("mlp", module, input_shape, num_classes, backend.choices().map_dense)
