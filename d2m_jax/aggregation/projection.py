"""Distance rules on a sparse random projection: near or far in few dimensions, the mean in all.

Not here: the rules themselves (`distance.py`, `centre.py`, `spectral.py`). Read next: `gram.py`.
"""

from functools import partial

import jax
import jax.numpy as jnp

from d2m_jax.aggregation.centre import median_share
from d2m_jax.aggregation.distance import krum_choice
from d2m_jax.aggregation.masks import mix, takes_rows, typed, weighted_mean, whole
from d2m_jax.aggregation.premix import near_weights
from d2m_jax.aggregation.spectral import caf_weights
from d2m_jax.core.choices import lookup
from d2m_jax.core.rows import zero_absent
from d2m_jax.core.trees import varying_as
from d2m_jax.core.types import Count, Key


def _krum(rows: jax.Array, f: Count, mask: jax.Array | None) -> jax.Array:
    return typed(jnp.arange(len(rows)) == krum_choice(rows, f, mask), rows)


def _geometric_median(rows: jax.Array, f: Count, mask: jax.Array | None) -> jax.Array:
    del f  # unused
    return median_share(rows, mask)


WEIGHTS = {"krum": _krum, "geometric_median": _geometric_median, "caf": caf_weights}


@takes_rows
def projected(
    updates: jax.Array,
    f: Count,
    *,
    mask: jax.Array | None = None,
    key: Key | None = None,
    rule: str = "geometric_median",
    mixed: bool = False,
    dims: int = 4096,
) -> jax.Array:
    """Mean of the rows with the weights that a distance rule gives to their random projections.

    Formula: w = weights of the rule on the projections P x_i (after nearest-neighbour mixing W of
    these: w = W^T weights(W P x)); sum_i w_i x_i / sum_i w_i.

    Args:
        updates: `[S, D]`.
        f: rows that may be Byzantine, as many as the rule can stand.
        mask: `[S]` bool, True for present rows; None for all.
        key: draws the projection, each round another; needed for D > dims.
        rule: "krum", "geometric_median" or "caf".
        mixed: nearest-neighbour mixing before the rule.
        dims: r; for D <= r nothing is projected and the result is that of the rule.

    Returns:
        `[D]`; zeros when nobody is present.

    Raises:
        ValueError: an unknown rule, no dimension, or no key where there is something to draw.

    Cost: two passes and O(S^2 r); squared distances are right on average, with a relative standard
    deviation of sqrt(2 / r) at most. Batched over keys it is no faster than the rule. Source: the
    idea of arXiv 2605.28335 (2026), of which we know the abstract; the projection with one value
    per column is Charikar, Chen, Farach-Colton 2002.
    """
    weigh = lookup(WEIGHTS, rule, "rule of projected")
    rows = sketch(key, zero_absent(updates, mask), whole("dims", dims, 1))
    if not mixed:
        return weighted_mean(weigh(rows, f, mask), updates, mask)
    near = near_weights(rows, f, mask)
    share = weigh(mix(near, rows, mask), f, mask)
    return weighted_mean(jnp.matmul(share, near, precision="highest"), updates, mask)


projected_krum = partial(projected, rule="krum")
projected_caf = partial(projected, rule="caf")
projected_nnm = partial(projected, mixed=True)


def sketch(key: Key | None, rows: jax.Array, dims: int) -> jax.Array:
    """Random projections `[S, r]` of rows `[S, D]`; the rows themselves for D <= r.

    Formula: y_j = sum of s_k x_k over the columns k with h(k) = j; s_k random signs, h(k) = (k +
    the shift of its block of r columns) mod r, shifts random. So two columns meet with probability
    1/r at most, E ||y||^2 = ||x||^2 and Var ||y||^2 <= 2 ||x||^4 / r.

    Raises:
        ValueError: no key where there is something to draw.
    """
    n, dim = rows.shape
    if dim <= dims:
        return rows
    if key is None:
        raise ValueError(f"a projection of {dim} to {dims} dimensions is drawn: give it a key")
    blocks = dim // dims
    sign_key, shift_key = jax.random.split(key)
    signs = random_signs(sign_key, (blocks + 1) * dims).astype(rows.dtype)
    shifts = jax.random.randint(shift_key, (blocks + 1,), 0, dims, jnp.int32)

    def add(wide: jax.Array, part: jax.Array, block: jax.Array | int) -> jax.Array:
        """Adds a block at its shift to `wide` `[S, 2 r]`, whose halves are the same buckets."""
        sign = jax.lax.dynamic_slice(signs, (block * dims,), (part.shape[1],))
        at = (0, shifts[block])
        old = jax.lax.dynamic_slice(wide, at, part.shape)
        return jax.lax.dynamic_update_slice(wide, old + part * sign[None], at)

    def step(wide: jax.Array, block: jax.Array) -> tuple[jax.Array, None]:
        part = jax.lax.dynamic_slice(rows, (0, block * dims), (n, dims))
        return add(wide, part, block), None

    start = varying_as(jnp.zeros((n, 2 * dims), rows.dtype), rows, key)
    wide, _ = jax.lax.scan(step, start, jnp.arange(blocks, dtype=jnp.int32))
    if dim % dims:
        wide = add(wide, rows[:, blocks * dims :], blocks)
    return wide[:, :dims] + wide[:, dims:]


def random_signs(key: Key, count: int) -> jax.Array:
    """`count` signs, -1 or 1, int8: 32 from every random word."""
    words = jax.random.bits(key, (-(-count // 32),), jnp.uint32)
    bits = (words[:, None] >> jnp.arange(32, dtype=jnp.uint32)[None]) & 1
    return (2 * bits.reshape(-1)[:count].astype(jnp.int8) - 1).astype(jnp.int8)
