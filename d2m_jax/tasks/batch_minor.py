"""Convolutional nets with the batch as the last axis: the fast form on CPUs.

Same network, same flat parameters as `ConvNet` in `cnn.py`, which is the definition and the
reference in the tests. Here forward and backward pass are written out as matmuls on [Ch, H, W, B]:
copies and comparisons then run along memory, the first layer needs no gradient of its input, and
the gradient of each seller is written straight into its row of the matrix. Figures:
`benchmarks/models.py`. Read next: `first_conv.py`, `toom_cook.py`.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from d2m_jax.core.trees import varying_as
from d2m_jax.tasks import first_conv, toom_cook
from d2m_jax.tasks.first_conv import FirstConv

_barrier = jax.lax.optimization_barrier


class Net(NamedTuple):
    """What is static about the layers."""

    kernel: int  # side of the square kernels
    pad: int  # on each side of every convolution's input
    num_convs: int


class Dense(NamedTuple):
    """A fully connected layer."""

    bias: jax.Array  # [Out]
    kernel: jax.Array  # [In, Out]


class Layers(NamedTuple):
    """Parameters in the form that the passes use."""

    first: FirstConv
    convs: tuple[toom_cook.Conv, ...]
    dense: tuple[Dense, ...]


class _Trace(NamedTuple):
    """What the forward pass leaves for the backward pass."""

    first: first_conv.Saved
    convs: list[toom_cook.Saved]
    shapes: list[tuple[int, ...]]  # of the outputs of the convolutions
    dense: list[jax.Array]  # inputs [B, In] of the fully connected layers


def prepare(net: Net, params: Any) -> Layers:
    """Returns the layers of the parameters of a `cnn.ConvNet`.

    Linen numbers layers of a kind in the order of their calls, and parameters are ravelled in the
    order of the names: convolutions before fully connected layers, as the gradient here is written.
    """
    layers = params["params"]
    convs = [layers[f"Conv_{i}"] for i in range(net.num_convs)]
    dense = [layers[f"Dense_{i}"] for i in range(len(layers) - net.num_convs)]
    first, *convs = [(layer["bias"], layer["kernel"]) for layer in convs]
    return Layers(
        first_conv.prepare(*first),
        tuple(toom_cook.prepare(*conv) for conv in convs),
        tuple(Dense(layer["bias"], layer["kernel"]) for layer in dense),
    )


def forward(net: Net, layers: Layers, images: jax.Array) -> jax.Array:
    """Returns logits [B, L] of images [B, H, W, Ch]."""
    return _forward(net, layers, images)[0]


def _forward(net: Net, layers: Layers, images: jax.Array) -> tuple[jax.Array, _Trace]:
    x = _pad(images.transpose(3, 1, 2, 0), net.pad)
    x, first = first_conv.forward(layers.first, x, net.kernel)
    shapes, convs = [x.shape], []
    for conv in layers.convs:
        x, saved = toom_cook.forward(conv, _pad(x, net.pad), net.kernel)
        convs.append(saved)
        shapes.append(x.shape)
    inputs = [x.transpose(3, 1, 2, 0).reshape(x.shape[3], -1)]  # in the order of NHWC
    for layer in layers.dense[:-1]:
        inputs.append(jax.nn.relu(inputs[-1] @ layer.kernel + layer.bias[None]))
    last = layers.dense[-1]
    return inputs[-1] @ last.kernel + last.bias[None], _Trace(first, convs, shapes, inputs)


def gradient(net: Net, layers: Layers, images: jax.Array, labels: jax.Array) -> list[jax.Array]:
    """Returns the gradient of the mean cross-entropy: bias and kernel of every layer in turn.

    Args:
        net: static.
        layers: from `prepare`.
        images: [B, H, W, Ch] float32.
        labels: [B] int32.
    """
    logits, trace = _forward(net, layers, images)
    delta = (jax.nn.softmax(logits) - jax.nn.one_hot(labels, logits.shape[1])) / labels.shape[0]
    grads: list[jax.Array] = []  # last layer first: kernel, bias
    for layer, x in zip(layers.dense[::-1], trace.dense[::-1]):
        grads += [x.T @ delta, delta.sum(0)]
        delta = _barrier(delta @ layer.kernel.T)  # else XLA moves a transpose into the matmul
        if x is not trace.dense[0]:
            delta = jnp.where(x > 0, delta, 0.0)

    channels, height, width, batch = trace.shapes[-1]
    delta = delta.T.reshape(height, width, channels, batch).transpose(2, 0, 1, 3)
    for i in reversed(range(len(layers.convs))):
        channels, height, width, batch = trace.shapes[i]
        padded = (channels, height + 2 * net.pad, width + 2 * net.pad, batch)
        bias, kernel, delta = toom_cook.gradient(
            layers.convs[i], trace.convs[i], delta, net.kernel, padded
        )
        delta = delta[:, net.pad : net.pad + height, net.pad : net.pad + width]
        grads += [kernel, bias]
    bias, kernel = first_conv.gradient(layers.first, trace.first, delta, net.kernel)
    return [*grads, kernel, bias][::-1]


def gradients(
    net: Net, layers: Layers, images: jax.Array, labels: jax.Array, num_params: int
) -> jax.Array:
    """Returns the gradient of every seller at one shared theta.

    Args:
        net: static.
        layers: from `prepare`.
        images: [S, B, H, W, Ch] float32.
        labels: [S, B] int32.
        num_params: D.

    Returns:
        [S, D]; each block is written in place, one seller after the other.
    """
    num_sellers = labels.shape[0]

    def step(out: jax.Array, xs: tuple[jax.Array, ...]) -> tuple[jax.Array, None]:
        seller, images, labels = xs
        start = 0
        for block in gradient(net, layers, images, labels):
            out = jax.lax.dynamic_update_slice(out, block.reshape(1, -1), (seller, start))
            start += block.size
        return out, None

    empty = jnp.zeros((num_sellers, num_params), jnp.float32)
    empty = varying_as(empty, layers, images, labels)
    return jax.lax.scan(step, empty, (jnp.arange(num_sellers), images, labels))[0]


def _pad(x: jax.Array, pad: int) -> jax.Array:
    """Zeros around H and W of [Ch, H, W, B]."""
    return jnp.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0))) if pad else x
