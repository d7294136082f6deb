"""Worst case over attacks for every defence, from the sweeps `configs/sweeps/zoo_*.py`.

    python -m benchmarks.zoo results/zoo_mlp --plot=docs/figures/zoo_mlp.png
    python -m benchmarks.zoo results/zoo_partitions --by=partition

Prints a Markdown table: for every defence and share of Byzantine sellers (or partition) the least
test accuracy over all attacks, and the attack that does it. Where the sweep has several learning
rates, the worst case on the buyer's verdict examples chooses one per cell.
"""

import argparse
import json
import sys

import pandas as pd

from benchmarks.zoo_plots import heat_map, with_labels
from d2m_jax.sweep import StorageError, load
from d2m_jax.sweep.selection import choose


def share(config: str) -> str:
    """Byzantine sellers in per cent."""
    tree = json.loads(config)
    bad = tree["hparams"]["population"]["num_byzantine"]
    return f"{round(100 * bad / tree['spec']['num_sellers'])} %"


def partition(config: str) -> str:
    """How the examples are dealt."""
    data = json.loads(config)["data"]
    name = data["partition"]
    return f"{name} {data['alpha']:g}" if name == "dirichlet" else name


def lateness(config: str) -> str:
    """Byzantine sellers, the mean delay, and the power by which late updates count less."""
    numbers = json.loads(config)["hparams"]
    late, power = numbers["delay"]["mean"], numbers["learning"]["staleness"]
    return f"{share(config)}, {late:g} late" + (f", power {power:g}" if power else "")


COLUMNS = {"share": share, "partition": partition, "lateness": lateness}


def worst(runs: pd.DataFrame, by: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Least mean test accuracy over attacks in %, and the attack: defence by column.

    Best defences first, by the mean of their worst cases under attack; one with a cell that was not
    judged comes last.
    """
    runs = runs.assign(column=runs["config"].map(COLUMNS[by]))
    cells = pd.concat(  # one column at a time: without attackers there is one attack, "none"
        choose(part, ["defence", "column"], ["hparams.learning.lr"], over="attack")
        for _, part in runs.groupby("column")
    )
    accuracy = 100 * cells.pivot(index="defence", columns="column", values="mean")
    attack = cells.pivot(index="defence", columns="column", values="attack")
    order = under_attack(accuracy).sort_values(ascending=False, na_position="last").index
    return accuracy.loc[order], attack.loc[order]


def under_attack(accuracy: pd.DataFrame) -> pd.Series:
    """The mean of the worst cases, without the column of no attackers."""
    clean = [column for column in accuracy if column.startswith("0 %")]
    return accuracy.drop(columns=clean).mean(axis=1, skipna=False)


def show(accuracy: pd.DataFrame, attack: pd.DataFrame) -> None:
    print("| defence | " + " | ".join(accuracy) + " | mean under attack |")
    print("|---|" + "---|" * (accuracy.shape[1] + 1))
    means = under_attack(accuracy)
    for name in accuracy.index:
        cells = [
            f"{accuracy.loc[name, column]:.1f} {attack.loc[name, column]}".replace(" none", "")
            for column in accuracy
        ]
        print(f"| {name} | {' | '.join(cells)} | {means[name]:.1f} |".replace("_", " "))


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", help="results of sweeps, read as one")
    parser.add_argument("--by", choices=sorted(COLUMNS), default="share", help="columns")
    parser.add_argument("--plot", default="", help="PNG file of the heat map")
    args = parser.parse_args(argv)
    try:
        runs = pd.concat([load(folder).runs for folder in args.folders], ignore_index=True)
    except StorageError as error:
        sys.exit(f"error: {error}")
    failed = (runs["status"] != "done").sum()
    accuracy, attack = worst(with_labels(runs), args.by)
    print(f"{len(runs):,} runs, {failed} failed\n")
    show(accuracy, attack)
    if args.plot:
        accuracy.columns.name = "Byzantine sellers" if args.by == "share" else None
        figure = heat_map(accuracy, "test accuracy under the worst attack, %", style="{:.0f}")
        if figure is not None:
            figure.savefig(args.plot, dpi=110, bbox_inches="tight")


if __name__ == "__main__":
    main()
