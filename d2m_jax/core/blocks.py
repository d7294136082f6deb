"""Loops over blocks of the columns of a matrix `[S, D]`, so that a CPU works in its cache.

Not here: what is done with a block (`norms.py`, `gram.py`). Read next: `norms.py`.
"""

import functools
import operator
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from d2m_jax.core.backend import choices
from d2m_jax.core.trees import varying_as

BLOCK_VALUES = 2**18  # values of a block of columns on a CPU, so that it stays in the cache
PIECE_VALUES = 2**16  # values of a piece of columns that any core of a CPU may work on
PIECES = 16  # fewer XLA works off one after the other


def by_blocks(fn: Callable[[jax.Array], jax.Array], x: jax.Array, block: int) -> jax.Array:
    """`fn(x[:, a:b])` `[K, b - a]` for every block of columns, joined to `[K, D]`; `block` <= D.

    The last block starts early enough to be full: a few columns are computed twice, alike.
    """
    n, dim = x.shape
    rows = jax.eval_shape(fn, jax.ShapeDtypeStruct((n, block), x.dtype)).shape[0]

    def body(out: jax.Array, i: jax.Array) -> tuple[jax.Array, None]:
        start = jnp.minimum(i * block, dim - block)
        part = fn(jax.lax.dynamic_slice(x, (0, start), (n, block)))
        return jax.lax.dynamic_update_slice(out, part, (0, start)), None

    steps = jnp.arange(-(-dim // block))
    return jax.lax.scan(body, varying_as(jnp.zeros((rows, dim), x.dtype), x), steps)[0]


def sum_blocks(fn: Callable[..., jax.Array], arrays: Sequence[jax.Array], block: int) -> jax.Array:
    """The sum of `fn(*parts)` over blocks of columns `[., block]` of the arrays `[., D]`, on a CPU.

    Where blocks overlap (the last starts early enough to be full) the columns already seen are 0,
    so zeros must add nothing. Elsewhere, or for D <= block, `fn(*arrays)`.
    """
    dim = arrays[0].shape[1]
    if not choices().blocks or dim <= block:
        return fn(*arrays)

    def parts(i: jax.Array) -> list[jax.Array]:
        start = jnp.minimum(i * block, dim - block)
        fresh = start + jnp.arange(block) >= i * block
        cut = [jax.lax.dynamic_slice(x, (0, start), (x.shape[0], block)) for x in arrays]
        return [jnp.where(fresh[None], part, 0) for part in cut]

    def body(total: jax.Array, i: jax.Array) -> tuple[jax.Array, None]:
        return total + fn(*parts(i)), None

    out = jax.eval_shape(lambda: fn(*parts(jnp.int32(0))))
    start = varying_as(jnp.zeros(out.shape, out.dtype), *arrays)
    return jax.lax.scan(body, start, jnp.arange(-(-dim // block)))[0]


def sum_pieces(fn: Callable[..., jax.Array], arrays: Sequence[jax.Array]) -> jax.Array:
    """The same with up to `PIECES` pieces of a block side by side: small columns, many products.

    XLA gives one matrix product of few rows to one core, but several products to all of them; and
    only where there are many. What `fn` makes of a block stays small.
    """
    n, dim = arrays[0].shape
    if not choices().blocks:
        return fn(*arrays)
    blocks = -(-n * dim // (PIECES * PIECE_VALUES))
    pieces = PIECES if blocks > 1 else -(-n * dim // PIECE_VALUES)
    width = -(-dim // (blocks * pieces))

    def side_by_side(*parts: jax.Array) -> jax.Array:
        starts = range(0, parts[0].shape[1], width)
        return sum_of([fn(*(part[:, at : at + width] for part in parts)) for at in starts])

    return sum_blocks(side_by_side, arrays, pieces * width)


def sum_of(parts: Sequence[jax.Array]) -> jax.Array:
    """The sum of arrays of one shape."""
    return functools.reduce(operator.add, parts)
