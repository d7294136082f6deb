"""Terms of the mechanism as a picture: what they earn, what deviating earns. Host only."""

import pathlib

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import pandas as pd

MARKS = {"gain": "o", "unique": "s"}


def plot_tuning(table: pd.DataFrame, path: pathlib.Path) -> None:
    """Welfare and revenue over what the best learned deviator gains; the front is filled."""
    figure, axes = plt.subplots(1, 2, figsize=(11, 4.2), sharex=True)
    for axis, column in zip(axes, ("welfare", "revenue")):
        for measure, rows in table.groupby("measure", sort=False):
            for is_front, part in rows.groupby("front"):
                axis.scatter(
                    part["deviation gain"], part[column], c=part["window"], cmap="viridis",
                    vmin=table["window"].min(), vmax=table["window"].max(),
                    marker=MARKS.get(str(measure), "x"), s=60 if is_front else 14,
                    edgecolors="black" if is_front else "none", linewidths=0.8,
                    label=f"{measure}, {'front' if is_front else 'beaten'}",
                )  # fmt: skip
        axis.set_xlabel("gain of the best learned deviator, units")
        axis.set_ylabel(f"{column}, units a job")
        axis.grid(alpha=0.3)
        axis.xaxis.set_major_formatter("{x:,.0f}")
        axis.yaxis.set_major_formatter("{x:,.0f}")
    axes[0].legend(fontsize=7)
    figure.suptitle("terms of the mechanism; colour: window of the court (dark 20, bright 80)")
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)
