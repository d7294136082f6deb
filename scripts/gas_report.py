"""What the market costs on Ethereum: gas per action, per round and per job as the market grows.

    python scripts/gas_report.py                     # tables and a plot from the committed table
    python scripts/gas_report.py --fit               # measures the contract anew (needs `evm`)
    python scripts/gas_report.py --num_nodes=256 --num_drawn=32 --num_rounds=100 --gwei=2

The tables go to the terminal and, with the plot, to the folder --out.
"""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import matplotlib
import numpy as np
import pandas as pd
from absl import app, flags

from d2m_jax.ledger import GAS, Kind, gas_of, gas_of_job, gas_of_round
from d2m_jax.ledger.gas import FEATURES

matplotlib.use("Agg")
import matplotlib.pyplot as plt

NUM_SELLERS = flags.DEFINE_integer("num_sellers", 32, "sellers, all matched", lower_bound=1)
NUM_NODES = flags.DEFINE_integer("num_nodes", 64, "compute nodes of the pool", lower_bound=1)
NUM_DRAWN = flags.DEFINE_integer("num_drawn", 16, "nodes drawn in a round", lower_bound=0)
NUM_ROUNDS = flags.DEFINE_integer("num_rounds", 20, "rounds of a job", lower_bound=1)
NUM_BIDS = flags.DEFINE_integer("num_bids", 3, "accepted bids of a job", lower_bound=1)
GWEI = flags.DEFINE_float("gwei", 1.0, "price of gas", lower_bound=0.0)
FIT = flags.DEFINE_boolean("fit", False, "measure the contract and print a new table")
OUT = flags.DEFINE_string("out", "results/gas", "folder of the tables and the plot")

SELLERS, NODES, ROUNDS = (
    (4, 8, 16, 32, 64, 128, 256),
    (8, 16, 32, 64, 128, 256, 512, 1024),
    (1, 100),
)
BLOCK = 36_000_000  # gas limit of a block


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"unexpected argument {argv[1]!r}; flags start with --")
    if NUM_DRAWN.value > NUM_NODES.value:
        sys.exit("error: --num_drawn must not exceed --num_nodes")
    folder = pathlib.Path(OUT.value)
    folder.mkdir(parents=True, exist_ok=True)
    pd.options.display.width = 120
    if FIT.value:
        print_fit(folder)
    actions, growth = per_action(), growths()
    actions.to_csv(folder / "actions.csv", index=False)
    growth.to_csv(folder / "growth.csv", index=False)
    print(actions.to_string(index=False, float_format=lambda x: f"{x:.5f}"))
    print(summary())
    print(growth.to_string(index=False))
    draw(growth, folder / "gas.png")
    print(f"\nTables and plot: {folder}/")


def size() -> dict[str, int]:
    return {
        "num_sellers": NUM_SELLERS.value,
        "num_nodes": NUM_NODES.value,
        "num_drawn": NUM_DRAWN.value,
    }


def per_action() -> pd.DataFrame:
    rows = []
    for kind in Kind:
        if kind == Kind.WAIT:
            continue
        gas = int(gas_of(kind, **size()))
        line = {"action": kind.name.lower(), **dict(zip(FEATURES, GAS[kind], strict=True))}
        rows.append({**line, "here": gas, "ether": gas * GWEI.value * 1e-9})
    return pd.DataFrame(rows)


def summary() -> str:
    one = int(gas_of_round(**size()))
    job = int(gas_of_job(NUM_ROUNDS.value, num_bids=NUM_BIDS.value, **size()))
    text = f"{NUM_SELLERS.value} sellers, {NUM_NODES.value} nodes, {NUM_DRAWN.value} drawn a round"
    return (
        f"\n{text}: {one:,} gas a round; {job:,} gas a job of {NUM_ROUNDS.value} rounds "
        f"({job * GWEI.value * 1e-9:.4f} ether at {GWEI.value:g} gwei)\n"
    )


def growths() -> pd.DataFrame:
    """Gas of the dearest actions, a round and a job, as one size grows and the others stay."""
    rows = []
    for name, values in (("num_sellers", SELLERS), ("num_nodes", NODES)):
        for value in values:
            at = {**size(), name: value}
            at["num_drawn"] = min(at["num_drawn"], at["num_nodes"])
            rows.append({"grows": name, "to": value, **costs(at, NUM_ROUNDS.value)})
    for value in NODES:
        at = {**size(), "num_nodes": value, "num_drawn": value}
        rows.append({"grows": "num_nodes (all drawn)", "to": value, **costs(at, NUM_ROUNDS.value)})
    for value in np.geomspace(*ROUNDS, 7).round().astype(int):
        rows.append({"grows": "num_rounds", "to": int(value), **costs(size(), int(value))})
    return pd.DataFrame(rows)


def costs(at: dict[str, int], num_rounds: int) -> dict[str, int]:
    return {
        "match": int(gas_of(Kind.MATCH, **at)),
        "settle_round": int(gas_of(Kind.SETTLE_ROUND, **at)),
        "settle": int(gas_of(Kind.SETTLE, **at)),
        "round": int(gas_of_round(**at)),
        "job": int(gas_of_job(num_rounds, num_bids=NUM_BIDS.value, **at)),
    }


def draw(growth: pd.DataFrame, path: pathlib.Path) -> None:
    """Four panels, one size growing in each; the colours are explained once, below."""
    figure, axes = plt.subplots(2, 2, figsize=(9, 7), sharey=True)
    for axis, (name, part) in zip(axes.flat, growth.groupby("grows", sort=False), strict=True):
        for column in ("job", "round", "settle_round", "match", "settle"):
            axis.loglog(part["to"], part[column], marker=".", label=column.replace("_", " "))
        axis.axhline(BLOCK, color="grey", linestyle="--", linewidth=1)
        axis.set_title(str(name).replace("num_", "") + " grow", fontsize=10)
        axis.set_xticks(part["to"], [f"{x:,}" for x in part["to"]], fontsize=8)
        axis.minorticks_off()
        axis.grid(alpha=0.3)
    for axis in axes[:, 0]:
        axis.set_ylabel("gas")
    axes[0, 0].annotate("one block", (SELLERS[0], BLOCK * 1.15), color="grey", fontsize=8)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=len(labels), frameon=False)
    fixed = f"{NUM_SELLERS.value} sellers, {NUM_NODES.value} nodes, {NUM_DRAWN.value} drawn a round"
    figure.suptitle(f"Gas on the EVM; what does not grow: {fixed}, {NUM_ROUNDS.value} rounds")
    figure.tight_layout(rect=(0, 0.04, 1, 1))
    figure.savefig(path, dpi=90)
    plt.close(figure)


def print_fit(folder: pathlib.Path) -> None:
    from contracts.gas import ESTIMATES, fit, grid, measure_job
    from contracts.market import compile_market

    artifact = compile_market()
    rows = [row for at in grid() for row in measure_job(artifact, at)]
    table = fit(rows)
    measured = [{"action": r.action, "job": r.job, **r.size._asdict(), "gas": r.gas} for r in rows]
    pd.DataFrame(measured).to_csv(folder / "measured.csv", index=False)
    print("GAS = {\n    Kind.WAIT: (0, 0, 0, 0, 0),")
    for kind in Kind:
        if kind != Kind.WAIT:
            print(f"    Kind.{kind.name}: {table[kind.name.lower()]},")
    print("}\nVariants and edges:")
    names = {kind.name.lower() for kind in Kind}
    for action in table.keys() - names:
        print(f"    {action}: {table[action]}")
    print("Protocol constants alone (reference 3.9) against the fit:")
    for action, gas in ESTIMATES.items():
        fitted = table[action][0]
        print(f"    {action}: {gas} against {fitted} ({fitted / gas:.2f})")
    print()


if __name__ == "__main__":
    app.run(main)
