"""How time, memory, executions and gas of a market grow, one size after another, with exponents.

    python -m benchmarks.growth --out=docs/results/growth
    python -m benchmarks.growth --axes=num_sellers,num_nodes --most=1000

A small task (a table of 5 features, softmax regression), so that what grows is the market. Every
point is compiled, run once, then timed: the median of `--repeats` runs. Writes `growth.csv` and
prints a table of exponents b of y = a x^b, fitted by least squares to the logarithms of the last
`TAIL` points, with 95 % intervals of Student's t.
"""

import csv
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import jax
import numpy as np
from absl import app, flags
from scipy import stats

from d2m_jax import HParams, Spec, make_market
from d2m_jax.config.hparams import Learning, Money
from d2m_jax.config.population import Population
from d2m_jax.data import Dataset, FederatedData, build, from_arrays
from d2m_jax.ledger import gas_of_job

AXES = {
    "num_sellers": (100, 1_000, 10_000, 65_535),
    "num_sampled": (10, 100, 1_000),
    "num_nodes": (32, 1_000, 10_000, 100_000),
    "num_jobs": (1, 4, 16),
    "num_rounds": (10, 100, 1_000),
    "worlds": (1, 16, 256),
}
MEASURES = ("processor", "memory", "ledger", "executions", "gas")
TAIL = 3
ON_CHAIN = 256  # sellers of the contract at most, 1,024 nodes
EXAMPLES = 4  # of each seller

WHICH = flags.DEFINE_list("axes", list(AXES), "which sizes grow")
MOST = flags.DEFINE_integer("most", 100_000, "larger sizes are left out", lower_bound=2)
REPEATS = flags.DEFINE_integer("repeats", 3, "timed runs of a point", lower_bound=1)
OUT = flags.DEFINE_string("out", "", "folder for growth.csv and growth.png; none: not written")


Row = dict[str, float | str]


def base(axis: str, size: int) -> Spec:
    """The market in which this one size grows."""
    sizes = {} if axis == "worlds" else {axis: size}
    jobs, rounds = sizes.get("num_jobs", 1), sizes.get("num_rounds", 10)
    return Spec(
        **{
            "model": "logreg",
            "num_sellers": max(64 * jobs, sizes.get("num_sampled", 0)),
            "num_sampled": 8,
            "num_nodes": 64 * jobs,
            "num_rounds": rounds,
            "eval_every": rounds,
            "batch_size": 4,
            "num_buyers": 2 * jobs,
            **sizes,
        }
    )


def dataset_for(num_sellers: int) -> Dataset:
    """A table with a few examples for each of so many sellers, and a buyer's."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, EXAMPLES * num_sellers + 500)
    inputs = rng.normal(size=(len(labels), 5)) + labels[:, None] * [1, -1, 0.5, 0, 0]
    return from_arrays(inputs.astype(np.float32), labels, test=0.05)


def numbers(spec: Spec) -> HParams:
    """Money that lasts for every job."""
    jobs, buyers = spec.num_jobs, spec.num_buyers
    money = Money(
        buyer_values=(900_000, 700_000) * (buyers // 2),
        buyer_shading_bps=(10_000,) * buyers,
        node_stake=20_000 * jobs,
        node_funds=25_000 * jobs,
    )
    who = Population(num_byzantine=spec.num_sellers // 10, num_colluding=spec.num_nodes // 10)
    return HParams(money=money, population=who, learning=Learning(lr=0.1), tau=0.4)


def measure(axis: str, size: int, repeats: int) -> Row:
    """One point: what it costs to compile and to run, and what the market did."""
    spec, worlds = base(axis, size), size if axis == "worlds" else 1
    dataset = dataset_for(spec.num_sellers)
    data = build(dataset, num_sellers=spec.num_sellers, partition="iid", num_validation=100)
    market = make_market(spec, dataset)
    typed, keys = market.numbers(numbers(spec)), jax.random.split(jax.random.key(0), worlds)

    def play(key: jax.Array, data: FederatedData) -> tuple[object, jax.Array]:
        outcome = market.run(key, typed, data)
        return outcome.ledger, outcome.rounds.executions.sum()

    every = jax.vmap(play, in_axes=(0, None)) if axis == "worlds" else lambda k, d: play(k[0], d)
    begun = time.process_time()
    run = jax.jit(every).lower(keys, data).compile()
    compiled = time.process_time() - begun
    ledger, executions = jax.block_until_ready(run(keys, data))
    wall, busy = timed(lambda: jax.block_until_ready(run(keys, data)), repeats)
    facts = run.memory_analysis()
    return {
        "axis": axis,
        "size": size,
        "compile": compiled,
        "wall": wall,
        "processor": busy,
        "memory": (facts.temp_size_in_bytes + facts.argument_size_in_bytes) / 2**20,
        "ledger": sum(leaf.nbytes for leaf in jax.tree.leaves(ledger)) / 2**20,
        "executions": float(np.sum(executions)),
        "gas": gas(spec) * worlds,
    }


def timed(run: object, repeats: int) -> tuple[float, float]:
    """Medians of wall and processor seconds."""
    walls, busies = [], []
    for _ in range(repeats):
        wall, busy = time.perf_counter(), time.process_time()
        run()
        walls.append(time.perf_counter() - wall)
        busies.append(time.process_time() - busy)
    return float(np.median(walls)), float(np.median(busies))


def gas(spec: Spec) -> float:
    """Gas of all jobs without a dispute, 31 nodes voting on a unit; NaN beyond the contract."""
    if spec.num_sellers > ON_CHAIN or spec.num_nodes > 4 * ON_CHAIN:
        return float("nan")
    size = {"num_sellers": spec.num_sellers, "num_nodes": spec.num_nodes, "num_drawn": 31}
    one = {rounds: int(gas_of_job(rounds, **size)) for rounds in (1, 2)}
    return spec.num_jobs * (one[1] + (spec.num_rounds - 1) * (one[2] - one[1]))


def exponent(sizes: np.ndarray, values: np.ndarray) -> tuple[float, float]:
    """b of y = a x^b over the last points, and half the width of its 95 % interval."""
    use = np.isfinite(values) & (values > 0)
    x, y = np.log(sizes[use])[-TAIL:], np.log(values[use])[-TAIL:]
    if len(x) < 3:
        return float("nan"), float("nan")
    fit = stats.linregress(x, y)
    return fit.slope, fit.stderr * stats.t.ppf(0.975, len(x) - 2)


def table(rows: list[Row]) -> str:
    """Markdown: the exponents, an axis a line."""
    lines = ["| grows | from, to | " + " | ".join(MEASURES) + " |", "|---" * 7 + "|"]
    for axis in dict.fromkeys(str(row["axis"]) for row in rows):
        mine = [row for row in rows if row["axis"] == axis]
        sizes = np.array([row["size"] for row in mine], float)
        cells = []
        for name in MEASURES:
            slope, half = exponent(sizes, np.array([row[name] for row in mine], float))
            cells.append("" if np.isnan(slope) else f"{slope:.2f} ± {half:.2f}")
        ends = f"{int(sizes[0]):,}, {int(sizes[-1]):,}"
        lines.append(f"| {axis.replace('num_', '')} | {ends} | {' | '.join(cells)} |")
    return "\n".join(lines)


def write(rows: list[Row], folder: pathlib.Path) -> None:
    """The points as a table and as a plot."""
    import matplotlib.pyplot as plt

    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "growth.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()}
                         for row in rows)  # fmt: skip
    figure, places = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for place, name, unit in zip(places, ("processor", "memory"), ("s", "MiB")):
        for axis in dict.fromkeys(str(row["axis"]) for row in rows):
            mine = [row for row in rows if row["axis"] == axis]
            sizes, values = [row["size"] for row in mine], [row[name] for row in mine]
            place.loglog(sizes, values, "o-", label=axis.replace("num_", ""))
        place.set(xlabel="size", ylabel=f"{name}, {unit}")
        place.grid(alpha=0.3)
    places[0].legend()
    figure.savefig(folder / "growth.png", dpi=110)


def main(_: list[str]) -> None:
    rows: list[Row] = []
    for axis in WHICH.value:
        for size in AXES[axis]:
            if size <= MOST.value:
                rows.append(measure(axis, size, REPEATS.value))
                shown = (
                    f"{k} {v:.4g}" if isinstance(v, float) else f"{v}" for k, v in rows[-1].items()
                )
                print("  ".join(shown), flush=True)
    print(table(rows))
    if OUT.value:
        write(rows, pathlib.Path(OUT.value))


if __name__ == "__main__":
    app.run(main)
