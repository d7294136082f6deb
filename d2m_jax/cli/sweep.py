"""Runs a sweep: thousands of markets, a progress bar, Parquet tables.

    python scripts/sweep.py --config=configs/sweeps/quick.py --dry_run
    python scripts/sweep.py --config=configs/sweeps/digits_1024.py --out=results/digits_1024
    python scripts/sweep.py --config=FILE --config.spec.num_rounds=50 --out=results/short

The same command again goes on where the last one stopped. Read next: docs/sweeps.md.
"""

import sys
import time
from collections.abc import Sequence
from typing import Any

import jax
from absl import flags
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

from d2m_jax import sweep
from d2m_jax.cli import console, devices, door, flag_tables, paths, user_file
from d2m_jax.report.folder import provenance

STRINGS: flag_tables.Strings = {
    "out": (None, "results folder (default: results/<config>)"),
    "data_dir": (None, "folder of the official data archives"),
    "coordinator": (None, "host:port of process 0, for several hosts"),
}
INTEGERS: flag_tables.Integers = {
    "width": (0, 0, "worlds per chunk and device (0 chooses)"),
    "workers": (0, 0, "threads (0: one per core)"),
    "devices": (0, 0, "devices of this process (0: all)"),
    "num_processes": (None, 1, "how many processes there are"),
    "process_id": (None, 0, "which of them this is, from 0"),
}
SWITCHES: flag_tables.Switches = {
    "dry_run": "print the plan, run nothing",
    "estimate": "print the plan, compile, and say how long it will take; run nothing",
    "parties": "write tables of all sellers and nodes, too",
    "jobs": "of several jobs, write a table with a row for each, too",
    "distributed": "find the other processes (Slurm, TPU pod)",
}
NO_JOBS = "--jobs writes nothing here: every market has one job, whose row in runs says it all"
TOGETHER = ("coordinator", "num_processes", "process_id")  # all of them or none


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; see `door.enter`."""
    default = "configs/sweeps/quick.py"
    return door.enter(run, argv, define=define, about=__doc__, config=default)


def define(values: flags.FlagValues) -> None:
    """The flags of the command."""
    flag_tables.strings(values, STRINGS)
    flag_tables.integers(values, INTEGERS)
    flag_tables.switches(values, SWITCHES)


def run(call: door.Call) -> int:
    """Plans, prints, runs. Returns 1 when a run is missing or all have failed."""
    process, num_processes = join_others(call.flags)
    devices.check_devices()
    devices.keep_compiled()
    assert call.module is not None  # the command has a configuration
    folder = str(paths.given(call.flags.out or f"results/{call.file.stem}"))
    base = call.config.to_dict()
    points = user_file.get_points(call.module)
    plan = sweep.make_plan(base, points, user_file.get_constraints(call.module))
    options = sweep.Options(
        width=call.flags.width,
        workers=call.flags.workers,
        devices=call.flags.devices,
        data_dir=paths.optional(call.flags.data_dir),
        process=process,
        num_processes=num_processes,
        parties=call.flags.parties,
        jobs=call.flags.jobs,
    )
    done = sweep.finished(folder)
    if process == 0:
        sweep.print_plan(call.console, plan, done, folder)
        if call.flags.jobs and {run.config.spec.num_jobs for run in plan.runs} == {1}:
            call.console.print(f"[yellow]note:[/] {NO_JOBS}")
    if not plan.keys:
        raise ValueError("nothing to run: every point is skipped")
    if call.flags.estimate:
        sweep.print_estimate(call.console, plan, done, options)
    if call.flags.dry_run or call.flags.estimate:
        return 0
    about = {"base": base, "file": str(call.file), "axes": plan.axes, "provenance": provenance()}
    facts = run_all(call.console, plan, folder, options, about, done)
    return 1 if facts["missing"] or (facts["failed"] and not facts["done"]) else 0


def join_others(values: Any) -> tuple[int, int]:
    """Number of this process and how many there are.

    Raises:
        ValueError: flags that go together do not, or the processes did not meet.
    """
    given = [name for name in TOGETHER if values[name].value is not None]
    if given and values.distributed:
        raise ValueError(f"--distributed finds the others by itself: leave out --{given[0]}")
    if not given and not values.distributed:
        return 0, 1
    if not values.distributed and len(given) < len(TOGETHER):
        absent = next(name for name in TOGETHER if name not in given)
        names = ", ".join(f"--{name}" for name in TOGETHER[:-1]) + f" and --{TOGETHER[-1]}"
        raise ValueError(f"{names} go together: --{absent} is missing")
    if given and values.process_id >= values.num_processes:
        last = values.num_processes - 1
        raise ValueError(f"--process_id={values.process_id} must lie between 0 and {last}")
    if given and not values.coordinator.rpartition(":")[2].isdecimal():
        raise ValueError(f"--coordinator={values.coordinator} must be host:port")
    chosen = (values[name].value for name in TOGETHER)
    try:
        jax.distributed.initialize(*chosen)
    except RuntimeError as error:
        raise ValueError(f"the processes did not find each other: {error}") from error
    return jax.process_index(), jax.process_count()


def run_all(
    shown: Console,
    plan: sweep.Plan,
    folder: str,
    options: sweep.Options,
    about: dict[str, Any],
    done: set[str],
) -> dict[str, Any]:
    """Runs what is left with a progress bar, and says how it went."""
    started = time.perf_counter()
    left = [key for key in sweep.own_keys(plan, options) if key not in done]
    if options.num_processes > 1:
        shown.print(
            f"Process {options.process} of {options.num_processes}: {len(left):,} of the "
            f"{sum(key not in done for key in plan.keys):,} runs that are left"
        )
    with progress_bar(shown) as bar:
        task = bar.add_task("", total=len(left), what="starting", rate="")
        clock = {"runs": 0.0, "since": started}

        def progress(number: int, what: str) -> None:
            now = time.perf_counter()
            if not number:
                clock.update(runs=0, since=now)
            clock["runs"] += number
            bar.update(task, advance=number, what=what, rate=speed(clock, now, bar.tasks[0]))

        try:
            facts = sweep.run_plan(plan, folder, options=options, progress=progress, about=about)
        except KeyboardInterrupt:
            bar.stop()
            results = escape(folder)
            shown.print(f"[yellow]Stopped.[/] The same command goes on; results: {results}/")
            sys.exit(130)
    sweep.print_summary(shown, plan, folder, facts, time.perf_counter() - started)
    return facts


def progress_bar(shown: Console) -> Progress:
    """The line that tells how far a sweep is."""
    return Progress(
        SpinnerColumn("line"),
        TextColumn("{task.fields[what]:9}"),
        console.bar(shown),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        console=shown,
        refresh_per_second=4,
    )


def speed(clock: dict[str, float], now: float, task: Any) -> str:
    """Runs per second and time left, since the last compilation."""
    if not clock["runs"]:
        return ""
    rate = clock["runs"] / max(now - clock["since"], 1e-9)
    left = int((task.total - task.completed) / rate)
    return f"{rate:.1f} runs/s, {left // 60}:{left % 60:02d} left"
