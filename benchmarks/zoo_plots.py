"""The heat map of `benchmarks/zoo.py`, and what its rows are called."""

import json
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure


def with_labels(runs: pd.DataFrame) -> pd.DataFrame:
    """All runs, failed ones too, with the columns defence and attack added."""
    trees = [json.loads(text) for text in runs["config"]]
    return runs.reset_index(drop=True).assign(
        defence=[defence_of(tree["spec"]) for tree in trees],
        attack=[tree["spec"]["attack"] for tree in trees],
    )


def defence_of(spec: dict[str, Any]) -> str:
    parts = [
        *spec["pre_aggregators"],
        *([] if spec["aggregator"] == "own" else [spec["aggregator"]]),
    ]
    if spec["sampler"] != "uniform" or not parts:
        parts = [spec["sampler"], *parts]
    return " + ".join(parts)


def heat_map(
    table: pd.DataFrame, title: str, *, style: str = "{:.2f}", symmetric: bool = False
) -> Figure | None:
    """A table of numbers as colours, with the numbers written in; None when all are the same.

    Args:
        table: index and columns become labels.
        title: of the colour bar.
        style: of the numbers.
        symmetric: red and blue around 0 instead of one scale.
    """
    values = table.to_numpy(float)
    if not np.isfinite(values).any() or np.nanmin(values) == np.nanmax(values):
        return None
    size = (1.9 + 0.85 * values.shape[1], 1.2 + 0.34 * values.shape[0])
    figure, ax = plt.subplots(figsize=size)
    top = np.nanmax(np.abs(values))
    scale = {"cmap": "RdBu_r", "vmin": -top, "vmax": top} if symmetric else {"cmap": "viridis"}
    image = ax.imshow(values, aspect="auto", **scale)
    _ticks(ax, table)
    for (row, column), value in np.ndenumerate(values):
        if np.isfinite(value):
            shade = image.cmap(image.norm(value))[:3]
            dark = np.dot(shade, (0.3, 0.59, 0.11)) < 0.5
            text = style.format(value)
            colour = "white" if dark else "black"
            ax.text(column, row, text, ha="center", va="center", fontsize=7, color=colour)
        else:
            ax.text(column, row, "no result", ha="center", va="center", fontsize=7, color="grey")
    figure.colorbar(image, ax=ax, fraction=0.04, pad=0.02).set_label(title, fontsize=8)
    return figure


def _ticks(ax: Any, table: pd.DataFrame) -> None:
    names = [str(name).replace("_", " ") for name in table.columns]
    lengths = max(map(len, names), default=0)
    turn = {"rotation": 35, "ha": "right"} if lengths > 9 else {}
    ax.set_xticks(range(table.shape[1]), names, fontsize=8, **turn)
    ax.set_yticks(range(table.shape[0]), [str(name).replace("_", " ") for name in table.index])
    ax.tick_params(labelsize=8, length=0)
    ax.set_xlabel(str(table.columns.name), fontsize=8)
    ax.spines[:].set_visible(False)
