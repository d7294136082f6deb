"""What is written and shown while a run goes: `on_chunk` callables of `collect`. Host only.

    collect(..., on_chunk=[csv_logger(folder), tensorboard_logger(folder)])

A logger that starts in the middle, after a resume, first catches up from the pieces of the chunk.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from d2m_jax.core.files import RESUME, StorageError, given_path, make_folder, write_whole
from d2m_jax.market.collect import Chunk, joined
from d2m_jax.report.tables import evaluation_frame, round_frame

if TYPE_CHECKING:
    import pandas as pd

Logger = Callable[[Chunk], None]


def new_rows(chunk: Chunk, written: int) -> dict[str, pd.DataFrame]:
    """The rows of `rounds` and `evaluations` after the first `written` chunks.

    They are those that `tables.rounds_table` and `evaluations_table` give of the whole run.
    """

    info, measured = joined(chunk.pieces)  # gas depends on all rounds so far
    roles, ledger = jax.device_get((chunk.state.roles, chunk.state.ledger))
    told = sum(rounds.round.size for rounds, _ in chunk.pieces[:written])
    seen = sum(quality.round.size for _, quality in chunk.pieces[:written])
    return {
        "rounds": round_frame(info, measured, roles, ledger).iloc[told:],
        "evaluations": evaluation_frame(measured).iloc[seen:],
    }


def csv_logger(folder: str | os.PathLike[str]) -> Logger:
    """Writes `rounds.csv` and `evaluations.csv` as the run goes.

    The first chunk writes both files whole, from all pieces: what a killed run left, a cut last
    line or rounds after the last checkpoint, is gone. Later chunks are appended and flushed.

    Raises:
        StorageError: from the logger, when the disk is full.
    """
    folder, written = given_path(folder), 0

    def log(chunk: Chunk) -> None:
        nonlocal written
        for name, rows in new_rows(chunk, written).items():
            path = folder / f"{name}.csv"
            if written:
                append(path, rows.to_csv(index=False, header=False))
            else:
                write_whole(path, rows.to_csv(index=False).encode(), f"make room, and {RESUME}")
        written = len(chunk.pieces)

    return log


def append(path: pathlib.Path, text: str) -> None:
    """Adds lines to a file and flushes them; a line that does not fit is taken back.

    Raises:
        StorageError: the disk is full; the lines before are whole.
    """
    try:
        size = path.stat().st_size
        try:
            with path.open("ab") as file:
                file.write(text.encode())
        except OSError:
            os.truncate(path, size)
            raise
    except OSError as error:
        raise StorageError(
            f"{path} cannot be written: {error.strerror}; the lines before are there: make room, "
            f"and {RESUME}"
        ) from error


def scalars(rows: Mapping[str, pd.DataFrame]) -> Iterator[tuple[int, dict[str, float]]]:
    """(round, values by "table/column") of every new row; what was not measured is left out."""
    import pandas as pd

    for name, table in rows.items():
        for row in table.to_dict("records"):
            where = f"job {row['job']}/{name}" if "job" in row else name
            facts = {
                f"{where}/{column}": float(value)
                for column, value in row.items()
                if column not in ("round", "job") and not pd.isna(value)
            }
            yield int(row["round"]), facts


def _once(tables: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Quality is in both tables; here it stands under `evaluations` only."""
    double = [name for name in tables["evaluations"] if name not in ("round", "job")]
    return {**tables, "rounds": tables["rounds"].drop(columns=double)}


def tensorboard_logger(folder: str | os.PathLike[str]) -> Logger:
    """Writes every column of both tables for TensorBoard, into `tensorboard` in the folder.

    After a resume TensorBoard shows the rounds of the later file.

    Raises:
        ValueError: tensorboardX is not installed.
        StorageError: the folder cannot be written.
    """
    try:
        from tensorboardX import SummaryWriter
    except ImportError as error:
        raise ValueError(
            "a log for TensorBoard needs tensorboardX: pip install 'd2m-jax[tensorboard]'"
        ) from error
    target, writer, written = make_folder(given_path(folder) / "tensorboard"), None, 0

    def log(chunk: Chunk) -> None:
        nonlocal writer, written
        if writer is None:
            for old in target.glob("events.out.tfevents.*"):
                old.unlink()  # everything so far is written anew
            writer = SummaryWriter(str(target))
        for step, facts in scalars(_once(new_rows(chunk, written))):
            for name, value in facts.items():
                writer.add_scalar(name, value, step)
        writer.flush()
        written = len(chunk.pieces)
        if chunk.done >= chunk.total:
            writer.close()

    return log


def wandb_logger(
    project: str,
    *,
    name: str | None = None,
    config: Mapping[str, Any] | None = None,
    folder: str | os.PathLike[str] = ".",
    mode: str = "offline",
) -> Logger:
    """Logs every column of both tables to Weights & Biases; by default without a network.

    Args:
        project: of W&B.
        name: of the run.
        config: shown beside it, from `folder.config_tree`.
        folder: where the files of W&B go.
        mode: "offline" (`wandb sync` sends the files later) or "online".

    Raises:
        ValueError: wandb is not installed.
    """
    try:
        import wandb
    except ImportError as error:
        raise ValueError("a log for W&B needs wandb: pip install 'd2m-jax[wandb]'") from error
    run, written = None, 0

    def log(chunk: Chunk) -> None:
        nonlocal run, written
        if run is None:
            run = wandb.init(
                project=project,
                name=name,
                config=dict(config or {}),
                dir=str(given_path(folder)),
                mode=mode,
            )
        by_round: dict[int, dict[str, float]] = {}
        for step, facts in scalars(_once(new_rows(chunk, written))):
            by_round.setdefault(step, {}).update(facts)
        for step, facts in sorted(by_round.items()):
            run.log(facts, step=step)
        written = len(chunk.pieces)
        if chunk.done >= chunk.total:
            run.finish()

    return log


@contextlib.contextmanager
def progress_logger(
    console: Console, total: int | None = None, metric: str = "metric"
) -> Iterator[Logger]:
    """A bar in the terminal: rounds done and the quality of the last model.

        with progress_logger(console) as progress:
            collect(..., on_chunk=[progress])

    Args:
        console: of rich.
        total: rounds in all, to show a bar before the first chunk.
        metric: what the quality of the model is called.
    """
    columns = (
        TextColumn("Training"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("rounds, {task.fields[quality]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=total, quality="compiling")

        def log(chunk: Chunk) -> None:
            quality = f"test {metric} {np.mean(chunk.evaluation.test_metric):.1%}"
            if np.ndim(chunk.evaluation.test_metric):
                quality += f" in the mean of {len(chunk.evaluation.test_metric)} jobs"
            progress.update(task, total=chunk.total, completed=chunk.done, quality=quality)

        yield log
