"""The plot of several jobs: who serves whom, and how long buyers wait. Host only."""

import pathlib
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.patches import Patch

from d2m_jax.ledger import Phase
from d2m_jax.market.queue import Epochs

FREE, FITS, SERVES = "#f4f4f4", "#bcd4e6", "#2a6f97"
MOST_NAMES = 64  # sellers that are named below their cells
WAITS, PAID, REFUNDED = "#f2cc8f", "#2a9d8f", "#c1121f"


def plot_queue(
    epochs: Epochs, fits: np.ndarray, wants: np.ndarray, path: pathlib.Path, epoch: int = 0
) -> pathlib.Path:
    """Above: the sellers of every job of one epoch; below: every buyer from arrival to the end.

    Args:
        epochs: of `serve`, [E, ...] numpy.
        fits: [J, N] bool, whose data covers what a job asks for.
        wants: [U] the job that each buyer waits for.
        path: of the figure.
        epoch: which one is shown above.
    """
    num_jobs, num_sellers = fits.shape
    figure, (above, below) = plt.subplots(2, 1, figsize=(10, 8), height_ratios=[1, 1.2])
    _serving(above, fits, np.asarray(epochs.matched)[epoch])
    above.set_title(f"who serves whom in epoch {epoch + 1}: {num_jobs} jobs, {num_sellers} sellers")
    _waiting(below, epochs, np.asarray(wants))
    below.set_title("every buyer, from the epoch in which it arrives")
    figure.tight_layout()
    figure.savefig(path, dpi=80)
    plt.close(figure)
    return path


def plot_jobs(
    jobs: pd.DataFrame, fits: np.ndarray, matched: np.ndarray, path: pathlib.Path
) -> pathlib.Path:
    """Who serves whom in one market: a line per job, a cell per seller.

    Args:
        jobs: from `job_tables.jobs_table`.
        fits: [J, N] bool, whose data covers what a job asks for.
        matched: [J, N] bool, who serves it.
        path: of the figure.
    """
    figure, ax = plt.subplots(figsize=(10, 1.9 + 0.42 * len(fits)))
    order = _serving(ax, fits, matched)
    if len(order) <= MOST_NAMES:
        ax.set_xticks(np.arange(len(order)) + 0.5, [str(seller) for seller in order], fontsize=7)
    ends = [f"job {row.job}: {_sold(row)}" for row in jobs.itertuples()]
    ax.set_yticks(np.arange(len(fits)) + 0.5, ends)
    ax.set(ylabel="")
    ax.set_title(f"who serves whom: {len(fits)} jobs, {fits.shape[1]} sellers")
    figure.savefig(path, dpi=100, bbox_inches="tight")
    plt.close(figure)
    return path


def _sold(row: Any) -> str:
    """Who bought a job, and how it ended."""
    return f"buyer {row.buyer}, {row.phase}" if row.price else str(row.phase)


def plot_quality(
    evaluations: pd.DataFrame, jobs: pd.DataFrame, path: pathlib.Path, metric: str = "accuracy"
) -> pathlib.Path:
    """The metric on the test set over the rounds, a line per job, with the threshold of each."""
    ax = plt.subplots(figsize=(6.4, 3.6))[1]
    for job, tau in enumerate(jobs["tau"].to_numpy(float)):
        rows = evaluations[evaluations["job"] == job]
        line = ax.plot(rows["round"], rows["test_metric"], label=f"job {job}, tau = {tau:g}")[0]
        ax.axhline(tau, color=line.get_color(), linestyle="--", linewidth=0.8)
    ax.set(title="Quality of the models", xlabel="round", ylabel=metric, ylim=(0, 1.02))
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, fontsize=7, ncols=2)
    plt.savefig(path, dpi=120, bbox_inches="tight")
    plt.close()
    return path


def _serving(ax: Axes, fits: np.ndarray, matched: np.ndarray) -> np.ndarray:
    """Draws the cells; returns the sellers [N] from left to right."""
    order = np.lexsort([*matched[::-1], *fits[::-1]])[::-1]  # alike sellers side by side
    cells = (fits.astype(int) + matched)[:, order]
    ax.pcolormesh(
        cells, cmap=ListedColormap([FREE, FITS, SERVES]), vmin=0, vmax=2, edgecolors="w", lw=0.5
    )
    ax.set(xlabel="seller", ylabel="job", yticks=np.arange(len(fits)) + 0.5)
    counts = enumerate(zip(matched.sum(axis=1), fits.sum(axis=1)))
    ax.set_yticklabels([f"{job}: {there} of {could}" for job, (there, could) in counts])
    ax.invert_yaxis()
    _key(ax, {"serves": SERVES, "could, serves others": FITS, "other data": FREE}, -0.33)
    return np.asarray(order)


def _waiting(ax: Axes, epochs: Epochs, wants: np.ndarray) -> None:
    names = ["", WAITS, PAID, REFUNDED]
    cells = np.where(epochs.waiting, 1, 0)
    for phase, code in ((Phase.SETTLED, 2), (Phase.REFUNDED, 3)):
        when, job = np.nonzero(epochs.phase == phase)
        cells[when, epochs.buyer[when, job]] = code
    order = np.argsort(wants, kind="stable")
    ax.pcolormesh(
        cells[:, order], cmap=ListedColormap([FREE, *names[1:]]), vmin=0, vmax=3,
        edgecolors="w", lw=0.5,
    )  # fmt: skip
    for edge in np.nonzero(np.diff(wants[order]))[0] + 1:
        ax.axvline(float(edge), color="black", lw=1)
    places = [float(np.mean(np.nonzero(wants[order] == job)[0])) + 0.5 for job in np.unique(wants)]
    ax.set_xticks(places, [f"job {job}" for job in np.unique(wants)])
    ax.set(ylabel="epoch", yticks=np.arange(len(cells)) + 0.5)
    ax.set_yticklabels([str(epoch + 1) for epoch in range(len(cells))])
    ax.invert_yaxis()
    _key(
        ax, {"waits": WAITS, "gets its model": PAID, "refunded: metric below tau": REFUNDED}, -0.22
    )


def _key(ax: Axes, colours: dict[str, str], drop: float) -> None:
    handles = [Patch(facecolor=c, edgecolor="grey", label=name) for name, c in colours.items()]
    ax.legend(handles=handles, ncols=3, loc="lower right", bbox_to_anchor=(1, drop), frameon=False)
