"""Who is present: masks, counts, and the policy for values that must not travel.

Tie rule of the room: sorts are stable and the lowest seller index comes first; coordinate-wise
rules, which see values and not sellers, take the lower value first.
Non-finite policy of the room: a row with a NaN, an infinity or a norm beyond float32 is marked
absent by `finite_mask` before any rule sees it, and counted by whoever calls. A rule itself
assumes that present rows are finite, and never computes with the absent ones.
"""

from typing import TypeAlias

import jax
import jax.numpy as jnp

Count: TypeAlias = int | jax.Array


def finite_mask(updates: jax.Array, mask: jax.Array | None = None, limit: float = 1e18):
    """True `[S]` for rows that a rule may see: every value finite and the norm below `limit`.

    The default limit is what squared distances in float32 can still hold. Cost: one pass.
    """
    norms = jnp.sqrt(jnp.sum(jnp.square(updates), axis=1))
    good = norms < limit  # False for NaN and for an overflow to inf
    return good if mask is None else good & mask


def num_present(updates: jax.Array, mask: jax.Array | None) -> Count:
    """Present rows: a Python int without a mask (so that work can be pruned), else traced."""
    return updates.shape[0] if mask is None else jnp.sum(mask, dtype=jnp.int32)


def zero_absent(updates: jax.Array, mask: jax.Array | None) -> jax.Array:
    """`updates [S, D]` with absent rows set to 0, so that they may enter a matmul."""
    return updates if mask is None else jnp.where(mask[:, None], updates, 0)


def check_f(f: Count, count: Count) -> Count:
    """The number of Byzantine rows a rule really assumes: `f`, at most (count - 1) // 2.

    Two Python ints are checked and raise; with a traced f or a mask, f is lowered in silence
    (our choice: nothing can raise inside jit), so that at least one row is always kept.
    """
    if isinstance(f, int) and isinstance(count, int):
        if not 0 <= 2 * f < max(count, 1):
            raise ValueError(f"f = {f} Byzantine of {count} rows: 0 <= 2 f < rows must hold")
        return f
    return jnp.clip(f, 0, jnp.maximum(jnp.asarray(count) - 1, 0) // 2).astype(jnp.int32)


def weighted_sum(weights: jax.Array, rows: jax.Array) -> jax.Array:
    """`sum_i weights[i] rows[i]`, as a matmul (a sum over the first axis is far slower on CPU)."""
    return jnp.matmul(weights, rows, precision="highest")


def mean_of(chosen: jax.Array, rows: jax.Array) -> jax.Array:
    """Mean of the rows where `chosen [S]` is True (or by weight); 0 when there is none."""
    weights = chosen.astype(rows.dtype)
    return weighted_sum(weights / jnp.maximum(jnp.sum(weights), 1e-30), rows)
