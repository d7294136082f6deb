"""Convolution with fewer multiplications: Toom-Cook along the width, matmuls across the rest.

m neighbouring outputs of a correlation with r taps need m r multiplications, or m + r - 1 when both
sides are first turned into values of polynomials at m + r - 1 points:

    y = A' [(G g) * (B' d)]       d: m + r - 1 inputs, g: r taps, y: m outputs

Here m = 4, so 8 multiplications instead of 20 for r = 5. Along the height taps are gathered as
usual: every point is one matmul [Out, r Ch] @ [r Ch, tiles h B], and 2.5 times fewer patches are
copied than for r x r windows. In float32 the result is about twice as far from the exact one as
that of a direct convolution (relative 7e-7 against 4e-7 on the MNIST net): the transform is along
one axis only and its rows are balanced.

Source: Winograd 1980; Lavin and Gray 2016 (Fast algorithms for convolutional neural networks) for
the form; Barabasz et al. 2020 for the points and their accuracy. Read first: `batch_minor.py`.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from d2m_jax.tasks.windows import share_among_maxima

OUTPUTS = 4  # m, an even number: pooling halves it
POINTS = (0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5)  # and infinity: enough for kernels up to 5 x 5
LARGEST_KERNEL = len(POINTS) + 2 - OUTPUTS


class Matrices(NamedTuple):
    """The transforms; n = m + r - 1 points."""

    outputs: Any  # A' [m, n]
    taps: Any  # G [n, r]
    inputs: Any  # B' [n, n]


class Conv(NamedTuple):
    """Transformed parameters in both orders, so that no matmul has to transpose."""

    bias: jax.Array  # [Out]
    values: jax.Array  # [n, Out, r * Ch]
    transposed: jax.Array  # [n, r * Ch, Out]


class Saved(NamedTuple):
    """What the backward pass needs."""

    patches: jax.Array  # [n, r * Ch, tiles * h * B]
    before: jax.Array  # [m / 2, 2, Out, tiles, h / 2, 2, B] before pooling, without bias
    pooled: jax.Array  # [m / 2, Out, tiles, h / 2, B]


@functools.cache
def matrices(taps: int) -> Matrices:
    """Returns the transforms for correlations with `taps` taps (numpy, computed in float64).

    A point p stands for the value of a polynomial at p; the last one, at infinity, for its leading
    coefficient. The rows of G and B' are scaled to equal largest entries, which keeps the
    intermediate numbers of one size.
    """
    count = OUTPUTS + taps - 1
    points = POINTS[: count - 1]
    outputs, kernel, inputs = np.zeros((OUTPUTS, count)), np.zeros((count, taps)), np.eye(count)
    for i, point in enumerate(points):
        others = np.poly([p for p in points if p != point])  # highest power first
        scale = np.polyval(others, point)
        outputs[:, i] = point ** np.arange(OUTPUTS)
        kernel[i] = point ** np.arange(taps) / scale
        inputs[i, : count - 1] = others[::-1]
        inputs[i, count - 1] = 0.0
    outputs[-1, -1] = kernel[-1, -1] = 1.0
    inputs[-1] = np.poly(points)[::-1]
    balance = np.sqrt(np.abs(kernel).max(1) / np.abs(inputs).max(1))[:, None]
    return Matrices(*(a.astype(np.float32) for a in (outputs, kernel / balance, inputs * balance)))


def prepare(bias: jax.Array, kernel: jax.Array) -> Conv:
    """Transforms a kernel [r, r, Ch, Out]."""
    height, width, channels, out = kernel.shape
    values = jnp.einsum("nj,ijco->noic", matrices(width).taps, kernel)
    values = values.reshape(-1, out, height * channels)
    return Conv(bias, values, values.swapaxes(1, 2))


def forward(conv: Conv, x: jax.Array, side: int) -> tuple[jax.Array, Saved]:
    """Convolution, 2 x 2 max pooling, bias and relu.

    Args:
        conv: from `prepare`.
        x: [Ch, H, W, B], padded if so wanted.
        side: r, of the square kernel.

    Returns:
        [Out, (H - r + 1) // 2, (W - r + 1) // 2, B] and what the gradient needs.
    """
    channels, height, width, batch = x.shape
    rows, cols = (height - side + 1) // 2 * 2, (width - side + 1) // 2
    tiles = -(-2 * cols // OUTPUTS)
    matrix = _device(side)
    count, out = matrix.inputs.shape[0], conv.bias.shape[0]
    parts = _tiles(x, count, tiles)  # n, Ch, tiles, H, B
    values = (matrix.inputs @ parts.reshape(count, -1)).reshape(count, channels, tiles, -1)
    taps = [values[..., i * batch : (i + rows) * batch] for i in range(side)]
    patches = jnp.concatenate(taps, axis=1).reshape(count, side * channels, -1)
    products = _matmuls(conv.values, patches)
    before = matrix.outputs @ products.reshape(count, -1)
    before = before.reshape(OUTPUTS // 2, 2, out, tiles, rows // 2, 2, batch)
    pooled = before.max(axis=(1, 5))
    output = jax.nn.relu(pooled + _column(conv.bias))
    output = output.transpose(1, 3, 2, 0, 4).reshape(out, rows // 2, -1, batch)
    return output[:, :, :cols], Saved(patches, before, pooled)


def gradient(
    conv: Conv, saved: Saved, delta: jax.Array, side: int, below: tuple[int, ...]
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Returns the gradients of bias [Out], kernel [r, r, Ch, Out] and input [Ch, H, W, B].

    Args:
        conv: from `prepare`.
        saved: from `forward`.
        delta: [Out, h, w, B] gradient of the output.
        side: r.
        below: (Ch, H, W, B), the shape of the input.
    """
    matrix = _device(side)
    halves, out, tiles, half_rows, batch = saved.pooled.shape
    channels, height = below[:2]
    delta = jnp.pad(delta, ((0, 0), (0, 0), (0, halves * tiles - delta.shape[2]), (0, 0)))
    delta = delta.reshape(out, half_rows, tiles, halves, batch).transpose(3, 0, 2, 1, 4)
    delta = jnp.where(saved.pooled + _column(conv.bias) > 0, delta, 0.0)
    bias = delta.sum((0, 2, 3, 4))
    delta = share_among_maxima(saved.before, saved.pooled, delta, axes=(1, 5))

    count = matrix.inputs.shape[0]
    products = (matrix.outputs.T @ delta.reshape(OUTPUTS, -1)).reshape(count, out, -1)
    values = _matmuls(products, saved.patches.swapaxes(1, 2)).reshape(count, out, side, channels)
    kernel = jnp.einsum("nj,noic->ijco", matrix.taps, values)

    patches = _matmuls(conv.transposed, products)
    taps = patches.reshape(count, side, channels, tiles, 2 * half_rows * batch)
    spare = height - 2 * half_rows
    values = jnp.zeros((), taps.dtype)
    for i in range(side):
        around = ((0, 0), (0, 0), (0, 0), (i * batch, (spare - i) * batch))
        values = jnp.pad(taps[:, i], around) + values
    parts = matrix.inputs.T @ values.reshape(count, -1)
    return bias, kernel, _untile(parts.reshape(count, channels, tiles, height, batch), below[2])


def _device(taps: int) -> Matrices:
    return Matrices(*(jnp.asarray(a) for a in matrices(taps)))


def _column(bias: jax.Array) -> jax.Array:
    """[Out] along the outputs of `Saved.pooled`."""
    return bias[None, :, None, None, None]


def _matmuls(a: jax.Array, b: jax.Array) -> jax.Array:
    """[n, I, K] @ [n, K, J]."""
    return jax.lax.dot_general(a, b, (((2,), (1,)), ((0,), (0,))))


def _tiles(x: jax.Array, count: int, tiles: int) -> jax.Array:
    """Cuts [Ch, H, W, B] into tiles of `count` columns, OUTPUTS apart: [n, Ch, tiles, H, B]."""
    channels, height, width, batch = x.shape
    overlap = -(-count // OUTPUTS)  # blocks of OUTPUTS columns that a tile reaches into
    blocks = tiles + overlap - 1
    x = jnp.pad(x, ((0, 0), (0, 0), (0, max(0, blocks * OUTPUTS - width)), (0, 0)))
    x = x[:, :, : blocks * OUTPUTS].reshape(channels, height, blocks, OUTPUTS, batch)
    x = x.transpose(3, 0, 2, 1, 4)  # column in its block, Ch, blocks, H, B
    parts = [x[: count - i * OUTPUTS, :, i : i + tiles] for i in range(overlap)]
    return jnp.concatenate(parts)


def _untile(parts: jax.Array, width: int) -> jax.Array:
    """Adds tiles back to where they came from: the adjoint of `_tiles`."""
    count, channels, tiles, height, batch = parts.shape
    overlap = -(-count // OUTPUTS)
    blocks = tiles + overlap - 1
    none = (0, 0)
    total = jnp.zeros((OUTPUTS, channels, blocks, height, batch), parts.dtype)
    for i in range(overlap):
        part = parts[i * OUTPUTS : (i + 1) * OUTPUTS]
        lack = OUTPUTS - part.shape[0]
        total += jnp.pad(part, ((0, lack), none, (i, overlap - 1 - i), none, none))
    image = total.transpose(1, 3, 2, 0, 4).reshape(channels, height, blocks * OUTPUTS, batch)
    image = jnp.pad(image, (none, none, (0, max(0, width - blocks * OUTPUTS)), none))
    return image[:, :, :width]
