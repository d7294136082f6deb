"""Checks that all ways into a data set share. Host only."""

from typing import Any

import numpy as np

from d2m_jax.core.dataset import DataError
from d2m_jax.data.holdout import LEAST
from d2m_jax.data.labels import plain

KINDS = ("images", "table", "text", "arrays")
_NARROW = {"float64": "float32", "int64": "int32", "uint64": "int32", "uint32": "int32"}


def checked_kind(kind: str, name: str) -> None:
    """Raises DataError unless the kind of a data set is known."""
    if kind not in KINDS:
        raise DataError(f"{name}: kind must be one of {', '.join(KINDS)}, not {kind!r}")


def client_codes(
    clients: np.ndarray | None, what: str
) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """Returns clients as codes [T] int32 in the order of their names, and the names."""
    if clients is None:
        return None, ()
    clients = plain(clients, f"{what}: the clients")
    if clients.ndim != 1 or clients.dtype.kind == "f":
        raise DataError(
            f"{what}: the clients must be [T] integers or text, not {clients.dtype} of shape "
            f"{clients.shape}"
        )
    names, codes = np.unique(clients, return_inverse=True)
    return codes.astype(np.int32), tuple(str(client) for client in names)


def trained_clients(
    clients: Any, rows: np.ndarray, what: str
) -> tuple[np.ndarray | None, tuple[str, ...], tuple[str, ...]]:
    """Returns `client_codes` of the training rows, and a note about clients that have none."""
    if clients is None:
        return None, (), ()
    clients = np.asarray(clients)
    codes, names = client_codes(clients[rows], what)
    gone = len(np.unique(clients)) - len(names)
    note = f"{gone} clients have their only example in the test, so they cannot sell"
    return codes, names, (note,) if gone else ()


def same_length(name: str, inputs: Any, **columns: Any) -> None:
    """Raises DataError unless every column that is given is as long as the inputs."""
    for what, column in columns.items():
        if column is not None and len(column) != len(inputs):
            raise DataError(
                f"{name}: there are {len(inputs)} examples but {len(column)} {what}; there must "
                "be one for each"
            )


def enough(num_train: int, name: str) -> None:
    """Raises DataError when there are too few training examples for any market."""
    if num_train < LEAST:
        raise DataError(f"{name}: {num_train} training examples are too few, {LEAST} are the least")


def in_range(labels: np.ndarray, num_classes: int, name: str) -> None:
    """Raises DataError unless labels are 0 .. num_classes - 1."""
    if labels.min() < 0 or labels.max() >= num_classes:
        raise DataError(
            f"{name}: labels run from {labels.min()} to {labels.max()}, but there are "
            f"{num_classes} classes (0 to {num_classes - 1})"
        )


def narrowed(x: np.ndarray, what: str) -> np.ndarray:
    """Returns an array in a dtype that devices have: float64 as float32, int64 as int32.

    Raises:
        DataError: a number is too large for that.
    """
    if x.dtype.name not in _NARROW:
        return x
    with np.errstate(over="ignore"):
        narrow = x.astype(_NARROW[x.dtype.name])
    lost = ~np.isfinite(narrow) & np.isfinite(x) if x.dtype.kind == "f" else narrow != x
    if lost.any():
        raise DataError(f"{what} hold numbers too large for {narrow.dtype}")
    return narrow
