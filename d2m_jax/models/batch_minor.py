"""Convolutional nets with the batch as the last axis: the fast form on CPUs.

Same network, same flat parameters as `ConvNet` in `cnn.py`, which is the definition and the
reference in the tests. Here forward and backward pass are written out as matmuls on [Ch, H, W, B]:
patches and pooling then copy and compare long contiguous runs, the first layer needs no gradient
of its input, and the gradient of each seller is written straight into its row of the matrix.
Figures: `benchmarks/models.py`. Read next: `cnn.py`.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

_barrier = jax.lax.optimization_barrier
_NONE = ((0, 0),)  # no padding of this axis


class Layer(NamedTuple):
    """One layer's parameters as matrices; both orders, so that no matmul has to transpose."""

    bias: jax.Array  # [Out]
    kernel: jax.Array  # [In, Out], for convolutions In = KH * KW * Ch
    transposed: jax.Array  # [Out, In]


class Net(NamedTuple):
    """Static description of the layers."""

    kernel: int  # side of the square kernels
    pad: int  # on each side of every convolution's input
    num_convs: int


class _Saved(NamedTuple):
    """What the backward pass of one convolution needs."""

    patches: jax.Array  # [K, h * w * B]
    before: jax.Array  # [Out, h * w * B] before pooling, without bias
    pooled: jax.Array  # [Out, h / 2, w / 2, B] after pooling, without bias
    output: jax.Array  # [Out, h / 2, w / 2, B]


def layers(params: Any) -> tuple[Layer, ...]:
    """Returns the layers of linen parameters, convolutions first (names sort that way)."""
    flat = [(layer["bias"], layer["kernel"]) for _, layer in sorted(params["params"].items())]
    matrices = [(bias, kernel.reshape(-1, kernel.shape[-1])) for bias, kernel in flat]
    return tuple(Layer(bias, kernel, kernel.T) for bias, kernel in matrices)


def forward(net: Net, layers: tuple[Layer, ...], images: jax.Array) -> jax.Array:
    """Returns logits [B, L] of images [B, H, W, Ch]."""
    x = images.transpose(3, 1, 2, 0)
    for layer in layers[: net.num_convs]:
        x = _conv(net, layer, x).output
    x = _flatten(x)
    for layer in layers[net.num_convs : -1]:
        x = jax.nn.relu(x @ layer.kernel + layer.bias[None])
    return x @ layers[-1].kernel + layers[-1].bias[None]


def gradient(
    net: Net, layers: tuple[Layer, ...], images: jax.Array, labels: jax.Array
) -> list[jax.Array]:
    """Returns the gradient of the mean cross-entropy: bias and kernel of every layer in turn.

    Where several entries of a pooling window are the maximum, they share the gradient equally,
    as in the gradient of `jnp.max`.

    Args:
        net: static.
        layers: from `layers`.
        images: [B, H, W, Ch] float32.
        labels: [B] int32.
    """
    x = images.transpose(3, 1, 2, 0)
    saved = []
    for layer in layers[: net.num_convs]:
        saved.append(_conv(net, layer, x))
        x = saved[-1].output
    pooled_shape = x.shape
    dense = layers[net.num_convs :]
    inputs = [_flatten(x)]
    for layer in dense[:-1]:
        inputs.append(jax.nn.relu(inputs[-1] @ layer.kernel + layer.bias[None]))
    logits = inputs[-1] @ dense[-1].kernel + dense[-1].bias[None]

    delta = (jax.nn.softmax(logits) - jax.nn.one_hot(labels, logits.shape[1])) / labels.shape[0]
    grads: list[jax.Array] = []  # last layer first: kernel, bias
    for layer, x in zip(dense[::-1], inputs[::-1]):
        grads += [x.T @ delta, delta.sum(0)]
        delta = _barrier(delta @ layer.transposed)
        if x is not inputs[0]:
            delta = jnp.where(x > 0, delta, 0.0)

    channels, height, width, batch = pooled_shape
    delta = delta.T.reshape(height, width, channels, batch).transpose(2, 0, 1, 3)
    for i in reversed(range(net.num_convs)):
        below = saved[i - 1].output.shape if i else None
        kernel, bias, delta = _conv_gradient(net, layers[i], saved[i], delta, below)
        grads += [kernel, bias]
    return grads[::-1]


def gradients(
    net: Net, layers: tuple[Layer, ...], images: jax.Array, labels: jax.Array, num_params: int
) -> jax.Array:
    """Returns the gradient of every seller at one shared theta.

    Args:
        net: static.
        layers: from `layers`.
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
    return jax.lax.scan(step, empty, (jnp.arange(num_sellers), images, labels))[0]


def _flatten(x: jax.Array) -> jax.Array:
    """Returns [B, H * W * Ch] of [Ch, H, W, B]: the order of the NHWC definition."""
    return x.transpose(3, 1, 2, 0).reshape(x.shape[3], -1)


def _patches(x: jax.Array, side: int) -> jax.Array:
    """Returns the windows of [Ch, H, W, B] as [side * side * Ch, h * w * B].

    Windows that only a dropped odd row or column of the pooling would read are left out: h and
    w are even. Rows are in the order of an HWIO kernel.
    """
    channels, height, width, batch = x.shape
    rows, cols = (height - side + 1) // 2 * 2, (width - side + 1) // 2 * 2
    x = x.reshape(channels, height, width * batch)  # long contiguous runs
    # The barriers keep XLA from merging the slices into one loop with a branch per element.
    columns = [x[:, :, j * batch : (j + cols) * batch] for j in range(side)]
    x = jnp.concatenate(_barrier(columns)).reshape(side * channels, height * cols * batch)
    line = cols * batch
    windows = [x[:, i * line : (i + rows) * line] for i in range(side)]
    return jnp.concatenate(_barrier(windows))


def _conv(net: Net, layer: Layer, x: jax.Array) -> _Saved:
    """Convolution, 2 x 2 max pooling, bias and relu of [Ch, H, W, B].

    The bias comes after the maximum, with which it commutes exactly.
    """
    if net.pad:
        x = jnp.pad(x, ((0, 0), (net.pad, net.pad), (net.pad, net.pad), (0, 0)))
    batch = x.shape[3]
    rows, cols = ((n - net.kernel + 1) // 2 for n in x.shape[1:3])
    patches = _patches(x, net.kernel)
    before = layer.transposed @ patches
    # A reduction, not four maxima: XLA would recompute those in every reader.
    pooled = before.reshape(-1, rows, 2, cols, 2, batch).max(axis=(2, 4))
    output = jax.nn.relu(pooled + layer.bias[:, None, None, None])
    return _Saved(patches, before, pooled, output)


def _conv_gradient(
    net: Net, layer: Layer, saved: _Saved, delta: jax.Array, below: tuple[int, ...] | None
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Returns the gradients of kernel [K, Out], bias [Out] and input (shape `below`, if any)."""
    out, rows, cols, batch = saved.pooled.shape
    windows = saved.before.reshape(out, rows, 2, cols, 2, batch)
    delta = jnp.where(saved.output > 0, delta, 0.0)
    bias = delta.sum((1, 2, 3))
    is_max = [windows[:, :, i, :, j] == saved.pooled for i in (0, 1) for j in (0, 1)]
    delta = delta / sum(hit.astype(jnp.float32) for hit in is_max)
    is_max_of = windows == saved.pooled[:, :, None, :, None]
    delta = jnp.where(is_max_of, delta[:, :, None, :, None], 0.0).reshape(out, -1)
    kernel = _barrier(delta @ saved.patches.T).T
    if below is None:
        return kernel, bias, delta
    full = _fold(layer.kernel @ delta, net.kernel, (below[0], 2 * rows, 2 * cols, batch))
    return kernel, bias, _crop(full, net.pad, below)


def _fold(patches: jax.Array, side: int, shape: tuple[int, int, int, int]) -> jax.Array:
    """Adds windows back to where they came from: the adjoint of `_patches`.

    Args:
        patches: [side * side * Ch, h * w * B].
        side: of the window.
        shape: (Ch, h, w, B).

    Returns:
        [Ch, h + side - 1, w + side - 1, B].
    """
    channels, rows, cols, batch = shape
    spare = side - 1
    windows = patches.reshape(side, side, channels, rows, cols * batch)
    windows = _barrier(
        sum(jnp.pad(windows[i], (*_NONE, *_NONE, (i, spare - i), *_NONE)) for i in range(side))
    )
    image = sum(
        jnp.pad(windows[j], (*_NONE, *_NONE, (j * batch, (spare - j) * batch))) for j in range(side)
    )
    return jnp.reshape(image, (channels, rows + spare, cols + spare, batch))


def _crop(image: jax.Array, pad: int, shape: tuple[int, ...]) -> jax.Array:
    """Cuts the padding off and fills up the odd row or column that `_patches` left out."""
    missing = [(0, max(0, n + 2 * pad - m)) for n, m in zip(shape[1:3], image.shape[1:3])]
    image = jnp.pad(image, ((0, 0), *missing, (0, 0)))
    return image[:, pad : pad + shape[1], pad : pad + shape[2]]
