"""Runs a plan: compile a group, run its chunks, write every chunk as soon as it is done.

Workers are threads that each drive the devices with a chunk of their own: on a CPU one per core,
since a chunk of small worlds keeps one core busy. Read first: `plan.py`, `program.py`.
"""

import concurrent.futures
import os
import queue
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import pyarrow as pa
from absl import logging
from jax.sharding import Mesh

import d2m_jax
from d2m_jax.core.backend import choices
from d2m_jax.data import Dataset
from d2m_jax.ledger import Layout
from d2m_jax.market.state import MarketOutcome
from d2m_jax.market.world import load_dataset
from d2m_jax.sweep import job_tables, lock, store, tables
from d2m_jax.sweep.chunks import Chunk, make_chunks, padded
from d2m_jax.sweep.plan import Group, Plan, Run
from d2m_jax.sweep.prepare import (
    Failure,
    Ready,
    choose_width,
    compile_group,
    culprits,
    first_line,
    fits,
    prepare,
)
from d2m_jax.sweep.program import Program, run_worlds

Progress = Callable[[int, str], None]  # (runs that are done now, what is going on)


class Options(NamedTuple):
    """How to run; nothing here changes a result beyond rounding."""

    width: int = 0  # worlds per chunk and device; 0 chooses
    workers: int = 0  # threads; 0 is one per core on a CPU with one device, else one
    devices: int = 0  # of this process, at most; 0 takes all
    data_dir: str | None = None
    process: int = 0  # number of this process; runs are shared out by key, see `is_mine`
    num_processes: int = 1
    parties: bool = False  # tables of sellers and nodes, too
    jobs: bool = False  # of several jobs, a table of each, too


class Session(NamedTuple):
    """What all groups of one call share."""

    folder: Path
    options: Options
    mesh: Mesh
    workers: int
    done: set[str]  # keys of the runs that are in the folder
    progress: Progress
    stop: threading.Event


class OutOfMemory(Exception):
    """A chunk did not fit."""


class Refused(Exception):
    """A room refused the program of a group; its sentence."""


def run_plan(
    plan: Plan,
    folder: str | os.PathLike[str],
    *,
    options: Options | None = None,
    progress: Progress | None = None,
    about: dict[str, Any] | None = None,
    stop: threading.Event | None = None,
) -> dict[str, Any]:
    """Runs whatever of a plan is not in the folder yet.

    Args:
        plan: from `make_plan`.
        folder: of the results; see `store.py`.
        options: how to run.
        progress: called after every chunk, one call at a time.
        about: goes into `sweep.json` beside the widths.
        stop: when it is set, no further chunk is begun.

    Returns:
        programs, compile_seconds, seconds, widths by group; missing: this process's runs without
        a row at the end (none, unless it was stopped); done, failed: how many it has of each.

    Raises:
        StorageError: the results cannot be read or written, are those of another sweep, or
            another sweep writes there.
        ValueError: the data set cannot be loaded.
        KeyboardInterrupt: as it came, after the chunks in work are written.
    """
    options = options or Options()
    folder = store.open_folder(folder)
    with lock.holding(folder, options.process, options.num_processes):
        store.remove_leftovers(folder)
        manifest = open_manifest(folder, about or {})
        session = make_session(folder, options, progress, stop)
        started = time.perf_counter()
        facts = run_groups(session, plan, manifest)
        facts["seconds"] = round(time.perf_counter() - started, 2)
        return {**facts, **outcomes(plan, folder, options)}


def open_manifest(folder: Path, about: dict[str, Any]) -> dict[str, Any]:
    """The manifest of the folder with what is asked for now.

    Raises:
        StorageError: it is damaged, or of another sweep.
    """
    about = {"version": d2m_jax.__version__, **about}
    manifest = store.read_manifest(folder)
    store.check_same(folder, manifest, about)
    return {**manifest, **about}


def run_groups(session: Session, plan: Plan, manifest: dict[str, Any]) -> dict[str, Any]:
    """Runs what is left, group by group; the first process keeps the manifest.

    Returns:
        programs, compile_seconds, widths.
    """
    options, raws = session.options, dict[Any, Dataset]()
    facts: dict[str, Any] = {"programs": 0, "compile_seconds": 0.0}
    facts["widths"] = widths = dict(manifest.get("widths", {}))
    manifest["widths"] = widths
    if options.process == 0:
        store.write_manifest(session.folder, manifest)  # before any result
        for run, why in plan.refused:
            fail(session, Failure([run], why))
    for group in plan.groups:
        if session.stop.is_set() or not left(session, group.runs):
            continue
        name = group.runs[0].config.data.name
        raws.setdefault(name, load_dataset(group.runs[0].config.data, options.data_dir))
        widths[group.name] = run_group(session, group, raws[name], widths.get(group.name, 0), facts)
        if options.process == 0:
            store.write_manifest(session.folder, manifest)
    facts["compile_seconds"] = round(facts["compile_seconds"], 2)
    return facts


def is_mine(key: str, options: Options) -> bool:
    """Whether this process runs it: a matter of the key alone, whatever widths others take."""
    return int(key, 16) % options.num_processes == options.process


def own_keys(plan: Plan, options: Options) -> list[str]:
    """Of what this process has to write a row for; the first one writes the refused points."""
    keys = [run.key for run in plan.runs if is_mine(run.key, options)]
    return keys + ([run.key for run, _ in plan.refused] if options.process == 0 else [])


def left(session: Session, runs: Iterable[Run]) -> list[Run]:
    """Those of this process that are not done."""
    mine = (run for run in runs if is_mine(run.key, session.options))
    return [run for run in mine if run.key not in session.done]


def outcomes(plan: Plan, folder: Path, options: Options) -> dict[str, Any]:
    """How this process's runs ended.

    Returns:
        done, failed: counts; missing: keys of the runs that have no row in the folder.
    """
    status = store.outcomes(folder).set_index("key")["status"].to_dict()
    mine = own_keys(plan, options)
    ended = [status[key] for key in mine if key in status]
    return {
        "done": ended.count("done"),
        "failed": ended.count("failed"),
        "missing": [key for key in mine if key not in status],
    }


def make_session(
    folder: Path,
    options: Options,
    progress: Progress | None = None,
    stop: threading.Event | None = None,
) -> Session:
    """Devices, workers, and what is done already."""
    mesh, lock = local_mesh(options), threading.Lock()

    def report(count: int, what: str) -> None:
        with lock:
            if progress:
                progress(count, what)

    done = store.finished(folder)
    workers = num_workers(options, mesh)
    return Session(folder, options, mesh, workers, done, report, stop or threading.Event())


def local_mesh(options: Options) -> Mesh:
    """The devices of this process; others work on chunks of their own."""
    devices = jax.local_devices()
    return Mesh(np.array(devices[: options.devices or len(devices)]), ("worlds",))


def num_workers(options: Options, mesh: Mesh) -> int:
    """Threads that run chunks: one per core on a CPU that is one device, else one."""
    if options.workers or not choices().threads or mesh.size > 1:
        return options.workers or 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def fail(session: Session, failure: Failure) -> None:
    """Writes rows that say why runs failed; those done already stay as they are."""
    runs = [run for run in failure.runs if run.key not in session.done]
    if runs:
        logging.warning("%d runs failed: %s", len(runs), failure.reason)
        store.write_part(session.folder, tables.runs_table(runs, None, failure.reason), None)
        session.progress(len(runs), "failed")


def run_group(
    session: Session, group: Group, dataset: Dataset, width: int, facts: dict[str, Any]
) -> int:
    """Runs a group, with narrower chunks when memory does not suffice.

    Args:
        session: shared by all groups.
        group: all its runs, done or not.
        dataset: its examples.
        width: W of an earlier call, 0 for none.
        facts: programs and seconds of compilation are added.

    Returns:
        The width W that it ended with.
    """
    ready, failures = prepare(group, dataset, session.mesh)
    while True:
        for failure in failures:
            fail(session, failure._replace(runs=left(session, failure.runs)))
        if ready is None or session.stop.is_set():
            return width
        width = width or session.options.width or choose_width(ready)
        session.progress(0, "compiling")
        try:
            program = compile_within(ready, width)
            facts["programs"] += 1
            facts["compile_seconds"] += program.seconds
            logging.info("compiled %s in %.1f s", group.name, program.seconds)
            if width > 1 and not fits(program, session.workers):
                raise OutOfMemory
            session.progress(0, "running")
            run_chunks(session, ready, program)
            return width
        except OutOfMemory:
            failures = []
            if width == 1:
                failures = [Failure(ready.group.runs, "a single world needs too much memory")]
                ready = None
                continue
            width //= 2
            logging.warning("not enough memory: going on with chunks of %d", width)
        except Refused as error:
            ready, failures = culprits(ready, error)


def compile_within(ready: Ready, width: int) -> Program:
    """The program of a group; compiling it may take more memory than there is, as running it may.

    Raises:
        OutOfMemory: it did not fit.
        Refused: a room refuses the program while it is traced.
    """
    try:
        return compile_group(ready, width)
    except (ValueError, TypeError) as error:
        raise Refused(str(error)) from error
    except jax.errors.JaxRuntimeError as error:
        if is_memory(error):
            raise OutOfMemory from error
        raise


def is_memory(error: Exception) -> bool:
    """Whether a device ran out of memory."""
    text = str(error).lower()
    return "resource_exhausted" in text or "out of memory" in text


def my_chunks(session: Session, ready: Ready, width: int) -> list[Chunk]:
    """What this process has to do, without what is done.

    Chunks are cut from all runs that are its own, done or not: a resume cuts the same ones.
    """
    mine = [run for run in ready.group.runs if is_mine(run.key, session.options)]
    chunks = make_chunks(ready.group._replace(runs=mine), width)
    return [c for c in chunks if any(run.key not in session.done for run in c.runs)]


def run_chunks(session: Session, ready: Ready, program: Program) -> None:
    """Runs all chunks of a group that are left, in several threads.

    Raises:
        OutOfMemory: a chunk did not fit; those that did are written.
    """
    work: queue.SimpleQueue[list[Chunk]] = queue.SimpleQueue()
    chunks, size = my_chunks(session, ready, program.shape.width), session.mesh.size
    for start in range(0, len(chunks), size):
        work.put(chunks[start : start + size])  # a chunk for every device
    halt = threading.Event()

    def drain() -> None:
        while not (halt.is_set() or session.stop.is_set()):
            try:
                batch = work.get_nowait()
            except queue.Empty:
                return
            try:
                run_batch(session, ready, program, batch)
            except BaseException:
                halt.set()
                raise

    with concurrent.futures.ThreadPoolExecutor(session.workers) as pool:
        workers = [pool.submit(drain) for _ in range(session.workers)]
        try:
            for worker in workers:
                worker.result()
        except KeyboardInterrupt:
            halt.set()  # leaving the pool waits for the chunks in work
            raise


def run_batch(session: Session, ready: Ready, program: Program, batch: Sequence[Chunk]) -> None:
    """Runs D chunks, one per device, and writes each of them."""
    width, size = program.shape.width, program.mesh.size
    full = list(batch) + [batch[-1]] * (size - len(batch))
    runs = [run for chunk in full for run in padded(chunk, width)]
    choices = [chunk.places for chunk in full]
    try:
        outcome = run_worlds(program, choices, ready.worlds(runs), ready.shared)
    except jax.errors.JaxRuntimeError as error:
        if is_memory(error):
            raise OutOfMemory from error
        fail(session, Failure([run for chunk in batch for run in chunk.runs], first_line(error)))
        return
    for place, chunk in enumerate(batch):
        span = slice(place * width, (place + 1) * width)
        one = jax.tree.map(lambda leaf, span=span: leaf[span], outcome)
        values = np.array([r.config.hparams.money.buyer_values for r in padded(chunk, width)])
        store.write_part(
            session.folder, *rows_of(chunk.runs, one, ready.layout, values, session.options)
        )
        new = {run.key for run in chunk.runs} - session.done
        session.done.update(new)
        session.progress(len(new), "running")


def rows_of(
    runs: Sequence[Run],
    outcome: MarketOutcome,
    layout: Layout,
    values: np.ndarray,
    options: Options,
) -> tuple[pa.Table, pa.Table, dict[str, pa.Table]]:
    """The rows of finished worlds for `store.write_part`: runs, rounds, and what else is asked for.

    Args:
        runs: V of them.
        outcome: every leaf [W, ...], W at least V.
        layout: accounts.
        values: [W, U] what a good model is worth to each buyer, money units.
        options: how to run.
    """
    if layout.num_jobs > 1:
        columns = job_tables.runs_columns(outcome, layout, values)
        rounds = job_tables.rounds_table(runs, outcome, layout)
        asked = {"parties": options.parties, "jobs": options.jobs}
        more = job_tables.more_tables(runs, outcome, layout, values, **asked)
    else:
        columns = tables.runs_columns(outcome, layout, values)
        rounds = tables.rounds_table(runs, outcome)
        more = tables.party_tables(runs, outcome, layout) if options.parties else {}
    return tables.runs_table(runs, columns), rounds, more
