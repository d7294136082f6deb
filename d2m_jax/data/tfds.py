"""The way through TensorFlow Datasets, for data sets whose archives the user does not have.

Reading a set that TFDS has *prepared* needs no TensorFlow (`tfds.data_source`); preparing one
does. This file is the only one that may import either, and only when called.
Not here: who decides that TFDS is asked at all (`sources.py`).
"""

import importlib.util
import pathlib

import numpy as np

from d2m_jax.data.raw import OFFICIAL, DataError, RawDataset

_FORMAT = "array_record"  # the one with random access, which `data_source` needs


def read_tfds(name: str, data_dir: pathlib.Path | None = None) -> RawDataset:
    """Reads `name` through TFDS, preparing (and downloading) it first where that is possible.

    Args:
        name: a TFDS image set with features "image" and "label".
        data_dir: TFDS's own folder; None for its default (`~/tensorflow_datasets`).

    Raises:
        DataError: why it is not possible, as a clause that `sources.load` completes.
    """
    if importlib.util.find_spec("tensorflow_datasets") is None:
        raise DataError("the package tensorflow-datasets is not installed")
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise DataError(f"the package tensorflow-datasets cannot be imported ({error})") from error

    builder = tfds.builder(name, data_dir=data_dir, file_format=_FORMAT)
    if not builder.is_prepared():
        _prepare(builder)
    train, test = (builder.as_data_source(split=split) for split in ("train", "test"))
    return RawDataset(
        name,
        *_stack(train),
        *_stack(test),
        OFFICIAL[name].class_names,
    )


def _prepare(builder) -> None:  # type: ignore[no-untyped-def]  # TFDS is imported lazily
    if importlib.util.find_spec("tensorflow") is None:
        raise DataError(
            f"TFDS has not prepared it in {builder.data_path}, and preparing needs the package "
            "tensorflow"
        )
    import tensorflow as tf

    tf.config.set_visible_devices([], "GPU")  # JAX needs the memory
    try:
        builder.download_and_prepare()
    except Exception as error:  # network, checksums, disk: TFDS has no common base class
        first_line = (str(error).splitlines() or [""])[0]
        raise DataError(
            f"TFDS could not prepare it ({type(error).__name__}: {first_line})"
        ) from error


def _stack(source) -> tuple[np.ndarray, np.ndarray]:  # type: ignore[no-untyped-def]
    images = np.empty((len(source), *source[0]["image"].shape), np.uint8)
    labels = np.empty(len(source), np.int32)
    for row, example in enumerate(source):
        images[row], labels[row] = example["image"], example["label"]
    return images, labels
