"""The way through TensorFlow Datasets, for data sets whose archives the user does not have.

Reading a set that TFDS has *prepared* as array_record needs no TensorFlow (`data_source`);
preparing one, or reading one prepared as tfrecord, does. This file is the only one that may
import either, and only when called.
Not here: who decides that TFDS is asked at all (`sources.py`).
"""

from __future__ import annotations

import contextlib
import importlib.util
import pathlib
from typing import TYPE_CHECKING, Any

import numpy as np

from d2m_jax.core.dataset import DataError, Dataset
from d2m_jax.data.arrays import from_arrays
from d2m_jax.data.cache import cached
from d2m_jax.data.frame import check_column, from_frame
from d2m_jax.data.paths import Folder, at_home
from d2m_jax.data.raw import OFFICIAL, ImageArrays

if TYPE_CHECKING:
    import pandas as pd

_FORMAT = "array_record"  # the one with random access, which `data_source` needs
_SPLITS = ("train", "test")


def read_tfds(name: str, data_dir: pathlib.Path | None, copies: pathlib.Path | None) -> ImageArrays:
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
        raise DataError(_why(error)) from error


def from_tfds(
    name: str,
    data_dir: Folder | None = None,
    *,
    label: str = "label",
    client: str | None = None,
    test: float = 0.2,
    seed: int = 0,
) -> Dataset:
    """Makes a data set of any TFDS set that has a split "train", by its name in TFDS.

    A set with one array beside its label (images) goes through `from_arrays`, any other through
    `from_frame` with a column for each feature, text included. Its split "test" is the test; where
    there is none, a share of the training set.

    Args:
        name: in TFDS, also with configuration and version ("glue/sst2:2.0.0").
        data_dir: TFDS's own folder; None for its default.
        label: the feature that is the label.
        client: the feature that says to whom an example belongs by nature.
        test: the share of the test, where the set has none.
        seed: of the split.

    Raises:
        DataError: TFDS cannot help, or a feature is no array, number or text.
    """
    if importlib.util.find_spec("tensorflow_datasets") is None:
        raise DataError(f"no data for {name!r}: the package tensorflow-datasets is not installed")
    try:
        builder = _prepared(name, None if data_dir is None else at_home(data_dir))
        splits = [_features(builder, split) for split in _SPLITS if split in builder.info.splits]
        known = builder.info.features
        names = list(getattr(known[label], "names", None) or ()) if label in known else []
    except DataError as error:
        raise DataError(f"no data for {name!r}: {error}") from None
    except Exception as error:  # see `read_tfds`
        raise DataError(f"no data for {name!r}: {_why(error)}") from error
    for features in splits:
        for key in (label,) if client is None else (label, client):
            check_column(key, features, name)
    inputs = [key for key in splits[0] if key not in (label, client)]
    if len(inputs) == 1 and splits[0][inputs[0]].ndim > 1:
        pairs = [(features[inputs[0]], features[label]) for features in splits]
        return from_arrays(
            *pairs[0],
            test=pairs[1] if len(pairs) > 1 else test,
            clients=None if client is None else _decoded(splits[0][client]),
            name=name,
            class_names=names or None,
            seed=seed,
        )
    frames = [_frame(features, name) for features in splits]
    own = frames[1] if len(frames) > 1 else test
    dataset = from_frame(frames[0], label, client=client, test=own, seed=seed, name=name)
    whole = dataset.class_names == tuple(str(k) for k in range(len(names)))
    return dataset._replace(class_names=tuple(names)) if names and whole else dataset


def _features(builder: Any, split: str) -> dict[str, np.ndarray]:
    """Returns every feature of a split as an array [T, ...]; text stays bytes, in objects."""
    suffix = builder.info.file_format.file_suffix
    if suffix == _FORMAT:
        rows = list(builder.as_data_source(split=split))
        return {key: np.array([row[key] for row in rows]) for key in rows[0]}
    import tensorflow_datasets as tfds

    _require_tensorflow(f"it is prepared in {builder.data_path} as {suffix}, and reading that")
    return dict(tfds.as_numpy(builder.as_dataset(split=split, batch_size=-1)))


def _frame(features: dict[str, np.ndarray], name: str) -> pd.DataFrame:
    import pandas as pd

    columns: dict[str, np.ndarray] = {}
    for key, values in features.items():
        values = _decoded(values)
        if values.ndim > 2:
            raise DataError(f"{name}: feature {key!r} has shape {values.shape[1:]}, no column")
        wide = (
            {f"{key} {k}": values[:, k] for k in range(values.shape[1])} if values.ndim > 1 else {}
        )
        columns |= wide or {key: values}
    return pd.DataFrame(columns)


def _decoded(values: np.ndarray) -> np.ndarray:
    if values.dtype.kind not in "OS":
        return values
    texts = [v.decode("utf-8", "replace") if isinstance(v, bytes) else v for v in values.tolist()]
    return np.array(texts, object)


def _why(error: Exception) -> str:
    first_line = (str(error).splitlines() or [""])[0]
    return f"it failed with {type(error).__name__}: {first_line[:200]}"


def _prepared(name: str, data_dir: pathlib.Path | None) -> Any:
    import tensorflow_datasets as tfds

    builder = tfds.builder(name, data_dir=data_dir)  # whatever format is there
    if not builder.is_prepared():
        builder = tfds.builder(name, data_dir=data_dir, file_format=_FORMAT)
        _require_tensorflow(f"it is not prepared in {builder.data_path}, and preparing it")
        builder.download_and_prepare()
    return builder


def _read(name: str, builder: Any) -> ImageArrays:
    if builder.info.file_format.file_suffix == _FORMAT:
        splits = [_stack(builder.as_data_source(split=split)) for split in _SPLITS]
    else:
        import tensorflow_datasets as tfds

        suffix = builder.info.file_format.file_suffix
        _require_tensorflow(f"it is prepared in {builder.data_path} as {suffix}, and reading that")
        whole = [tfds.as_numpy(builder.as_dataset(split=split, batch_size=-1)) for split in _SPLITS]
        splits = [(batch["image"], batch["label"].astype(np.int32)) for batch in whole]
    return ImageArrays(name, *splits[0], *splits[1], OFFICIAL[name].class_names)


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
