"""Runs a sweep: thousands of markets, a progress bar, Parquet tables.

    python scripts/sweep.py --config=configs/sweeps/quick.py --dry_run
    python scripts/sweep.py --config=configs/sweeps/digits_1024.py --out=results/digits_1024
    python scripts/sweep.py --config=FILE --config.spec.num_rounds=50 --out=results/short

The same command again goes on where the last one stopped. Read next: docs/sweeps.md.
"""

import importlib.util
import pathlib
import sys
import time
from typing import Any

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import jax
from absl import app, flags
from ml_collections import config_flags
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

from d2m_jax import sweep
from d2m_jax.report.results import provenance
from scripts.sentences import one_sentence, parse_flags

with one_sentence():
    CONFIG = config_flags.DEFINE_config_file(
        "config", "configs/sweeps/quick.py", "sweep file: get_config() and get_points()"
    )
OUT = flags.DEFINE_string("out", None, "results folder (default: results/<config>)")
DATA_DIR = flags.DEFINE_string("data_dir", None, "folder of the official data archives")
DRY_RUN = flags.DEFINE_bool("dry_run", False, "print the plan and an estimate, run nothing")
WIDTH = flags.DEFINE_integer("width", 0, "worlds per chunk and device (0 chooses)", lower_bound=0)
WORKERS = flags.DEFINE_integer("workers", 0, "threads (0: one per core)", lower_bound=0)
DEVICES = flags.DEFINE_integer("devices", 0, "devices of this process (0: all)", lower_bound=0)
COORDINATOR = flags.DEFINE_string("coordinator", None, "host:port of process 0, for several hosts")
NUM_PROCESSES = flags.DEFINE_integer("num_processes", None, "how many processes there are")
PROCESS_ID = flags.DEFINE_integer("process_id", None, "which of them this is, from 0")
DISTRIBUTED = flags.DEFINE_bool("distributed", False, "find the other processes (Slurm, TPU pod)")


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"unexpected argument {argv[1]!r}; flags start with --")
    process, num_processes = join_others()
    keep_compiled()
    console = Console(width=100 if not sys.stdout.isatty() else None, highlight=False)
    with one_sentence():
        path = config_flags.get_config_filename(flags.FLAGS["config"])
        folder = OUT.value or f"results/{pathlib.Path(path).stem}"
        module = load_module(path)
        constraints = getattr(module, "CONSTRAINTS", {})
        base = CONFIG.value.to_dict()
        plan = sweep.make_plan(base, module.get_points(), constraints)
        options = sweep.Options(
            width=WIDTH.value,
            workers=WORKERS.value,
            devices=DEVICES.value,
            data_dir=DATA_DIR.value,
            process=process,
            num_processes=num_processes,
        )
        done = sweep.finished(folder)
        if process == 0:
            sweep.print_plan(console, plan, done, folder)
        if DRY_RUN.value:
            sweep.print_estimate(console, plan, done, options)
            return
        about = {"base": base, "file": path, "axes": plan.axes, "provenance": provenance()}
        run(console, plan, folder, options, about, done)


def load_module(path: str) -> Any:
    spec = importlib.util.spec_from_file_location("sweep_file", path)
    if spec is None or spec.loader is None:
        raise ValueError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if not hasattr(module, "get_points"):
        raise ValueError(f"{path} has no function get_points(): it is no sweep file")
    return module


def join_others() -> tuple[int, int]:
    """Number of this process and how many there are."""
    if DISTRIBUTED.value:
        jax.distributed.initialize()
    elif COORDINATOR.value:
        jax.distributed.initialize(COORDINATOR.value, NUM_PROCESSES.value, PROCESS_ID.value)
    else:
        return 0, 1
    return jax.process_index(), jax.process_count()


def keep_compiled() -> None:
    """Keeps compiled programs on disk, unless the user has chosen a place."""
    if jax.config.jax_compilation_cache_dir is None:
        root = pathlib.Path(__file__).resolve().parents[1]
        jax.config.update("jax_compilation_cache_dir", str(root / ".cache" / "jax"))


def run(
    console: Console,
    plan: sweep.Plan,
    folder: str,
    options: sweep.Options,
    about: dict[str, Any],
    done: set[str],
) -> None:
    started = time.perf_counter()
    left = [key for key in sweep.own_keys(plan, options) if key not in done]
    if options.num_processes > 1:
        console.print(
            f"Process {options.process} of {options.num_processes}: {len(left):,} of the "
            f"{sum(key not in done for key in plan.keys):,} runs that are left"
        )
    columns = (
        SpinnerColumn(),
        TextColumn("{task.fields[what]:9}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, refresh_per_second=4) as bar:
        task = bar.add_task("", total=len(left), what="starting", rate="")
        clock = {"runs": 0, "since": started}

        def progress(count: int, what: str) -> None:
            now = time.perf_counter()
            if not count:
                clock.update(runs=0, since=now)
            clock["runs"] += count
            bar.update(task, advance=count, what=what, rate=speed(clock, now, bar.tasks[0]))

        try:
            facts = sweep.run_plan(plan, folder, options=options, progress=progress, about=about)
        except KeyboardInterrupt:
            bar.stop()
            console.print(f"[yellow]Stopped.[/] The same command goes on; results: {folder}/")
            sys.exit(130)
    seconds = time.perf_counter() - started
    sweep.print_summary(console, plan, folder, facts, seconds)
    if facts["missing"]:
        sys.exit(1)


def speed(clock: dict[str, float], now: float, task: Any) -> str:
    """Runs per second and time left, since the last compilation."""
    if not clock["runs"]:
        return ""
    rate = clock["runs"] / max(now - clock["since"], 1e-9)
    left = int((task.total - task.completed) / rate)
    return f"{rate:.1f} runs/s, {left // 60}:{left % 60:02d} left"


if __name__ == "__main__":
    app.run(main, flags_parser=parse_flags)
