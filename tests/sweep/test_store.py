"""The results folder: whole parts, clear errors, nothing lost."""

import json
import os
import stat
import subprocess
import sys

import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

from d2m_jax.sweep import StorageError, load, lock, store
from tests.conftest import ROOT


def part(*keys, status="done"):
    return pa.table({"key": list(keys), "status": [status] * len(keys), "reason": [""] * len(keys)})


def rounds(*keys):
    return pa.table({"key": [k for k in keys for _ in range(2)], "round": [1, 2] * len(keys)})


@pytest.fixture
def folder(tmp_path):
    made = store.open_folder(tmp_path / "results")
    store.write_part(made, part("b", "a"), rounds("b", "a"))
    store.write_part(made, part("c"), rounds("c"))
    return made


def test_load_sorts_and_joins(folder):
    runs, table, manifest = load(folder)
    assert runs["key"].tolist() == ["a", "b", "c"] and manifest == {}
    assert table["key"].tolist() == list("aabbcc") and table["round"].tolist() == [1, 2] * 3
    assert store.finished(folder) == {"a", "b", "c"}


def test_a_failed_run_is_run_again_and_the_better_row_counts(folder):
    store.write_part(folder, part("d", status="failed"), None)
    assert store.finished(folder) == {"a", "b", "c"}
    assert load(folder).runs.set_index("key").loc["d", "status"] == "failed"
    store.write_part(folder, part("d", "e"), rounds("d", "e"))
    runs = load(folder).runs
    assert runs["key"].is_unique and (runs["status"] == "done").all()


def test_rounds_without_their_run_do_not_count(folder):
    """Killed between the two files of a part: the run is run again and is there once."""
    extra = rounds("x", "c")
    path = folder / "rounds" / "part-0000.parquet"
    pa.parquet.write_table(extra, path)
    table = load(folder).rounds
    assert table["key"].tolist() == list("aabbcc")


def test_leftovers_of_the_dead_are_removed_and_no_others(folder):
    before = load(folder)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    torn = folder / "runs" / f"part-9999.parquet.tmp-{lock.HOST}-{dead.pid}"
    alive = folder / "rounds" / f"part-9999.parquet.tmp-{lock.HOST}-{os.getpid()}"
    elsewhere = folder / f"sweep.json.tmp-{lock.HOST}x-{dead.pid}"
    for path in (torn, alive, elsewhere):
        path.write_bytes(b"half a part")
    pd.testing.assert_frame_equal(load(folder).runs, before.runs)
    store.remove_leftovers(folder)
    assert not torn.exists() and alive.exists() and elsewhere.exists()


def test_ctrl_c_while_writing_leaves_nothing(folder, monkeypatch):
    def interrupted(number):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        store.write_manifest(folder, {"a": 1})
    assert list(folder.rglob("*.tmp-*")) == [] and not (folder / "sweep.json").exists()


def test_the_home_of_a_path(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder.parent))
    assert store.open_folder("~/results") == folder
    assert len(load("~/results").runs) == 3 and store.finished("~/results") == {"a", "b", "c"}


@pytest.mark.parametrize("content", [b"", b"PAR1 and then nothing", None])
def test_an_unreadable_part_is_named_and_nothing_is_lost(folder, content):
    path = min((folder / "runs").glob("part-*"))
    path.write_bytes(path.read_bytes()[:-20] if content is None else content)
    with pytest.raises(StorageError, match=f"the part .*{path.name} cannot be read .* move this"):
        store.finished(folder)
    with pytest.raises(StorageError, match="computes its runs again"):
        load(folder)
    path.rename(folder / "moved")
    assert 0 < len(load(folder).runs) < 3


@pytest.mark.parametrize("content", [b"", b"PAR1 and then nothing", None])
def test_a_run_without_its_rounds_is_not_done(folder, content):
    """A damaged part of `rounds` is named; moved away, its runs are not done any more."""
    path = min((folder / "rounds").glob("part-*"))
    lost = set(pa.parquet.read_table(path)["key"].to_pylist())
    path.write_bytes(path.read_bytes()[:-20] if content is None else content)
    with pytest.raises(
        StorageError, match=f"the part .*rounds.*{path.name} cannot be read .* move"
    ):
        store.finished(folder)
    path.rename(folder / "moved")
    assert store.finished(folder) == {"a", "b", "c"} - lost and lost
    store.write_part(folder, part("d", status="failed"), None)  # has no rounds and needs none
    assert store.outcomes(folder).set_index("key").loc["d", "status"] == "failed"
    store.write_part(folder, part("a", "b", "c"), rounds("a", "b", "c"))  # cut otherwise
    assert store.finished(folder) == {"a", "b", "c"}
    assert load(folder).rounds["key"].tolist() == list("aabbcc")


def test_a_name_is_flushed_after_its_part(folder, monkeypatch):
    flushed, real = [], os.fsync

    def fsync(number):
        flushed.append((stat.S_ISDIR(os.fstat(number).st_mode), (folder / "new").exists()))
        real(number)

    monkeypatch.setattr(os, "fsync", fsync)
    store.write_whole(folder / "new", b"content")
    assert flushed == [(False, False), (True, True)]


def test_a_damaged_manifest_and_a_wrong_folder(folder, tmp_path):
    store.write_manifest(folder, {"a": 1})
    assert load(folder).manifest == {"a": 1}
    (folder / "sweep.json").write_text('{"a": ')
    with pytest.raises(StorageError, match=r"sweep\.json cannot be read"):
        load(folder)
    with pytest.raises(StorageError, match="holds no results of a sweep"):
        load(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be written: Not a directory"):
        store.open_folder(tmp_path / "file" / "results")


FULL = """
import resource, sys, pyarrow as pa
from d2m_jax.sweep import StorageError, store
folder = store.open_folder(sys.argv[1])
small = pa.table({"key": ["a"], "status": ["done"], "reason": [""]})
store.write_part(folder, small, None)
resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, 2_000))  # the disk is full from here on
big = pa.table({"key": [f"{i * 7919:x}" for i in range(2_000)], "status": ["done"] * 2_000})
try:
    store.write_part(folder, big, None)
except StorageError as error:
    print(error)
"""


def test_a_full_disk_is_a_sentence_and_loses_nothing(tmp_path):
    out = subprocess.run(
        [sys.executable, "-c", FULL, tmp_path], cwd=ROOT, capture_output=True, text=True
    )
    assert "cannot be written: File too large; every part written before is safe" in out.stdout
    assert load(tmp_path).runs["key"].tolist() == ["a"]
    assert [path.name for path in tmp_path.rglob("*.tmp-*")] == []


def test_a_manifest_is_plain_json(folder):
    store.write_manifest(folder, {"width": 4, "path": folder})
    assert json.loads((folder / "sweep.json").read_text())["path"] == str(folder)
