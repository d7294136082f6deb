"""The paper's results again, held to what they must reach.

    d2m reproduce --quick                       digits; with --data_dir=DIR a part of MNIST, too
    d2m reproduce --full --data_dir=DIR         MNIST, Fashion-MNIST, CIFAR-10, the ablation
    d2m reproduce --full --only=mnist --attacks=none --data_dir=DIR --minutes=60

Whole markets, auction to settlement: 50 sellers, 20 sampled, 64 nodes, Dirichlet 0.5 and iid, three
worlds. Every experiment is a sweep in --out that goes on where it stopped; its table, with command,
seeds, versions and commit, and its plot go to --tables. Exit status: 1 when a band is missed or a
market failed, 3 when none is missed but some are not measured yet, or left out for lack of data.
"""

import threading
import time
from collections.abc import Sequence
from typing import Any

from absl import flags
from rich.console import Console
from rich.markup import escape

from d2m_jax import sweep
from d2m_jax.cli import devices, door, flag_tables, paths
from d2m_jax.cli.sweep import progress_bar
from d2m_jax.core.choices import lookup
from d2m_jax.reproduce.bands import Verdict
from d2m_jax.reproduce.cases import Experiment
from d2m_jax.reproduce.experiments import GRIDS
from d2m_jax.reproduce.pages import write_page
from d2m_jax.reproduce.run import Asked, plan_of, run_experiment

MISSED, NOT_MEASURED = 1, 3  # exit statuses
STRINGS: flag_tables.Strings = {
    "out": ("results/reproduce", "folder of the runs, kept between calls"),
    "tables": ("", "folder of the tables and plots (default: <out>/tables)"),
    "data_dir": (None, "folder of the official data archives"),
}
SWITCHES: flag_tables.Switches = {
    "quick": "the grid that takes minutes on two cores",
    "full": "the grid of the paper's figures, which takes a day on two cores",
    "tables_only": "write the tables of what is there, run nothing",
}
LISTS: flag_tables.Lists = {
    "only": ([], "experiments that are run (default: all of the grid)"),
    "attacks": ([], "attacks that are run, `none` for nobody bad (default: all)"),
    "deals": ([], "how the data are dealt, `iid` or `dirichlet` (default: both)"),
}
INTEGERS: flag_tables.Integers = {
    "worlds": (0, 0, "only the first so many (0: all)"),
    "minutes": (0, 0, "begin no market after so many (0: no limit)"),
    "workers": (0, 0, "threads (0: one per core)"),
}
DEALS = {"iid": "iid", "dirichlet": "Dirichlet 0.5"}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; see `door.enter`."""
    return door.enter(run, argv, define=define, about=__doc__)


def define(values: flags.FlagValues) -> None:
    """The flags of the command."""
    flag_tables.strings(values, STRINGS)
    flag_tables.switches(values, SWITCHES)
    flag_tables.lists(values, LISTS)
    flag_tables.integers(values, INTEGERS)


def run(call: door.Call) -> int:
    """Runs the experiments of a grid one after the other, writes their pages, judges them."""
    chosen = chosen_of(call.flags)
    asked = asked_of(call.flags, chosen)
    devices.check_devices()
    devices.keep_compiled()
    out = paths.given(call.flags.out)
    tables = paths.given(call.flags.tables) if call.flags.tables else out / "tables"
    options = sweep.Options(
        workers=call.flags.workers, data_dir=paths.optional(call.flags.data_dir)
    )
    stop = threading.Event()
    clock = threading.Timer(60 * call.flags.minutes, stop.set)
    clock.daemon = True
    if call.flags.minutes:
        clock.start()
    failed, lacking, verdicts = 0, False, list[Verdict]()
    try:
        for experiment in chosen:
            if not call.flags.tables_only:
                if experiment.needs_data and options.data_dir is None:
                    say_missing(call.console, experiment)
                    lacking = True
                    continue
                failed += run_one(call.console, experiment, str(out), asked, options, stop)
            command = command_of(experiment, grid_name(call.flags))
            verdicts += told(call.console, write_page(experiment, out, tables, command))
    finally:
        clock.cancel()
    call.console.print(f"tables and plots: {escape(str(tables))}/")
    statuses = [verdict.status for verdict in verdicts]
    if failed or "missed" in statuses:
        return MISSED
    return NOT_MEASURED if lacking or "not measured" in statuses or not verdicts else 0


def command_of(experiment: Experiment, grid: str) -> str:
    """What makes the page of an experiment, whole."""
    data = " --data_dir=DIR" if experiment.needs_data else ""
    return f"d2m reproduce --{grid} --only={experiment.name}{data}"


def grid_name(values: Any) -> str:
    """The grid that the flags name.

    Raises:
        ValueError: both, or none of them.
    """
    if values.quick == values.full:
        raise ValueError("name one grid: --quick (minutes) or --full (a day on two cores)")
    return "quick" if values.quick else "full"


def chosen_of(values: Any) -> list[Experiment]:
    """The experiments of the grid, or those that `--only` names, in their order.

    Raises:
        ValueError: as `grid_name`, a name that is not there, or the full grid without data.
    """
    grid = GRIDS[grid_name(values)]
    known = {experiment.name: experiment for experiment in grid}
    chosen = [lookup(known, name, "experiment") for name in values.only or known]
    needed = any(experiment.needs_data for experiment in chosen)
    if values.full and needed and not values.data_dir and not values.tables_only:
        raise ValueError(
            "the full grid needs the official archives of MNIST, Fashion-MNIST and CIFAR-10: give "
            "their folder as --data_dir, or take --quick, whose digits are built in"
        )
    return chosen


def asked_of(values: Any, chosen: list[Experiment]) -> Asked:
    """Which part is run.

    Raises:
        ValueError: an attack that no chosen experiment has, or a deal that there is not.
    """
    attacks = {case.labels["attack"] for experiment in chosen for case in experiment.cases}
    for name in values.attacks:
        lookup(dict.fromkeys(attacks), name, "attack of these experiments")
    deals = tuple(lookup(DEALS, name, "deal") for name in values.deals)
    labels = {"attack": tuple(values.attacks), "data": deals}
    return Asked({name: some for name, some in labels.items() if some}, values.worlds)


def say_missing(shown: Console, experiment: Experiment) -> None:
    """That an experiment is left out, and what it needs."""
    name = experiment.base["data"]["name"]
    shown.print(
        f"{experiment.name}: left out, it needs the archives of {name}: give their folder as "
        "--data_dir"
    )


def run_one(
    shown: Console,
    experiment: Experiment,
    out: str,
    asked: Asked,
    options: sweep.Options,
    stop: threading.Event,
) -> int:
    """Runs one experiment with a progress bar; how many markets have failed."""
    started, total = time.perf_counter(), len(plan_of(experiment, asked).runs)
    shown.print(f"[bold]{experiment.name}[/]: {experiment.about} {total:,} markets")
    with progress_bar(shown) as bar:
        task = bar.add_task("", total=total, what="starting", rate="")

        def progress(number: int, what: str) -> None:
            bar.update(task, advance=number, what=what)

        facts = run_experiment(
            experiment, out, asked=asked, options=options, progress=progress, stop=stop
        )
    shown.print(
        f"  {facts['done']:,} done, {facts['failed']:,} failed, {len(facts['missing']):,} left; "
        f"{time.perf_counter() - started:.0f} s"
    )
    return int(facts["failed"])


def told(shown: Console, verdicts: list[Verdict]) -> list[Verdict]:
    """Prints every band, and gives them back."""
    colours = {"held": "green", "missed": "red", "not measured": "yellow"}
    for verdict in verdicts:
        shown.print(f"  [{colours[verdict.status]}]{escape(verdict.sentence)}[/]", highlight=False)
    return verdicts
