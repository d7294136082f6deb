"""`load`: a named data set from the first source that has it, never from another set.

Order: the official files in the user's folder, else TFDS. Small sets are built in.
Read next: `federated.py`, which deals a data set to sellers.
"""

import functools
import pathlib
from collections.abc import Callable

from d2m_jax.core.choices import lookup
from d2m_jax.core.dataset import DataError, Dataset
from d2m_jax.data import archives, cache, digits, tables, texts, tfds
from d2m_jax.data.paths import Folder, at_home
from d2m_jax.data.raw import ImageArrays, check_official, images_dataset

Reader = Callable[[pathlib.Path | None, pathlib.Path | None], Dataset]
ImageReader = Callable[[pathlib.Path | None, pathlib.Path | None], tuple[ImageArrays, str]]


def load(name: str, data_dir: Folder | None = None, *, cache_dir: Folder | None = None) -> Dataset:
    """Loads a named data set, checked against its published shapes and label counts.

    Looks for the official files in `<data_dir>/<name>/`, then in `data_dir` itself; when there are
    none, the large sets of images go through TFDS (its folder: `data_dir`, else its default).

    Args:
        name: in `SOURCES`: images ("digits", "mnist", "fashion_mnist", "cifar10"), tables
            ("breast_cancer", "wine", "diabetes", "heart_disease"), texts ("shakespeare", "trec").
        data_dir: folder of archives; not needed for "digits", "breast_cancer", "wine" and
            "diabetes".
        cache_dir: where decoded copies of slow archives are kept (CIFAR-10, 184 MB); default
            `$D2M_CACHE_DIR`, else `~/.cache/d2m_jax`. An unwritable folder only means no copy.

    Returns:
        The data on the host: 55 MB for (Fashion-)MNIST, 184 MB for CIFAR-10.

    Raises:
        ValueError: the name is unknown.
        DataError: no source has it, or the file that should is damaged.
    """
    reader = lookup(SOURCES, name, "data set")
    folder = None if data_dir is None else at_home(data_dir)
    if folder is not None and not folder.is_dir():
        raise DataError(f"the data folder {folder} does not exist")
    return reader(folder, cache.default_folder() if cache_dir is None else at_home(cache_dir))


def _official(
    read: ImageReader, folder: pathlib.Path | None, copies: pathlib.Path | None
) -> Dataset:
    raw, where = read(folder, copies)
    check_official(raw, where)
    return images_dataset(raw)


def _digits(folder: pathlib.Path | None, copies: pathlib.Path | None) -> tuple[ImageArrays, str]:
    del folder, copies  # inside the scikit-learn wheel
    return digits.read_digits(), "scikit-learn's load_digits"


def _idx(
    name: str, folder: pathlib.Path | None, copies: pathlib.Path | None
) -> tuple[ImageArrays, str]:
    found = [] if folder is None else archives.find(name, folder, archives.IDX_FILES)
    if found:
        return archives.read_idx_dataset(name, found[0].parent), str(found[0].parent)
    return _through_tfds(name, folder, copies, "the four files " + ", ".join(archives.IDX_FILES))


def _cifar10(folder: pathlib.Path | None, copies: pathlib.Path | None) -> tuple[ImageArrays, str]:
    found = [] if folder is None else archives.find("cifar10", folder, archives.CIFAR_FILES)
    if found:
        return (
            cache.cached(found[0], found[0].name, lambda: archives.read_cifar10(found[0]), copies),
            str(found[0]),
        )
    return _through_tfds("cifar10", folder, copies, " or ".join(archives.CIFAR_FILES))


def _through_tfds(
    name: str, folder: pathlib.Path | None, copies: pathlib.Path | None, files: str
) -> tuple[ImageArrays, str]:
    try:
        return tfds.read_tfds(name, folder, copies), "TFDS"
    except DataError as error:
        place = f"{folder / name}" if folder else f"<data_dir>/{name} and give that data_dir"
        raise DataError(
            f"no data for {name!r}: put {files} into {place}; or install tensorflow-datasets and "
            f"tensorflow, but TFDS could not help here: {error}"
        ) from error


def _embedded(name: str, folder: pathlib.Path | None, copies: pathlib.Path | None) -> Dataset:
    del folder, copies  # inside the scikit-learn wheel
    return tables.read_sklearn(name)


def _from_folder(
    name: str,
    read: Callable[[pathlib.Path], Dataset],
    folder: pathlib.Path | None,
    copies: pathlib.Path | None,
) -> Dataset:
    del copies  # read in less than a second
    if folder is None:
        raise DataError(
            f"no data for {name!r}: put its files into <data_dir>/{name} and give that data_dir"
        )
    return read(folder)


SOURCES: dict[str, Reader] = {
    "digits": functools.partial(_official, _digits),
    "mnist": functools.partial(_official, functools.partial(_idx, "mnist")),
    "fashion_mnist": functools.partial(_official, functools.partial(_idx, "fashion_mnist")),
    "cifar10": functools.partial(_official, _cifar10),
    "breast_cancer": functools.partial(_embedded, "breast_cancer"),
    "wine": functools.partial(_embedded, "wine"),
    "diabetes": functools.partial(_embedded, "diabetes"),
    "heart_disease": functools.partial(_from_folder, "heart_disease", tables.read_heart_disease),
    "shakespeare": functools.partial(_from_folder, "shakespeare", texts.read_shakespeare),
    "trec": functools.partial(_from_folder, "trec", texts.read_trec),
}
