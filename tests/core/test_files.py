"""Files are whole or not there, and paths from outside go through one door."""

import os
import subprocess
import sys

import pytest

from d2m_jax.core.files import HOST, make_folder, remove_leftovers, write_whole
from d2m_jax.report import StorageError, given_path, kept
from tests.conftest import ROOT


def test_home_is_expanded_and_an_unknown_home_is_a_sentence(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert given_path("~/x") == tmp_path / "x"
    assert make_folder("~/a/[b]") == tmp_path / "a" / "[b]" and (tmp_path / "a" / "[b]").is_dir()
    with pytest.raises(StorageError, match="names a home folder that this machine does not know"):
        given_path("~nobody-of-this-name/x")


def test_a_file_that_cannot_be_replaced_stays(tmp_path, monkeypatch):
    path = tmp_path / "x"
    write_whole(path, b"old")

    def full(number):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match=r"x cannot be written: No space left on device; every"):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["x"]

    def interrupted(number):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["x"]


def test_leftovers_of_dead_processes_of_this_host_are_removed(tmp_path):
    dead, alive, other = (
        f"a.csv.tmp-{HOST}-999999999-ff",
        f"a.csv.tmp-{HOST}-{os.getpid()}-ff",
        "a.csv.tmp-elsewhere-999999999-ff",
    )
    for name in ("a.csv", "a.tmp", dead, alive, other):
        (tmp_path / name).write_text("")
    remove_leftovers(tmp_path)
    assert sorted(os.listdir(tmp_path)) == sorted(["a.csv", "a.tmp", alive, other])


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (KeyboardInterrupt(), "stopped; what was computed is in .*: the same command with --res"),
        (OSError(28, "No space left on device"), "No space left on device; what was computed bef"),
    ],
)
def test_what_ends_a_run_is_a_sentence(tmp_path, error, sentence):
    with pytest.raises(StorageError, match=sentence), kept(tmp_path):
        raise error
    with pytest.raises(ZeroDivisionError), kept(tmp_path):
        raise ZeroDivisionError


FULL = """
import resource, sys, pathlib
from d2m_jax.core.files import HOST, StorageError, write_whole
from d2m_jax.report.folder import open_results, write_json
from d2m_jax.report.checkpoint import restore, save
import numpy as np
folder = open_results(sys.argv[1], {"seed": 1})
small, large = {"x": np.arange(3)}, {"x": np.random.default_rng(0).random(5000)}
save(folder, "d", 1, small, [])
resource.setrlimit(resource.RLIMIT_FSIZE, (4_000, 4_000))  # the disk is full from here on
for write in (
    lambda: write_json(folder / "ledger.json", list(range(5_000))),
    lambda: save(folder, "d", 2, large, []),
):
    try:
        write()
    except StorageError as error:
        print(error)
print("whole", restore(folder, "d", small, ()).done)
"""


def test_a_full_disk_is_a_sentence_and_loses_nothing(tmp_path):
    out = subprocess.run(
        [sys.executable, "-c", FULL, tmp_path / "run"], cwd=ROOT, capture_output=True, text=True
    )
    ledger, checkpoint, whole = out.stdout.splitlines()
    assert "ledger.json cannot be written: File too large; make room, and the same" in ledger
    assert "cannot be written" in checkpoint and "(File too large); the one before is" in checkpoint
    assert whole == "whole 1" and "Traceback" not in out.stderr
    assert sorted(os.listdir(tmp_path / "run")) == ["checkpoints", "config.json"]
    assert os.listdir(tmp_path / "run" / "checkpoints") == ["1"]
