"""Reads the official archives: IDX files (MNIST, Fashion-MNIST) and CIFAR-10's Python tar.

Files are taken as untrusted: what is kept of them is bounded, nothing is unpacked to disk, and
the CIFAR pickles run through an unpickler that can build nothing but lists, bytes and uint8
arrays. Whatever is wrong with a file becomes one DataError that names it.
Not here: what the data sets should contain (`raw.py`), the decoded copy (`cache.py`).
"""

import gzip
import lzma
import math
import pathlib
import pickle
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np

from d2m_jax.core.dataset import DataError
from d2m_jax.data.raw import OFFICIAL, ImageArrays

IDX_FILES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)
CIFAR_FILES = ("cifar-10-python.tar.gz", "cifar-10-python.tar.xz")
_CIFAR_MEMBERS = tuple(f"data_batch_{i}" for i in range(1, 6)) + ("test_batch",)
_MAX_IDX_BYTES = 1 << 30
_MAX_MEMBER_BYTES = 1 << 26  # a batch is 31 MB
_DAMAGE = (
    EOFError,
    OSError,  # gzip.BadGzipFile and failed reads
    zlib.error,
    lzma.LZMAError,
    tarfile.TarError,
)


@contextmanager
def _naming(path: pathlib.Path) -> Iterator[None]:
    """Turns what a damaged file raises into one sentence."""
    try:
        yield
    except DataError:
        raise
    except FileNotFoundError:
        raise DataError(f"no file {path}") from None
    except PermissionError:
        raise DataError(f"{path} may not be read (permission denied)") from None
    except _DAMAGE as error:
        raise DataError(
            f"{path} is truncated or damaged ({str(error) or type(error).__name__}); fetch it again"
        ) from error


# ---------------------------------------------------------------------------------------- IDX


def read_idx(path: pathlib.Path, num_axes: int) -> np.ndarray:
    """Reads one gzipped IDX file of bytes.

    The header is two zero bytes, the type (8: uint8), the number of axes, then each length as a
    big-endian 32-bit integer (LeCun, Cortes and Burges, MNIST page). The body must have exactly
    the announced length; reading to its end also checks gzip's CRC.

    Args:
        path: the `.gz` file.
        num_axes: 3 for images, 1 for labels.

    Returns:
        uint8 array with `num_axes` axes.

    Raises:
        DataError: the file is missing, damaged, or not such an IDX file.
    """
    with _naming(path), gzip.open(path) as stream:
        magic = stream.read(4)
        if magic != bytes((0, 0, 8, num_axes)):
            raise DataError(
                f"{path} is not an IDX file of uint8 with {num_axes} axes "
                f"(it starts with {magic.hex(' ')})"
            )
        header = stream.read(4 * num_axes)
        if len(header) != 4 * num_axes:
            raise DataError(f"{path} is truncated: it ends inside its header")
        shape = tuple(int(n) for n in np.frombuffer(header, ">u4"))
        size = math.prod(shape)
        if size > _MAX_IDX_BYTES:
            raise DataError(f"{path} announces {size} bytes, which is not believable")
        body = stream.read(size + 1)
    if len(body) != size:
        has = "more" if len(body) > size else f"only {len(body)}"
        raise DataError(f"{path} announces {size} bytes of data but has {has}")
    return np.frombuffer(body, np.uint8).reshape(shape)


def read_idx_dataset(name: str, folder: pathlib.Path) -> ImageArrays:
    """Reads the four IDX files of `name` in `folder` (about 0.4 s for MNIST).

    Raises:
        DataError: one of the files is missing or damaged.
    """
    missing = [file for file in IDX_FILES if not (folder / file).is_file()]
    if missing:
        raise DataError(
            f"{folder} has some of the {name} archives but lacks {', '.join(missing)}; "
            "put the missing files beside the others"
        )
    train_images, train_labels, test_images, test_labels = (
        read_idx(folder / file, num_axes) for file, num_axes in zip(IDX_FILES, (3, 1, 3, 1))
    )
    return ImageArrays(
        name,
        train_images[..., None],
        train_labels.astype(np.int32),
        test_images[..., None],
        test_labels.astype(np.int32),
        OFFICIAL[name].class_names,
    )


# -------------------------------------------------------------------------------------- CIFAR


class _Bytes:
    """Stands for `numpy.dtype`: remembers the type code, accepts only uint8."""

    def __init__(self, code: Any, *_: Any) -> None:
        if code not in (b"u1", "u1"):
            raise pickle.UnpicklingError(f"an array of type {code!r} where bytes were expected")

    def __setstate__(self, state: Any) -> None:
        pass  # byte order and alignment mean nothing for uint8


class _Array:
    """Stands for `numpy.ndarray`: takes the pickled state, runs no code of it."""

    array: np.ndarray

    def __setstate__(self, state: Any) -> None:
        match state:
            case (_, tuple(shape), _Bytes(), 0, bytes(body)):
                self.array = np.frombuffer(body, np.uint8).reshape(shape)
            case _:
                raise pickle.UnpicklingError("an array in an unexpected form")


def _reconstruct(*_: Any) -> _Array:
    return _Array()


class _CifarUnpickler(pickle.Unpickler):
    """Knows only the three names that the CIFAR batches use, and maps them to stand-ins."""

    _known: ClassVar[dict[tuple[str, str], Any]] = {
        ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
        ("numpy._core.multiarray", "_reconstruct"): _reconstruct,  # files written by NumPy 2
        ("numpy", "ndarray"): _Array,
        ("numpy", "dtype"): _Bytes,
    }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._known:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no CIFAR file needs")
        return self._known[module, name]


def _read_batch(stream: Any, where: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns images [T, 32, 32, 3] uint8 and labels [T] int32 of one pickled batch."""
    try:
        batch = _CifarUnpickler(stream, encoding="bytes").load()
        data = batch.get(b"data", batch.get("data"))
        labels = batch.get(b"labels", batch.get("labels"))
        images = data.array.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        labels = np.array(labels, dtype=np.int32)
    except (*_DAMAGE, DataError):
        raise
    except Exception as error:  # a damaged pickle can raise nearly anything
        raise DataError(f"{where} is not a CIFAR-10 batch: {error}") from error
    if labels.shape != images.shape[:1]:
        raise DataError(f"{where} has {len(images)} images but labels of shape {labels.shape}")
    return images, labels


def read_cifar10(path: pathlib.Path) -> ImageArrays:
    """Reads CIFAR-10 from its Python tar, gz or xz (xz: about 9 s, see `cache.py`).

    Args:
        path: `cifar-10-python.tar.gz` or `.tar.xz`; nothing is unpacked to disk.

    Raises:
        DataError: the file is missing, damaged, lacks a batch or holds unexpected pickles.
    """
    batches: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    opener = gzip.open if path.suffix == ".gz" else lzma.open
    with (
        _naming(path),
        opener(path) as stream,
        tarfile.open(fileobj=stream, mode="r|") as tar,  # one pass, never back
    ):
        for member in tar:
            name = pathlib.PurePosixPath(member.name).name
            if name not in _CIFAR_MEMBERS or not member.isfile():
                continue
            if member.size > _MAX_MEMBER_BYTES:
                raise DataError(f"{path}: {member.name} has {member.size} bytes, too many")
            body = tar.extractfile(member)
            if body is not None:
                batches[name] = _read_batch(body, f"{path}: {member.name}")
        while stream.read(1 << 20):  # to the end, where the checksum is
            pass
    missing = [name for name in _CIFAR_MEMBERS if name not in batches]
    if missing:
        raise DataError(f"{path} is truncated or damaged: it lacks {', '.join(missing)}")
    train = [batches[name] for name in _CIFAR_MEMBERS[:-1]]
    test_images, test_labels = batches["test_batch"]
    return ImageArrays(
        "cifar10",
        np.concatenate([images for images, _ in train]),
        np.concatenate([labels for _, labels in train]),
        np.ascontiguousarray(test_images),
        test_labels,
        OFFICIAL["cifar10"].class_names,
    )


def find(name: str, data_dir: pathlib.Path, files: Sequence[str]) -> list[pathlib.Path]:
    """Returns which of `files` exist in `<data_dir>/<name>`, else in `data_dir` itself."""
    for folder in (data_dir / name, data_dir):
        found = [folder / file for file in files if (folder / file).is_file()]
        if found:
            return found
    return []


def find_all(name: str, data_dir: pathlib.Path, files: Sequence[str]) -> list[pathlib.Path]:
    """Returns all `files`, as `find`.

    Raises:
        DataError: some are missing.
    """
    found = find(name, data_dir, files)
    missing = [file for file in files if file not in {path.name for path in found}]
    if missing:
        raise DataError(f"no data for {name!r}: put {', '.join(missing)} into {data_dir / name}")
    return found
