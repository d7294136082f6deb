"""What is learnt: any parameters, any batch, a loss per example, a metric of a set in [0, 1].

    task = Task(init, apply, loss, metric)       # plain functions
    task = from_flax(module, sample=batch, ...)  # adapters: `adapters.py`

Not here: how the market sees a task, as one flat vector of parameters (`flat.py`).
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax

from d2m_jax.core.training import Prepare
from d2m_jax.core.types import Batch, Key, PyTree


class Init(Protocol):
    """`key -> params`, any pytree of floating arrays."""

    def __call__(self, key: Key, /) -> PyTree:
        """Fresh parameters."""


class Apply(Protocol):
    """`(params, batch, key) -> outputs`; no key: without dropout, as in evaluation."""

    def __call__(self, params: PyTree, batch: Batch, key: Key | None, /) -> Any:
        """Outputs, any pytree with the leading axis of the batch."""


class Loss(Protocol):
    """`(outputs, batch) -> [B]`, per example, so that masks, privacy and weights work."""

    def __call__(self, outputs: Any, batch: Batch, /) -> jax.Array:
        """Losses [B] float32."""


class Finish(Protocol):
    """`mean [] -> []`."""

    def __call__(self, mean: jax.Array, /) -> jax.Array:
        """The metric of a set from the mean over its examples."""


class OfSet(Protocol):
    """`(outputs of all, batch of all) -> []`."""

    def __call__(self, outputs: Any, batch: Batch, /) -> jax.Array:
        """The metric of a set."""


class Metric(NamedTuple):
    """How good a model is on a whole set, in [0, 1], more is better.

    With `per_example` [B] in place of `of_set` the set is looked at block by block, and the metric
    is `finish` of the mean; else the outputs of all examples are gathered first. Values outside
    [0, 1] are never clipped, which would hide a mistake: `evaluate` outside of a program and
    `market.collect` refuse them. NaN reaches no threshold.
    """

    name: str
    per_example: Loss | None = None  # (outputs, batch) -> [B]
    finish: Finish | None = None  # None: the mean itself
    of_set: OfSet | None = None


class Task(NamedTuple):
    """A learning problem; every function is pure, jittable and vmappable.

    Batches are what the data set holds, after `prepare`. `num_classes` says that the batch is a
    dictionary with `inputs` and integer `labels` in 0 .. num_classes - 1, which attacks on labels
    need.
    """

    init: Init
    apply: Apply
    loss: Loss
    metric: Metric
    name: str = "own task"
    prepare: Prepare | None = None
    num_classes: int = 0  # L; 0: the labels are no classes
    kind: str = "arrays"  # of the data: "images", "table", "text" or "arrays"
    map_sellers: str = "vmap"  # "vmap" or "map": the faster way over sellers on this backend
    units: Callable[[], tuple[jax.Array, int]] | None = None  # groups [D] int32 of parameters that
    # are of use alone, and how many: partial models hand them out; group 0 goes to everybody
    fast: Callable[[Any], Any] | None = (
        None  # Model -> Model: the same functions in a faster form, see `flat.py`
    )
