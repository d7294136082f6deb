"""Convolutional networks for MNIST and CIFAR-10, plain, without normalisation or dropout.

Every layer is written for speed under many sellers: `layers.py`.
"""

import flax.linen as nn
import jax

from d2m_jax import backend
from d2m_jax.models.base import Model, from_module
from d2m_jax.models.layers import conv_im2col, max_pool


class ConvNet(nn.Module):
    """Blocks of convolution, relu and 2 x 2 max pooling, then fully connected layers."""

    filters: tuple[int, ...]
    kernel: int
    padding: str
    hidden: tuple[int, ...]
    num_classes: int

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        """Returns logits [B, L] of images [B, H, W, Ch]."""
        he = nn.initializers.he_normal()
        im2col = {"conv_general_dilated": conv_im2col} if backend.choices().conv == "im2col" else {}
        x = images
        for width in self.filters:
            conv = nn.Conv(
                width, (self.kernel,) * 2, padding=self.padding, kernel_init=he, **im2col
            )
            x = nn.relu(max_pool(conv(x)))  # relu and max commute; this way relu is 4 times smaller
        x = x.reshape(x.shape[0], -1)
        for width in self.hidden:
            x = nn.relu(nn.Dense(width, kernel_init=he)(x))
        return nn.Dense(self.num_classes, kernel_init=nn.initializers.glorot_uniform())(x)


def mnist_cnn(input_shape: tuple[int, int, int], num_classes: int) -> Model:
    """Two 5 x 5 convolutions of 20 and 50 filters, 500 hidden: 431,080 parameters on MNIST.

    Raises:
        ValueError: images under 16 x 16, of which nothing is left after the second pooling.
    """
    _check_size("mnist_cnn", input_shape, 16)
    module = ConvNet((20, 50), 5, "VALID", (500,), num_classes)
    return from_module("mnist_cnn", module, input_shape, num_classes, backend.choices().map_conv)


def cifar_cnn(input_shape: tuple[int, int, int], num_classes: int) -> Model:
    """Three 3 x 3 convolutions of 32, 64 and 64 filters, 64 hidden; our choice.

    Raises:
        ValueError: images under 8 x 8, of which nothing is left after the third pooling.
    """
    _check_size("cifar_cnn", input_shape, 8)
    module = ConvNet((32, 64, 64), 3, "SAME", (64,), num_classes)
    return from_module("cifar_cnn", module, input_shape, num_classes, backend.choices().map_conv)


def _check_size(name: str, input_shape: tuple[int, int, int], least: int) -> None:
    height, width, _ = input_shape
    if min(height, width) < least:
        raise ValueError(
            f"{name} needs images of at least {least} x {least} pixels, these are "
            f"{height} x {width}; logreg and mlp take any size"
        )
