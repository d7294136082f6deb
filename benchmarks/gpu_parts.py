"""The parts of `benchmarks.gpu`, one a process: prints JSON, {"device": ..., "rows": {...}}.

    python -m benchmarks.gpu_parts rules --dry_run     # one part with tiny sizes: half a minute

A row is {"here": number, "torch": number or None, "unit": ..., "note": ...}. Times of rules and
rounds are medians, with compilation apart; those of torch are of plain torch on the same device.
"""

import argparse
import functools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import gpu, torch_side
from configs.sweeps import mnist_1000
from d2m_jax import HParams, Spec, aggregation, default_config, make_market
from d2m_jax import data as datasets
from d2m_jax.config.population import Population
from d2m_jax.config.spec import DataSpec
from d2m_jax.market.world import deal
from d2m_jax.sweep import Options, make_plan, run_plan
from d2m_jax.sweep import load as load_results

Rows = dict[str, dict[str, Any]]
SIZES = ((20, 431_080, 4), (64, 101_770, 12), (1_000, 101_770, 200))
TINY = ((6, 50, 1),) * 3
FAST = {"sampler": "uniform", "aggregator": "mean", "contribution": "count"}
SMALL = {"num_nodes": 16, "num_rounds": 4, "eval_every": 4, "batch_size": 4}
MARGIN = 45  # seconds of a sweep's limit for imports, compilation and what is in work at its end

OURS: dict[str, Callable[[Any, int], Any]] = {
    "mean": lambda x, f: aggregation.mean(x),
    "median": lambda x, f: aggregation.median(x),
    "trimmed mean": aggregation.trimmed_mean,
    "Krum": aggregation.krum,
    "NNM": lambda x, f: aggregation.nnm(x, f)[0],
    "geometric median": lambda x, f: aggregation.geometric_median(x),
    "centered clipping": lambda x, f: aggregation.centered_clipping(x),
}


def row(here: Any, unit: str, theirs: float | None = None, note: str = "") -> dict[str, Any]:
    return {"here": here, "torch": theirs, "unit": unit, "note": note}


def once(fn: Callable[[], Any]) -> float:
    start = time.perf_counter()
    jax.block_until_ready(fn())
    return time.perf_counter() - start


def median_ms(fn: Callable[[], Any], repeats: int) -> float:
    """Median milliseconds of a call, after one that does not count."""
    once(fn)
    return 1e3 * statistics.median(once(fn) for _ in range(repeats))


def rules(args: argparse.Namespace) -> Rows:
    """Every rule on three matrices."""
    found: Rows = {}
    repeats = 2 if args.dry_run else 20
    for shape, (n, d, f) in zip(gpu.SHAPES, TINY if args.dry_run else SIZES):
        x = jax.random.normal(jax.random.key(0), (n, d))
        for name, rule in OURS.items():
            here = median_ms(functools.partial(jax.jit(rule, static_argnums=1), x, f), repeats)
            theirs = torch_side.rule_ms(name, (n, d), f, repeats)
            found[f"{name}, {shape}"] = row(here, "ms", theirs)
    return found


def images(count: int) -> datasets.Dataset:
    """Random images of the size of MNIST, ten classes, and a sixth as many for the test."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (count + count // 6, 28, 28), dtype=np.uint8)
    labels = np.arange(len(pixels)) % 10
    test = (pixels[count:], labels[count:])
    return datasets.from_arrays(pixels[:count], labels[:count], test=test, name="random images")


def mnist_sized() -> datasets.Dataset:
    """As many as MNIST has."""
    return images(60_000)


def few_images() -> datasets.Dataset:
    """For a dry run."""
    return images(900)


def rounds(args: argparse.Namespace) -> Rows:
    """Milliseconds a round of whole markets, 20 sellers that all train, batch 25."""
    found: Rows = {}
    dataset, sellers, count = few_images() if args.dry_run else mnist_sized(), 20, 200
    small = SMALL if args.dry_run else {"num_rounds": count, "eval_every": count, "batch_size": 25}
    data = deal(dataset, DataSpec(partition="iid"), sellers)
    models = {"MLP (79,510)": "mlp", "CNN (431,080)": "mnist_cnn"}
    for name, model in models.items():
        spec = Spec(model=model, num_sellers=sellers, num_sampled=sellers, **FAST, **small)
        market = make_market(spec, dataset)
        numbers = market.numbers(HParams(population=Population(num_byzantine=4, num_colluding=3)))
        start = time.perf_counter()
        run = jax.jit(market.run).lower(jax.random.key(0), numbers, data).compile()
        compiled = time.perf_counter() - start
        here = median_ms(functools.partial(run, jax.random.key(1), numbers, data), 2 + 1)
        theirs = torch_side.round_ms(model, sellers, spec.batch_size, 2 if args.dry_run else 50)
        note = f"compilation {compiled:.1f} s; torch: gradients and their mean alone"
        found[f"round of a market, {name}"] = row(here / spec.num_rounds, "ms", theirs, note)
    return found


def market(args: argparse.Namespace) -> Rows:
    """A market in which 10,000 sellers all train: ten rounds of the digits MLP."""
    sellers = 40 if args.dry_run else 10_000
    digits = datasets.load("digits")
    data = deal(digits, DataSpec(partition="iid"), min(sellers, 100))
    copies = -(-sellers // len(data.sizes))
    data = data.replace(
        starts=jnp.tile(data.starts, copies)[:sellers], sizes=jnp.tile(data.sizes, copies)[:sellers]
    )
    length = SMALL if args.dry_run else {"num_rounds": 10, "eval_every": 10}
    spec = Spec(model="mlp", num_sellers=sellers, num_sampled=sellers, **FAST, **length)
    made = make_market(spec, digits)
    numbers = made.numbers(HParams(population=Population(num_byzantine=sellers // 5)))
    start = time.perf_counter()
    run = jax.jit(made.run).lower(jax.random.key(0), numbers, data).compile()
    compiled = time.perf_counter() - start
    took = median_ms(functools.partial(run, jax.random.key(1), numbers, data), 3)
    whole, compilation = gpu.ROWS["market"]
    return {whole: row(took / 1e3, "s"), compilation: row(compiled, "s")}


def sweep_plan(args: argparse.Namespace) -> Any:
    """10,000 points: those of configs/sweeps/mnist_1000.py with ten times as many seeds."""
    config = mnist_1000.get_config()
    source = few_images if args.dry_run else mnist_sized
    changes = {} if args.data_dir else {"data": {"name": source, "num_validation": 100}}
    tree = default_config(**changes).to_dict()
    tree = {**config.to_dict(), **({"data": tree["data"]} if changes else {})}
    points = mnist_1000.get_points()
    if args.dry_run:
        tree["spec"] |= SMALL
        return make_plan(tree, points[:: len(points) // 3][:3])
    last = 1 + max(point["seed"] for point in points)
    seeds = range(0, 10 * last, last)
    return make_plan(tree, [{**p, "seed": p["seed"] + more} for more in seeds for p in points])


def sweep(args: argparse.Namespace) -> Rows:
    """As many of the 10,000 as its time allows, resumed nowhere; stopped between chunks."""
    began = time.perf_counter()
    plan, stop = sweep_plan(args), threading.Event()
    timer = threading.Timer(max(args.limit - MARGIN, 1), stop.set)
    timer.daemon = True
    timer.start()
    with tempfile.TemporaryDirectory() as folder:
        facts = run_plan(plan, folder, options=Options(data_dir=args.data_dir or None), stop=stop)
        if facts["failed"]:
            raise SystemExit(load_results(folder).runs["reason"].dropna().iloc[0])
    took = time.perf_counter() - began
    all_, rate, compilation = gpu.ROWS["sweep"]
    running = took - facts["compile_seconds"]
    note = f"{facts['done']:,} of {len(plan.runs):,} in this time"
    return {
        all_: row(took, "s", note=note),
        rate: row(facts["done"] / running, "1/s", note="without compilation"),
        compilation: row(facts["compile_seconds"], "s", note=f"{facts['programs']} programs"),
    }


def first(args: argparse.Namespace) -> Rows:
    """Whole processes of `make run`'s market, from start to account."""
    command = [sys.executable, "scripts/run_market.py", "--config=configs/digits.py"]
    command += [f"--config.spec.{k}={v}" for k, v in SMALL.items()] if args.dry_run else []
    if args.dry_run:
        command += [
            f"--config.hparams.population.{k}=2" for k in ("num_byzantine", "num_colluding")
        ]
    found: Rows = {}
    with tempfile.TemporaryDirectory() as cache:
        env = {**os.environ, "JAX_COMPILATION_CACHE_DIR": cache}
        for name in gpu.ROWS["first"]:
            start = time.perf_counter()
            with tempfile.TemporaryDirectory() as out:
                done = subprocess.run(
                    [*command, f"--out={out}/run"], cwd=gpu.ROOT, env=env, capture_output=True,
                    text=True,
                )  # fmt: skip
            if done.returncode:
                sys.exit(done.stderr)
            found[name] = row(time.perf_counter() - start, "s", note="whole process")
    return found


PARTS = {"first": first, "rules": rules, "rounds": rounds, "market": market, "sweep": sweep}


def device() -> str:
    """Accelerator, jax, torch, in words."""
    kind = jax.devices()[0].device_kind
    return f"{kind}, jax {jax.__version__}, {torch_side.about()}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=list(PARTS))
    parser.add_argument("--data_dir", default="", help="folder of the official data archives")
    parser.add_argument("--limit", type=float, default=175, help="seconds until it is ended")
    parser.add_argument("--dry_run", action="store_true", help="tiny sizes")
    args = parser.parse_args()
    rows = PARTS[args.part](args)
    print(json.dumps({"device": device(), "rows": rows}))


if __name__ == "__main__":
    main()
