"""Watchers as a picture: how often they look, what survives, what it costs. Host only."""

import pathlib

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import pandas as pd

COLOURS = {"first": "tab:blue", "jackpot": "tab:orange", "peer": "tab:green"}


def plot_watching(table: pd.DataFrame, path: pathlib.Path) -> None:
    """Closed forms as lines, what was learnt or played as marks, over the number of watchers."""
    figure, axes = plt.subplots(1, 3, figsize=(13, 3.8))
    for scheme, rows in table.groupby("scheme", sort=False):
        colour, crowd = COLOURS[str(scheme)], rows["watchers"]
        axes[0].plot(crowd, rows["p closed"], color=colour, label=scheme)
        axes[0].plot(crowd, rows["p learnt from above"], "v", color=colour)
        axes[0].plot(crowd, rows["p learnt from below"], "^", color=colour)
        axes[1].plot(crowd, rows["survival closed"], color=colour)
        axes[1].plot(crowd, rows["survival played"], "x", color=colour)
        axes[2].plot(crowd, rows["cost of a job"], ".-", color=colour)
    one = table.drop_duplicates("watchers")
    axes[0].plot(one["watchers"], one["p that deters"], ":", color="black", lw=0.8)
    titles = (
        "p: closed, learnt from above (v), from below (^); dotted: deters",
        "a lie survives: closed, played (x)",
        "units a job costs",
    )
    for axis, title in zip(axes, titles):
        axis.set_xscale("log", base=2)
        axis.set_xlabel("watchers")
        axis.set_title(title, fontsize=9)
        axis.grid(alpha=0.3)
    axes[2].set_yscale("log")
    axes[0].legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)
