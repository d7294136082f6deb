"""Sets of images as they lie on disk: arrays, their checks, what is known of the official ones.

Not here: reading files (`archives.py`, `digits.py`, `tfds.py`), choosing among them
(`sources.py`), a user's own arrays (`arrays.py`).
"""

from typing import NamedTuple

import numpy as np

from d2m_jax.core.dataset import DataError, Dataset
from d2m_jax.data.moments import moments


class ImageArrays(NamedTuple):
    """What the readers of images return: uint8 images and labels, in the order of their source."""

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


def images_dataset(raw: ImageArrays) -> Dataset:
    """Returns the data set of images and class labels, checked.

    Args:
        raw: uint8 images [T, H, W, Ch] and labels [T] in 0 .. L-1, of training and test.

    Returns:
        A `Dataset` of kind "images"; its strata are the labels, its `stats` the mean and the
        standard deviation [Ch] float32 of the raw training values. The arrays are not copied.

    Raises:
        DataError: an array has the wrong type, shape or range.
    """
    check(raw)
    mean, std = moments(raw.train_images)
    return Dataset(
        name=raw.name,
        train={"inputs": raw.train_images, "labels": raw.train_labels},
        test={"inputs": raw.test_images, "labels": raw.test_labels},
        kind="images",
        class_names=raw.class_names,
        strata=raw.train_labels,
        stats={"mean": mean, "std": std},
    )


def check(raw: ImageArrays) -> None:
    """Raises DataError unless shapes, types and label ranges are as `ImageArrays` says."""
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


def check_official(raw: ImageArrays, where: str) -> None:
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
