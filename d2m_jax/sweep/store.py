"""The results folder of a sweep: parts that appear whole or not at all, and `load`.

    .lock-0-of-1            who writes here now: host and process, see `lock.py`
    sweep.json              what was asked for, by whom (versions, device, command)
    runs/part-....parquet   one row per run
    rounds/part-....parquet one row per run and round, written before the part of `runs`
    sellers/, nodes/        on request: one row per run and seller, and per run and node
    jobs/                   on request, of several jobs: one row per run and job

A part is written under another name, flushed to disk, and renamed. So whatever kills the process,
the folder holds whole parts only, and a run counts as done when its row in `runs` is there and the
part of `rounds` with the same name opens. A run that failed has a row in `runs` only.
"""

import contextlib
import hashlib
import json
import os
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from d2m_jax.core import files
from d2m_jax.core.choices import lookup
from d2m_jax.core.files import StorageError, given_path, make_folder, write_whole
from d2m_jax.report import columns

TABLES = ("runs", "rounds")
PARTIES = ("sellers", "nodes", "jobs")  # on request


class Results(NamedTuple):
    """A sweep as pandas frames."""

    runs: pd.DataFrame  # one row per run, sorted by key
    rounds: pd.DataFrame  # one row per run and round
    manifest: dict[str, Any]  # sweep.json


def open_folder(path: str | os.PathLike[str]) -> pathlib.Path:
    """Makes the folder of a sweep; `~` is expanded.

    Raises:
        StorageError: it cannot be made or written.
    """
    folder = make_folder(path)
    for name in TABLES:
        make_folder(folder / name)
    return folder


def remove_leftovers(folder: pathlib.Path) -> None:
    """Removes files whose writing was interrupted: those of processes of this host that are dead.

    What another host left stays; no reader looks at it.
    """
    for name in ("", *TABLES, *PARTIES):
        files.remove_leftovers(folder / name)


def write_part(
    folder: pathlib.Path,
    runs: pa.Table,
    rounds: pa.Table | None,
    parties: Mapping[str, pa.Table] | None = None,
) -> None:
    """Adds the rows of some runs. Two parts never hold the same run unless it was run twice."""
    name = hashlib.sha256("".join(runs["key"].to_pylist()).encode()).hexdigest()[:16]
    for table, rows in (*(parties or {}).items(), ("rounds", rounds), ("runs", runs)):  # in order
        if rows is not None:
            make_folder(folder / table)
            sink = pa.BufferOutputStream()
            pq.write_table(rows, sink, compression="zstd")
            path = folder / table / f"part-{name}.parquet"
            write_whole(path, sink.getvalue().to_pybytes())


def write_manifest(folder: pathlib.Path, manifest: dict[str, Any]) -> None:
    """Writes `sweep.json`."""
    text = json.dumps(manifest, indent=2, default=str) + "\n"
    write_whole(folder / "sweep.json", text.encode())


def read_manifest(folder: pathlib.Path) -> dict[str, Any]:
    """Reads `sweep.json`; empty when there is none.

    Raises:
        StorageError: it is damaged.
    """
    path = folder / "sweep.json"
    if not path.exists():
        return {}
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise StorageError(f"{path} cannot be read ({error}); move it away to go on") from error


def check_same(folder: pathlib.Path, old: dict[str, Any], new: dict[str, Any]) -> None:
    """Refuses to mix two sweeps in one folder.

    Args:
        folder: of the results.
        old: its `sweep.json`, empty if there is none.
        new: version and, where it is known, base of the sweep that is to run.

    Raises:
        StorageError: another version of the package or another base configuration made the folder.
    """
    was, now = old.get("version", new["version"]), new["version"]
    if was != now:
        raise StorageError(
            f"{folder} holds results of d2m_jax {was}, and this is {now}: choose another folder"
        )
    bases = [json.dumps(m["base"], sort_keys=True, default=str) for m in (old, new) if "base" in m]
    if len(set(bases)) > 1:
        raise StorageError(
            f"{folder} holds results of another base configuration: choose another folder"
        )


def read_parts(folder: pathlib.Path, table: str) -> pd.DataFrame:
    """All rows of a table, in the order of the file names, typed by `report.columns`.

    A column that some part lacks, as that of runs that failed, is `<NA>` there and keeps its type.

    Raises:
        StorageError: a part cannot be read; the sentence names it.
    """
    frames, empty = [], ["key", "status", "reason"]
    for path in sorted((folder / table).glob("part-*.parquet")):
        with naming(path):
            rows = pq.read_table(path)
            none = [name for name, kind in zip(rows.column_names, rows.schema.types)
                    if pa.types.is_null(kind)]  # fmt: skip
            known = columns.arrow_types().get
            frames.append(rows.drop_columns(none).to_pandas(types_mapper=known))
    rows = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=empty)
    return columns.typed(rows, table)


@contextlib.contextmanager
def naming(path: pathlib.Path) -> Iterator[None]:
    """Turns whatever goes wrong while a part is read into a sentence that names it."""
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        reason = str(error).splitlines()[0]
        raise StorageError(
            f"the part {path} cannot be read ({reason}); all other parts are whole: move this "
            "one away, and the same command computes its runs again"
        ) from error


def outcomes(folder: str | os.PathLike[str]) -> pd.DataFrame:
    """One row per run that has one: key, status and reason; that it worked counts if it ever did.

    Raises:
        StorageError: a part of `runs` or the head of a part of `rounds` cannot be read.
    """
    frames = [pd.DataFrame(columns=["key", "status", "reason"], dtype=object)]
    for path in sorted((given_path(folder) / "runs").glob("part-*.parquet")):
        with naming(path):
            rows = pq.read_table(path, columns=["key", "status", "reason"]).to_pandas()
        detail = path.parent.parent / "rounds" / path.name
        if detail.exists():
            with naming(detail):
                pq.read_metadata(detail)
        else:
            rows = rows[rows["status"] != "done"]
        frames.append(rows)
    rows = pd.concat(frames, ignore_index=True)
    return rows.sort_values(["key", "status"]).drop_duplicates("key").reset_index(drop=True)


def finished(folder: str | os.PathLike[str]) -> set[str]:
    """Keys of the runs that need not be run again; empty when there is no such folder yet.

    Raises:
        StorageError: a part cannot be read.
    """
    rows = outcomes(folder)
    return set(rows["key"][rows["status"] == "done"])


def load(path: str | os.PathLike[str]) -> Results:
    """The results of a sweep, finished or not, as pandas frames.

    A run that failed and was run again has one row, of the attempt that worked.

    Args:
        path: the results folder.

    Returns:
        `runs` sorted by key and `rounds` sorted by key and round; the same for the same runs,
        however often the sweep was interrupted.

    Raises:
        StorageError: no sweep is there, or a part cannot be read.
    """
    folder = given_path(path)
    if not (folder / "runs").is_dir():
        raise StorageError(f"{folder} holds no results of a sweep")
    runs, rounds = (read_parts(folder, table) for table in TABLES)
    if len(runs):
        runs = runs.sort_values(["key", "status"]).drop_duplicates("key").reset_index(drop=True)
    if len(rounds):
        rounds = rounds[rounds["key"].isin(runs["key"][runs["status"] == "done"])]
        rounds = rounds.sort_values(["key", "round"]).drop_duplicates(["key", "round"])
        rounds = rounds.reset_index(drop=True)
    return Results(runs, rounds, read_manifest(folder))


def load_parties(path: str | os.PathLike[str], table: str) -> pd.DataFrame:
    """The rows of all sellers or nodes of a sweep with `--parties`, or of all jobs with `--jobs`.

    Args:
        path: the results folder.
        table: "sellers", "nodes" or "jobs".

    Returns:
        One row per run and party or job, sorted by key; empty where the sweep kept none.

    Raises:
        StorageError: a part cannot be read.
        ValueError: there is no such table.
    """
    lookup(dict.fromkeys(PARTIES), table, "table of parties")
    folder, done = given_path(path), finished(path)
    rows = read_parts(folder, table)
    rows = rows[rows["key"].isin(done)]
    if not len(rows):
        return rows.reset_index(drop=True)
    party = table.removesuffix("s")
    rows = rows.sort_values(["key", party]).drop_duplicates(["key", party])
    return rows.reset_index(drop=True)
