"""Convolutional networks for MNIST and CIFAR-10, plain, without normalisation or dropout.

`ConvNet` is the definition. Which form of it runs is chosen in `backend.py`: the module itself, or
the same net written with the batch as the last axis (`batch_minor.py`).
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from d2m_jax.core import backend
from d2m_jax.tasks import batch_minor, toom_cook
from d2m_jax.tasks.base import Model, flat_parameters, from_module, mean_cross_entropy
from d2m_jax.tasks.layers import conv_im2col, max_pool

_BLOCK = 32  # at most so many images at a time: their patches stay near the cache


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
        # Uniform in +-1/sqrt(fan in), as torch does: under max pooling He's scale starts at a loss
        # of 6 with gradients 35 times as long, and MNIST then needs ten times the rounds.
        init = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")
        conv: Any = nn.Conv
        x = images
        for width in self.filters:
            x = conv(
                width,
                (self.kernel, self.kernel),
                padding=self.padding,
                kernel_init=init,
                conv_general_dilated=conv_im2col,
            )(x)
            x = nn.relu(max_pool(x))  # relu and max commute; this way relu is 4 times smaller
        x = x.reshape(x.shape[0], -1)
        for width in self.hidden:
            x = nn.relu(nn.Dense(width, kernel_init=init)(x))
        return nn.Dense(self.num_classes, kernel_init=init)(x)


def mnist_cnn(input_shape: tuple[int, int, int], num_classes: int) -> Model:
    """Two 5 x 5 convolutions of 20 and 50 filters, 500 hidden: 431,080 parameters on MNIST.

    Raises:
        ValueError: images under 16 x 16, of which nothing is left after the second pooling.
    """
    _check_size("mnist_cnn", input_shape, 16)
    module = ConvNet((20, 50), 5, "VALID", (500,), num_classes)
    return conv_model("mnist_cnn", module, input_shape, num_classes)


def cifar_cnn(input_shape: tuple[int, int, int], num_classes: int) -> Model:
    """Two 5 x 5 convolutions of 16 and 32 filters, 128 hidden: 117,866 parameters on CIFAR-10.

    Our choice: of four nets of this size it learnt most per second on a CPU (65 % test accuracy
    after 850 steps of 200 images, momentum 0.9 and rate 0.03, without augmentation).

    Raises:
        ValueError: images under 16 x 16, of which nothing is left after the second pooling.
    """
    _check_size("cifar_cnn", input_shape, 16)
    module = ConvNet((16, 32), 5, "VALID", (128,), num_classes)
    return conv_model("cifar_cnn", module, input_shape, num_classes)


def conv_model(
    name: str, module: ConvNet, input_shape: tuple[int, int, int], num_classes: int
) -> Model:
    """Makes a `Model` of a `ConvNet` in the form that is fast on this backend."""
    chosen = backend.choices()
    model = from_module(name, module, input_shape, num_classes, chosen.map_conv)
    if chosen.conv == "module" or module.kernel > toom_cook.LARGEST_KERNEL:
        return model
    unravel, num_params = flat_parameters(module, input_shape)
    pad = module.kernel // 2 if module.padding == "SAME" else 0
    net = batch_minor.Net(module.kernel, pad, len(module.filters))

    def apply(theta: jax.Array, images: jax.Array) -> jax.Array:
        layers = batch_minor.prepare(net, unravel(theta))
        total = images.shape[0]
        num_blocks = -(-total // _BLOCK)
        size = -(-total // num_blocks)
        padding = ((0, num_blocks * size - total), (0, 0), (0, 0), (0, 0))
        blocks = jnp.pad(images, padding).reshape(num_blocks, size, *images.shape[1:])
        logits = jax.lax.map(lambda block: batch_minor.forward(net, layers, block), blocks)
        return logits.reshape(num_blocks * size, num_classes)[:total]

    def gradient(theta: jax.Array, images: jax.Array, labels: jax.Array) -> jax.Array:
        layers = batch_minor.prepare(net, unravel(theta))
        blocks = batch_minor.gradient(net, layers, images, labels)
        return jnp.concatenate([block.ravel() for block in blocks])

    def gradients(theta: jax.Array, images: jax.Array, labels: jax.Array) -> jax.Array:
        layers = batch_minor.prepare(net, unravel(theta))
        return batch_minor.gradients(net, layers, images, labels, num_params)

    return model._replace(
        apply=apply, loss=mean_cross_entropy(apply), gradient=gradient, gradients=gradients
    )


def _check_size(name: str, input_shape: tuple[int, int, int], least: int) -> None:
    height, width, _ = input_shape
    if min(height, width) < least:
        raise ValueError(
            f"{name} needs images of at least {least} x {least} pixels, these are "
            f"{height} x {width}; logreg and mlp take any size"
        )
