"""Writes the page of a results folder, and its figures as files. Host only."""

import os
import pathlib
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from d2m_jax.core.files import StorageError, given_path, make_folder, write_whole
from d2m_jax.report.folder import CONFIG, is_unfinished
from d2m_jax.report.page import figures, jobs, market, sweep
from d2m_jax.report.page.market_data import read_jobs, read_run, read_table

PLACES = ("x", "y", "by", "panel", "worst")


class Report(NamedTuple):
    """What was written, and what it says."""

    page: pathlib.Path
    figures: list[pathlib.Path]
    said: list[tuple[str, str]]  # (measure, sentence)


def write_report(
    folder: str | os.PathLike[str],
    out: str | os.PathLike[str] = "",
    *,
    heat: bool = False,
    every: bool = False,
    **wanted: str | None,
) -> Report:
    """Writes one page with everything in it, and figures as SVG and PDF beside it.

    Args:
        folder: results of a sweep, finished or not, or of a market that has ended.
        out: folder of the page; by default `report` in the results folder.
        heat: the first figure of a sweep is a heat map.
        every: figures of all measures as files, not of the first one only.
        wanted: x, y, by, panel, worst of the first figure of a sweep; see `sweep.read_sweep`.

    Raises:
        StorageError: no results are there, or they cannot be read or written.
        ValueError: no such axis or measure.
    """
    folder = given_path(folder)
    target = given_path(out) if out else folder / "report"
    if (folder / "runs").is_dir():
        made = sweep.read_sweep(folder, wanted, "heat" if heat else "auto")
        return write(target, sweep.render(made), sweep.figures(made, every), sweep.in_short(made))
    check_market(folder, wanted)
    if (folder / "jobs.csv").exists():
        return write_jobs(folder, target)
    run = read_run(folder)
    return write(target, market.render(run), market.figures(run), market.in_short(run))


def write(
    target: pathlib.Path,
    text: str,
    drawn: Iterable[figures.Figure],
    said: list[tuple[str, str]],
) -> Report:
    """Writes a page and its figures into a folder."""
    make_folder(target / "figures")
    paths = figures.save(drawn, target / "figures")
    write_whole(target / "index.html", text.encode())
    return Report(target / "index.html", paths, said)


def write_jobs(folder: pathlib.Path, target: pathlib.Path) -> Report:
    """Writes the page of a market of several jobs, and one of every job in a folder of its own."""
    runs = read_jobs(folder)
    tables = (read_table(folder / f"{name}.csv", name) for name in ("jobs", "serves"))
    made = jobs.Jobs(folder.name, runs, *tables)
    for job, run in enumerate(runs):
        write(target / f"job{job}", market.render(run), market.figures(run), [])
    return write(target, jobs.render(made), jobs.figures(made), jobs.in_short(made))


def check_market(folder: pathlib.Path, wanted: Mapping[str, str | None]) -> None:
    """Refuses a folder without a market that has ended.

    Raises:
        StorageError: there is none.
        ValueError: an axis is named, and one market has none.
    """
    if not (folder / CONFIG).exists():
        raise StorageError(f"{folder} holds no results of a sweep or of a market")
    if is_unfinished(folder):
        raise StorageError(f"{folder} holds a market that has not ended: run it to its end")
    named = [place for place, name in wanted.items() if name is not None]
    if named:
        raise ValueError(f"{folder} holds one market, which has no axes: leave out {named[0]}")
