"""The gradient of a maximum over pooling windows, shared by both kinds of convolution."""

import functools
import itertools

import jax
import jax.numpy as jnp


def share_among_maxima(
    before: jax.Array, pooled: jax.Array, delta: jax.Array, axes: tuple[int, ...]
) -> jax.Array:
    """Returns the gradient of `before` where `pooled = before.max(axes)`.

    Entries that tie for the maximum share equally, as in the gradient of `jnp.max`: on a constant
    background all entries of a window tie, and giving each the whole would count it four times.

    Args:
        before: [...] with the window along `axes`.
        pooled: its maximum over `axes`.
        delta: gradient of `pooled`, same shape.
        axes: of the window.
    """
    entries = itertools.product(*(range(before.shape[axis]) for axis in axes))
    slices = [_entry(before, axes, entry) for entry in entries]
    hits = [(one == pooled).astype(jnp.float32) for one in slices]
    delta = delta / functools.reduce(jnp.add, hits)
    is_max = before == jnp.expand_dims(pooled, axes)
    return jnp.where(is_max, jnp.expand_dims(delta, axes), 0.0)


def _entry(before: jax.Array, axes: tuple[int, ...], entry: tuple[int, ...]) -> jax.Array:
    index: list[int | slice] = [slice(None)] * before.ndim
    for axis, i in zip(axes, entry):
        index[axis] = i
    return before[tuple(index)]
