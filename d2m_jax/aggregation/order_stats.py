"""Order statistics over the seller axis, by compare-exchange networks on whole rows.

Here: the sorting network, its pruning to the ranks that are wanted, sorts of many rows, stable
ranks of small vectors. Not here: the rules that use them. Read next: `coordinate.py`.
"""

import functools
import itertools
from collections.abc import Callable, Hashable, Sequence
from typing import TypeAlias

import jax
import jax.numpy as jnp

from d2m_jax.core.backend import choices
from d2m_jax.core.blocks import by_blocks, sum_of

NETWORK_LIMIT = 64  # rows above which a full sort leaves the unrolled network for `bitonic`
PRUNED_LIMIT = 128  # the same for a pruned network, which keeps few values alive
Ranked: TypeAlias = tuple[int | jax.Array, jax.Array]  # a rank and the row that has it
SORT_BLOCK = 512  # columns of one bitonic sort on a CPU, so that it stays in the cache


@functools.cache
def batcher(n: int) -> tuple[tuple[int, int], ...]:
    """Comparators `(i, j)`, i < j, that sort any n values: minimum to i, maximum to j.

    Cost: about n (log2 n)^2 / 4 comparators. Source: K. E. Batcher 1968, as Algorithm M (merge
    exchange) in Knuth, The Art of Computer Programming 3, section 5.2.2; n need not be 2^k.
    """
    pairs = []
    top = 1 << max(n - 1, 0).bit_length() >> 1
    p = top
    while p:
        q, r, d = top, 0, p
        while True:
            pairs += [(i, i + d) for i in range(n - d) if i & p == r]
            if q == p:
                break
            d, q, r = q - p, q >> 1, p
        p >>= 1
    return tuple(pairs)


@functools.cache
def prune(labels: tuple[Hashable, ...]) -> tuple[tuple[int, int, bool, bool], ...]:
    """The comparators of `batcher(len(labels))` that matter, as `(i, j, keep_min, keep_max)`.

    `labels[r]` is None where rank r is not wanted. Ranks with the same label may come out in any
    order among themselves (they will be summed), so a comparator between two of them is left out.
    """
    live = list(labels)
    kept = []
    for i, j in reversed(batcher(len(labels))):
        if live[i] == live[j]:  # both unwanted, or both in the same sum
            continue
        kept.append((i, j, live[i] is not None, live[j] is not None))
        live[i], live[j] = ("value", len(kept), 0), ("value", len(kept), 1)
    return tuple(reversed(kept))


def select(
    rows: Sequence[jax.Array], labels: Sequence[Hashable], *, swap: bool = False
) -> list[jax.Array]:
    """Rows after the pruned network: position r holds rank r where `labels[r]` is not None.

    Positions that share a label hold their ranks in any order; unwanted positions hold rubbish.
    Do not stack or concatenate the result: XLA would evaluate the network again for every row.
    `swap` takes `exchange`, twice as fast on a CPU where few ranks or one sum are all that follows;
    with a second network on top XLA cuts the first in pieces and evaluates them over and over.
    """
    pair = exchange if swap else _min_max
    wires = list(rows)
    for i, j, low, high in prune(tuple(labels)):
        least, greatest = pair(wires[i], wires[j])
        if low:
            wires[i] = least
        if high:
            wires[j] = greatest
    return wires


def exchange(a: jax.Array, b: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The lesser and the greater of two arrays, element by element; equal values change places.

    `jnp.minimum` spreads NaN, for which a CPU needs four instructions more than the one of this
    comparison. Present rows are finite (`masks.py`); a NaN would stay one of the two.
    """
    below = a < b
    return jnp.where(below, a, b), jnp.where(below, b, a)


def _min_max(a: jax.Array, b: jax.Array) -> tuple[jax.Array, jax.Array]:
    return jnp.minimum(a, b), jnp.maximum(a, b)


def rows_of(
    updates: jax.Array, mask: jax.Array | None = None, fill: float | jax.Array = jnp.inf
) -> list[jax.Array]:
    """The rows of `updates [S, D]` as `[1, D]`, absent ones replaced by `fill` (a number or `[S]`).

    Row by row, so that the replacement fuses with what follows and no second matrix is made; and
    `[1, D]`, because a reshape to `[D]` in the middle of a network makes XLA cut it in pieces.
    """
    rows = [updates[i : i + 1] for i in range(updates.shape[0])]
    if mask is None:
        return rows
    fills = jnp.broadcast_to(jnp.asarray(fill, updates.dtype), mask.shape)
    return [jnp.where(mask[i], row, fills[i]) for i, row in enumerate(rows)]


def bitonic(x: jax.Array) -> jax.Array:
    """Sorts `x [S, D]` over its first axis by a bitonic network written as reshapes.

    Cost: (log2 S)^2 / 2 passes over the matrix, few operations to compile. Source: Batcher 1968.
    """
    n = x.shape[0]
    size = 1 << (n - 1).bit_length()
    fill = jnp.full((size - n, *x.shape[1:]), jnp.inf, x.dtype)
    x = jnp.concatenate([x, fill]) if size > n else x
    block = 2
    while block <= size:
        x = _exchange(x, block, flip=True)  # compare i with its mirror image in the block
        half = block // 2
        while half >= 2:
            x = _exchange(x, half, flip=False)  # compare i with i + half / 2
            half //= 2
        block *= 2
    return x[:n]


def _exchange(x: jax.Array, block: int, *, flip: bool) -> jax.Array:
    parts = x.reshape(-1, 2, block // 2, *x.shape[1:])
    first, second = parts[:, 0], parts[:, 1]
    second = second[:, ::-1] if flip else second
    low, high = _min_max(first, second)
    high = high[:, ::-1] if flip else high
    return jnp.stack([low, high], axis=1).reshape(x.shape)


def on_sorted(
    fn: Callable[[list[Ranked]], jax.Array],
    updates: jax.Array,
    mask: jax.Array | None = None,
    *,
    swap: bool = False,
    limit: int = NETWORK_LIMIT,
) -> jax.Array:
    """`fn(ranked)` of all rows in ascending order, absent ones last as +inf; `[D]`.

    Args:
        fn: sees `(rank, row)` pairs in ascending order: up to `limit` rows one pair per
            row, `(int, [1, D])`; above, a single pair `([S, 1], [S, W])` with all ranks, for W of
            the columns at a time. Written with `total` it need not care which.
            It returns `[1, W]`.
        updates: `[S, D]`.
        mask: `[S]` bool, True for present rows; None for all.
        swap: as in `select`.
        limit: rows above which there is one matrix instead of a network of rows.
    """
    n, dim = updates.shape
    if n <= limit:
        return fn(list(enumerate(select(rows_of(updates, mask), range(n), swap=swap))))[0]

    def of_block(x: jax.Array) -> jax.Array:
        x = x if mask is None else jnp.where(mask[:, None], x, jnp.inf)
        return fn([(jnp.arange(n)[:, None], bitonic(x))])

    if not choices().blocks or dim <= SORT_BLOCK:
        return of_block(updates)[0]
    return by_blocks(of_block, updates, SORT_BLOCK)[0]


def total(parts: Sequence[jax.Array]) -> jax.Array:
    """The sum `[1, W]` of rows `[1, W]`, or of the rows of matrices `[S, W]`."""
    added = sum_of(parts)
    if added.shape[0] == 1:
        return added
    ones = jnp.ones((1, added.shape[0]), added.dtype)
    return jnp.matmul(ones, added, precision="highest")


def running(parts: Sequence[jax.Array]) -> list[jax.Array]:
    """For every row `[1, W]`, the sum of those of lower rank."""
    return list(itertools.accumulate(parts[:-1], initial=jnp.zeros_like(parts[0])))


def fence(x: jax.Array) -> jax.Array:
    """`x [D]` (finite) itself, computed once.

    On a CPU, XLA fuses a network into its consumer and evaluates it again for every row of
    `updates - median`; it also drops `optimization_barrier` first. A product with a small identity
    is exact and is not fused. Elsewhere the barrier does. The columns beyond a multiple of eight
    have a product of their own: XLA evaluates a network that ends in a pad value by value.
    """
    if choices().barrier:
        return jax.lax.optimization_barrier(x)

    def kept(part: jax.Array, size: int) -> jax.Array:
        eye = jnp.eye(size, dtype=x.dtype)
        return jnp.matmul(part.reshape(-1, size), eye, precision="highest").reshape(-1)

    whole = x.shape[0] // 8 * 8
    rest = x.shape[0] - whole
    if not whole or not rest:
        return kept(x, 8 if whole else rest)
    return jnp.concatenate([kept(x[:whole], 8), kept(x[whole:], rest)])


def rank_of(x: jax.Array) -> jax.Array:
    """Stable ranks along the last axis: 0 for the least value, ties to the lowest index first."""
    n = x.shape[-1]
    if n > 64:
        return jnp.argsort(jnp.argsort(x, stable=True), stable=True)
    mine, other = x[..., :, None], x[..., None, :]
    earlier = jnp.tril(jnp.ones((n, n), bool), -1)
    before = (other < mine) | ((other == mine) & earlier.reshape((1,) * (x.ndim - 1) + (n, n)))
    return jnp.sum(before, axis=-1, dtype=jnp.int32)
