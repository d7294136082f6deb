"""What a person reads of a sweep: plan, estimate after a short probe, summary. Host only."""

import os
import time
from collections import Counter
from typing import Any

import jax
import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from d2m_jax.core.choices import is_own, label
from d2m_jax.market.world import load_dataset
from d2m_jax.sweep import store
from d2m_jax.sweep.chunks import make_chunks, padded
from d2m_jax.sweep.plan import Plan
from d2m_jax.sweep.prepare import Ready, choose_width, compile_group, prepare
from d2m_jax.sweep.program import Program, place
from d2m_jax.sweep.runner import Options, local_mesh, num_workers

PROBES = 4  # cells of the plan that are timed


def count(number: int, noun: str) -> str:
    """ "1 run", "2 runs"."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def print_plan(console: Console, plan: Plan, done: set[str], folder: str) -> None:
    """Runs, what is left out and why, groups."""
    runs = plan.runs
    ready = sum(run.key in done for run in runs)
    console.print(
        f"[bold]{count(len(runs), 'run')}[/] in {count(len(plan.groups), 'program')} -> "
        f"{escape(str(folder))}/"
    )
    if ready:
        console.print(f"  {ready:,} of them {'is' if ready == 1 else 'are'} done already")
    for reason, number in plan.skipped.items():
        console.print(f"  {count(number, 'point')} skipped: {escape(reason)}")
    if plan.repeated:
        console.print(f"  {count(plan.repeated, 'point')} repeated: run once")
    for reason, number in Counter(why for _, why in plan.refused).items():
        console.print(f"  [red]{count(number, 'point')} refused:[/] {escape(reason)}")
    for field, values in plan.axes.items():
        names = [label(value) if is_own(value) else str(value) for value in values[:8]]
        shown = ", ".join(names) + (", ..." if len(values) > 8 else "")
        console.print(escape(f"  {field}: {len(values)} ({shown})"))


def print_estimate(console: Console, plan: Plan, done: set[str], options: Options) -> None:
    """Compiles every program, times a few chunks, and says what the sweep will take.

    Raises:
        ValueError: what is wrong with a data set or a program, as one sentence.
    """
    table = Table(box=None, padding=(0, 2))
    names = ("program", "rules", "attacks", "cells", "runs", "width", "chunks", "MB", "compile",
             "run")  # fmt: skip
    for index, name in enumerate(names):
        table.add_column(name, justify="left" if index == 0 else "right", header_style="dim")
    mesh, total, raws = local_mesh(options), 0.0, dict[Any, Any]()
    for group in plan.groups:
        left = [run for run in group.runs if run.key not in done]
        if not left:
            continue
        name = group.runs[0].config.data.name
        raws.setdefault(name, load_dataset(group.runs[0].config.data, options.data_dir))
        ready, failures = prepare(group, raws[name], mesh)
        if ready is None:
            fails = "fails" if len(group.runs) == 1 else "fail"
            said = escape(failures[0].reason)
            console.print(f"[red]{count(len(group.runs), 'run')} {fails}:[/] {said}")
            continue
        width = options.width or choose_width(ready)
        console.print(f"[dim]compiling {escape(group.name)} ...[/]")
        program = compile_group(ready, width)
        keys = {run.key for run in left}
        chunks = [c for c in make_chunks(ready.group, width) if any(r.key in keys for r in c.runs)]
        workers = num_workers(options, mesh) * mesh.size * options.num_processes
        seconds = probe(ready, program) * len(chunks) / workers
        total += program.seconds + seconds
        table.add_row(
            escape(group.name),
            str(len(group.picks.rules)),
            str(len(group.picks.attacks)),
            str(len(group.cells)),
            f"{len(left):,}",
            str(width),
            f"{len(chunks):,}",
            f"{program.memory / 1e6:,.0f}",
            f"{program.seconds:.0f} s",
            f"{seconds:.0f} s",
        )
    console.print(table)
    console.print(
        f"About {total:.0f} s on {count(mesh.size, mesh.devices.flat[0].platform + ' device')}, "
        f"{count(num_workers(options, mesh), 'worker')}; nothing was run."
    )


def probe(ready: Ready, program: Program) -> float:
    """Seconds of one chunk, from the first rounds of a few cells spread over the group."""
    spec, mesh = ready.group.spec, program.mesh
    chunks = make_chunks(ready.group, program.shape.width)
    seconds = []
    for chunk in chunks[:: max(len(chunks) // PROBES, 1)][:PROBES]:
        choice = place(mesh, np.array([chunk.places] * mesh.size, np.int32))
        runs = padded(chunk, program.shape.width) * mesh.size
        worlds = place(mesh, ready.worlds(runs))
        state = program.init(choice, worlds, ready.shared)
        state, _ = program.rounds(choice, (worlds, state), ready.shared)  # warms up
        jax.block_until_ready(state)
        started = time.perf_counter()
        jax.block_until_ready(program.rounds(choice, (worlds, state), ready.shared))
        seconds.append(time.perf_counter() - started)
    return float(np.mean(seconds)) * spec.num_rounds / spec.eval_every


def print_summary(
    console: Console,
    plan: Plan,
    folder: str | os.PathLike[str],
    facts: dict[str, Any],
    seconds: float,
) -> None:
    """How the runs of the plan went, what is missing, and where the results are."""
    rows = store.outcomes(folder)
    rows = rows[rows["key"].isin(plan.keys)]
    ended = rows["status"].value_counts()
    done = ended.get("done", 0)
    console.print(
        f"{count(done, 'run')} {'is' if done == 1 else 'are'} done, {ended.get('failed', 0):,} "
        f"failed; {seconds:.1f} s, of which {facts['compile_seconds']:.1f} s compiled "
        f"{count(facts['programs'], 'program')}. Results: {escape(str(folder))}/"
    )
    for reason, number in rows[rows["status"] == "failed"]["reason"].value_counts().items():
        console.print(f"  [red]{number:,} failed:[/] {escape(str(reason))}")
    if absent := len(plan.keys) - len(rows):
        own = len(facts["missing"])
        verb = "has" if absent == 1 else "have"
        console.print(
            f"  [red]{absent:,} {verb} no row yet[/], {own:,} of them this process should have "
            "written; the same command goes on"
        )
