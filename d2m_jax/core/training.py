"""What those who train, at the sellers or privately, may ask of a model and of the data."""

from typing import Protocol

import jax

from d2m_jax.core.types import Batch, Key, PyTree


class BatchFn(Protocol):
    """`key -> (batch, key)`: a batch, and the key of the model's own noise, such as dropout."""

    def __call__(self, key: Key, /) -> tuple[Batch, Key]:
        """A batch of B examples."""


class OfBatch(Protocol):
    """`(theta [D], batch, key) -> array`: the mean loss [] of a batch, or its gradient [D]."""

    def __call__(self, theta: jax.Array, batch: Batch, key: Key | None = None) -> jax.Array:
        """Of one batch."""


class Tamper(Protocol):
    """`(key, seller, batch) -> batch`: what a seller does to its data before training."""

    def __call__(self, key: Key, seller: jax.Array, batch: Batch, /) -> Batch:
        """A batch of the same shapes, as examples are stored."""


class Prepare(Protocol):
    """`(batch, stats) -> batch`: from examples as they are stored to what the model takes."""

    def __call__(self, batch: Batch, stats: PyTree, /) -> Batch:
        """The batch that the loss sees."""


class Holdings(Protocol):
    """What training needs to know of the data (`data.FederatedData`)."""

    sizes: jax.Array  # [N] int32
    stats: PyTree

    def examples_of(self, seller: jax.Array, places: jax.Array) -> Batch:
        """The examples at these places [B] among the seller's own."""


class Trainable(Protocol):
    """What training needs to know of a model (`tasks.Model`)."""

    @property
    def gradient(self) -> OfBatch:
        """(theta [D], batch, key) -> [D]."""

    @property
    def gradients(self) -> OfBatch:
        """(theta [D], batches [S, B, ...], keys [S]) -> [S, D]."""

    @property
    def prepare(self) -> Prepare:
        """(batch, stats) -> batch."""

    @property
    def map_sellers(self) -> str:
        """`vmap` or `map`."""
