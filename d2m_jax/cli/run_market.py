"""Runs one market and writes an account of it.

    python scripts/run_market.py --config=configs/digits.py --seed=1
    python scripts/run_market.py --config=configs/mnist.py --data_dir=~/data \\
        --config.hparams.population.num_byzantine=0
    python scripts/run_market.py --data=patients.csv --label=disease --client=hospital

Every field of the configuration can be overridden; `--helpfull` lists them. With `--data` model,
threshold and sellers are chosen from the columns of the file, and printed. A run that was stopped
goes on with `--resume`.
"""

import sys
import textwrap
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

import jax
import numpy as np
from absl import flags
from rich.markup import escape

from d2m_jax import data as datasets
from d2m_jax import make_market, parse_config, privacy, report, validate
from d2m_jax.cli import devices, door, paths
from d2m_jax.cli.own_file import FILE_CONFIG, configure_file
from d2m_jax.config.hparams import HParams
from d2m_jax.config.parsing import Config
from d2m_jax.core.backend import QUICKEST, compile_with
from d2m_jax.data import Dataset, FederatedData
from d2m_jax.market import MarketOutcome, collect, load_world
from d2m_jax.market.collect import Compiled, OnChunk
from d2m_jax.market.job_data import rows_of_jobs, serving
from d2m_jax.market.jobs import has_own_data
from d2m_jax.market.programs import shelf_for, start, trace
from d2m_jax.report import Saved

CONFIG = "configs/digits.py"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; see `door.enter`."""
    given = list(sys.argv if argv is None else argv)
    has_file = any(text == "--data" or text.startswith("--data=") for text in given)
    default = FILE_CONFIG if has_file else CONFIG
    return door.enter(run, given, define=define, about=__doc__, config=default)


def define(values: flags.FlagValues) -> None:
    """The flags of the command."""
    for name, help_text in (
        ("out", "results folder (default: results/<config>-seed<seed>)"),
        ("data_dir", "folder of the official data archives"),
        ("data", "CSV, TSV, Parquet or npz file with examples of your own"),
        ("label", "column of the file that is to be predicted"),
        ("client", "column of the file that says to whom an example belongs"),
    ):
        flags.DEFINE_string(name, None, help_text, flag_values=values)
    flags.DEFINE_integer(
        "seed", None, "seed of the run", lower_bound=0, upper_bound=2**31 - 1, flag_values=values
    )
    flags.DEFINE_integer(
        "checkpoint_every", None,
        "rounds between checkpoints (0: with every evaluation, -1: none; default: every 10 s)",
        lower_bound=-1, flag_values=values,
    )  # fmt: skip
    flags.DEFINE_bool(
        "resume", None, "go on where a run of this configuration was stopped, as is done unless "
        "--noresume starts it anew", flag_values=values,
    )  # fmt: skip
    for name, help_text in (
        ("visibility", "print who may see what"),
        (
            "plots",
            "draw four plots as PNG files, of several jobs the quality of each; `d2m report` makes "
            "an interactive page of any run",
        ),
        ("tensorboard", "write TensorBoard files into the results folder"),
        ("wandb", "write an offline run of Weights & Biases into the results folder"),
    ):
        flags.DEFINE_bool(name, False, help_text, flag_values=values)


class World(NamedTuple):
    """Everything that could be wrong with the input has been checked."""

    config: Config
    folder: Any  # pathlib.Path of the results
    dataset: Dataset
    data: FederatedData
    programs: Compiled
    hparams: HParams  # arrays
    saved: Saved | None  # where a stopped run goes on
    warnings: list[str]


def run(call: door.Call) -> None:
    """Prepares, trains, settles, writes and prints."""
    devices.check_devices()
    devices.keep_compiled()
    started = time.perf_counter()
    world = prepare(call)
    introduce(call, world)
    with report.kept(world.folder):
        outcome = play(call, world)
        finish(call, world, outcome)
    seconds = time.perf_counter() - started
    call.console.print(f"\n{seconds:.1f} s with compilation. Results: {escape(str(world.folder))}/")


def prepare(call: door.Call) -> World:
    """Reads the configuration and the data, traces the programs and begins to compile them.

    Raises:
        ValueError: whatever is wrong, as one sentence.
    """
    for flag in ("label", "client"):
        if call.flags[flag].value is not None and not call.flags.data:
            raise ValueError(f"--{flag} names a column of --data, and there is none")
    notes = configure_file(call) if call.flags.data else []
    config = parse_config(call.config)
    if call.flags.seed is not None:
        config = config._replace(seed=call.flags.seed)
    warnings = notes + validate(config.spec, config.hparams, config.data)
    serves = None
    if config.data.job_classes:
        serves = serving(config.spec, config.hparams, config.seed)
    dataset, data = load_world(
        config.data,
        config.spec.num_sellers,
        paths.optional(call.flags.data_dir),
        unit_slots=config.spec.unit_slots,
        serves=serves,
    )
    market = make_market(config.spec, dataset)
    hparams = market.numbers(config.hparams)
    key = jax.random.key(config.seed)
    traced = trace(market, key, hparams, data, shelf_for(market, dataset))
    name = report.results_name(str(call.file), call.overrides, config.seed)
    tree, path = report.config_tree(config), call.flags.out or name
    resume = report.is_unfinished(path) if call.flags.resume is None else call.flags.resume
    folder = report.open_results(path, tree, resume=resume, overwrite=True)
    shapes = traced.state, traced.piece
    saved = report.restore(folder, report.tree_digest(tree), *shapes) if resume else None
    return World(config, folder, dataset, data, start(traced), hparams, saved, warnings)


def introduce(call: door.Call, world: World) -> None:
    """Says what is going to be run, and who holds what."""
    console, dataset = call.console, world.dataset
    report.print_header(console, world.config, world.programs.market)
    for note in (*dataset.notes, *world.warnings):
        console.print(f"[yellow]note:[/] {escape(note)}")
    if dataset.notes or world.warnings:
        console.print()
    if call.flags.visibility:
        console.print(f"Who sees what\n{textwrap.indent(privacy.table(), '  ')}\n")
    what = "images" if dataset.kind == "images" else "examples"
    console.print(datasets.describe(holdings(world), what=what) + "\n", markup=False)
    if world.saved:
        console.print(f"Going on after round {world.saved.done} of the run in {world.folder}/\n")


def holdings(world: World) -> Any:
    """Who holds what, as a table."""
    strata = world.dataset.strata
    held = np.zeros(world.dataset.num_train, np.int32) if strata is None else np.asarray(strata)
    pool = jax.tree.leaves(world.data.pool)[0].shape[0]
    labels = world.data.pool["labels"] if isinstance(world.data.pool, dict) else held[:pool]
    rows = (
        rows_of_jobs(world.data) if has_own_data(world.data) else datasets.seller_rows(world.data)
    )
    return datasets.report(rows, np.asarray(labels), world.dataset.class_names)


def play(call: door.Call, world: World) -> MarketOutcome:
    """Trains and settles; loggers and checkpoints look on."""
    spec, saved = world.config.spec, world.saved
    with ExitStack() as stack:
        bar = report.progress_logger(call.console, spec.num_rounds, metric_of(world))
        progress = stack.enter_context(bar)
        return collect(
            world.programs,
            jax.random.key(world.config.seed),
            world.hparams,
            world.data,
            on_chunk=[progress, *lookers(call, world)],
            state=saved.state if saved else None,
            pieces=saved.pieces if saved else (),
        )


def metric_of(world: World) -> str:
    """What the quality of the model is called."""
    return world.programs.market.model.metric.name.replace("_", " ")


def lookers(call: door.Call, world: World) -> list[OnChunk]:
    """What is written as the run goes."""
    folder, tree = world.folder, report.config_tree(world.config)
    found: list[Callable[..., Any]] = [report.csv_logger(folder)]
    every = call.flags.checkpoint_every
    if every is None or every >= 0:
        found.append(report.Checkpoint(folder, report.tree_digest(tree), every))
    if call.flags.tensorboard:
        found.append(report.tensorboard_logger(folder))
    if call.flags.wandb:
        found.append(report.wandb_logger("d2m_jax", name=folder.name, config=tree, folder=folder))
    return found


def finish(call: door.Call, world: World, outcome: MarketOutcome) -> None:
    """Writes the results, prints the account, draws."""
    config, folder, market = world.config, world.folder, world.programs.market
    is_one, layout = config.spec.num_jobs == 1, market.layout
    unravel = jax.jit(market.model.unravel if is_one else jax.vmap(market.model.unravel))
    params = jax.device_get(compile_with(unravel.lower(outcome.theta), QUICKEST)(outcome.theta))
    metric, sizes = metric_of(world), world.data.sizes
    write = report.write_results if is_one else report.write_job_results
    found = write(folder, config, outcome, layout, sizes, params, metric)
    holdings(world).to_csv(folder / "holdings.csv", index_label="seller")
    if not is_one:
        report.print_jobs(call.console, config, outcome, layout, found, metric)
        report.write_job_plots(folder, config, outcome, found, metric, every=call.flags.plots)
        return
    report.print_account(call.console, config, outcome, layout, metric)
    if call.flags.plots:
        report.write_plots(folder, config, outcome, found, metric)
