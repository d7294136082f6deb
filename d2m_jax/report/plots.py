"""The plots of one market run. Host only."""

import pathlib

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

HONEST, BYZANTINE, NEUTRAL = "#2a6f97", "#c1121f", "#6c757d"


def _finish(ax: Axes, path: pathlib.Path, title: str, xlabel: str, ylabel: str) -> pathlib.Path:
    ax.set(title=title, xlabel=xlabel, ylabel=ylabel)
    ax.spines[["top", "right"]].set_visible(False)
    if ax.get_legend_handles_labels()[0]:
        ax.legend(frameon=False)
    plt.savefig(path, dpi=120, bbox_inches="tight")
    plt.close()
    return path


def _axes() -> Axes:
    return plt.subplots(figsize=(6.4, 3.6))[1]


def quality(
    evaluations: pd.DataFrame, tau: float, path: pathlib.Path, metric: str = "accuracy"
) -> pathlib.Path:
    """The metric on the test set over the rounds, with the buyer's threshold."""
    ax = _axes()
    ax.plot(evaluations["round"], evaluations["test_metric"], color=HONEST, label=f"test {metric}")
    ax.axhline(tau, color=NEUTRAL, linestyle="--", linewidth=1, label=f"threshold tau = {tau:g}")
    ax.set_ylim(0, 1.02)
    return _finish(ax, path, "Quality of the model", "round", metric)


def sampling_mass(rounds: pd.DataFrame, share: float, path: pathlib.Path) -> pathlib.Path:
    """Probability mass the sampler gives to Byzantine sellers, against their share of the pool."""
    ax = _axes()
    ax.plot(rounds["round"], rounds["byzantine_mass"], color=BYZANTINE, label="sampling mass")
    ax.axhline(share, color=NEUTRAL, linestyle="--", linewidth=1, label="share of sellers")
    ax.set_ylim(0, max(1.02 * rounds["byzantine_mass"].max(), share * 1.3, 0.1))
    return _finish(ax, path, "Sampling mass of Byzantine sellers", "round", "probability")


def income(sellers: pd.DataFrame, path: pathlib.Path) -> pathlib.Path:
    """What every seller gained or lost, honest and Byzantine apart."""
    ax = _axes()
    ordered = sellers.sort_values(["role", "change"], ascending=[False, False])
    position = np.arange(len(ordered))
    honest = (ordered["role"] == "honest").to_numpy()
    for facts, colour, label in [
        (honest, HONEST, "honest"),
        (~honest, BYZANTINE, "Byzantine or lying"),
    ]:
        if facts.any():
            ax.bar(position[facts], ordered["change"].to_numpy()[facts], color=colour, label=label)
    ax.axhline(0, color="black", linewidth=0.8)
    ax.set_xticks(position, ordered["seller"].astype(str).tolist(), fontsize=7)
    return _finish(ax, path, "Income of the sellers", "seller", "money units")


def execution_sets(rounds: pd.DataFrame, path: pathlib.Path) -> pathlib.Path:
    """Nodes that executed each round, and the rounds in which a wrong result was accepted."""
    ax = _axes()
    ax.step(
        rounds["round"],
        rounds["executions"],
        where="mid",
        color=HONEST,
        label="nodes that executed",
    )
    wrong = rounds[rounds["accepted_digest"] > 0]
    if len(wrong):
        ax.scatter(
            wrong["round"],
            wrong["executions"],
            color=BYZANTINE,
            zorder=3,
            label="wrong result accepted",
        )
    ax.set_ylim(bottom=0)
    return _finish(ax, path, "Execution sets of CONE", "round", "nodes")
