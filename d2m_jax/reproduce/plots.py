"""The figures of an experiment: accuracy over the share of bad parties, or part by part."""

import pathlib

import matplotlib
import numpy as np
import pandas as pd

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from d2m_jax.reproduce.bands import NOBODY

COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7"]  # Okabe and Ito
DPI = 110


def plot_shares(cells: pd.DataFrame, title: str, path: pathlib.Path) -> bool:
    """Every attack as a point over the share of bad parties, a line through the worst."""
    cells = cells[cells["worlds"] > 0]
    if not len(cells):
        return False
    figure, axis = plt.subplots(figsize=(6.2, 3.8))
    shares = list(dict.fromkeys(cells["bad"]))
    for shift, (deal, colour) in zip((-0.06, 0.06), zip(dict.fromkeys(cells["data"]), COLOURS)):
        part = cells[cells["data"] == deal]
        places = part["bad"].map(shares.index) + shift
        axis.plot(places, 100 * part["mean"], "o", ms=3.5, alpha=0.5, color=colour)
        worst = part.groupby("bad")["mean"].min().reindex(shares).dropna()
        at = [shares.index(share) + shift for share in worst.index]
        axis.plot(at, 100 * worst, "-", color=colour, label=f"{deal}, worst attack")
    axis.set_xticks(range(len(shares)), shares)
    axis.set(xlabel="bad sellers, and bad nodes", ylabel="test accuracy, %", title=title)
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=DPI)
    plt.close(figure)
    return True


def plot_parts(cells: pd.DataFrame, title: str, path: pathlib.Path) -> bool:
    """A bar per part: the worst case under attack, and a mark without bad parties."""
    cells = cells[cells["worlds"] > 0]
    bad = cells[cells["bad"] != NOBODY].groupby("part", sort=False)["mean"].min()
    if not len(bad):
        return False
    calm = cells[cells["bad"] == NOBODY].groupby("part")["mean"].max().reindex(bad.index)
    order = np.argsort(bad.to_numpy(), kind="stable")
    bad, calm = bad.iloc[order], calm.iloc[order]
    figure, axis = plt.subplots(figsize=(7, 1.2 + 0.2 * len(bad)))
    axis.barh(range(len(bad)), 100 * bad, color=COLOURS[0], label="worst attack")
    axis.plot(100 * calm, range(len(bad)), "|", color=COLOURS[1], ms=9, label="nobody bad")
    axis.set_yticks(range(len(bad)), bad.index, fontsize=7)
    axis.set(xlabel="test accuracy, %", title=title, ylim=(-0.6, len(bad) - 0.4))
    axis.legend(fontsize=7, loc="lower right")
    figure.tight_layout()
    figure.savefig(path, dpi=DPI)
    plt.close(figure)
    return True
