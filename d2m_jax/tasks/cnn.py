"""Convolutional networks for MNIST and CIFAR-10, plain, without normalisation or dropout.

`ConvNet` is the definition. Which form of it runs is chosen in `backend.py`: the module itself, or
the same net written with the batch as the last axis (`batch_minor.py`).
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from d2m_jax.core import backend
from d2m_jax.core.types import Batch, Key, PyTree
from d2m_jax.tasks import batch_minor, toom_cook
from d2m_jax.tasks.flat import Model, of_apply
from d2m_jax.tasks.heads import head_of
from d2m_jax.tasks.images import prepare_images
from d2m_jax.tasks.layers import conv_im2col, max_pool
from d2m_jax.tasks.losses import cross_entropy
from d2m_jax.tasks.problem import Problem
from d2m_jax.tasks.task import Task

_BLOCK = 32  # at most so many images at a time: their patches stay near the cache


class ConvNet(nn.Module):
    """Blocks of convolution, relu and 2 x 2 max pooling, then fully connected layers."""

    filters: tuple[int, ...]
    kernel: int
    padding: str
    hidden: tuple[int, ...]
    width: int

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
        return nn.Dense(self.width, kernel_init=init)(x)


def mnist_cnn(problem: Problem) -> Task:
    """Two 5 x 5 convolutions of 20 and 50 filters, 500 hidden: 431,080 parameters on MNIST.

    Raises:
        ValueError: no images, or images under 16 x 16, of which nothing is left after the second
            pooling.
    """
    return conv_task("mnist_cnn", problem, filters=(20, 50), hidden=(500,))


def cifar_cnn(problem: Problem) -> Task:
    """Two 5 x 5 convolutions of 16 and 32 filters, 128 hidden: 117,866 parameters on CIFAR-10.

    Our choice: of four nets of this size it learnt most per second on a CPU (65 % test accuracy
    after 850 steps of 200 images, momentum 0.9 and rate 0.03, without augmentation).

    Raises:
        ValueError: no images, or images under 16 x 16.
    """
    return conv_task("cifar_cnn", problem, filters=(16, 32), hidden=(128,))


def conv_task(
    name: str,
    problem: Problem,
    *,
    filters: tuple[int, ...],
    hidden: tuple[int, ...],
    kernel: int = 5,
    padding: str = "VALID",
) -> Task:
    """A `ConvNet` in the form that is fast on this backend.

    Raises:
        ValueError: no images, or images of which nothing is left after the last pooling.
    """
    head, chosen = head_of(problem), backend.choices()
    module = ConvNet(filters, kernel, padding, hidden, head.width)
    _check(name, problem, module)

    def init(key: Key) -> PyTree:
        return module.init(key, jnp.zeros((1, *problem.input_shape), jnp.float32))

    def apply(params: PyTree, batch: Batch, key: Key | None) -> jax.Array:
        del key  # no dropout
        outputs: jax.Array = module.apply(params, batch["inputs"])  # type: ignore[assignment]
        return outputs.reshape(-1, *head.shape)

    written_out = chosen.conv == "batch_minor" and kernel <= toom_cook.LARGEST_KERNEL
    by_hand = written_out and head.loss is cross_entropy  # whose gradient is written out, too
    return Task(
        init,
        apply,
        head.loss,
        head.metric,
        name=name,
        prepare=prepare_images,
        num_classes=head.num_classes,
        kind=problem.kind,
        map_sellers=chosen.map_conv,
        fast=(lambda model: in_batch_minor_form(model, module)) if by_hand else None,
    )


def in_batch_minor_form(model: Model, module: ConvNet) -> Model:
    """The same functions, with the batch as the last axis and the gradient written out."""
    pad = module.kernel // 2 if module.padding == "SAME" else 0
    net = batch_minor.Net(module.kernel, pad, len(module.filters))

    def apply(theta: jax.Array, batch: Batch, key: Key | None = None) -> jax.Array:
        del key  # no dropout
        layers, images = batch_minor.prepare(net, model.unravel(theta)), batch["inputs"]
        total = images.shape[0]
        num_blocks = -(-total // _BLOCK)
        size = -(-total // num_blocks)
        padding = ((0, num_blocks * size - total), (0, 0), (0, 0), (0, 0))
        blocks = jnp.pad(images, padding).reshape(num_blocks, size, *images.shape[1:])
        logits = jax.lax.map(lambda block: batch_minor.forward(net, layers, block), blocks)
        return logits.reshape(num_blocks * size, module.width)[:total]

    def gradient(theta: jax.Array, batch: Batch, key: Key | None = None) -> jax.Array:
        del key  # no dropout
        layers = batch_minor.prepare(net, model.unravel(theta))
        blocks = batch_minor.gradient(net, layers, batch["inputs"], batch["labels"])
        return jnp.concatenate([block.ravel() for block in blocks])

    def gradients(theta: jax.Array, batches: Batch, keys: Key | None = None) -> jax.Array:
        del keys  # no dropout
        layers = batch_minor.prepare(net, model.unravel(theta))
        images, labels = batches["inputs"], batches["labels"]
        return batch_minor.gradients(net, layers, images, labels, model.num_params)

    parts = of_apply(apply, model.of_outputs, model.map_sellers)
    return model._replace(**{**parts, "gradient": gradient, "gradients": gradients})


def _check(name: str, problem: Problem, module: ConvNet) -> None:
    shape = problem.input_shape
    if problem.kind != "images" or len(shape) != 3:
        raise ValueError(
            f"{name} needs images [height, width, channels], not {problem.kind} of shape {shape}"
        )
    height, width, _ = shape
    least = 1  # pixels of a side after the last pooling
    for _ in module.filters:
        least = 2 * least + (module.kernel - 1 if module.padding == "VALID" else 0)
    if min(height, width) < least:
        raise ValueError(
            f"{name} needs images of at least {least} x {least} pixels, these are "
            f"{height} x {width}; logreg and mlp take any size"
        )
