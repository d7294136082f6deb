"""How safe, slow and dear is the vote? Exact probabilities checked by simulation, with plots.

    python -m scripts.cone_study --out results/cone

Compares execution sets that grow as base + 2^(i-1) with fixed ones over the Byzantine share, the
base and the pool (32 to 100,000 nodes), and every stop rule with its simulation. A few minutes on
two cores with the default flags; `--runs=0` gives the exact numbers alone.
"""

import json
import pathlib
import platform
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import jax
import matplotlib
import numpy as np
import pandas as pd
from absl import app, flags
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from d2m_jax.cone import ConeParams
from d2m_jax.cone.checks import validate
from d2m_jax.cone.study import Point, compare_rules, compare_sets, study_row

matplotlib.use("Agg")
import matplotlib.pyplot as plt

SHARES = [str(s) for s in (0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45)]
FLAGS = flags.FLAGS
flags.DEFINE_string("out", "results/cone", "Folder of the tables and plots.")
flags.DEFINE_list(
    "pools", ["32", "100", "316", "1000", "3162", "10000", "31623", "100000"], "Pool sizes."
)
flags.DEFINE_list("shares", SHARES, "Byzantine shares of the pool.")
flags.DEFINE_list("bases", ["1", "2", "4", "8", "16", "32"], "Bases of exponential sets.")
flags.DEFINE_list("sizes", ["5", "10", "20", "40"], "Sizes of fixed sets.")
flags.DEFINE_float("f_max", 1 / 3, "Share of bad nodes that the stop rule is built for.")
flags.DEFINE_float("beta", 1e-6, "Accepted probability of a wrong result.")
flags.DEFINE_integer("runs", 20_000, "Simulated votes per point, fewer in large pools; 0: none.")
flags.DEFINE_integer("seed", 0, "Seed of the simulation.")


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {' '.join(argv[1:])}")
    pools, bases, sizes = numbers("pools", int), numbers("bases", int), numbers("sizes", int)
    shares = numbers("shares", float)
    if not all(0 <= share < 1 for share in shares):
        raise app.UsageError(f"--shares must lie between 0 and 1, got {','.join(FLAGS.shares)}")
    if FLAGS.runs < 0:
        raise app.UsageError(f"--runs must be zero or more, got {FLAGS.runs}")
    params = ConeParams(np.array(bases), FLAGS.f_max, FLAGS.beta, size=np.array(sizes))
    try:
        for pool in pools:
            validate(params, pool)
            validate(params, pool, schedule="fixed")
    except ValueError as error:
        raise app.UsageError(str(error)) from None
    out = pathlib.Path(FLAGS.out)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise app.UsageError(f"--out={out} cannot be made: {error.strerror}") from None

    sets = tabulate(
        list(compare_sets(shares, bases, sizes, pools, FLAGS.f_max, FLAGS.beta)), "sets"
    )
    rules = tabulate(list(compare_rules((0.2, 0.3, 0.4), (1e-2, 1e-6), FLAGS.f_max)), "rules")
    save(out, {"sets": sets, "rules": rules})
    middle = min(pools, key=lambda pool: abs(np.log(pool / 1000)))
    worst = min(shares, key=lambda share: abs(share - 0.3))
    plot_sets(sets[sets["pool"] == middle], "share", f"pool of {middle:,}", out / "share.png")
    near = sets[sets["asked"] == worst]
    plot_sets(near, "pool", f"{worst:.0%} bad nodes", out / "pool.png")
    plot_bases(sets[(sets["pool"] == middle) & (sets["schedule"] == "exponential")], middle, out)
    if FLAGS.runs:
        plot_rules(rules, out)
    report(sets[sets["pool"] == middle], rules, out)


def numbers(flag: str, kind: type) -> list:
    """The values of a list flag, each a number."""
    try:
        return [kind(text) for text in FLAGS[flag].value]
    except ValueError:
        raise app.UsageError(
            f"--{flag} must be numbers, got {','.join(FLAGS[flag].value)}"
        ) from None


def tabulate(points: list[Point], what: str) -> pd.DataFrame:
    """One row per point; of the sets, base 4 and fixed 20 are simulated, at 30 % bad nodes."""
    key, table = jax.random.key(FLAGS.seed), []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as progress:
        for i, point in enumerate(progress.track(points, description=f"{what:<6}")):
            chosen = point.sets in ("base 4", "fixed 20") and point.asked == 0.3
            wanted = FLAGS.runs if what == "rules" or chosen else 0
            runs = min(wanted, max(200, 20_000_000 // point.pool))
            table.append(study_row(point, min(runs, wanted), jax.random.fold_in(key, i)))
    return pd.DataFrame(table)


def save(out: pathlib.Path, tables: dict[str, pd.DataFrame]) -> None:
    """Tidy tables, the comparison as Markdown, and what made them."""
    for name, table in tables.items():
        table.to_csv(out / f"{name}.csv", index=False)
        table.to_parquet(out / f"{name}.parquet", index=False)
    (out / "rules.md").write_text(markdown(tables["rules"]))
    settings = {
        "command": " ".join(["python", "-m", "scripts.cone_study", *sys.argv[1:]]),
        "flags": {
            f: FLAGS[f].value for f in ("pools", "shares", "bases", "sizes", "f_max", "beta")
        },
        "runs": FLAGS.runs,
        "seed": FLAGS.seed,
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


def plot_sets(table: pd.DataFrame, x: str, title: str, path: pathlib.Path) -> None:
    """Error, attempts, executions and latency of every kind of set over the share or the pool."""
    panels = {
        "error": "probability of a wrong result",
        "attempts": "attempts (mean)",
        "executions": "executions (mean)",
        "latency": "latency (s, mean)",
    }
    figure, axes = plt.subplots(2, 2, figsize=(11, 7.5), sharex=True)
    for axis, (column, label) in zip(axes.flat, panels.items()):
        for schedule, palette, style in (
            ("exponential", "viridis", "-"),
            ("fixed", "autumn", "--"),
        ):
            part = table[table["schedule"] == schedule]
            names = part["sets"].unique()
            for name, colour in zip(names, plt.get_cmap(palette)(np.linspace(0, 0.85, len(names)))):
                line = part[part["sets"] == name].sort_values(x)
                shown = line[line[column] > 0] if column == "error" else line
                axis.plot(shown[x], shown[column], style, color=colour, marker=".", label=name)
                if f"simulated_{column}" in line and column != "error":
                    axis.plot(line[x], line[f"simulated_{column}"], "x", color=colour, ms=8)
        axis.set_ylabel(label)
        axis.grid(alpha=0.3)
    axes[0, 0].set_yscale("log")
    axes[0, 0].set_ylim(1e-20, max(10 * FLAGS.beta, 2 * table["error"].max()))
    axes[0, 0].axhline(FLAGS.beta, color="black", lw=0.8)
    axes[0, 0].annotate("beta", (0.01, FLAGS.beta), xycoords=("axes fraction", "data"), va="bottom")
    axes[1, 0].set_yscale("log")
    axes[1, 0].yaxis.set_major_formatter("{x:.0f}")
    axes[1, 0].yaxis.set_minor_formatter("{x:.0f}")
    for axis in axes[1]:
        axis.set_xlabel("Byzantine share of the pool" if x == "share" else "nodes in the pool")
        if x == "pool":
            axis.set_xscale("log")
    if x == "share":
        axes[0, 0].axvline(FLAGS.f_max, color="grey", lw=0.8, ls=":")
    handles, labels = axes[0, 1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="center right", title="sets\n(x: simulated)")
    figure.suptitle(f"lead rule, f_max = {FLAGS.f_max:.2f}, beta = {FLAGS.beta:.0e}, {title}")
    figure.tight_layout(rect=(0, 0, 0.89, 1))
    figure.savefig(path, dpi=120)
    plt.close(figure)


def plot_bases(table: pd.DataFrame, pool: int, out: pathlib.Path) -> None:
    """What the base buys: attempts, executions and latency over the base, a line per share."""
    panels = {"attempts": "attempts (mean)", "executions": "executions (mean)", "error": "error"}
    figure, axes = plt.subplots(1, 3, figsize=(12, 4))
    shares = [s for s in sorted(table["asked"].unique()) if s <= 0.4][::2]
    for share, colour in zip(shares, plt.get_cmap("plasma")(np.linspace(0, 0.85, len(shares)))):
        line = table[table["asked"] == share].sort_values("base")
        for axis, column in zip(axes, panels):
            shown = line[line[column] > 0]
            axis.plot(shown["base"], shown[column], ".-", color=colour, label=f"{share:.0%} bad")
    for axis, label in zip(axes, panels.values()):
        axis.set(xlabel="base", ylabel=label, xscale="log")
        axis.set_xticks(sorted(table["base"].unique()), minor=False)
        axis.set_xticks([], minor=True)
        axis.xaxis.set_major_formatter("{x:.0f}")
        axis.grid(alpha=0.3)
    axes[2].set_yscale("log")
    axes[2].set_ylim(bottom=1e-20)
    axes[0].legend()
    figure.suptitle(f"sets of base + 2^(i-1) seats, lead rule, pool of {pool:,}")
    figure.tight_layout()
    figure.savefig(out / "base.png", dpi=120)
    plt.close(figure)


def plot_rules(rules: pd.DataFrame, out: pathlib.Path) -> None:
    """Simulated against exact error with 99 % intervals; the diagonal is agreement."""
    figure, axis = plt.subplots(figsize=(6.5, 6))
    for rule, part in rules.groupby("stop_rule"):
        floor = 0.3 / part["runs"]
        bars = np.abs(part[["low", "high"]].to_numpy() - part[["simulated_error"]].to_numpy()).T
        y = np.maximum(part["simulated_error"], floor)
        axis.errorbar(np.maximum(part["error"], 1e-12), y, yerr=bars, fmt="o", ms=4, label=rule)
    axis.plot([1e-12, 1], [1e-12, 1], color="grey", lw=0.8)
    axis.set(xscale="log", yscale="log", xlabel="exact error", ylabel="simulated error")
    axis.set_ylim(bottom=0.2 / rules["runs"].max())
    axis.set_title(f"{rules['runs'].max():,} votes per point, 100 nodes; lowest row: none seen")
    axis.legend()
    axis.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(out / "rules.png", dpi=120)
    plt.close(figure)


def report(sets: pd.DataFrame, rules: pd.DataFrame, out: pathlib.Path) -> None:
    """The figures one wants to see first."""
    console = Console()
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
    if FLAGS.runs:
        agreeing = rules["agrees"].sum()
        console.print(f"exact error inside the simulated 99 % interval: {agreeing} of {len(rules)}")
    console.print(f"tables and plots: {out}")


if __name__ == "__main__":
    app.run(main)
