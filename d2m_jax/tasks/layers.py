"""Convolution as one matmul and max pooling by reshape: fast on CPUs, also under `vmap`.

Read next: `cnn.py`.
"""

from typing import Any

import jax
import jax.numpy as jnp


def im2col(images: jax.Array, kernel: tuple[int, int]) -> jax.Array:
    """Returns the patches under a sliding window, stride 1, no padding.

    Args:
        images: [..., H, W, Ch].
        kernel: window height and width (KH, KW).

    Returns:
        [..., H - KH + 1, W - KW + 1, KH * KW * Ch], in the order of an HWIO kernel.
    """
    rows, cols = images.shape[-3] - kernel[0] + 1, images.shape[-2] - kernel[1] + 1
    shifted = [
        images[..., i : i + rows, j : j + cols, :]
        for i in range(kernel[0])
        for j in range(kernel[1])
    ]
    return jnp.concatenate(shifted, axis=-1)


def conv_im2col(
    lhs: jax.Array,
    rhs: jax.Array,
    window_strides: tuple[int, int],
    padding: str,
    **unused: Any,
) -> jax.Array:
    """Stands in for `lax.conv_general_dilated` in `flax.linen.Conv`: stride 1, NHWC, HWIO.

    Same values and gradients as `lax.conv` up to rounding. Cost: KH * KW times the memory of
    the input for the patches.

    Args:
        lhs: [B, H, W, Ch] images.
        rhs: [KH, KW, Ch, Out] kernel.
        window_strides: (1, 1).
        padding: "VALID" or "SAME" (odd kernels).
        unused: what linen passes on and a plain convolution does not need.
    """
    del unused
    if tuple(window_strides) != (1, 1):
        raise ValueError(f"conv_im2col has stride 1 only, not {tuple(window_strides)}")
    height, width, channels, out = rhs.shape
    if padding == "SAME":
        pad = ((0, 0), (height // 2, height // 2), (width // 2, width // 2), (0, 0))
        lhs = jnp.pad(lhs, pad)
    elif padding != "VALID":
        raise ValueError(f"conv_im2col knows VALID and SAME padding, not {padding!r}")
    return im2col(lhs, (height, width)) @ rhs.reshape(height * width * channels, out)


def max_pool(images: jax.Array) -> jax.Array:
    """Returns the maximum over 2 x 2 windows; an odd last row or column is dropped.

    Args:
        images: [..., H, W, Ch].

    Returns:
        [..., H // 2, W // 2, Ch].
    """
    *lead, height, width, channels = images.shape
    even = images[..., : height // 2 * 2, : width // 2 * 2, :]
    return even.reshape(*lead, height // 2, 2, width // 2, 2, channels).max(axis=(-4, -2))
