"""Aggregation rules against ByzFL (torch), on the same machine, in one process.

    python -m benchmarks.vs_byzfl                  # 20 x 431,080 and 64 x 101,770
    python -m benchmarks.vs_byzfl --quick          # 20 x 79,510 only, few repeats
    python -m benchmarks.vs_byzfl --rules krum,caf

Needs byzfl (0.0.11), torch and this package in one environment. Where torchvision has no build, a
package of that name with modules `datasets` and `transforms` whose attributes are classes that take
any argument is enough. The two sides are timed in turns; figures are medians. Compilation is not in
the times and is reported by itself. `read` is the time of one pass over the matrix (a product with
a vector), the floor of any rule; a large square product shows the floor of what multiplies.

glibc returns a matrix above 32 MB to the system as soon as it is freed, and the first touch of each
page of the next one costs more than the work of most rules. Here it keeps what is freed, for both
sides alike; `--fresh_memory` leaves it as it is.
"""

import argparse
import ctypes
import functools
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from d2m_jax import aggregation as agg

SHAPES = ((20, 431_080, 4), (64, 101_770, 12))
QUICK = ((20, 79_510, 4),)
# Our rule, the class of ByzFL with its arguments, and the ratio aimed at.
RULES: dict[str, tuple[Callable[..., Any], str, dict[str, Any], float]] = {
    "mean": (agg.mean, "Average", {}, 1),
    "median": (agg.median, "Median", {}, 20),
    "trimmed_mean": (agg.trimmed_mean, "TrMean", {"f": None}, 20),
    "meamed": (agg.meamed, "Meamed", {"f": None}, 20),
    "phocas": (agg.phocas, "Meamed", {"f": None}, 20),  # ByzFL has no phocas: its nearest relative
    "nnm": (lambda x, f: agg.nnm(x, f)[0], "NNM", {"f": None}, 20),
    "caf": (agg.caf, "CAF", {"f": None}, 20),
    "krum": (agg.krum, "Krum", {"f": None}, 5),
    "multi_krum": (agg.multi_krum, "MultiKrum", {"f": None}, 5),
    "geometric_median": (
        functools.partial(agg.geometric_median, preset="byzfl"),
        "GeometricMedian",
        {},
        5,
    ),
    "centered_clipping": (
        functools.partial(agg.centered_clipping, preset="byzfl"),
        "CenteredClipping",
        {},
        5,
    ),
    "monna": (agg.monna, "MoNNA", {"f": None, "idx": 0}, 1),
    "arc": (lambda x, f: agg.arc(x, f)[0], "ARC", {"f": None}, 1),
}
IN_PLACE = ("arc",)  # ByzFL overwrites the rows it is given: here the input is donated


def keep_freed_memory() -> None:
    """Tells glibc to map no large block by itself, to return nothing, and to have one heap.

    Of a heap that belongs to a thread it returns what is freed all the same.
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        libc.mallopt(-8, 1)  # M_ARENA_MAX
        libc.mallopt(-4, 0)  # M_MMAP_MAX
        libc.mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD


def once(fn: Callable[[], Any]) -> float:
    start = time.perf_counter()
    jax.block_until_ready(fn())
    return time.perf_counter() - start


def in_turns(calls: dict[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    """Median seconds of every call, the calls taking turns, each after one that does not count.

    Threads of torch spin for some milliseconds after their work, on the cores that we want next.
    """
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, fn in calls.items():
            once(fn)
            times[name].append(once(fn))
    return {name: statistics.median(values) for name, values in times.items()}


def compare(name: str, byzfl: Any, ours_x: jax.Array, theirs_x: Any, f: int, args: Any) -> None:
    """Prints one line: both sides, the ratio and its aim, passes over the matrix, compilation."""
    rule, theirs, kwargs, aim = RULES[name]
    kwargs = {k: f if v is None else v for k, v in kwargs.items()}
    static = jax.jit(rule, static_argnums=1, donate_argnums=0 if name in IN_PLACE else ())
    rows = [ours_x + 0]

    def ours() -> jax.Array:
        out = static(rows[0], f)
        if name in IN_PLACE:
            rows[0] = out
        return out

    compile_s = once(ours)
    calls = {
        "ours": ours,
        "theirs": lambda: getattr(byzfl, theirs)(**kwargs)(theirs_x),
    }
    if name in agg.AGGREGATORS:
        masked = jax.jit(lambda x, f, mask: rule(x, f, mask=mask))
        mask = jnp.ones(ours_x.shape[0], bool)
        calls["masked"] = lambda: masked(ours_x, jnp.int32(f), mask)
    t = {key: 1e3 * seconds for key, seconds in in_turns(calls, args.repeats).items()}
    traced = f"{t['masked']:12.2f}" if "masked" in t else " " * 12
    ratio = t["theirs"] / t["ours"]
    print(
        f"{name:18s}{t['theirs']:9.1f}{t['ours']:10.2f}{traced}{ratio:9.1f}{aim:5d}"
        f"{'  ' if ratio >= aim else ' !'}{t['ours'] / (1e3 * args.read):7.1f}{compile_s:8.1f}",
        flush=True,
    )


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one small shape, few repeats")
    parser.add_argument("--rules", default=",".join(RULES), help="names, separated by commas")
    parser.add_argument("--repeats", type=int, default=0, help="timed calls of each side")
    parser.add_argument("--fresh_memory", action="store_true", help="leave the allocator alone")
    args = parser.parse_args(argv)
    try:
        import byzfl
        import torch
    except ImportError as error:
        sys.exit(
            f"This benchmark needs byzfl and torch beside d2m_jax ({error}); see its docstring."
        )
    args.repeats = args.repeats or (5 if args.quick else 15)
    if not args.fresh_memory:
        keep_freed_memory()
    print(
        f"jax {jax.__version__} on {jax.devices()[0].device_kind}, torch {torch.__version__} with "
        f"{torch.get_num_threads()} threads; medians of {args.repeats}, ms (compilation: s)"
    )
    square = jax.jit(lambda a: jnp.matmul(a, a, precision="highest"))
    matrix = jnp.full((2048, 2048), 1e-3)
    product = in_turns({"": lambda: square(matrix)}, args.repeats)[""]
    print(f"{2048:,}^3 multiply-adds: {2 * 2048**3 / product / 1e9:.0f} GFLOP/s")
    matvec = jax.jit(lambda x, one: x @ one)
    for n, d, f in QUICK if args.quick else SHAPES:
        x = np.random.default_rng(0).normal(size=(n, d)).astype(np.float32)
        ours_x, one = jnp.asarray(x), jnp.ones(d)
        args.read = in_turns({"read": functools.partial(matvec, ours_x, one)}, args.repeats)["read"]
        print(
            f"\n{n} x {d:,}, f = {f}; one pass over the matrix {1e3 * args.read:.2f} ms "
            f"({x.nbytes / args.read / 1e9:.0f} GB/s)"
        )
        print("rule                  ByzFL      ours  ours masked    ratio  aim   passes compile")
        for name in args.rules.split(","):
            compare(name, byzfl, ours_x, torch.from_numpy(x.copy()), f, args)


if __name__ == "__main__":
    main()
