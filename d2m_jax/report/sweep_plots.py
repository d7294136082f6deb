"""The plots of a sweep. Host only. Read next: `sweep_page.py`, which puts them on one page."""

import json
import pathlib
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from d2m_jax.sweep.selection import bands, whole_mean, worst_case

COLOURS = plt.get_cmap("tab10").colors  # type: ignore[attr-defined]
MARKERS = "osD^vPX*<>"


def with_labels(runs: pd.DataFrame) -> pd.DataFrame:
    """All runs, failed ones too, with the columns defence, attack and byzantine (count) added."""
    trees = [json.loads(text) for text in runs["config"]]
    return runs.reset_index(drop=True).assign(
        defence=[_defence(tree["spec"]) for tree in trees],
        attack=[tree["spec"]["attack"] for tree in trees],
        byzantine=[tree["hparams"]["population"]["num_byzantine"] for tree in trees],
    )


def finished(runs: pd.DataFrame) -> pd.DataFrame:
    """Those that did not fail."""
    return runs[runs["status"] == "done"].reset_index(drop=True)


def _defence(spec: dict[str, Any]) -> str:
    parts = [
        *spec["pre_aggregators"],
        *([] if spec["aggregator"] == "own" else [spec["aggregator"]]),
    ]
    if spec["sampler"] != "uniform" or not parts:
        parts = [spec["sampler"], *parts]
    return " + ".join(parts)


def _by_quality(runs: pd.DataFrame) -> list[str]:
    """Defences, the best worst case first."""
    worst = worst_case(runs, ["defence", "byzantine"], "attack")
    order = worst.groupby("defence")["mean"].agg(whole_mean).sort_values(ascending=False)
    return order.index.tolist()


def curves(runs: pd.DataFrame, rounds: pd.DataFrame) -> Figure:
    """Test accuracy over the rounds, a panel per attack, with 95 % bands over the seeds.

    At the largest Byzantine count; other fields are averaged over.
    """
    done = finished(runs)
    top = done[done["byzantine"] == done["byzantine"].max()]
    measured = rounds[rounds["test_metric"].notna()][["key", "round", "test_metric"]]
    seeds = [field for field in ("data.seed", "seed") if field in top]
    table = measured.merge(top[["key", "defence", "attack", "status", *seeds]], on="key")
    table = bands(table, ["attack", "defence", "round"])
    attacks, defences = sorted(table["attack"].unique()), _by_quality(done)
    columns = min(len(attacks), 4)
    lines = -(-len(attacks) // columns)
    figure, axes = plt.subplots(
        lines,
        columns,
        figsize=(2.6 * columns + 0.4, 2.1 * lines + 0.8),
        sharex=True,
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    for ax, attack in zip(axes.flat, attacks):
        for place, defence in enumerate(defences):
            one = table[(table["attack"] == attack) & (table["defence"] == defence)]
            colour = COLOURS[place % 10]
            ax.plot(one["round"], one["mean"], color=colour, linewidth=1.3, label=defence)
            low, high = one["low"].clip(0, 1), one["high"].clip(0, 1)
            ax.fill_between(one["round"], low, high, color=colour, alpha=0.12, linewidth=0)
        ax.set_title(attack, fontsize=9)
        ax.set_ylim(0, 1.02)
        ax.spines[["top", "right"]].set_visible(False)
    for ax in axes.flat[len(attacks) :]:
        ax.set_visible(False)
    figure.supxlabel("round", fontsize=9)
    figure.supylabel("test accuracy", fontsize=9)
    _legend(figure, axes.flat[0], len(defences))
    return figure


def against_share(runs: pd.DataFrame) -> Figure:
    """Test accuracy under the worst attack against the number of Byzantine sellers."""
    table = worst_case(runs, ["defence", "byzantine"], "attack")
    figure, ax = plt.subplots(figsize=(6.4, 4.2), layout="constrained")
    defences = _by_quality(runs)
    for place, defence in enumerate(defences):
        one = table[table["defence"] == defence]
        shift = (place - len(defences) / 2) * 0.012 * np.ptp(table["byzantine"])
        ax.errorbar(
            one["byzantine"] + shift,
            one["mean"],
            yerr=np.nan_to_num([one["mean"] - one["low"], one["high"] - one["mean"]]),
            color=COLOURS[place % 10],
            marker=MARKERS[place % 10],
            markersize=4,
            linewidth=1.2,
            elinewidth=0.7,
            label=defence,
        )
    ax.set(xlabel="Byzantine sellers", ylabel="test accuracy, worst attack", ylim=(0, 1.02))
    ax.set_xticks(sorted(table["byzantine"].unique()))
    ax.spines[["top", "right"]].set_visible(False)
    _legend(figure, ax, len(defences))
    return figure


def _legend(figure: Figure, ax: Any, count: int) -> None:
    handles, labels = ax.get_legend_handles_labels()
    figure.legend(
        handles,
        labels,
        frameon=False,
        fontsize=8,
        ncols=min(count, 4),
        loc="outside upper center",
    )


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


def best_defence(runs: pd.DataFrame) -> Figure:
    """The defence with the best mean accuracy in every cell of attack and Byzantine count."""
    means = bands(runs, ["attack", "byzantine", "defence"])
    best = means.loc[means.groupby(["attack", "byzantine"])["mean"].idxmax()]
    names = best.pivot(index="attack", columns="byzantine", values="defence")
    values = best.pivot(index="attack", columns="byzantine", values="mean")
    order = _by_quality(runs)
    codes = names.map(lambda name: order.index(name) % 10, na_action="ignore").to_numpy(float)
    figure, ax = plt.subplots(figsize=(1.9 + 1.5 * codes.shape[1], 1.1 + 0.42 * codes.shape[0]))
    ax.imshow(codes, aspect="auto", cmap="tab10", vmin=-0.5, vmax=9.5, alpha=0.45)
    _ticks(ax, names)
    for (row, column), name in np.ndenumerate(names.to_numpy()):
        mean = values.to_numpy()[row, column]
        text = f"{name}\n{mean:.2f}" if np.isfinite(mean) else "-"
        ax.text(column, row, text, ha="center", va="center", fontsize=7)
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


def table_of(runs: pd.DataFrame, value: str, columns: str, order: list[str]) -> pd.DataFrame:
    """Means of a column by defence (in this order) and another field."""
    table = runs.pivot_table(index="defence", columns=columns, values=value, dropna=False)
    return table.reindex(order)


def draw_all(runs: pd.DataFrame, rounds: pd.DataFrame) -> dict[str, tuple[str, Figure | None]]:
    """All plots by file name, each with the sentence that explains it; None where nothing varies.

    Args:
        runs: from `with_labels`; a defence of which all runs failed is the last row, empty.
        rounds: from `load`.
    """
    order, done = _by_quality(runs), finished(runs)
    count = int(done["byzantine"].max())
    worst = worst_case(runs, ["defence", "byzantine"], "attack")
    worst = worst.pivot(index="defence", columns="byzantine", values="mean").reindex(order)
    gap = done.assign(gap=done["bad_seller_income"] - done["honest_seller_income"])
    wrong = done.assign(wrong=1000 * done["wrong_rounds"] / done["num_rounds"])
    cost = done.assign(per_round=done["executions"] / done["num_rounds"])
    return {
        "curves": (
            f"Test accuracy over the rounds with {count} Byzantine sellers, a panel per attack; "
            "bands are 95 % confidence of the mean.",
            curves(runs, rounds),
        ),
        "worst_attack": (
            "Test accuracy under the worst attack against the number of Byzantine sellers; "
            "bars are 95 % confidence.",
            against_share(runs),
        ),
        "worst_case": (
            "Test accuracy under the worst attack, by defence and Byzantine sellers.",
            heat_map(worst, "worst-case test accuracy"),
        ),
        "by_attack": (
            "Mean test accuracy by defence and attack, over all Byzantine counts.",
            heat_map(table_of(done, "test_metric", "attack", order), "test accuracy"),
        ),
        "best_defence": (
            "The best defence in every cell, by mean test accuracy.",
            best_defence(done),
        ),
        "income": (
            "Does cheating pay? Mean income of a misbehaving seller minus that of an honest one, "
            "in units; red is where it does.",
            heat_map(
                table_of(gap, "gap", "attack", order),
                "misbehaving - honest, units",
                style="{:+,.0f}",
                symmetric=True,
            ),
        ),
        "wrong": (
            "Rounds in which CONE accepted a wrong result, per 1,000: on average "
            f"{wrong['wrong'].mean():.3g}.",
            heat_map(table_of(wrong, "wrong", "byzantine", order), "wrong rounds per 1,000"),
        ),
        "cost": (
            "Cost of verification: executions by compute nodes per round of training, on average "
            f"{cost['per_round'].mean():.1f}.",
            heat_map(
                table_of(cost, "per_round", "byzantine", order),
                "executions a round",
                style="{:.1f}",
            ),
        ),
    }


def save(
    figures: dict[str, tuple[str, Figure | None]], folder: pathlib.Path
) -> dict[str, pathlib.Path]:
    """Writes every figure as PNG and closes it."""
    paths = {}
    for name, (_, figure) in figures.items():
        if figure is None:
            continue
        paths[name] = folder / f"{name}.png"
        figure.savefig(paths[name], dpi=110, bbox_inches="tight")
        plt.close(figure)
    return paths
