"""Who may write into a results folder: one sweep, with all its processes.

A process that writes leaves `.lock-<process>-of-<processes>` with its host and pid. Processes of
one sweep have locks of different names that end alike; any other lock whose owner may live is
somebody else's. Only locks of dead processes of this host are removed: nobody can see what lives
elsewhere.
"""

import contextlib
import json
import os
import pathlib
from collections.abc import Iterator
from typing import Any

from d2m_jax.core.files import HOST, StorageError, is_alive, started


@contextlib.contextmanager
def holding(folder: pathlib.Path, process: int = 0, num_processes: int = 1) -> Iterator[None]:
    """Keeps other sweeps out of a folder.

    Args:
        folder: of the results, which is there.
        process: number of this process of the sweep.
        num_processes: of the sweep.

    Raises:
        StorageError: another sweep holds it, or the lock cannot be written.
    """
    mine = folder / f".lock-{process}-of-{num_processes}"
    _remove_dead(folder)
    owner = {"host": HOST, "pid": os.getpid(), "started": started(os.getpid())}
    try:
        with mine.open("x") as file:  # fails where it exists
            json.dump(owner, file)
    except FileExistsError:
        raise StorageError(_complaint(mine)) from None
    except OSError as error:
        with contextlib.suppress(OSError):
            mine.unlink(missing_ok=True)
        raise StorageError(f"{mine} cannot be written: {error.strerror}") from error
    try:
        for other in sorted(folder.glob(".lock-*")):
            if not other.name.endswith(f"-of-{num_processes}"):
                raise StorageError(_complaint(other))
        yield
    finally:
        with contextlib.suppress(OSError):
            mine.unlink(missing_ok=True)


def _owner(path: pathlib.Path) -> dict[str, Any]:
    """What a lock says; nothing if it is damaged, as by a full disk, or gone."""
    try:
        owner = json.loads(path.read_text())
        return {"host": str(owner["host"]), "pid": int(owner["pid"]), "since": owner["started"]}
    except (OSError, ValueError, TypeError, KeyError):
        return {}


def _remove_dead(folder: pathlib.Path) -> None:
    for path in folder.glob(".lock-*"):
        owner = _owner(path)
        if owner and owner["host"] == HOST and not is_alive(owner["pid"], owner["since"]):
            path.unlink(missing_ok=True)


def _complaint(path: pathlib.Path) -> str:
    owner = _owner(path)
    if not owner:
        return (
            f"another sweep writes to {path.parent}: choose another folder, or remove {path} if "
            "there is none"
        )
    who = f"process {owner['pid']} on {owner['host']}"
    if owner["host"] == HOST:
        return f"{who} writes to {path.parent}: wait for it, or choose another folder"
    return (
        f"{who} writes to {path.parent}: wait for it, choose another folder, or remove {path} if "
        "it is dead"
    )
