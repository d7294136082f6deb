"""Moments of training inputs, for `Dataset.stats`. Read next: `raw.py`, `arrays.py`."""

import numpy as np


def moments(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns mean and standard deviation [Ch] float32 per channel, exact from histograms.

    A channel that never varies gets standard deviation 1.

    Args:
        images: [T, H, W, Ch] uint8.
    """
    levels = np.arange(256, dtype=np.float64)
    counts = np.zeros((images.shape[-1], 256))
    for start in range(0, len(images), 4096):  # bincount copies its argument to int64
        for channel in range(images.shape[-1]):
            block = images[start : start + 4096, ..., channel]
            counts[channel] += np.bincount(block.ravel(), minlength=256)
    shares = counts / counts.sum(1, keepdims=True)
    mean = shares @ levels
    variance = (shares * (levels - mean[:, None]) ** 2).sum(1)
    std = np.sqrt(np.where(variance > 0, variance, 1.0))
    return mean.astype(np.float32), std.astype(np.float32)


def column_moments(inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns mean and standard deviation [F] float32 along the last axis, in float64.

    A column that never varies gets standard deviation 1.

    Args:
        inputs: [T, ..., F] numbers.
    """
    flat = inputs.reshape(-1, inputs.shape[-1])
    mean = flat.mean(0, dtype=np.float64)
    std = np.sqrt(((flat - mean) ** 2).mean(0))
    std = np.where(flat.max(0) > flat.min(0), std, 1.0)
    return mean.astype(np.float32), std.astype(np.float32)
