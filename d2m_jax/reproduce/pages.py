"""What an experiment came to, as a page: Markdown, CSV and a plot. Host only.

A page says how it was made: command, worlds, versions, commit, machine. A cell that was not
measured says so.
"""

import os
import pathlib
import platform
import subprocess
import textwrap

import jax
import numpy as np
import pandas as pd

from d2m_jax.core.files import make_folder, write_whole
from d2m_jax.reproduce.bands import Verdict, judge
from d2m_jax.reproduce.cases import Experiment
from d2m_jax.reproduce.plots import plot_parts, plot_shares
from d2m_jax.reproduce.run import cells_of, results_of
from d2m_jax.reproduce.tables import bands_table, by_attack, by_part, votes_part

WIDTH = 120  # of the documents


def write_page(
    experiment: Experiment,
    runs: str | os.PathLike[str],
    tables: str | os.PathLike[str],
    command: str,
) -> list[Verdict]:
    """Writes `<name>.md`, `<name>.csv` and, where something was measured, `<name>.png`.

    Args:
        experiment: declared.
        runs: folder of the runs of all experiments.
        tables: folder of the pages.
        command: that makes this page.

    Returns:
        What became of its bands.

    Raises:
        StorageError: runs cannot be read, or the page not written.
    """  # fmt: skip
    folder, name = make_folder(tables), experiment.name
    results = results_of(experiment, runs)
    cells = cells_of(experiment, results)
    verdicts = [judge(band, cells) for band in experiment.bands]
    done = results[results["status"] == "done"]
    measured = (
        f"{len(done):,} of {len(results):,} markets measured, worlds {worlds_of(experiment)}; "
        f"{made_by()}. All markets: [{name}.csv]({name}.csv)."
    )
    drawn = len(done) > 0 and plot(experiment, cells, folder / f"{name}.png")
    text = "\n".join(
        [
            f"# {name.replace('_', ' ')}",
            "",
            wrapped(f"{experiment.about} {whole(experiment)}"),
            "",
            "```bash",
            f"{command}  # about {experiment.minutes:g} minutes on two idle cores",
            "```",
            "",
            wrapped(measured),
            "",
            *bands_table(verdicts),
            "",
            *([f"![{name}]({name}.png)", ""] if drawn else []),
            *(by_part(cells) if "part" in cells else by_attack(cells)),
            "",
            *votes_part(experiment, cells),
            "",
        ]
    )
    content = results.drop(columns="case").to_csv(index=False, float_format="%.6g")
    write_whole(folder / f"{name}.csv", content.encode())
    write_whole(folder / f"{name}.md", text.encode())
    return verdicts


def plot(experiment: Experiment, cells: pd.DataFrame, path: pathlib.Path) -> bool:
    """The figure of an experiment; whether there was something to draw."""
    return (plot_parts if "part" in cells else plot_shares)(cells, experiment.name, path)


def wrapped(text: str) -> str:
    """A paragraph in lines of the width of the documents."""
    return textwrap.fill(text, WIDTH, break_long_words=False, break_on_hyphens=False)


def whole(experiment: Experiment) -> str:
    """The market in a sentence: what a reader must know to compare."""
    data, spec = experiment.base["data"], experiment.base["spec"]
    learning = experiment.base["hparams"]["learning"]
    return (
        f"Whole markets on {data['name']}: {spec['num_sellers']} sellers, {spec['num_sampled']} "
        f"sampled a round, {spec['num_nodes']} nodes; {spec['model']}, {spec['num_rounds']} rounds "
        f"of batch {spec['batch_size']}, {spec['local_steps']} local step(s), rate "
        f"{learning['lr']:g} falling to {learning['lr'] * learning['lr_final']:g}, server momentum "
        f"{learning['momentum']:g}, no augmentation; the buyer has {data['num_validation']} "
        f"examples; {spec['auction']} auction, {spec['dispute']} dispute."
    )


def worlds_of(experiment: Experiment) -> str:
    """The seeds as text."""
    return ", ".join(map(str, experiment.seeds))


def made_by() -> str:
    """Versions, commit and machine."""
    from d2m_jax import __version__

    device = f"{jax.devices()[0].device_kind} with {os.cpu_count()} cores"
    return (
        f"d2m_jax {__version__} ({commit()}), jax {jax.__version__}, numpy {np.__version__}, "
        f"Python {platform.python_version()}, {device}"
    )


def commit() -> str:
    """The commit of the checkout that this package is in, with `+` where files differ from it."""
    root = pathlib.Path(__file__).resolve().parents[2]

    def git(*words: str) -> str:
        found = subprocess.run(
            ["git", *words], cwd=root, capture_output=True, text=True, timeout=20
        )
        return found.stdout.strip() if not found.returncode else ""

    try:
        head = git("rev-parse", "--short=10", "HEAD") if (root / ".git").exists() else ""
        changed = bool(head and git("status", "--porcelain", "--", "d2m_jax", "configs"))
    except (OSError, subprocess.SubprocessError):
        head, changed = "", False
    return f"commit {head}{'+' if changed else ''}" if head else "installed"
