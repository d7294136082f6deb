"""Plots of `audit/evolution.py`: where strategies go. Host only."""

import pathlib
from typing import Any

import matplotlib
import numpy as np

from d2m_jax.audit.evolution import History

matplotlib.use("Agg")
import matplotlib.pyplot as plt


def plot_phase(history: History, path: pathlib.Path) -> None:
    """Trajectories in the plane of honest shares, and the mean shares over the epochs."""
    figure, (plane, over, money) = plt.subplots(1, 3, figsize=(15, 4.8))
    _plane(plane, history.record)
    for role, style, labels in (("seller", "-", history.sellers), ("node", "--", history.nodes)):
        mean = history.record[f"{role}_shares"].mean(0)
        for s, label in enumerate(labels):
            over.plot(mean[:, s], style, label=f"{role}: {label}")
    over.set(xlabel="epoch", ylabel="share, mean over the starts", ylim=(-0.02, 1.02))
    over.legend(fontsize=8)
    _means(money, history.record)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _plane(plane: Any, record: dict[str, np.ndarray]) -> None:
    """A line per start, coloured by what is delivered in the end."""
    x, y = record["seller_shares"][..., 0], record["node_shares"][..., 0]
    colours = plt.get_cmap("RdYlGn")(record["delivered"][:, -3:].mean(1))
    for i in range(len(x)):
        plane.plot(x[i], y[i], "-", color=colours[i], lw=1.2, alpha=0.9)
        for a, b in ((0, 1), (len(x[i]) // 2, len(x[i]) // 2 + 1)):
            if b < len(x[i]):
                plane.annotate(
                    "", (x[i, b], y[i, b]), (x[i, a], y[i, a]),
                    arrowprops={"arrowstyle": "->", "color": colours[i]},
                )  # fmt: skip
    plane.scatter(x[:, 0], y[:, 0], facecolors="none", edgecolors="grey", s=25, label="start")
    plane.scatter(x[:, -1], y[:, -1], c=colours, s=60, edgecolors="black", label="end", zorder=3)
    plane.set(
        xlabel="honest sellers, of those left", ylabel="honest nodes, of those left",
        xlim=(-0.05, 1.05), ylim=(-0.05, 1.05),
        title="green: good models are delivered in the end",
    )  # fmt: skip
    plane.legend(loc="center left", bbox_to_anchor=(0.0, 0.4))


def _means(axis: Any, record: dict[str, np.ndarray]) -> None:
    """Parties left, jobs settled and delivered, accuracy, over the epochs."""
    for role in ("sellers", "nodes"):
        left = record[f"{role}_left"].astype(float)
        axis.plot((left / left.max()).mean(0), label=f"{role} not banned or broke")
    axis.plot(record["settled"].mean(0), label="jobs settled")
    axis.plot(record["delivered"].mean(0), label="settled and the model is good")
    axis.plot(record["accuracy"].mean(0), label="test accuracy")
    axis.set(xlabel="epoch", ylim=(-0.02, 1.02), title="mean over the starts")
    axis.legend(fontsize=8)
