"""The gains of an audit as a picture: every deviation with its interval. Host only."""

import pathlib

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from d2m_jax.report.audit import Audit

COLOURS = {"honest": "tab:blue", "random": "tab:orange"}


def plot_gains(audit: Audit, path: pathlib.Path, columns: int = 3) -> None:
    """A panel per game with several deviations: U(s) - U(honest), right of zero where it pays."""
    tables = audit.tables()
    games = [
        (game, rows.iloc[1:]) for game, rows in tables["strategies"].groupby("game", sort=False)
    ]
    games = [(game, rows) for game, rows in games if len(rows) > 1]
    if not games:
        return
    verdicts = tables["verdicts"].set_index("game")["honesty is"]
    lines = -(-len(games) // columns)
    heights = [max(len(rows) for _, rows in games[i : i + columns]) + 4
               for i in range(0, len(games), columns)]  # fmt: skip
    figure, axes = plt.subplots(
        lines, columns, figsize=(5.5 * columns, 0.17 * sum(heights)), squeeze=False,
        gridspec_kw={"height_ratios": heights},
    )  # fmt: skip
    for axis in axes.flat[len(games) :]:
        axis.axis("off")
    for axis, (game, rows) in zip(axes.flat, games):
        for shift, (others, colour) in zip((-0.15, 0.15), COLOURS.items()):
            if rows.get(f"gain, {others} others") is not None:
                axis.errorbar(
                    rows[f"gain, {others} others"], np.arange(len(rows)) + shift,
                    xerr=rows[f"margin, {others} others"], fmt="o", ms=3, lw=1, color=colour,
                    label=f"{others} others",
                )  # fmt: skip
        axis.axvline(0, color="black", lw=0.8)
        axis.set(ylim=(len(rows) - 0.5, -0.5), title=f"{game}: {verdicts[game]}")
        axis.set_yticks(np.arange(len(rows)), rows["strategy"])
        axis.tick_params(labelsize=7)
        axis.title.set_fontsize(8)
        axis.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axis.xaxis.set_major_locator(plt.MaxNLocator(5))
    axes.flat[0].legend(fontsize=7)
    figure.supxlabel("units gained over honesty, with simultaneous intervals", fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)
