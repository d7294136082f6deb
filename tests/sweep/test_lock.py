"""Who holds a results folder: one sweep, all its processes, nobody dead."""

import json
import os
import subprocess
import sys

import pytest

from d2m_jax.sweep import StorageError, lock


def leave(folder, name=".lock-0-of-1", **changes):
    """A lock as another process would leave it."""
    owner = {"host": lock.HOST, "pid": os.getpid(), "started": lock.started(os.getpid())}
    (folder / name).write_text(json.dumps({**owner, **changes}))
    return folder / name


@pytest.fixture(scope="module")
def dead():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_one_sweep_at_a_time(tmp_path):
    with lock.holding(tmp_path):
        sentence = f"process {os.getpid()} on {lock.HOST} writes to .*: wait for it, or choose"
        with pytest.raises(StorageError, match=sentence), lock.holding(tmp_path):
            pass
        assert [path.name for path in tmp_path.iterdir()] == [".lock-0-of-1"]  # still held
    assert list(tmp_path.iterdir()) == []
    with lock.holding(tmp_path):
        pass


def test_processes_of_one_sweep_do_not_exclude_each_other(tmp_path):
    with lock.holding(tmp_path, 0, 2), lock.holding(tmp_path, 1, 2):
        for process, of in ((0, 1), (1, 2), (2, 3)):  # alone, twice the same, of another sweep
            with (
                pytest.raises(StorageError, match="writes to"),
                lock.holding(tmp_path, process, of),
            ):
                pass
        names = {path.name for path in tmp_path.iterdir()}
        assert names == {".lock-0-of-2", ".lock-1-of-2"}


def test_what_is_raised_inside_frees_the_folder(tmp_path):
    with pytest.raises(KeyboardInterrupt), lock.holding(tmp_path):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_the_dead_hold_nothing(tmp_path, dead):
    leave(tmp_path, pid=dead)
    leave(tmp_path, ".lock-3-of-4", pid=dead)
    with lock.holding(tmp_path):
        assert [path.name for path in tmp_path.iterdir()] == [".lock-0-of-1"]


@pytest.mark.skipif(lock.started(os.getpid()) is None, reason="this system does not say")
def test_a_number_given_anew_is_another_process(tmp_path):
    """This process has the pid of the lock, but was started at another time."""
    leave(tmp_path, started=lock.started(os.getpid()) - 1)
    with lock.holding(tmp_path):
        pass


def test_another_host_and_a_damaged_lock_name_the_file(tmp_path, dead):
    path = leave(tmp_path, host="elsewhere", pid=dead)
    with (
        pytest.raises(StorageError, match=f"{dead} on elsewhere .* remove {path} if"),
        lock.holding(tmp_path),
    ):
        pass
    path.write_text("")
    with (
        pytest.raises(StorageError, match=f"another sweep writes .* remove {path} if"),
        lock.holding(tmp_path),
    ):
        pass
    assert path.exists()


def test_life(dead):
    now = lock.started(os.getpid())
    assert lock.is_alive(os.getpid()) and lock.is_alive(os.getpid(), now)
    assert not lock.is_alive(dead)
    assert lock.started(dead) is None
