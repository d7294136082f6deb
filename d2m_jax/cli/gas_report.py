"""What market and votes cost on Ethereum: gas per action, per round and per job as they grow.

    python scripts/gas_report.py                     # tables and a plot from the committed table
    python scripts/gas_report.py --fit               # measures the contracts anew (needs `evm`)
    python scripts/gas_report.py --num_nodes=256 --num_drawn=32 --num_rounds=100 --gwei=2

The tables go to the terminal and, with the plots, to the folder --out. Measured: every single
action. Modelled, as sums of what is measured: a round, a job, and batches. In a batch of K rounds
the digest that is voted on is the root of a Merkle tree over the contents of K rounds: the vote and
its booking are paid once per K rounds. The contracts accept a digest of any content, so nothing
changes in them; what proves one of the rounds against the root is measured with a function of its
own (contracts/batching.py).
"""

import math
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from absl import flags

from d2m_jax.cli import devices, door, flag_tables, paths
from d2m_jax.core.files import make_folder
from d2m_jax.ledger import GAS, Kind, gas_of, gas_of_round
from d2m_jax.ledger.gas import FEATURES, FREEZE, OPENING_SEAL, gas_of_vote_on_unit
from d2m_jax.report.gas_plots import plot_batches, plot_growth

INTEGERS: flag_tables.Integers = {  # the sizes of `Market`
    "num_sellers": (32, 1, "sellers, all matched"),
    "num_nodes": (64, 1, "compute nodes of the pool"),
    "num_drawn": (16, 0, "nodes that vote on a unit"),
    "num_rounds": (20, 1, "rounds of a job"),
    "num_bids": (3, 1, "sealed bids of a job, one per buyer"),
}
SELLERS, NODES = (4, 8, 16, 32, 64, 128, 256), (8, 16, 32, 64, 128, 256, 512, 1024)
ROUNDS = (1, 100)
LARGEST = 10_000  # sellers or nodes: beyond, gas passes an int32
PRICES = (0.01, 0.1, 1.0, 10.0, 30.0)  # gwei
BATCHES = (1, 2, 5, 10, 20)  # rounds per vote
PROOF = (28_740, 790)  # of a round against the root of its batch: fixed, per level of the tree


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
    tables = {
        "actions": per_action(market, call.flags.gwei),
        "prices": prices(market),
        "batches": batches(market),
        "growth": growths(market),
    }
    for name, table in tables.items():
        table.to_csv(folder / f"{name}.csv", index=False)
    show(tables["actions"])
    print(summary(market, call.flags.gwei))
    for name in ("prices", "batches", "growth"):
        show(tables[name])
        print()
    title = f"Gas on the EVM; what does not grow: {market}, {market.num_rounds} rounds"
    plot_growth(tables["growth"], title, folder / "gas.png")
    title = f"Gas of a job of {market.num_rounds} rounds, K of them per vote: {market}"
    plot_batches(tables["batches"], title, folder / "gas_batches.png")
    print(f"Tables and plots: {folder}/")


def show(table: pd.DataFrame) -> None:
    """Prints a table."""
    print(table.to_string(index=False, line_width=120, float_format=lambda x: f"{x:.5f}"))


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


def prices(market: Market) -> pd.DataFrame:
    """A job in ether at several prices of gas, for several batches."""
    rows = []
    for gwei in PRICES:
        ether = {f"K = {k}": job_gas(market, k) * gwei * 1e-9 for k in BATCHES}
        rows.append({"gwei": gwei, **ether})
    return pd.DataFrame(rows)


def batches(market: Market) -> pd.DataFrame:
    """What it saves to vote once on K rounds."""
    alone, rows = job_gas(market), []
    for size in BATCHES:
        job = job_gas(market, size)
        levels = math.ceil(math.log2(size))
        proof = PROOF[0] + PROOF[1] * levels if size > 1 else 0
        units = num_units(market, size)
        per_round = units * int(gas_of_round(**market.size())) / market.num_rounds
        row = {"rounds per vote": size, "votes on rounds": units, "gas per round": round(per_round)}
        rows.append({**row, "job": job, "of K = 1": job / alone, "proof of a round": proof})
    return pd.DataFrame(rows)


def num_units(market: Market, batch: int) -> int:
    """Votes on rounds in a job: rounds / K, rounded up."""
    return -(-market.num_rounds // batch)


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
        "book_round": int(gas_of(Kind.BOOK_ROUND, **size)),
        "settle": int(gas_of(Kind.SETTLE, **size)),
        "round": int(gas_of_round(**size)),
        "job": job_gas(market),
    }


def job_gas(market: Market, batch: int = 1) -> int:
    """`gas_of_job` in Python's whole numbers, which many rounds need; K rounds per vote."""
    size = market.size()
    gas = market.num_bids * int(gas_of(Kind.SEAL, **size) + gas_of(Kind.REVEAL, **size))
    gas += OPENING_SEAL + FREEZE[0] + FREEZE[1] * market.num_nodes
    gas += num_units(market, batch) * int(gas_of_round(**size)) + int(gas_of_vote_on_unit(**size))
    once = (Kind.CLOSE_AUCTION, Kind.OPEN_METRIC, Kind.BOOK_VERIFICATION, Kind.SETTLE)
    return gas + sum(int(gas_of(kind, **size)) for kind in (*once, Kind.RESET_JOB))


def print_fit(folder: pathlib.Path) -> None:
    """Measures the contracts anew and prints the table that `ledger/gas.py` holds.

    Raises:
        ValueError: what runs the contract is not installed.
    """
    try:
        from contracts.batching import proof_gas, round_of
        from contracts.chain import compile_all
        from contracts.gas import ESTIMATES, fit, measure
        from contracts.gas_court import measure_cases
    except ImportError as error:
        raise ValueError(
            f"--fit needs the contracts of the checkout and the extra `evm` of pyproject.toml: "
            f"{error}"
        ) from error
    codes = compile_all()
    rows = measure(codes) + measure_cases(codes)
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
    print("Proof of one of K rounds:")
    for size in BATCHES:
        print(f"    {size}: {proof_gas([round_of(i, 10) for i in range(size)])[-1]}")
    print("Protocol constants alone (reference 3.9) against the fit:")
    for action, gas in ESTIMATES.items():
        fitted = table[action][0]
        print(f"    {action}: {gas} against {fitted} ({fitted / gas:.2f})")
    print()
