"""How safe, slow and dear is the vote? Exact probabilities checked by simulation, with plots.

    python scripts/cone_study.py --out results/cone

Compares execution sets that grow as base + 2^(i-1) with fixed ones over the Byzantine share, the
base and the pool (32 to 100,000 nodes), and every stop rule with its simulation. A few minutes on
two cores with the default flags; `--runs=0` gives the exact numbers alone.
"""

import json
import pathlib
import platform
from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np
import pandas as pd
from absl import flags
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from d2m_jax.cli import arguments, console, devices, door, flag_tables, paths
from d2m_jax.cone import ConeParams
from d2m_jax.cone.checks import validate
from d2m_jax.cone.study import Point, compare_rules, compare_sets, study_row
from d2m_jax.core.files import make_folder
from d2m_jax.report import cone_plots

LISTS: flag_tables.Lists = {
    "pools": (["32", "100", "316", "1000", "3162", "10000", "31623", "100000"], "pool sizes"),
    "shares": (
        [str(share) for share in (0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45)],
        "Byzantine shares of the pool",
    ),
    "bases": (["1", "2", "4", "8", "16", "32"], "bases of exponential sets"),
    "sizes": (["5", "10", "20", "40"], "sizes of fixed sets"),
}
FLOATS: flag_tables.Floats = {
    "f_max": (1 / 3, None, None, "share of bad nodes that the stop rule is built for"),
    "beta": (1e-6, None, None, "accepted probability of a wrong result"),
}
INTEGERS: flag_tables.Integers = {
    "runs": (20_000, 0, "simulated votes per point, fewer in large pools; 0: none"),
    "seed": (0, 0, "of the simulation"),
}


class Study(NamedTuple):
    """What is compared, and how much of it is simulated."""

    pools: list[int]
    shares: list[float]
    bases: list[int]
    sizes: list[int]
    f_max: float  # share of bad nodes that the stop rule is built for
    beta: float  # accepted probability of a wrong result
    runs: int  # simulated votes per point, fewer in large pools; 0: none
    seed: int


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; see `door.enter`."""
    return door.enter(run, argv, define=define, about=__doc__)


def define(values: flags.FlagValues) -> None:
    """The flags of the command."""
    flag_tables.strings(values, {"out": ("results/cone", "folder of the tables and plots")})
    flag_tables.lists(values, LISTS)
    flag_tables.floats(values, FLOATS)
    flag_tables.integers(values, INTEGERS)


def run(call: door.Call) -> None:
    """Computes the tables, draws, writes and prints them."""
    study = read(call.flags)
    devices.check_devices()
    out = make_folder(paths.given(call.flags.out))
    pools, shares, (f_max, beta) = study.pools, study.shares, study[4:6]
    grid = compare_sets(shares, study.bases, study.sizes, pools, f_max, beta)
    sets = tabulate(study, list(grid), "sets")
    rules = tabulate(study, list(compare_rules((0.2, 0.3, 0.4), (1e-2, 1e-6), f_max)), "rules")
    save(out, study, {"sets": sets, "rules": rules}, call.command)
    middle = min(pools, key=lambda pool: abs(np.log(pool / 1000)))
    worst = min(shares, key=lambda share: abs(share - 0.3))
    bounds = {"f_max": f_max, "beta": beta}
    here, near = sets[sets["pool"] == middle], sets[sets["asked"] == worst]
    cone_plots.plot_sets(here, "share", f"pool of {middle:,}", out / "share.png", **bounds)
    cone_plots.plot_sets(near, "pool", f"{worst:.0%} bad nodes", out / "pool.png", **bounds)
    cone_plots.plot_bases(here[here["schedule"] == "exponential"], middle, out)
    if study.runs:
        cone_plots.plot_rules(rules, out)
    report(call.console, here, rules)
    call.console.print(f"tables and plots: {out}", markup=False)


def read(values: flags.FlagValues) -> Study:
    """The flags, checked.

    Raises:
        ValueError: no number, or one out of its range.
    """
    pools, bases, sizes = (
        arguments.numbers(values, name, int, "whole numbers")
        for name in ("pools", "bases", "sizes")
    )
    shares = arguments.numbers(values, "shares", arguments.share, "between 0 and 1")
    if max(shares) == 1:
        raise ValueError("--shares must be below 1: somebody has to be honest")
    params = ConeParams(np.array(bases), values.f_max, values.beta, size=np.array(sizes))
    for pool in pools:
        if pool < 1:
            raise ValueError(f"--pools must be 1 or more, got {pool}")
        validate(params, pool)
        validate(params, pool, schedule="fixed")
    return Study(pools, shares, bases, sizes, values.f_max, values.beta, values.runs, values.seed)


def tabulate(study: Study, points: list[Point], what: str) -> pd.DataFrame:
    """One row per point; of the sets, base 4 and fixed 20 are simulated, at 30 % bad nodes."""
    key, table = jax.random.key(study.seed), []
    screen = console.make(stderr=True)
    columns = (TextColumn("{task.description}"), console.bar(screen), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), console=screen) as progress:
        for i, point in enumerate(progress.track(points, description=f"{what:<6}")):
            chosen = point.sets in ("base 4", "fixed 20") and point.asked == 0.3
            wanted = study.runs if what == "rules" or chosen else 0
            runs = min(wanted, max(200, 20_000_000 // point.pool))
            table.append(study_row(point, min(runs, wanted), jax.random.fold_in(key, i)))
    return pd.DataFrame(table)


def save(out: pathlib.Path, study: Study, tables: dict[str, pd.DataFrame], command: str) -> None:
    """Tidy tables, the comparison as Markdown, and what made them."""
    for name, table in tables.items():
        table.to_csv(out / f"{name}.csv", index=False)
        table.to_parquet(out / f"{name}.parquet", index=False)
    (out / "rules.md").write_text(markdown(tables["rules"]))
    settings = {
        "command": command,
        **study._asdict(),
        "jax": jax.__version__,
        "python": platform.python_version(),
        "device": jax.devices()[0].device_kind,
    }
    (out / "settings.json").write_text(json.dumps(settings, indent=2) + "\n")


def markdown(rules: pd.DataFrame) -> str:
    """Exact against simulated error, one line per rule, schedule, share and beta."""
    lines = [
        "| beta | bad | sets | rule | exact error | simulated (99 %) | attempts | executions |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rules.to_dict("records"):
        simulated = "-"
        if row["runs"]:
            simulated = f"{row['simulated_error']:.2g} ({row['low']:.2g} .. {row['high']:.2g})"
            simulated += "" if row["agrees"] else " **outside**"
        lines.append(
            f"| {row['beta']:.0e} | {row['share']:.0%} | {row['sets']} | {row['stop_rule']} "
            f"| {row['error']:.3g} | {simulated} "
            f"| {row['attempts']:.2f} | {row['executions']:.1f} |"
        )
    return "\n".join(lines) + "\n"


def report(console: Console, sets: pd.DataFrame, rules: pd.DataFrame) -> None:
    """The figures one wants to see first."""
    pool = int(sets["pool"].iloc[0])
    table = Table(
        title=f"Lead rule, pool of {pool:,}: error, attempts / executions", show_lines=True
    )
    shares = [share for share in (0.0, 0.1, 0.2, 0.3, 0.4) if (sets["asked"] == share).any()]
    for heading in ("sets", *(f"{share:.0%} bad" for share in shares)):
        table.add_column(heading, justify="right")
    for name in sets["sets"].unique():
        cells = []
        for share in shares:
            row = sets[(sets["sets"] == name) & (sets["asked"] == share)].iloc[0]
            cells.append(f"{row['error']:.0e}\n{row['attempts']:.1f} / {row['executions']:.0f}")
        table.add_row(name, *cells)
    console.print(table)
    unsafe = rules[(rules["stop_rule"] == "majority_last") & (rules["sets"] == "base 4")]
    for row in unsafe[unsafe["beta"] == unsafe["beta"].min()].to_dict("records"):
        spoilt = 1 - (1 - row["error"]) ** 20
        console.print(
            f"two-thirds of the last set, {row['share']:.0%} bad: a wrong result in "
            f"{row['error']:.1%} of the rounds, in {spoilt:.0%} of jobs of 20 rounds"
        )
    if rules["runs"].any():
        agreeing = rules["agrees"].sum()
        console.print(f"exact error inside the simulated 99 % interval: {agreeing} of {len(rules)}")
