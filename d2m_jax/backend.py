"""Choices that depend on the backend, all in one place.

Not here: the code that is chosen (`models/`, `sellers/`). Figures: `benchmarks/models.py`.
"""

from typing import NamedTuple

import jax


class Choices(NamedTuple):
    """How model code runs on one kind of device."""

    conv: str  # "batch_minor" (written out, batch last) or "module" (the linen definition)
    map_dense: str  # sellers of a dense model: "vmap" or "map"
    map_conv: str  # sellers of a convolutional model: "vmap" or "map"


# On a CPU the patches of one seller fit the cache where those of all do not, and copies must run
# along memory: one seller at a time, batch last. A GPU wants few large kernels (not measured).
_CHOICES = {
    "cpu": Choices(conv="batch_minor", map_dense="vmap", map_conv="map"),
    "gpu": Choices(conv="module", map_dense="vmap", map_conv="vmap"),
    "tpu": Choices(conv="module", map_dense="vmap", map_conv="vmap"),
}


def choices(backend: str | None = None) -> Choices:
    """Returns the choices for `backend`, by default for the one JAX runs on.

    Args:
        backend: "cpu", "gpu" or "tpu"; anything unknown is treated as a GPU.
    """
    return _CHOICES.get(backend or jax.default_backend(), _CHOICES["gpu"])
