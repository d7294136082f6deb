"""Order statistics over the seller axis, by compare-exchange networks on whole rows.

Here: the sorting network, its pruning to the ranks that are wanted, the sort for many rows.
Not here: the rules that use them. Read next: `coordinate.py`.
"""

import functools
from collections.abc import Hashable, Sequence

import jax
import jax.numpy as jnp

NETWORK_LIMIT = 32  # rows above which a full sort leaves the unrolled network for `bitonic`
PRUNED_LIMIT = 128  # the same for a pruned network, which keeps few values alive


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


def select(rows: Sequence[jax.Array], labels: Sequence[Hashable]) -> list[jax.Array]:
    """Rows after the pruned network: position r holds rank r where `labels[r]` is not None.

    Positions that share a label hold their ranks in any order; unwanted positions hold rubbish.
    """
    wires = list(rows)
    for i, j, low, high in prune(tuple(labels)):
        a, b = wires[i], wires[j]
        if low:
            wires[i] = jnp.minimum(a, b)
        if high:
            wires[j] = jnp.maximum(a, b)
    return wires


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
    low, high = jnp.minimum(first, second), jnp.maximum(first, second)
    high = high[:, ::-1] if flip else high
    return jnp.stack([low, high], axis=1).reshape(x.shape)


def sorted_rows(x: jax.Array) -> list[jax.Array]:
    """The rows of `x [S, D]` in ascending order, coordinate by coordinate; bitwise `jnp.sort`."""
    n = x.shape[0]
    if n <= NETWORK_LIMIT:
        return select(list(x), range(n))
    return list(bitonic(x))
