"""Coalitions of sellers as masks, and a utility evaluated on many of them at once.

A utility is any pure function `masks [C, S] bool -> [C]`: what the sellers in each mask are worth
together. `over_coalitions` makes one of a function of a single mask. Not here: how worth is shared
(`values.py`, `sampled.py`). Read next: `values.py`.
"""

from collections.abc import Callable
from typing import TypeAlias

import jax
import jax.numpy as jnp

Utility: TypeAlias = Callable[[jax.Array], jax.Array]  # masks [C, S] bool -> [C] floats

MAX_EXACT = 20  # sellers of an exact value: 2^20 coalitions


def check_size(num_sellers: int, most: int = MAX_EXACT) -> None:
    """Raises ValueError unless 1 <= num_sellers <= most."""
    if not 1 <= num_sellers <= most:
        raise ValueError(
            f"all coalitions of {num_sellers} sellers cannot be evaluated; exact values need 1 to "
            f"{most}, use a sampled one"
        )


def all_coalitions(num_sellers: int) -> jax.Array:
    """Every coalition, [2^S, S] bool; row k holds seller i when bit i of k is set.

    Raises:
        ValueError: more than `MAX_EXACT` sellers.
    """
    check_size(num_sellers)
    codes = jnp.arange(2**num_sellers, dtype=jnp.int32)
    return (codes[:, None] >> jnp.arange(num_sellers, dtype=jnp.int32)[None, :]) & 1 == 1


def prefixes(orders: jax.Array) -> jax.Array:
    """The coalitions met when sellers enter one by one.

    Args:
        orders: [P, S] int32, each row a permutation of the sellers.

    Returns:
        [P, S + 1, S] bool; entry [p, k] holds the first k sellers of order p.
    """
    num_sellers = orders.shape[1]
    place = jnp.argsort(orders, axis=1).astype(jnp.int32)  # when each seller enters
    return place[:, None, :] < jnp.arange(num_sellers + 1, dtype=jnp.int32)[None, :, None]


def over_coalitions(
    one: Callable[[jax.Array], jax.Array], batch_size: int | None = None
) -> Utility:
    """A utility of many coalitions from that of one, by `vmap`.

    Args:
        one: mask [S] bool -> [] float32.
        batch_size: so many coalitions at a time, which bounds the memory; None takes all at once.
    """

    def many(masks: jax.Array) -> jax.Array:
        if batch_size is None or batch_size >= masks.shape[0]:
            return jax.vmap(one)(masks)
        return jax.lax.map(one, masks, batch_size=batch_size)

    return many
