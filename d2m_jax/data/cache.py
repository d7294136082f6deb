"""A decoded copy of a source that is slow to decode, kept as `.npz` in the user's cache.

A copy belongs to one state of one source (its size and time of change); when the source
changes, a new copy is made. A cache that cannot be read or written is no error: it only means
decoding again. Read next: `sources.py`.
"""

import contextlib
import os
import pathlib
import tempfile
import zipfile
from collections.abc import Callable

import numpy as np

from d2m_jax.data.raw import ImageArrays

_ARRAYS = ("train_images", "train_labels", "test_images", "test_labels")


def default_folder() -> pathlib.Path | None:
    """Returns `$D2M_CACHE_DIR`, else `~/.cache/d2m_jax`; None where the user has no home."""
    try:
        return pathlib.Path(os.environ.get("D2M_CACHE_DIR") or "~/.cache/d2m_jax").expanduser()
    except RuntimeError:  # no HOME and no entry in passwd: then nothing is kept
        return None


def cached(
    source: pathlib.Path, name: str, read: Callable[[], ImageArrays], folder: pathlib.Path | None
) -> ImageArrays:
    """Returns `read()`, or the copy in `folder` of what it returned for the same `source`.

    Args:
        source: the file that changes when the data does.
        name: tells copies of different sources apart.
        read: the slow reader.
        folder: where copies lie; made when missing; None keeps none. CIFAR-10 takes 184 MB.
    """
    if folder is None:
        return read()
    stat = source.stat()
    path = folder / f"{name}-{stat.st_size}-{stat.st_mtime_ns}.npz"
    raw = _load(path)
    if raw is None:
        raw = read()
        with contextlib.suppress(OSError):
            _save(path, raw)
    return raw


def _load(path: pathlib.Path) -> ImageArrays | None:
    try:
        with np.load(path, allow_pickle=False) as saved:
            arrays = {name: saved[name] for name in _ARRAYS}
            return ImageArrays(
                name=str(saved["name"]),
                class_names=tuple(str(name) for name in saved["class_names"]),
                **arrays,
            )
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def _save(path: pathlib.Path, raw: ImageArrays) -> None:
    """Writes beside the target and renames, so that a copy is whole or absent."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as stream:
            np.savez(stream, allow_pickle=False, **raw._asdict())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
