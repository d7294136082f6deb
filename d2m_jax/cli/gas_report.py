"""What the market costs on Ethereum: gas per action, per round and per job as the market grows.

    python scripts/gas_report.py                     # tables and a plot from the committed table
    python scripts/gas_report.py --fit               # measures the contract anew (needs `evm`)
    python scripts/gas_report.py --num_nodes=256 --num_drawn=32 --num_rounds=100 --gwei=2

The tables go to the terminal and, with the plot, to the folder --out.
"""

import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from absl import flags

from d2m_jax.cli import devices, door, flag_tables, paths
from d2m_jax.core.files import make_folder
from d2m_jax.ledger import GAS, Kind, gas_of, gas_of_job, gas_of_round
from d2m_jax.ledger.gas import FEATURES, FIRST_DRAWN
from d2m_jax.report.gas_plots import plot_growth

INTEGERS: flag_tables.Integers = {  # the sizes of `Market`
    "num_sellers": (32, 1, "sellers, all matched"),
    "num_nodes": (64, 1, "compute nodes of the pool"),
    "num_drawn": (16, 0, "nodes drawn in a round"),
    "num_rounds": (20, 1, "rounds of a job"),
    "num_bids": (3, 1, "sealed bids of a job, one per buyer"),
}
SELLERS, NODES = (4, 8, 16, 32, 64, 128, 256), (8, 16, 32, 64, 128, 256, 512, 1024)
ROUNDS = (1, 100)
LARGEST = 10_000  # sellers or nodes: beyond, gas passes an int32


class Market(NamedTuple):
    """The sizes that gas depends on."""

    num_sellers: int
    num_nodes: int
    num_drawn: int
    num_rounds: int
    num_bids: int

    def size(self) -> dict[str, int]:
        """Those of a single action."""
        names = ("num_sellers", "num_nodes", "num_drawn")
        return {**{name: getattr(self, name) for name in names}, "num_buyers": self.num_bids}

    def __str__(self) -> str:
        """The sizes of a round in words."""
        return f"{self.num_sellers} sellers, {self.num_nodes} nodes, {self.num_drawn} drawn a round"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; see `door.enter`."""
    return door.enter(run, argv, define=define, about=__doc__)


def define(values: flags.FlagValues) -> None:
    """The flags of the command."""
    flag_tables.integers(values, INTEGERS)
    flag_tables.floats(values, {"gwei": (1.0, 0.0, None, "price of gas")})
    flag_tables.switches(values, {"fit": "measure the contract and print a new table"})
    flag_tables.strings(values, {"out": ("results/gas", "folder of the tables and the plot")})


def run(call: door.Call) -> None:
    """Prints and writes the tables, and draws the plot."""
    market = Market(*(call.flags[name].value for name in INTEGERS))
    if market.num_drawn > market.num_nodes:
        raise ValueError("--num_drawn must not exceed --num_nodes")
    if max(market.num_sellers, market.num_nodes) > LARGEST:
        raise ValueError(f"--num_sellers and --num_nodes must be {LARGEST:,} at most")
    devices.check_devices()
    folder = make_folder(paths.given(call.flags.out))
    if call.flags.fit:
        print_fit(folder)
    actions, growth = per_action(market, call.flags.gwei), growths(market)
    actions.to_csv(folder / "actions.csv", index=False)
    growth.to_csv(folder / "growth.csv", index=False)
    print(actions.to_string(index=False, line_width=120, float_format=lambda x: f"{x:.5f}"))
    print(summary(market, call.flags.gwei))
    print(growth.to_string(index=False, line_width=120))
    title = f"Gas on the EVM; what does not grow: {market}, {market.num_rounds} rounds"
    plot_growth(growth, title, folder / "gas.png")
    print(f"\nTables and plot: {folder}/")


def per_action(market: Market, gwei: float) -> pd.DataFrame:
    """What every action costs: the fit, the gas at these sizes, the price."""
    rows = []
    for kind in Kind:
        if kind == Kind.WAIT:
            continue
        gas = int(gas_of(kind, **market.size()))
        line = {"action": kind.name.lower(), **dict(zip(FEATURES, GAS[kind], strict=True))}
        rows.append({**line, "here": gas, "ether": gas * gwei * 1e-9})
    return pd.DataFrame(rows)


def summary(market: Market, gwei: float) -> str:
    """A round and a job in one line."""
    one = int(gas_of_round(**market.size()))
    job = job_gas(market)
    return (
        f"\n{market}: {one:,} gas a round; {job:,} gas a job of {market.num_rounds} rounds "
        f"({job * gwei * 1e-9:.4f} ether at {gwei:g} gwei)\n"
    )


def growths(market: Market) -> pd.DataFrame:
    """Gas of the dearest actions, a round and a job, as one size grows and the others stay."""
    rows = []

    def add(grows: str, to: int, **changes: int) -> None:
        rows.append({"grows": grows, "to": to, **costs(market._replace(**changes))})

    for value in SELLERS:
        add("num_sellers", value, num_sellers=value)
    for value in NODES:
        drawn = min(market.num_drawn, value)
        add("num_nodes", value, num_nodes=value, num_drawn=drawn)
    for value in NODES:
        add("num_nodes (all drawn)", value, num_nodes=value, num_drawn=value)
    for value in np.geomspace(*ROUNDS, 7).round().astype(int).tolist():
        add("num_rounds", value, num_rounds=value)
    return pd.DataFrame(rows)


def costs(market: Market) -> dict[str, int]:
    """Gas of the dearest actions, a round and a job."""
    size = market.size()
    return {
        "close_auction": int(gas_of(Kind.CLOSE_AUCTION, **size)),
        "settle_round": int(gas_of(Kind.SETTLE_ROUND, **size)),
        "settle": int(gas_of(Kind.SETTLE, **size)),
        "round": int(gas_of_round(**size)),
        "job": job_gas(market),
    }


def job_gas(market: Market) -> int:
    """`gas_of_job` in Python's whole numbers: many rounds pass an int32."""
    size = market.size()
    one = int(gas_of_job(1, num_bids=1, **size))
    more_rounds = (market.num_rounds - 1) * int(gas_of_round(**size))
    bids = int(gas_of(Kind.SEAL, **size)) + int(gas_of(Kind.REVEAL, **size))
    for kind in (Kind.CLOSE_AUCTION, Kind.RESET_JOB):
        bids += GAS[kind][-1]
    seen, drawn = market.num_rounds * market.num_drawn, min(market.num_drawn, market.num_nodes)
    new = min(seen, market.num_nodes) - drawn  # drawn for the first time in a later round
    return one + more_rounds + (market.num_bids - 1) * bids + FIRST_DRAWN * new


def print_fit(folder: pathlib.Path) -> None:
    """Measures the contract anew and prints the table that `ledger/gas.py` holds.

    Raises:
        ValueError: what runs the contract is not installed.
    """
    try:
        from contracts.gas import ESTIMATES, fit, measure
        from contracts.market import compile_market
    except ImportError as error:
        raise ValueError(
            f"--fit needs the contracts of the checkout and the extra `evm` of pyproject.toml: "
            f"{error}"
        ) from error
    artifact = compile_market()
    rows = measure(artifact)
    table = fit(rows)
    measured = [{"action": r.action, "job": r.job, **r.size._asdict(), "gas": r.gas} for r in rows]
    pd.DataFrame(measured).to_csv(folder / "measured.csv", index=False)
    print(f"GAS = {{\n    Kind.WAIT: {(0,) * len(FEATURES)},")
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
