"""Sweeps: throughput, growth with configurations and sellers, ratio to ByzFL.

    python -m benchmarks.sweep throughput                    # 1,024 whole markets on digits
    python -m benchmarks.sweep throughput --data_dir=DIR     # and 1,000 of the MNIST MLP
    python -m benchmarks.sweep linear --plot=linear.png      # by runs and by sellers
    python -m benchmarks.sweep byzfl --data_dir=DIR          # see `byzfl_trainings.py`
    python -m benchmarks.sweep byzfl --data_dir=DIR --shipped=7    # and `byzfl_shipped.py`

Every measurement is a process of its own, from start to end, imports and compilation included and
nothing cached; `processor` is its processor time, which says what an idle machine would do.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parents[1]
DIGITS, MNIST = "configs/sweeps/digits_1024.py", "configs/sweeps/mnist_1000.py"

SWEEP = """
import importlib.util, json, resource, sys, time
from d2m_jax.sweep import Options, make_plan, run_plan
path, count, folder, data_dir = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4] or None
spec = importlib.util.spec_from_file_location("sweep_file", path)
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
points = module.get_points()
if count < len(points):
    points = points[:: len(points) // count][:count]
while count > len(points):  # more seeds
    last = max(point["seed"] for point in points) + 1
    points += [{**point, "seed": point["seed"] + last} for point in points][: count - len(points)]
plan = make_plan(module.get_config().to_dict(), points)
facts = run_plan(plan, folder, options=Options(data_dir=data_dir))
usage = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps({**facts, "cpu": usage.ru_utime + usage.ru_stime, "rss": usage.ru_maxrss / 1e3}))
"""

MARKET = """
import json, resource, sys, time
import jax
import jax.numpy as jnp
from d2m_jax import HParams, Spec, as_arrays, make_market
from d2m_jax.data import load
from d2m_jax.config.population import Population
from d2m_jax.config.spec import DataSpec
from d2m_jax.market.world import deal
sellers = int(sys.argv[1])
digits = load("digits")
data = deal(digits, DataSpec(partition="iid"), min(sellers, 100))
copies = -(-sellers // len(data.sizes))
data = data.replace(
    starts=jnp.tile(data.starts, copies)[:sellers], sizes=jnp.tile(data.sizes, copies)[:sellers]
)
spec = Spec(model="mlp", sampler="uniform", aggregator="mean", contribution="count",
            num_sellers=sellers, num_sampled=sellers, num_rounds=10, eval_every=10)
hparams = as_arrays(HParams(population=Population(num_byzantine=sellers // 5)))
market = make_market(spec, digits)
start = time.perf_counter()
run = jax.jit(market.run).lower(jax.random.key(0), hparams, data).compile()
compiled = time.perf_counter()
jax.block_until_ready(run(jax.random.key(0), hparams, data))
again = time.perf_counter()
jax.block_until_ready(run(jax.random.key(1), hparams, data))
usage = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps({"compile": compiled - start, "seconds": time.perf_counter() - again,
                  "rss": usage.ru_maxrss / 1e3}))
"""


def in_process(code: str, *args: Any) -> dict[str, Any]:
    """What a fresh process prints last, and its wall clock time."""
    env = {**os.environ, "JAX_ENABLE_COMPILATION_CACHE": "false"}
    command = [sys.executable, "-c", code, *map(str, args)]
    start = time.perf_counter()
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    return {**json.loads(done.stdout.splitlines()[-1]), "wall": time.perf_counter() - start}


def sweep(path: str, count: int, data_dir: str = "") -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        return in_process(SWEEP, path, count, folder, data_dir)


HEAD = "runs      wall s   runs/s   compile s  (share)   processor s    MB"


def show(count: int, facts: dict[str, Any]) -> None:
    share = facts["compile_seconds"] / facts["wall"]
    print(
        f"{count:6,d}{facts['wall']:10.1f}{count / facts['wall']:9.1f}"
        f"{facts['compile_seconds']:12.1f}{share:9.0%}{facts['cpu']:14.1f}{facts['rss']:8,.0f}",
        flush=True,
    )


def throughput(args: argparse.Namespace) -> None:
    print(f"digits, whole markets\n{HEAD}")
    show(1_024, sweep(DIGITS, 1_024))
    if args.data_dir:
        print(f"\nMNIST MLP\n{HEAD}")
        show(1_000, sweep(MNIST, 1_000, args.data_dir))


def linear(args: argparse.Namespace) -> None:
    print(f"digits, whole markets\n{HEAD}")
    counts = [count for count in (64, 256, 1_024, 4_096) if count <= args.most]
    runs = [sweep(DIGITS, count) for count in counts]
    for count, facts in zip(counts, runs):
        show(count, facts)
    print("\nsellers, all of them train; 10 rounds\nsellers   compile s    run s      MB")
    sellers = [10, 100, 1_000, 10_000]
    markets = [in_process(MARKET, number) for number in sellers]
    for number, facts in zip(sellers, markets):
        print(f"{number:7,d}{facts['compile']:12.1f}{facts['seconds']:9.2f}{facts['rss']:8,.0f}")
    if args.plot:
        draw(counts, runs, sellers, markets, args.plot)


def draw(counts: Any, runs: Any, sellers: Any, markets: Any, path: str) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(8.4, 3.4), layout="constrained")
    ran = [facts["wall"] - facts["compile_seconds"] for facts in runs]
    left.loglog(counts, ran, "o-", color="#2a6f97", label="seconds, without compilation")
    left.loglog(counts, [facts["rss"] for facts in runs], "s--", color="#6c757d", label="MB")
    left.set(xlabel="configurations", title="whole markets on digits")
    right.loglog(sellers, [f["seconds"] for f in markets], "o-", color="#2a6f97", label="seconds")
    right.loglog(sellers, [f["rss"] for f in markets], "s--", color="#6c757d", label="MB")
    right.set(xlabel="sellers in one market", title="10 rounds")
    for ax in (left, right):
        ax.legend(frameon=False)
        ax.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)


def byzfl(args: argparse.Namespace) -> None:
    """ByzFL one configuration after another (a sample of cells), ours all 1,000; MNIST MLP."""
    if not args.data_dir:
        sys.exit("This part needs --data_dir with the official MNIST archives.")
    theirs = trainings("byzfl_trainings", args.data_dir, args.sample)
    shipped = trainings("byzfl_shipped", args.data_dir, args.shipped) if args.shipped else None
    ours = sweep(MNIST, 1_000, args.data_dir)
    print(HEAD)
    show(1_000, ours)
    whole, running = ours["wall"], ours["wall"] - ours["compile_seconds"]
    print(
        f"ByzFL ({theirs['threads']} threads): {theirs['whole']:.2f} s a training with tests, "
        f"{theirs['rounds']:.2f} s without, mean of {theirs['trainings']}; ours {whole:.0f} s for "
        f"1,000: {1_000 * theirs['whole'] / whole:.1f} times as fast, start and compilation "
        f"included, {1_000 * theirs['whole'] / running:.1f} without compilation"
    )
    if shipped:
        print(
            f"ByzFL as shipped: {shipped['whole']:.2f} s a training, mean of "
            f"{shipped['trainings']}: {1_000 * shipped['whole'] / whole:.1f} times as fast"
        )


def trainings(name: str, data_dir: str, sample: int) -> dict[str, Any]:
    """What `benchmarks/NAME.py` measures, in a process of its own."""
    command = [sys.executable, "-m", f"benchmarks.{name}", f"--data_dir={data_dir}"]
    done = subprocess.run(
        [*command, f"--sample={sample}"], cwd=ROOT, capture_output=True, text=True
    )
    if done.returncode:
        sys.exit(done.stderr)
    print(done.stdout, flush=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=["throughput", "linear", "byzfl"])
    parser.add_argument("--data_dir", default="", help="folder of the official data archives")
    parser.add_argument("--most", type=int, default=4_096, help="configurations, at most")
    parser.add_argument("--sample", type=int, default=25, help="trainings of ByzFL, at most 25")
    parser.add_argument(
        "--shipped", type=int, default=0, help="trainings of ByzFL as shipped; needs torchvision"
    )
    parser.add_argument("--plot", default="", help="PNG file for `linear`")
    args = parser.parse_args()
    {"throughput": throughput, "linear": linear, "byzfl": byzfl}[args.part](args)


if __name__ == "__main__":
    main()
