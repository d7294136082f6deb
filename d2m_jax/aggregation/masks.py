"""Who is present: masks, counts, and the policy for values that must not travel.

Tie rule of the room: sorts are stable and the lowest seller index comes first; coordinate-wise
rules, which see values and not sellers, take the lower value first.
Non-finite policy of the room: a row with a NaN, an infinity or a huge norm is marked absent by
`rows.finite_mask` before any rule sees it (`make_aggregator` does so), and counted by whoever
calls. A bare rule assumes that present rows are finite; what absent rows hold is never used.
"""

import functools
import operator
from collections.abc import Callable
from typing import Any, TypeVar, cast

import jax
import jax.numpy as jnp

from d2m_jax.aggregation.order_stats import rows_of, total
from d2m_jax.core import blocks
from d2m_jax.core.backend import choices
from d2m_jax.core.rows import as_rows, per_row, zero_absent
from d2m_jax.core.types import Count

Fn = TypeVar("Fn", bound=Callable[..., Any])
FEW_ROWS = 32  # up to which a CPU sums masked rows one by one, which needs no second matrix


def whole(name: str, value: Any, least: int = 0) -> int:
    """A whole number of Python or NumPy as an int, at least `least`.

    Raises:
        ValueError: anything else.
    """
    try:
        number = operator.index(value)
    except TypeError:
        raise ValueError(f"{name} must be an integer, got {value!r}") from None
    if number < least:
        raise ValueError(f"{name} must be at least {least}, got {number}")
    return number


def takes_rows(rule: Fn) -> Fn:
    """A rule or pre-aggregator that is given `as_rows(updates, mask)`."""

    @functools.wraps(rule)
    def checked(
        updates: jax.Array, *args: Any, mask: jax.Array | None = None, **kwargs: Any
    ) -> Any:
        updates, mask = as_rows(updates, mask)
        return rule(updates, *args, mask=mask, **kwargs)

    return cast(Fn, checked)


def num_present(updates: jax.Array, mask: jax.Array | None) -> Count:
    """Present rows: a Python int without a mask (so that work can be pruned), else traced."""
    return updates.shape[0] if mask is None else jnp.sum(mask, dtype=jnp.int32)


def check_f(f: Count, count: Count, factor: int = 2, extra: int = 0) -> Count:
    """The number of Byzantine rows a rule may assume: `f`, with factor f + extra < count.

    Two Python ints are checked and raise; with a traced f or a mask, f is lowered in silence
    (our choice: nothing can raise inside jit). f = 0 is always allowed. NumPy's integers count as
    Python's.
    """
    if not isinstance(f, jax.Array):
        f = whole("f", f)
    elif f.ndim or not jnp.issubdtype(f.dtype, jnp.integer):
        raise ValueError(f"f must be one integer, got {f.dtype} of shape {f.shape}")
    if isinstance(f, int) and isinstance(count, int):
        if f and factor * f + extra >= count:
            bound = f"{factor} f + {extra}" if extra else f"{factor} f"
            raise ValueError(f"f = {f} Byzantine of {count} rows: 0 <= {bound} < rows must hold")
        return f
    most = jnp.maximum(jnp.asarray(count, jnp.int32) - 1 - extra, 0) // factor
    return jnp.clip(f, 0, most).astype(jnp.int32)


def typed(count: Count | jax.Array, like: jax.Array) -> jax.Array:
    """Counts or booleans as floating numbers of the type of `like`."""
    return jnp.asarray(count).astype(like.dtype)


def mix(weights: jax.Array, updates: jax.Array, mask: jax.Array | None = None) -> jax.Array:
    """Weighted sums of the present rows: `weights [K, S]` times `updates [S, D]`, `[K, D]`.

    As a matrix product, because a sum over the first axis is far slower on a CPU; with a mask, by
    blocks of columns there, so that no second matrix of absent rows set to 0 is written.
    """
    n, dim = updates.shape

    def product(part: jax.Array) -> jax.Array:
        return jnp.matmul(weights, zero_absent(part, mask), precision="highest")

    block = max(blocks.BLOCK_VALUES // n, 1)
    if mask is None or dim <= block or not choices().blocks:
        return product(updates)
    return blocks.by_blocks(product, updates, block)


def weighted_sum(
    weights: jax.Array, updates: jax.Array, mask: jax.Array | None = None
) -> jax.Array:
    """`sum_i weights[i] updates[i]` over the present rows, `[D]`."""
    weights = weights.astype(updates.dtype)
    if mask is None or updates.shape[0] > FEW_ROWS or not choices().blocks:
        return mix(weights[None], updates, mask)[0]
    rows = rows_of(updates, mask, 0)
    return total([weight * row for weight, row in zip(weights, rows, strict=True)])[0]


def weighted_mean(
    weights: jax.Array, updates: jax.Array, mask: jax.Array | None = None
) -> jax.Array:
    """`sum_i w_i x_i / sum_i w_i` over present rows; 0 when the weights sum to 0 or to NaN.

    Args:
        weights: `[S]` float or bool, >= 0; those of absent rows do not count.
        updates: `[S, D]`.
        mask: `[S]` bool or None.
    """
    weights = per_row("weights", weights, updates).astype(updates.dtype)
    weights = weights if mask is None else jnp.where(mask, weights, 0)
    mass = jnp.sum(weights)
    weights = jnp.where(mass > 0, weights / jnp.where(mass > 0, mass, 1), 0)
    return weighted_sum(weights, updates, mask)


def clip_factors(norms: jax.Array, radius: float | jax.Array) -> jax.Array:
    """`min(1, radius / norm)`, 1 where the norm is 0."""
    over = norms > radius
    return jnp.where(over, radius / jnp.where(over, norms, 1), 1)
