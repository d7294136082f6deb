"""Tiny archives made by hand, byte by byte, so that the readers are tested without real files."""

import gzip
import io
import lzma
import pathlib
import struct
import tarfile

import numpy as np

from d2m_jax.data.archives import IDX_FILES


def idx_bytes(array: np.ndarray) -> bytes:
    """The IDX format: 00 00 08 axes, lengths big-endian, bytes."""
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


def write_idx_folder(folder: pathlib.Path, arrays: list[np.ndarray]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for file, array in zip(IDX_FILES, arrays):
        (folder / file).write_bytes(gzip.compress(idx_bytes(array), mtime=0))


def cifar_pickle(rows: np.ndarray, labels: list[int]) -> bytes:
    """A batch as Python 2 and NumPy 1 wrote it: protocol 2, byte strings, numpy.core names."""

    def text(string: bytes) -> bytes:
        return b"U" + bytes([len(string)]) + string

    dtype = (
        b"cnumpy\ndtype\n" + text(b"u1") + b"K\x00K\x01\x87R"
        b"(K\x03" + text(b"|") + b"NNN" + b"J\xff\xff\xff\xff" * 2 + b"K\x00tb"
    )
    shape = b"M" + struct.pack("<H", rows.shape[0]) + b"M" + struct.pack("<H", rows.shape[1])
    body = rows.tobytes()
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + text(b"b") + b"\x87R"
        b"(K\x01" + shape + b"\x86" + dtype + b"\x89T" + struct.pack("<i", len(body)) + body + b"tb"
    )
    items = b"](" + b"".join(b"K" + bytes([label]) for label in labels) + b"e"
    return b"\x80\x02}(" + text(b"data") + array + text(b"labels") + items + b"u."


def tar_bytes(members: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name, body in members.items():
            info = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            info.size = len(body)
            tar.addfile(info, io.BytesIO(body))
    return stream.getvalue()


def write_cifar(path: pathlib.Path, members: dict[str, bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    compress = gzip.compress if path.suffix == ".gz" else lzma.compress
    path.write_bytes(compress(tar_bytes(members)))


def cifar_members(images: np.ndarray, labels: np.ndarray) -> dict[str, bytes]:
    """Six batches of equal size from images [T, 32, 32, 3]; the last one is the test batch."""
    names = [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]
    rows = images.transpose(0, 3, 1, 2).reshape(len(images), -1)
    return {
        name: cifar_pickle(r, [int(label) for label in part])
        for name, r, part in zip(names, np.split(rows, 6), np.split(labels, 6))
    }
