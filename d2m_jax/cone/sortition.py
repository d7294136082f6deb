"""Who sits in which execution set. Read next: `voting.py`.

Sets of exact size are slices of one random order of the nodes, so no node sits twice in a unit of
work: `rank[c]` is the place of node c, ineligible nodes come last.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from d2m_jax.cone.params import ConeParams
from d2m_jax.cone.schedules import SCHEDULES
from d2m_jax.names import lookup
from d2m_jax.types import Key


class Sets(NamedTuple):
    """The execution sets of one unit of work, were all attempts needed."""

    seat: jax.Array  # [E, C] int32, the set a node sits in, A for none; E is 1, or A when redrawn
    size: jax.Array  # [A] int32, seats
    share: jax.Array  # [A] float32, expected share of the pool in the set
    pool: jax.Array  # [] int32, eligible nodes
    exhausted: jax.Array  # [A] bool, no node is left after this set


def draw_sets(
    key: Key,
    eligible: jax.Array,
    params: ConeParams,
    attempts: int,
    schedule: str = "exponential",
    sortition: str = "uniform",
    stake: jax.Array | None = None,
) -> Sets:
    """Draws the sets of all attempts; the last one is truncated to the nodes that are left.

    Args:
        key: consumed.
        eligible: `[C] bool`.
        params: `base`, `size` or `q`, by schedule.
        attempts: A, static.
        schedule: a name of `SCHEDULES`.
        sortition: a name of `SORTITIONS`.
        stake: `[C]`, for stake-weighted sortition.

    Raises:
        ValueError: an unknown name, or stake-weighted sortition without stakes.
    """
    seats = lookup(SCHEDULES, schedule, "schedule")
    order = lookup(SORTITIONS, sortition, "sortition")
    if sortition == "stake" and stake is None:
        raise ValueError("stake-weighted sortition needs the argument stake [C]")
    pool = eligible.sum(dtype=jnp.int32)
    if seats is None:
        weight = stake if sortition == "stake" else None
        member = independent_seats(key, eligible, params.q, attempts, weight)
        seat = jnp.where(member, jnp.arange(attempts)[:, None], attempts)
        share = jnp.full((attempts,), params.q, jnp.float32)
        exhausted = jnp.broadcast_to(pool == 0, (attempts,))
        return Sets(seat, member.sum(axis=-1, dtype=jnp.int32), share, pool, exhausted)
    ends = jnp.minimum(seats(params, attempts), pool)
    size = jnp.diff(ends, prepend=0)
    rank = order(key, eligible, stake)
    seat = (rank[None, :] >= ends[:, None]).sum(axis=0, keepdims=True, dtype=jnp.int32)
    share = size.astype(jnp.float32) / jnp.maximum(pool, 1).astype(jnp.float32)
    return Sets(seat, size, share, pool, ends >= pool)


def uniform_order(key: Key, eligible: jax.Array, stake: jax.Array | None = None) -> jax.Array:
    """A uniformly random order of the eligible nodes.

    Each key is one integer: ineligible bit, random bits, index in the lowest bits. Such keys are
    distinct, and sorting them alone is about six times faster than an argsort. Above 4,096 nodes
    the random bits get scarce, so a second pass sorts by fresh ones (a radix sort with two digits).

    Args:
        key: consumed.
        eligible: `[C] bool`, C up to 2^20.
        stake: not used.

    Returns:
        `rank [C] int32`, a permutation of 0..C-1. Cost: one or two sorts of C.
    """
    del stake  # one node, one lot
    num_nodes = eligible.shape[0]
    width = max(1, (num_nodes - 1).bit_length())
    passes = 1 if width <= 12 else 2
    order = jnp.arange(num_nodes, dtype=jnp.uint32)
    for lots in jax.random.bits(key, (passes, num_nodes), jnp.uint32):
        behind = (~eligible[order]).astype(jnp.uint32) << 31
        place = jnp.arange(num_nodes, dtype=jnp.uint32)
        keys = jnp.sort(behind | (lots >> (width + 1) << width) | place)
        order = order[keys & jnp.uint32(2**width - 1)]
    return inverse(order)


def stake_order(key: Key, eligible: jax.Array, stake: jax.Array | None) -> jax.Array:
    """A random order in which the next node is drawn with probability proportional to stake.

    Gumbel top-k: sort `log stake + Gumbel noise`; equal to successive draws without replacement
    (Yellott 1977; Efraimidis and Spirakis 2006). A node without stake comes last.

    Args:
        key: consumed.
        eligible: `[C] bool`.
        stake: `[C]` any unit.

    Returns:
        `rank [C] int32`.
    """
    assert stake is not None  # `draw_sets` refuses earlier
    noise = jax.random.gumbel(key, eligible.shape, jnp.float32)
    score = jnp.log(stake.astype(jnp.float32)) + noise
    return inverse(jnp.argsort(jnp.where(eligible, -score, jnp.inf)))


def inverse(order: jax.Array) -> jax.Array:
    """The place of every node in an order: `[C] -> [C] int32`."""
    places = jnp.arange(order.shape[0], dtype=jnp.int32)
    return jnp.zeros_like(places).at[order].set(places, unique_indices=True)


def independent_seats(
    key: Key, eligible: jax.Array, q: ArrayLike, attempts: int, stake: jax.Array | None = None
) -> jax.Array:
    """YODA's sets: in every attempt every eligible node has a seat with probability q, afresh.

    A node may sit in several sets of one unit of work. With `stake`, the probability is
    `min(1, q stake / mean stake)` (our choice). Source: Das et al., YODA, NDSS 2019, as recalled
    in our reference notes.

    Args:
        key: consumed.
        eligible: `[C] bool`.
        q: `[]` probability.
        attempts: A, static.
        stake: `[C]` or None.

    Returns:
        `member [A, C] bool`. Cost: A x C random numbers.
    """
    chance = jnp.broadcast_to(jnp.asarray(q, jnp.float32), eligible.shape)
    if stake is not None:
        weight = jnp.where(eligible, stake, 0).astype(jnp.float32)
        mean = weight.sum() / jnp.maximum(eligible.sum(), 1).astype(jnp.float32)
        chance = jnp.minimum(chance * weight / jnp.maximum(mean, 1e-30), 1.0)
    lot = jax.random.uniform(key, (attempts, eligible.shape[0]))
    return (lot < chance[None, :]) & eligible[None, :]


Order = Callable[[Key, jax.Array, jax.Array | None], jax.Array]
SORTITIONS: dict[str, Order] = {"uniform": uniform_order, "stake": stake_order}
