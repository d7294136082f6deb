"""`load`: a named data set from the first source that has it, never from another set.

Order: the official archives in the user's folder, else TFDS. The digits are built in.
Read next: `federated.py`, which deals a data set to sellers.
"""

import functools
import os
import pathlib
from collections.abc import Callable

from d2m_jax.core.choices import lookup
from d2m_jax.data import archives, cache, digits, tfds
from d2m_jax.data.raw import DataError, RawDataset, check_official

Folder = str | os.PathLike[str]


def load(
    name: str, data_dir: Folder | None = None, *, cache_dir: Folder | None = None
) -> RawDataset:
    """Loads a named data set, checked against its published shapes and label counts.

    Looks for the official archives in `<data_dir>/<name>/`, then in `data_dir` itself; when
    there are none, goes through TFDS (its folder: `data_dir`, else its default).

    Args:
        name: "digits", "mnist", "fashion_mnist" or "cifar10".
        data_dir: folder of archives; not needed for "digits".
        cache_dir: where decoded copies of slow archives are kept (CIFAR-10, 184 MB); default
            `$D2M_CACHE_DIR`, else `~/.cache/d2m_jax`. An unwritable folder only means no copy.

    Returns:
        The data on the host: 55 MB for (Fashion-)MNIST, 184 MB for CIFAR-10.

    Raises:
        ValueError: unknown name.
        DataError: no source has it, or the file that should is damaged.
    """
    reader = lookup(SOURCES, name, "data set")
    folder = None if data_dir is None else pathlib.Path(data_dir).expanduser()
    if folder is not None and not folder.is_dir():
        raise DataError(f"the data folder {folder} does not exist")
    copies = cache.default_folder() if cache_dir is None else pathlib.Path(cache_dir).expanduser()
    raw, where = reader(folder, copies)
    check_official(raw, where)
    return raw


def _digits(folder: pathlib.Path | None, copies: pathlib.Path) -> tuple[RawDataset, str]:
    del folder, copies  # inside the scikit-learn wheel
    return digits.read_digits(), "scikit-learn's load_digits"


def _idx(name: str, folder: pathlib.Path | None, copies: pathlib.Path) -> tuple[RawDataset, str]:
    found = [] if folder is None else archives.find(name, folder, archives.IDX_FILES)
    if found:
        return archives.read_idx_dataset(name, found[0].parent), str(found[0].parent)
    return _through_tfds(name, folder, copies, "the four files " + ", ".join(archives.IDX_FILES))


def _cifar10(folder: pathlib.Path | None, copies: pathlib.Path) -> tuple[RawDataset, str]:
    found = [] if folder is None else archives.find("cifar10", folder, archives.CIFAR_FILES)
    if found:
        return (
            cache.cached(found[0], found[0].name, lambda: archives.read_cifar10(found[0]), copies),
            str(found[0]),
        )
    return _through_tfds("cifar10", folder, copies, " or ".join(archives.CIFAR_FILES))


def _through_tfds(
    name: str, folder: pathlib.Path | None, copies: pathlib.Path, files: str
) -> tuple[RawDataset, str]:
    try:
        return tfds.read_tfds(name, folder, copies), "TFDS"
    except DataError as error:
        place = f"{folder / name}" if folder else f"<data_dir>/{name} and give that data_dir"
        raise DataError(
            f"no data for {name!r}: put {files} into {place}; or install tensorflow-datasets and "
            f"tensorflow, but TFDS could not help here: {error}"
        ) from error


Reader = Callable[[pathlib.Path | None, pathlib.Path], tuple[RawDataset, str]]

SOURCES: dict[str, Reader] = {
    "digits": _digits,
    "mnist": functools.partial(_idx, "mnist"),
    "fashion_mnist": functools.partial(_idx, "fashion_mnist"),
    "cifar10": _cifar10,
}
