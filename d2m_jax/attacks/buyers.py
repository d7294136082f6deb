"""How a buyer lies with its examples: it denies, starves, or leaves a class out.

In a marketplace that judges by the buyer's examples, these are the attacks of the buyer. Here they
are pure functions of its examples, before the market is told of them: examples are committed once,
so a buyer cannot change its aim from round to round (the oscillating buyer of arXiv 2509.05833 has
no move). Read next: `market.py`.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from d2m_jax.core.types import Batch, Key

Lie = Callable[..., Batch]


def resampled(key: Key, batch: Batch, wanted: jax.Array) -> Batch:
    """As many examples as before, drawn with replacement from those that are wanted.

    Args:
        key: consumed.
        batch: [V, ...].
        wanted: [V] bool; none wanted leaves the batch as it is.
    """
    chance = jnp.where(wanted | ~wanted.any(), 0.0, -jnp.inf)
    rows = jax.random.categorical(key, chance, shape=wanted.shape)
    rows = jnp.where(wanted.any(), rows, jnp.arange(wanted.size))
    return jax.tree.map(lambda leaf: leaf[rows], batch)


def deny(key: Key, batch: Batch, classes: Sequence[int] = ()) -> Batch:
    """Nobody's work can agree with it: labels dealt out at random (dos and erosion).

    Args:
        key: consumed.
        batch: [V, ...] with `labels`.
        classes: unused.
    """
    del classes
    return {**batch, "labels": jax.random.permutation(key, batch["labels"])}


def starve(key: Key, batch: Batch, classes: Sequence[int] = (0,)) -> Batch:
    """Only holders of these classes are of use to it: it shows no others.

    Args:
        key: consumed.
        batch: [V, ...] with `labels` [V].
        classes: that it shows.
    """
    return resampled(key, batch, jnp.isin(batch["labels"], jnp.asarray(classes)))


def exclude(key: Key, batch: Batch, classes: Sequence[int] = (0,)) -> Batch:
    """Holders of these classes are of no use to it: it shows all others.

    Args:
        key: consumed.
        batch: [V, ...] with `labels` [V].
        classes: that it leaves out.
    """
    return resampled(key, batch, ~jnp.isin(batch["labels"], jnp.asarray(classes)))


BUYERS: dict[str, Lie] = {"deny": deny, "starve": starve, "exclude": exclude}
