"""Plots of `cli/cone_study.py`: how safe, slow and dear the vote is. Host only."""

import pathlib
from typing import Any

import matplotlib
import numpy as np
import pandas as pd

matplotlib.use("Agg")
import matplotlib.pyplot as plt


def plot_sets(
    table: pd.DataFrame, x: str, title: str, path: pathlib.Path, *, f_max: float, beta: float
) -> None:
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
            _lines(axis, part.sort_values(x), x, column, plt.get_cmap(palette), style)
        axis.set_ylabel(label)
        axis.grid(alpha=0.3)
    axes[0, 0].set_yscale("log")
    axes[0, 0].set_ylim(1e-20, max(10 * beta, 2 * table["error"].max()))
    axes[0, 0].axhline(beta, color="black", lw=0.8)
    axes[0, 0].annotate("beta", (0.01, beta), xycoords=("axes fraction", "data"), va="bottom")
    axes[1, 0].set_yscale("log")
    axes[1, 0].yaxis.set_major_formatter("{x:.0f}")
    axes[1, 0].yaxis.set_minor_formatter("{x:.0f}")
    for axis in axes[1]:
        axis.set_xlabel("Byzantine share of the pool" if x == "share" else "nodes in the pool")
        if x == "pool":
            axis.set_xscale("log")
    if x == "share":
        axes[0, 0].axvline(f_max, color="grey", lw=0.8, ls=":")
    handles, labels = axes[0, 1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="center right", title="sets\n(x: simulated)")
    figure.suptitle(f"lead rule, f_max = {f_max:.2f}, beta = {beta:.0e}, {title}")
    figure.tight_layout(rect=(0, 0, 0.89, 1))
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _lines(axis: Any, part: pd.DataFrame, x: str, column: str, palette: Any, style: str) -> None:
    """A line per kind of set, crosses where it was simulated."""
    names = part["sets"].unique()
    for name, colour in zip(names, palette(np.linspace(0, 0.85, len(names)))):
        line = part[part["sets"] == name]
        shown = line[line[column] > 0] if column == "error" else line
        axis.plot(shown[x], shown[column], style, color=colour, marker=".", label=name)
        if f"simulated_{column}" in line and column != "error":
            axis.plot(line[x], line[f"simulated_{column}"], "x", color=colour, ms=8)


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
