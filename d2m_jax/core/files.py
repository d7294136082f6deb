"""Files that are there completely or not at all, and one door for paths from outside. Host only.

Not here: what is written (`results.py`, `checkpoint.py`, `loggers.py`, `sweep/store.py`).
"""

import contextlib
import os
import pathlib
import platform
import threading
import uuid
from collections.abc import Iterator

HOST = platform.node().replace("/", "_").replace("-", "_") or "unknown"
RESUME = "the same command with --resume goes on"
AGAIN = "every part written before is safe, so make room and run the same command again"


class StorageError(ValueError):
    """Results cannot be written or read; the sentence says what to do."""


def given_path(path: str | os.PathLike[str]) -> pathlib.Path:
    """A path as a user gives it, with `~` expanded.

    Raises:
        StorageError: there is no such home folder.
    """
    try:
        return pathlib.Path(path).expanduser()
    except RuntimeError as error:
        raise StorageError(f"{path} names a home folder that this machine does not know") from error


def make_folder(path: str | os.PathLike[str]) -> pathlib.Path:
    """Makes a results folder and checks that it can be written, before anything is computed.

    Raises:
        StorageError: it cannot be made or written.
    """
    folder = given_path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".probe-{HOST}-{os.getpid()}-{threading.get_ident()}"
        probe.write_bytes(b"1")
        probe.unlink()
    except OSError as error:
        raise StorageError(
            f"the results folder {folder} cannot be written: {error.strerror}"
        ) from error
    return folder


def write_whole(path: pathlib.Path, content: bytes, then: str = AGAIN) -> None:
    """Writes a file that is there completely or not at all, whatever kills the process.

    It is written under another name, flushed to disk, and renamed.

    Args:
        path: of the file; its folder exists.
        content: all of it.
        then: the end of the sentence, what to do when it fails.

    Raises:
        StorageError: the disk is full or the folder is gone; nothing that was there is touched.
    """
    temporary = path.with_name(f"{path.name}.tmp-{HOST}-{os.getpid()}-{uuid.uuid4().hex[:8]}")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        flush_folder(path.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise StorageError(f"{path} cannot be written: {error.strerror}; {then}") from error
    except BaseException:  # ctrl-C: no half a file stays behind
        temporary.unlink(missing_ok=True)
        raise


def flush_folder(folder: pathlib.Path) -> None:
    """Flushes the names in a folder to disk; a mounted bucket cannot, and goes without."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    with contextlib.suppress(OSError):
        number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


def remove_leftovers(folder: pathlib.Path) -> None:
    """Removes files whose writing was interrupted: those of processes of this host that are dead.

    What another host left stays; no reader looks at it.
    """
    for path in folder.glob("*.tmp-*"):
        host, _, rest = path.name.rpartition(".tmp-")[2].partition("-")
        pid = rest.partition("-")[0]
        if host == HOST and pid.isdecimal() and not is_alive(int(pid)):
            path.unlink(missing_ok=True)


def is_alive(pid: int, since: int | None = None) -> bool:
    """Whether a process of this host runs.

    Args:
        pid: its number.
        since: what `started` gave when it was seen; another process may have got the number.
    """
    if os.name == "nt":  # there the question itself would end it
        return True
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # of another user
        pass
    return since is None or started(pid) in (since, None)


def started(pid: int) -> int | None:
    """When a process was started, in ticks of this host; None where the system does not say."""
    try:
        after_name = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2]
        return int(after_name.split()[19])
    except (OSError, ValueError, IndexError):
        return None


@contextlib.contextmanager
def kept(folder: pathlib.Path, hint: str = RESUME) -> Iterator[None]:
    """Says in one sentence where the work is when a run is stopped or its disk is full.

    Everything in the folder is whole, so nothing has to be done here but say so.

    Args:
        folder: of the results.
        hint: the end of the sentence.

    Raises:
        StorageError: instead of KeyboardInterrupt and of an OSError of writing.
    """
    try:
        yield
    except KeyboardInterrupt as error:
        raise StorageError(f"stopped; what was computed is in {folder}: {hint}") from error
    except OSError as error:
        raise StorageError(
            f"{error.strerror or error}; what was computed before is in {folder}: {hint}"
        ) from error
