"""The first convolution with its pooling: one matmul per window of four outputs.

A 2 x 2 pooling window of a k x k convolution reads (k + 1) x (k + 1) pixels. The kernel is moved to
the four places inside that window and padded with zeros, so one matmul gives the four outputs of
every window as four blocks of rows: there are 2.8 times fewer patches to copy (k = 5), and pooling
compares whole blocks. That costs (1 + 1/k)^2 times the multiplications, which does not matter where
there are few input channels. No gradient of the input. Read first: `batch_minor.py`.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from d2m_jax.tasks.windows import share_among_maxima

PLACES = ((0, 0), (0, 1), (1, 0), (1, 1))


class FirstConv(NamedTuple):
    """Parameters as the matmul wants them."""

    bias: jax.Array  # [Out]
    spread: jax.Array  # [4 * Out, (k + 1)^2 * Ch]


class Saved(NamedTuple):
    """What the backward pass needs."""

    patches: jax.Array  # [(k + 1)^2 * Ch, h * w * B]
    before: jax.Array  # [4, Out, h * w * B] the four outputs of each window, without bias
    pooled: jax.Array  # [Out, h * w * B] their maxima


def prepare(bias: jax.Array, kernel: jax.Array) -> FirstConv:
    """Spreads a kernel [k, k, Ch, Out] over the four places in a pooling window."""
    spread = [
        jnp.pad(kernel, ((i, 1 - i), (j, 1 - j), (0, 0), (0, 0))).reshape(-1, kernel.shape[3])
        for i, j in PLACES
    ]
    return FirstConv(bias, jnp.concatenate(spread, axis=1).T)


def forward(conv: FirstConv, images: jax.Array, side: int) -> tuple[jax.Array, Saved]:
    """Convolution, 2 x 2 max pooling, bias and relu.

    Args:
        conv: from `prepare`.
        images: [Ch, H, W, B], padded if so wanted.
        side: k.

    Returns:
        [Out, (H - k + 1) // 2, (W - k + 1) // 2, B] and what the gradient needs.
    """
    _, height, width, batch = images.shape
    rows, cols = (height - side + 1) // 2, (width - side + 1) // 2
    patches = _patches(images, side, rows, cols)
    before = (conv.spread @ patches).reshape(4, -1, rows * cols * batch)
    # Whole blocks: XLA's reduction over a leading axis of four is several times slower on CPUs.
    pooled = jnp.maximum(jnp.maximum(before[0], before[1]), jnp.maximum(before[2], before[3]))
    output = jax.nn.relu(pooled + conv.bias[:, None]).reshape(-1, rows, cols, batch)
    return output, Saved(patches, before, pooled)


def gradient(
    conv: FirstConv, saved: Saved, delta: jax.Array, side: int
) -> tuple[jax.Array, jax.Array]:
    """Returns the gradients of bias [Out] and kernel [k, k, Ch, Out].

    Args:
        conv: from `prepare`.
        saved: from `forward`.
        delta: [Out, h, w, B] gradient of the output.
        side: k.
    """
    delta = delta.reshape(saved.pooled.shape)
    delta = jnp.where(saved.pooled + conv.bias[:, None] > 0, delta, 0.0)
    bias = delta.sum(axis=1)
    delta = share_among_maxima(saved.before, saved.pooled, delta, axes=(0,))
    spread = delta.reshape(-1, delta.shape[2]) @ saved.patches.T  # [4 * Out, (k + 1)^2 * Ch]
    spread = spread.reshape(4, bias.shape[0], side + 1, side + 1, -1)
    own = [spread[p, :, i : i + side, j : j + side] for p, (i, j) in enumerate(PLACES)]
    return bias, jnp.moveaxis(own[0] + own[1] + own[2] + own[3], 0, 3)


def _patches(images: jax.Array, side: int, rows: int, cols: int) -> jax.Array:
    """Returns the windows of (k + 1)^2 pixels at every second place: [(k + 1)^2 Ch, h w B]."""
    channels, _, _, batch = images.shape
    reach = (side + 2) // 2  # pairs of pixels that a window spans
    images = images[:, : 2 * (rows + reach - 1), : 2 * (cols + reach - 1)]
    missing = [(0, 2 * (n + reach - 1) - m) for n, m in zip((rows, cols), images.shape[1:3])]
    images = jnp.pad(images, ((0, 0), *missing, (0, 0)))
    pairs = images.reshape(channels, rows + reach - 1, 2, cols + reach - 1, 2, batch)
    pairs = pairs.transpose(2, 4, 0, 1, 3, 5)  # row parity, column parity, Ch, H / 2, W / 2, B
    columns = [pairs[:, j % 2, :, :, j // 2 : j // 2 + cols] for j in range(side + 1)]
    by_column = jnp.stack(columns, axis=1)  # row parity, k + 1, Ch, H / 2, w, B
    windows = [by_column[i % 2, :, :, i // 2 : i // 2 + rows] for i in range(side + 1)]
    return jnp.stack(windows).reshape(-1, rows * cols * batch)
