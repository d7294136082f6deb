"""How fast the models train and are evaluated on this machine.

    python -m benchmarks.models [--repeats 7] [--only mnist_cnn]

Every row is the median over interleaved repeats of one compiled call, which does the work three
times inside `lax.scan`, as the market does; the figure is per time. "cpu ms" is processor time over
all cores: on a machine that others use too it is the steadier figure. GFLOP/s counts the
multiplications and additions of direct convolutions and dense layers, whatever is really executed,
beside the same for one large matmul. Rows "map" and "vmap" are the linen definition under
`jax.grad`, the sellers mapped in that way.
"""

import argparse
import functools
import math
import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from d2m_jax.core import backend
from d2m_jax.core.types import PyTree
from d2m_jax.tasks import Model, Problem, evaluate, losses_of_candidates, make_model

SCAN = 3
SELLERS, BATCH = 20, 25
STATS = {name: np.full(1, 128.0, np.float32) for name in ("mean", "std")}


class Case(NamedTuple):
    """One row of the table."""

    name: str
    work: Callable[..., jax.Array]  # (theta, *args) -> anything that depends on theta
    theta: jax.Array
    args: tuple[PyTree, ...]
    gflop: float


Shape = tuple[int, int, int]  # of an image


def problem_of(shape: Shape) -> Problem:
    """Ten classes of raw images."""
    return Problem("images", shape, np.dtype(np.uint8), 10)


def forward_flops(name: str, shape: Shape) -> float:
    """Multiplications and additions per image of one forward pass, direct convolutions."""
    plain = module_form(name, shape, "map")
    theta = jax.ShapeDtypeStruct((plain.num_params,), jnp.float32)
    batch = {"inputs": jax.ShapeDtypeStruct((1, *shape), jnp.float32)}
    reference = jax.make_jaxpr(plain.apply)(theta, batch)
    return _dot_flops(reference.jaxpr)


def _dot_flops(jaxpr: Any) -> float:
    total = 0.0
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            contracted = equation.params["dimension_numbers"][0][0]
            shape = equation.invars[0].aval.shape
            depth = math.prod(shape[axis] for axis in contracted)
            total += 2.0 * depth * math.prod(equation.outvars[0].aval.shape)
        inner = [equation.params.get(name) for name in ("jaxpr", "call_jaxpr")]
        total += sum(_dot_flops(getattr(sub, "jaxpr", sub)) for sub in inner if sub is not None)
    return total


def repeated(work: Callable[..., jax.Array]) -> Callable[..., jax.Array]:
    """`work` SCAN times inside a scan, each time at another theta so that nothing is shared."""

    @jax.jit
    def run(theta: jax.Array, *args: PyTree) -> jax.Array:
        def body(theta: jax.Array, _: None) -> tuple[jax.Array, None]:
            result = work(theta, *args)
            weights = jnp.full(result.shape[:1], 1e-6)
            change = weights @ result if result.ndim == 2 else weights @ result[:, None]
            return theta + change, None

        return jax.lax.scan(body, theta, None, length=SCAN)[0]

    return run


def module_form(name: str, shape: Shape, over_sellers: str) -> Model:
    """The linen definition of a model under `jax.grad`, sellers by `map` or `vmap`."""
    chosen = backend.choices
    try:
        plain = chosen()._replace(conv="module", map_dense=over_sellers, map_conv=over_sellers)
        backend.choices = lambda *_: plain  # type: ignore
        return make_model(name, problem_of(shape))
    finally:
        backend.choices = chosen


def cases() -> list[Case]:
    """The rows, with random data (speed does not depend on it)."""
    keys = jax.random.split(jax.random.key(0), 4)
    rows = []
    sizes = {"mlp": (28, 28, 1), "mnist_cnn": (28, 28, 1), "cifar_cnn": (32, 32, 3)}
    for name, shape in sizes.items():
        images = jax.random.normal(keys[0], (SELLERS, BATCH, *shape))
        labels = jax.random.randint(keys[1], (SELLERS, BATCH), 0, 10)
        batches = {"inputs": images, "labels": labels}
        model = make_model(name, problem_of(shape))
        theta, flops = model.init(keys[2]), forward_flops(name, shape)
        gflop = 3 * flops * SELLERS * BATCH / 1e9
        forms = {form: module_form(name, shape, form) for form in ("map", "vmap")}
        for form, its in {"chosen": model, **forms}.items():
            label = f"{name} gradients 20 x 25, {form}"
            rows.append(Case(label, its.gradients, theta, (batches,), gflop))
        for candidates, count in ((10, 100), (20, 200)):
            steps = 1e-3 * jax.random.normal(keys[3], (candidates, model.num_params))
            rows.append(_candidates(model, theta, steps, examples(keys[3], count, shape), flops))
        rows.append(_evaluation(model, theta, examples(keys[3], 10_000, shape), flops))
    return rows


def examples(key: jax.Array, count: int, shape: Shape) -> PyTree:
    """Random images as they are stored, with labels."""
    images = jax.random.randint(key, (count, *shape), 0, 256).astype(jnp.uint8)
    return {"inputs": images, "labels": jax.random.randint(key, (count,), 0, 10)}


def _candidates(
    model: Model, theta: jax.Array, updates: jax.Array, batch: PyTree, flops: float
) -> Case:
    def work(theta: jax.Array, updates: jax.Array, batch: PyTree) -> jax.Array:
        return losses_of_candidates(model, theta, updates, 0.1, batch)

    count, images = len(updates), len(batch["labels"])
    label = f"{model.name} losses, {count} steps x {images}"
    args = updates, model.prepare(batch, STATS)
    return Case(label, work, theta, args, flops * count * images / 1e9)


def _evaluation(model: Model, theta: jax.Array, batch: PyTree, flops: float) -> Case:
    def work(theta: jax.Array, batch: PyTree) -> jax.Array:
        return jnp.stack(evaluate(model, theta, batch, STATS))

    label = f"{model.name} evaluation of 10,000"
    return Case(label, work, theta, (batch,), flops * 1e4 / 1e9)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--only", default="", help="rows whose name contains this")
    options = parser.parse_args()
    square = jnp.ones((2048, 2048))

    @jax.jit
    def matmul(a: jax.Array) -> jax.Array:
        return a @ a

    rows = [case for case in cases() if options.only in case.name]
    runs: dict[str, tuple[Callable, float, int]] = {
        "matmul 2048 x 2048": (functools.partial(matmul, square), 2 * 2048**3 / 1e9, 1)
    }
    compile_time = {}
    for case in rows:
        run = repeated(case.work)
        start = time.perf_counter()
        compiled = run.lower(case.theta, *case.args).compile()  # type: ignore[attr-defined]
        compile_time[case.name] = time.perf_counter() - start
        runs[case.name] = (functools.partial(compiled, case.theta, *case.args), case.gflop, SCAN)
    wall: dict[str, list[float]] = {name: [] for name in runs}
    busy: dict[str, list[float]] = {name: [] for name in runs}
    for repeat in range(options.repeats + 1):
        for name, (call, _, times) in runs.items():
            start, cpu = time.perf_counter(), time.process_time()
            jax.block_until_ready(call())
            if repeat:  # the first is a warm-up
                wall[name].append((time.perf_counter() - start) / times)
                busy[name].append((time.process_time() - cpu) / times)
    print(f"{jax.devices()[0]}, jax {jax.__version__}, medians of {options.repeats}")
    print(f"{'':44s}{'ms':>9s}{'least':>9s}{'cpu ms':>9s}{'GFLOP/s':>9s}{'compile s':>11s}")
    for name, (_, gflop, _) in runs.items():
        median, cpu_time = statistics.median(wall[name]), statistics.median(busy[name])
        print(
            f"{name:44s}{median * 1e3:9.1f}{min(wall[name]) * 1e3:9.1f}{cpu_time * 1e3:9.1f}"
            f"{gflop / median:9.0f}{compile_time.get(name, 0.0):11.1f}"
        )


if __name__ == "__main__":
    main()
