"""Runs one market and writes an account of it.

    python scripts/run_market.py --config=configs/digits.py --seed=1
    python scripts/run_market.py --config=configs/mnist.py --data_dir=~/data \
        --config.hparams.population.num_byzantine=0

Every field of the configuration can be overridden; `--help` lists the flags.
"""

import pathlib
import sys
import textwrap
import time
from collections.abc import Callable
from typing import Any, NamedTuple

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags, logging
from ml_collections import config_flags
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from d2m_jax import Market, as_arrays, make_market, parse_config, privacy, report, validate
from d2m_jax.config.parsing import Config
from d2m_jax.data import FederatedData, RawDataset, describe, seller_rows
from d2m_jax.data import report as holdings
from d2m_jax.market.world import load_world
from scripts.sentences import one_sentence, parse_flags

with one_sentence():  # absl reads overrides of the default file already here
    CONFIG = config_flags.DEFINE_config_file(
        "config", str(ROOT / "configs" / "digits.py"), "configuration file"
    )
SEED = flags.DEFINE_integer("seed", None, "seed of the run", lower_bound=0, upper_bound=2**31 - 1)
OUT = flags.DEFINE_string("out", None, "results folder (default: results/<config>-seed<seed>)")
VISIBILITY = flags.DEFINE_bool("visibility", False, "print who may see what")
DATA_DIR = flags.DEFINE_string("data_dir", None, "folder of the official data archives")


def main(argv: list[str]) -> None:
    logging.set_verbosity(logging.WARNING)
    if len(argv) > 1:
        raise app.UsageError(f"unexpected argument {argv[1]!r}; flags start with --")
    with one_sentence():
        world = prepare()
    run(world)


class World(NamedTuple):
    """Everything that could be wrong with the input has been checked."""

    config: Config
    folder: pathlib.Path
    raw: RawDataset
    data: FederatedData
    market: Market
    advance: Callable[..., Any]  # the next rounds, jitted
    warnings: list[str]


def prepare() -> World:
    config = parse_config(CONFIG.value)
    if SEED.value is not None:
        config = config._replace(seed=SEED.value)
    warnings = validate(config.spec, config.hparams, config.data)
    name = pathlib.Path(config_flags.get_config_filename(flags.FLAGS["config"])).stem
    folder = report.prepare_folder(OUT.value or f"results/{name}-seed{config.seed}")
    raw, data = load_world(config.data, config.spec.num_sellers, DATA_DIR.value)
    market = make_market(config.spec, raw.train_images.shape[1:], len(raw.class_names))
    advance = jax.jit(market.rounds, donate_argnums=0)
    hparams = as_arrays(config.hparams)
    state = jax.eval_shape(market.init, jax.random.key(config.seed), hparams, data)
    jax.eval_shape(advance, state, hparams, data)  # what only a trace can find wrong
    return World(config, folder, raw, data, market, advance, warnings)


def run(world: World) -> None:
    config, folder, raw, data, market, advance, warnings = world
    console = Console(width=100 if not sys.stdout.isatty() else None, highlight=False)
    report.print_header(console, config, market)
    for warning in warnings:
        console.print(f"[yellow]note:[/] {warning}\n")
    if VISIBILITY.value:
        console.print(f"Who sees what\n{textwrap.indent(privacy.table(), '  ')}\n")
    held = holdings(seller_rows(data), np.asarray(data.labels), raw.class_names)
    console.print(describe(held) + "\n")
    hparams = as_arrays(config.hparams)
    started = time.perf_counter()
    state = jax.jit(market.init)(jax.random.key(config.seed), hparams, data)
    pieces = []
    columns = (
        TextColumn("Training"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("rounds, test accuracy {task.fields[accuracy]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=config.spec.num_rounds, accuracy="...")
        for _ in range(config.spec.num_rounds // config.spec.eval_every):
            state, piece = advance(state, hparams, data)
            pieces.append(jax.device_get(piece))
            accuracy = f"{float(piece[1].test_accuracy):.1%}"
            progress.update(task, advance=config.spec.eval_every, accuracy=accuracy)
    info = jax.tree.map(lambda *parts: jnp.concatenate(parts), *[p[0] for p in pieces])
    evaluations = jax.tree.map(lambda *parts: jnp.stack(parts), *[p[1] for p in pieces])
    outcome = jax.jit(market.finish)(state, hparams, data, info, evaluations)
    outcome = jax.device_get(outcome)
    seconds = time.perf_counter() - started

    report.write_results(folder, config, outcome, market.layout, data.sizes)
    held.to_csv(folder / "holdings.csv", index_label="seller")
    report.print_account(console, config, outcome, market.layout)
    console.print(f"\n{seconds:.1f} s with compilation. Results: {folder}/")


if __name__ == "__main__":
    app.run(main, flags_parser=parse_flags)
