"""A data set as it lies on disk: arrays, their checks and what is known of the official ones.

Not here: reading files (`archives.py`, `digits.py`, `tfds.py`), choosing among them
(`sources.py`), dealing images to sellers (`federated.py`, `partition.py`).
"""

from typing import NamedTuple

import numpy as np


class DataError(ValueError):
    """Data that is missing, damaged or not what it claims to be; the message is one sentence."""


class RawDataset(NamedTuple):
    """Images and labels on the host, in the order of their source."""

    name: str
    train_images: np.ndarray  # [T, H, W, Ch] uint8
    train_labels: np.ndarray  # [T] int32
    test_images: np.ndarray  # [E, H, W, Ch] uint8
    test_labels: np.ndarray  # [E] int32
    class_names: tuple[str, ...]  # L names


class Official(NamedTuple):
    """What is known of a published data set, to recognise a wrong or damaged copy."""

    image_shape: tuple[int, int, int]
    train_counts: tuple[int, ...]  # images per class
    test_counts: tuple[int, ...]
    class_names: tuple[str, ...]


_DIGIT_NAMES = tuple("0123456789")

OFFICIAL = {
    "digits": Official(
        (8, 8, 1),
        (143, 146, 142, 147, 145, 146, 145, 144, 140, 144),
        (35, 36, 35, 36, 36, 36, 36, 35, 34, 36),
        _DIGIT_NAMES,
    ),
    "mnist": Official(
        (28, 28, 1),
        (5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949),
        (980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009),
        _DIGIT_NAMES,
    ),
    "fashion_mnist": Official(
        (28, 28, 1),
        (6000,) * 10,
        (1000,) * 10,
        (
            "T-shirt/top",
            "Trouser",
            "Pullover",
            "Dress",
            "Coat",
            "Sandal",
            "Shirt",
            "Sneaker",
            "Bag",
            "Ankle boot",
        ),
    ),
    "cifar10": Official(
        (32, 32, 3),
        (5000,) * 10,
        (1000,) * 10,
        (
            "airplane",
            "automobile",
            "bird",
            "cat",
            "deer",
            "dog",
            "frog",
            "horse",
            "ship",
            "truck",
        ),
    ),
}


def from_arrays(
    train_images: np.ndarray,
    train_labels: np.ndarray,
    test_images: np.ndarray,
    test_labels: np.ndarray,
    *,
    name: str = "custom",
    class_names: tuple[str, ...] | None = None,
) -> RawDataset:
    """Makes a data set of a user's own arrays, checked.

    Args:
        train_images: [T, H, W, Ch] or [T, H, W] uint8; grey images get a channel axis.
        train_labels: [T] integers in 0 .. L-1.
        test_images: [E, H, W, Ch] or [E, H, W] uint8, never used for training.
        test_labels: [E] integers.
        name: for messages and reports.
        class_names: L names; by default the numbers 0 .. largest label.

    Raises:
        DataError: an array has the wrong type, shape or range.
    """
    train_labels, test_labels = np.asarray(train_labels), np.asarray(test_labels)
    for split, labels in (("train", train_labels), ("test", test_labels)):
        if not np.issubdtype(labels.dtype, np.integer):
            raise DataError(f"{name}: {split} labels must be integers, not {labels.dtype}")
    if class_names is None:
        largest = max(train_labels.max(initial=0), test_labels.max(initial=0))
        class_names = tuple(str(label) for label in range(int(largest) + 1))
    raw = RawDataset(
        name,
        _with_channel(train_images),
        train_labels.astype(np.int32),
        _with_channel(test_images),
        test_labels.astype(np.int32),
        tuple(class_names),
    )
    check(raw)
    return raw


def _with_channel(images: np.ndarray) -> np.ndarray:
    images = np.asarray(images)
    return images[..., None] if images.ndim == 3 else images


def check(raw: RawDataset) -> None:
    """Raises DataError unless shapes, types and label ranges are as `RawDataset` says."""
    num_classes = len(raw.class_names)
    for split, images, labels in (
        ("train", raw.train_images, raw.train_labels),
        ("test", raw.test_images, raw.test_labels),
    ):
        what = f"{raw.name}: {split}"
        if images.dtype != np.uint8:
            raise DataError(f"{what} images must be uint8 (0 to 255), not {images.dtype}")
        if images.ndim != 4:
            raise DataError(f"{what} images must be [T, H, W, Ch], not of shape {images.shape}")
        if 0 in images.shape:
            raise DataError(f"{what} images are empty: shape {images.shape}")
        if labels.shape != images.shape[:1]:
            raise DataError(
                f"{what} has {len(images)} images but labels of shape {labels.shape}; "
                "there must be one label an image"
            )
        if not np.issubdtype(labels.dtype, np.integer):
            raise DataError(f"{what} labels must be integers, not {labels.dtype}")
        if labels.min() < 0 or labels.max() >= num_classes:
            raise DataError(
                f"{what} labels run from {labels.min()} to {labels.max()}, "
                f"but there are {num_classes} classes (0 to {num_classes - 1})"
            )
    if raw.train_images.shape[1:] != raw.test_images.shape[1:]:
        raise DataError(
            f"{raw.name}: train images are {raw.train_images.shape[1:]} "
            f"but test images {raw.test_images.shape[1:]}"
        )


def check_official(raw: RawDataset, where: str) -> None:
    """Raises DataError unless `raw` has the shape and label counts published for its name.

    Args:
        raw: what was read.
        where: the file or folder it came from, for the message.
    """
    check(raw)
    known = OFFICIAL[raw.name]
    for split, images, labels, counts in (
        ("train", raw.train_images, raw.train_labels, known.train_counts),
        ("test", raw.test_images, raw.test_labels, known.test_counts),
    ):
        if images.shape != (sum(counts), *known.image_shape):
            raise DataError(
                f"{where} is not the official {raw.name}: {split} images have shape "
                f"{images.shape} instead of {(sum(counts), *known.image_shape)}"
            )
        found = np.bincount(labels, minlength=len(counts))
        if tuple(found.tolist()) != counts:
            raise DataError(
                f"{where} is not the official {raw.name}: {split} images per class are "
                f"{found.tolist()} instead of {list(counts)}"
            )
