"""The way through TensorFlow Datasets, for data sets whose archives the user does not have.

Reading a set that TFDS has *prepared* as array_record needs no TensorFlow (`data_source`);
preparing one, or reading one prepared as tfrecord, does. This file is the only one that may
import either, and only when called.
Not here: who decides that TFDS is asked at all (`sources.py`).
"""

import contextlib
import importlib.util
import pathlib
from typing import Any

import numpy as np

from d2m_jax.data.cache import cached
from d2m_jax.data.raw import OFFICIAL, DataError, RawDataset

_FORMAT = "array_record"  # the one with random access, which `data_source` needs
_SPLITS = ("train", "test")


def read_tfds(name: str, data_dir: pathlib.Path | None, copies: pathlib.Path) -> RawDataset:
    """Reads `name` through TFDS, preparing (and downloading) it first where that is possible.

    TFDS keeps the images in an order of its own, so the same seed deals other images to a seller
    than with the official archives. Decoding takes 15 s for MNIST, hence the copy.

    Args:
        name: a TFDS image set with features "image" and "label".
        data_dir: TFDS's own folder; None for its default (`~/tensorflow_datasets`).
        copies: where a decoded copy is kept (`cache.py`).

    Raises:
        DataError: why it is not possible, as a clause that `sources.load` completes.
    """
    if importlib.util.find_spec("tensorflow_datasets") is None:
        raise DataError("the package tensorflow-datasets is not installed")
    try:
        builder = _prepared(name, data_dir)
        stamp = pathlib.Path(builder.data_path) / "dataset_info.json"
        return cached(stamp, f"tfds-{name}", lambda: _read(name, builder), copies)
    except DataError:
        raise
    except Exception as error:  # network, checksums, disk, formats: TFDS has no common base class
        first_line = (str(error).splitlines() or [""])[0]
        raise DataError(f"it failed with {type(error).__name__}: {first_line[:200]}") from error


def _prepared(name: str, data_dir: pathlib.Path | None) -> Any:
    import tensorflow_datasets as tfds

    builder = tfds.builder(name, data_dir=data_dir)  # whatever format is there
    if not builder.is_prepared():
        builder = tfds.builder(name, data_dir=data_dir, file_format=_FORMAT)
        _require_tensorflow(f"it is not prepared in {builder.data_path}, and preparing it")
        builder.download_and_prepare()
    return builder


def _read(name: str, builder: Any) -> RawDataset:
    if builder.info.file_format.file_suffix == _FORMAT:
        splits = [_stack(builder.as_data_source(split=split)) for split in _SPLITS]
    else:
        import tensorflow_datasets as tfds

        suffix = builder.info.file_format.file_suffix
        _require_tensorflow(f"it is prepared in {builder.data_path} as {suffix}, and reading that")
        whole = [tfds.as_numpy(builder.as_dataset(split=split, batch_size=-1)) for split in _SPLITS]
        splits = [(batch["image"], batch["label"].astype(np.int32)) for batch in whole]
    return RawDataset(name, *splits[0], *splits[1], OFFICIAL[name].class_names)


def _stack(source: Any) -> tuple[np.ndarray, np.ndarray]:
    images = np.empty((len(source), *source[0]["image"].shape), np.uint8)
    labels = np.empty(len(source), np.int32)
    for row, example in enumerate(source):
        images[row], labels[row] = example["image"], example["label"]
    return images, labels


def _require_tensorflow(what: str) -> None:
    if importlib.util.find_spec("tensorflow") is None:
        raise DataError(f"{what} needs the package tensorflow, which is not installed")
    import tensorflow as tf

    with contextlib.suppress(RuntimeError):  # the caller's own TensorFlow already runs
        tf.config.set_visible_devices([], "GPU")  # JAX needs the memory
