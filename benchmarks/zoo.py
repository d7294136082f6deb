"""Tables and heat maps of the rules-against-attacks sweeps.

    python -m benchmarks.zoo rates results/zoo_rates     # for configs/sweeps/zoo_mlp.py
    python -m benchmarks.zoo worst results/zoo_mlp --plot=docs/figures/zoo_mlp.png

`rates` chooses per defence by the worst case over attacks of the accuracy on the buyer's verdict
examples. `worst` reports, for every defence and share of Byzantine sellers, the least test accuracy
over all attacks and which attack it is, as a Markdown table.
"""

import argparse
import json

import matplotlib

matplotlib.use("Agg")
import pandas as pd

from d2m_jax.report.sweep_plots import heat_map, with_labels
from d2m_jax.sweep import load
from d2m_jax.sweep.selection import choose, worst_case


def rates(folder: str) -> None:
    """Prints the chosen rate of every defence, as a Python dictionary."""
    runs = with_labels(load(folder).runs)
    best = choose(
        runs, ["spec.sampler", "spec.aggregator", "spec.pre_aggregators"], ["hparams.learning.lr"]
    )
    for row in best.to_dict("records"):
        name = "+".join(filter(None, (row["spec.pre_aggregators"], row["spec.aggregator"])))
        name = row["spec.sampler"] if row["spec.aggregator"] == "own" else name
        print(f"    {name!r}: {row['hparams.learning.lr']},  # {row['validation']:.3f}")


def worst_by_share(runs: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Least mean test accuracy over attacks and the attack that does it: defence by share in %.

    Best defences first, by the mean of their worst cases; one that was not judged comes last.
    """
    sellers = [json.loads(text)["spec"]["num_sellers"] for text in runs["config"]]
    shares = (100 * runs["byzantine"] / sellers).round().astype(int)
    parts = {
        share: worst_case(part, ["defence"], "attack").set_index("defence")
        for share, part in runs.groupby(shares)
    }
    accuracy = pd.DataFrame({share: part["mean"] for share, part in parts.items()})
    attack = pd.DataFrame({share: part["attack"] for share, part in parts.items()})
    order = accuracy.drop(columns=0, errors="ignore").mean(axis=1, skipna=False)
    order = order.sort_values(ascending=False, na_position="last").index
    return accuracy.loc[order], attack.loc[order]


def worst(folder: str, plot: str) -> None:
    """Prints the table and draws the heat map."""
    accuracy, attack = worst_by_share(with_labels(load(folder).runs))
    means = accuracy.drop(columns=0, errors="ignore").mean(axis=1, skipna=False)
    print("| defence | " + " | ".join(f"{share} %" for share in accuracy) + " | mean |")
    print("|---|" + "---|" * (accuracy.shape[1] + 1))
    for name in accuracy.index:
        cells = [
            f"{100 * accuracy.loc[name, share]:.1f} "
            + (str(attack.loc[name, share]).replace("_", " ") if share else "")
            for share in accuracy
        ]
        print(f"| {name} | " + " | ".join(cells) + f" | {100 * means[name]:.1f} |")
    if plot:
        accuracy.columns.name = "Byzantine sellers, %"
        figure = heat_map(100 * accuracy, "test accuracy, worst attack, %", style="{:.0f}")
        if figure is not None:
            figure.savefig(plot, dpi=110, bbox_inches="tight")


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=["rates", "worst"])
    parser.add_argument("folder", help="results of the sweep")
    parser.add_argument("--plot", default="", help="PNG file of the heat map")
    args = parser.parse_args(argv)
    if args.part == "rates":
        rates(args.folder)
    else:
        worst(args.folder, args.plot)


if __name__ == "__main__":
    main()
