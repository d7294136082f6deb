"""Plots of `cli/gas_report.py`: gas as the market grows. Host only."""

import pathlib

import matplotlib
import pandas as pd

matplotlib.use("Agg")
import matplotlib.pyplot as plt

BLOCK = 36_000_000  # gas limit of a block


def plot_growth(growth: pd.DataFrame, title: str, path: pathlib.Path) -> None:
    """Four panels, one size growing in each; the colours are explained once, below.

    Args:
        growth: a row per size: grows, to, gas by action.
        title: says what does not grow.
        path: of the figure.
    """
    figure, axes = plt.subplots(2, 2, figsize=(9, 7), sharey=True)
    for axis, (name, part) in zip(axes.flat, growth.groupby("grows", sort=False), strict=True):
        for column in ("job", "round", "book_round", "close_auction", "settle"):
            axis.loglog(part["to"], part[column], marker=".", label=column.replace("_", " "))
        axis.axhline(BLOCK, color="grey", linestyle="--", linewidth=1)
        axis.set_title(str(name).replace("num_", "") + " grow", fontsize=10)
        axis.set_xticks(part["to"], [f"{x:,}" for x in part["to"]], fontsize=8)
        axis.minorticks_off()
        axis.grid(alpha=0.3)
    for axis in axes[:, 0]:
        axis.set_ylabel("gas")
    axes[0, 0].annotate("one block", (growth["to"].iloc[0], BLOCK * 1.15), color="grey", fontsize=8)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=len(labels), frameon=False)
    figure.suptitle(title)
    figure.tight_layout(rect=(0, 0.04, 1, 1))
    figure.savefig(path, dpi=90)
    plt.close(figure)


def plot_batches(batches: pd.DataFrame, title: str, path: pathlib.Path) -> None:
    """Gas of a job over the rounds that are voted on at once, and what a proof of one round adds.

    Args:
        batches: a row per size: rounds per vote, job, gas per round, proof of a round.
        title: of what.
        path: of the figure.
    """
    figure, axis = plt.subplots(figsize=(7, 4.2))
    sizes = batches["rounds per vote"]
    for column in ("job", "gas per round", "proof of a round"):
        axis.loglog(sizes, batches[column].where(batches[column] > 0), marker="o", label=column)
    axis.axhline(BLOCK, color="grey", linestyle="--", linewidth=1)
    axis.annotate("one block", (sizes.iloc[0], BLOCK * 1.1), color="grey", fontsize=8)
    axis.set_xticks(sizes, [f"{x}" for x in sizes])
    axis.minorticks_off()
    axis.set_xlabel("K, rounds per vote")
    axis.set_ylabel("gas")
    axis.grid(alpha=0.3)
    axis.legend(frameon=False)
    axis.set_title(title, fontsize=9)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)
