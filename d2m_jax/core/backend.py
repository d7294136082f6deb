"""Choices that depend on the backend, all in one place.

Not here: the code that is chosen (`tasks/`, `sellers/`, `aggregation/order_stats.py`, `sweep/`).
Figures: `benchmarks/models.py`, `benchmarks/vs_byzfl.py`, `benchmarks/sweep.py`.
"""

from typing import Any, NamedTuple

import jax

# Options of XLA's compiler for a CPU. Its newer emitters of fused loops and LLVM's optimisation are
# three quarters of the compilation of a market (docs/speed.md); in all tested runs no whole number
# differs without them.
QUICKEST: dict[str, Any] = {
    "xla_backend_optimization_level": 0,
    "xla_cpu_use_fusion_emitters": False,
}


class Choices(NamedTuple):
    """How code runs on one kind of device."""

    conv: str  # "batch_minor" (written out, batch last) or "module" (the linen definition)
    map_dense: str  # sellers of a dense model: "vmap" or "map"
    map_conv: str  # sellers of a convolutional model: "vmap" or "map"
    blocks: bool  # rules read a matrix by blocks of columns that stay in the cache
    barrier: bool  # `optimization_barrier` keeps XLA from computing a value again
    threads: bool  # a sweep runs its chunks on one thread per core
    quick_compile: bool  # XLA's lower optimisation levels are as fast to run
    chunk_bytes: int  # updates of all worlds of a chunk [W, S, D], at most
    chunk_worlds: int  # W, at most


# On a CPU the patches of one seller fit the cache where those of all do not, and copies must run
# along memory: one seller at a time, batch last. A GPU wants few large kernels (not measured).
_CPU = Choices(
    conv="batch_minor",
    map_dense="vmap",
    map_conv="map",
    blocks=True,
    barrier=False,
    threads=True,
    quick_compile=True,
    chunk_bytes=6 << 20,
    chunk_worlds=32,
)
_GPU = Choices(
    conv="module",
    map_dense="vmap",
    map_conv="vmap",
    blocks=False,
    barrier=True,
    threads=False,
    quick_compile=False,
    chunk_bytes=512 << 20,
    chunk_worlds=4096,
)


def choices(backend: str | None = None) -> Choices:
    """Returns the choices for `backend`, by default for the one JAX runs on.

    Args:
        backend: "cpu", "gpu" or "tpu"; anything but a CPU is treated as a GPU.
    """
    return _CPU if (backend or jax.default_backend()) == "cpu" else _GPU


def compile_with(lowered: jax.stages.Lowered, options: dict[str, Any] | None) -> Any:
    """Compiles with these options; on a device for which they are not made, or by an XLA that does
    not know them, as usual.

    Args:
        lowered: `jax.jit(function).lower(...)`.
        options: of XLA's compiler; None for none.
    """
    if not options or not choices().quick_compile:
        return lowered.compile()
    try:
        return lowered.compile(options)
    except RuntimeError as error:
        if "No such compile option" not in str(error):
            raise
        return lowered.compile()
