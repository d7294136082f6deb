"""What is written as a run goes is what is written in the end, after any interruption."""

import io
import json
import sys

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from d2m_jax.report import (
    Checkpoint,
    StorageError,
    csv_logger,
    evaluations_table,
    progress_logger,
    restore,
    rounds_table,
    tensorboard_logger,
    wandb_logger,
)
from d2m_jax.report.loggers import append
from tests.report.runs import config, drive, likes, outcome

FINAL = {"rounds.csv": rounds_table, "evaluations.csv": evaluations_table}


def test_the_files_grow_and_end_as_the_final_tables(tmp_path):
    seen = []

    def look(chunk):
        seen.append([len((tmp_path / name).read_text().splitlines()) for name in FINAL])

    drive(config(), [csv_logger(tmp_path), look])
    assert seen == [[7, 2], [13, 3]]
    for name, table in FINAL.items():
        assert (tmp_path / name).read_text() == table(outcome()).to_csv(index=False)


def test_a_resumed_run_mends_what_a_kill_left(tmp_path):
    """The checkpoint is older than the rows, and the last of them is cut."""
    drive(config(), [Checkpoint(tmp_path, "d"), csv_logger(tmp_path)], stop_at=6)
    for name in FINAL:
        path = tmp_path / name
        path.write_text(path.read_text() + "7,0.25,extra\n8,0.2")
    saved = restore(tmp_path, "d", *likes(config()))
    drive(config(), [csv_logger(tmp_path)], saved=saved)
    for name, table in FINAL.items():
        assert (tmp_path / name).read_text() == table(outcome()).to_csv(index=False)


def test_a_row_that_does_not_fit_is_taken_back(tmp_path, monkeypatch):
    path = tmp_path / "rounds.csv"
    path.write_text("a\n")
    append(path, "b\n")
    assert path.read_text() == "a\nb\n"

    class Full(io.FileIO):
        def write(self, data):
            super().write(data[:1])
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(type(path), "open", lambda self, mode: Full(self, "ab"))
        with pytest.raises(StorageError, match=r"rounds.csv cannot be written: No space left on"):
            append(path, "c\n")
    assert path.read_bytes() == b"a\nb\n"


def test_tensorboard_has_every_number_once(tmp_path):
    pytest.importorskip("tensorboardX")
    from tensorboardX.proto import event_pb2

    drive(config(), [Checkpoint(tmp_path, "d"), tensorboard_logger(tmp_path)], stop_at=6)
    saved = restore(tmp_path, "d", *likes(config()))
    drive(config(), [tensorboard_logger(tmp_path)], saved=saved)
    (path,) = (tmp_path / "tensorboard").iterdir()
    content, found, at = path.read_bytes(), {}, 0
    while at < len(content):  # records: length, checksum, event, checksum
        length = int.from_bytes(content[at : at + 8], "little")
        event = event_pb2.Event.FromString(content[at + 12 : at + 12 + length])
        for value in event.summary.value:
            assert (value.tag, event.step) not in found
            found[value.tag, event.step] = value.simple_value
        at += 16 + length
    rounds, quality = rounds_table(outcome()), evaluations_table(outcome())
    assert sum(tag == "evaluations/test_metric" for tag, _ in found) == 2
    for row in quality.to_dict("records"):
        assert found["evaluations/test_metric", row["round"]] == row["test_metric"]
    for row in rounds.to_dict("records"):
        assert found["rounds/executions", row["round"]] == row["executions"]
        assert ("rounds/test_metric", row["round"]) not in found
    assert len(found) == 12 * 15 + 2 * 2


@pytest.mark.parametrize(
    ("module", "make"),
    [("tensorboardX", tensorboard_logger), ("wandb", lambda folder: wandb_logger("d2m"))],
)
def test_a_missing_package_is_a_sentence(tmp_path, monkeypatch, module, make):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ValueError, match=rf"needs {module}: pip install 'd2m-jax\["):
        make(tmp_path)


def test_wandb_offline(tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_SILENT", "true")
    look = wandb_logger("d2m", name="small", config={"seed": 0}, folder=tmp_path)
    drive(config(), [look])
    (run,) = (tmp_path / "wandb").glob("offline-run-*")
    assert list(run.glob("*.wandb"))


def test_what_wandb_is_told(tmp_path, monkeypatch):
    """With a stand-in for the package: steps rise, every number is there once."""
    told, ends = [], []

    class Run:
        def log(self, facts, step):
            told.append((step, facts))

        def finish(self):
            ends.append(len(told))

    class Wandb:
        @staticmethod
        def init(**about):
            told.append(about)
            return Run()

    monkeypatch.setitem(sys.modules, "wandb", Wandb)
    drive(config(), [wandb_logger("d2m", config={"seed": 0}, folder=tmp_path)])
    about, *rows = told
    assert about["mode"] == "offline" and about["config"] == {"seed": 0}
    assert [step for step, _ in rows] == [*range(1, 13)] and ends == [13]
    assert "evaluations/test_loss" in rows[5][1] and "evaluations/test_loss" not in rows[4][1]
    json.dumps(rows)


def test_the_bar_says_how_far_and_how_good():
    console = Console(file=io.StringIO(), width=100, force_terminal=True)
    with progress_logger(console, 12, "accuracy") as progress:
        drive(config(), [progress])
    said = console.file.getvalue()
    accuracy = float(outcome().test_metric)
    assert "12/12" in said and f"rounds, test accuracy {accuracy:.1%}" in said


def test_tables_of_parts_are_the_parts_of_the_table():
    table = rounds_table(outcome())
    assert table["round"].tolist() == [*range(1, 13)]
    assert table["gas"].iloc[0] > table["gas"].iloc[1:].max() or outcome().rounds.executions.std()
    assert isinstance(table["test_loss"].dtype, pd.Float32Dtype)
    assert np.flatnonzero(table["test_loss"].notna()).tolist() == [5, 11]
