"""Who sits in which execution set. Read next: `stop_rules.py`.

Everything is a draw order: `rank[c]` is the place of node c, ineligible nodes come last. A set is
a slice of the order, so sets are exact in size and no node sits twice in a unit of work.
"""

import jax
import jax.numpy as jnp

from d2m_jax.types import Key


def uniform_order(key: Key, eligible: jax.Array, stake: jax.Array | None = None) -> jax.Array:
    """A uniformly random order of the eligible nodes.

    Sorts 31 random bits per node, ineligible nodes behind. Ties, one pair in 2^31, keep index
    order. Cost: one sort of C.

    Args:
        key: consumed.
        eligible: `[C] bool`.
        stake: not used.

    Returns:
        `rank [C] int32`, a permutation of 0..C-1.
    """
    del stake  # one node, one lot
    bits = jax.random.bits(key, eligible.shape, jnp.uint32) >> 1
    return rank_of(jnp.where(eligible, bits, jnp.uint32(2**31)))


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
    if stake is None:
        raise ValueError("stake-weighted sortition needs the argument stake [C]")
    noise = jax.random.gumbel(key, eligible.shape, jnp.float32)
    score = jnp.log(stake.astype(jnp.float32)) + noise
    return rank_of(jnp.where(eligible, -score, jnp.inf))


def rank_of(value: jax.Array) -> jax.Array:
    """The place of each entry in ascending order, ties in index order: `[C] -> [C] int32`."""
    order = jnp.argsort(value, stable=True)
    places = jnp.arange(value.shape[0], dtype=jnp.int32)
    return jnp.zeros_like(places).at[order].set(places, unique_indices=True)


def seats(rank: jax.Array, ends: jax.Array, pool: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Cuts the draw order into sets; the last set is truncated to the nodes that are left.

    Args:
        rank: `[C] int32` draw order.
        ends: `[A] int32` running totals of the schedule.
        pool: `[] int32` number of eligible nodes.

    Returns:
        `member [A, C] bool` and the truncated running totals `[A] int32`.
    """
    ends = jnp.minimum(ends, pool)
    starts = jnp.concatenate([jnp.zeros((1,), ends.dtype), ends[:-1]])
    rank = rank[None, :]
    return (rank >= starts[:, None]) & (rank < ends[:, None]), ends


def independent_seats(
    key: Key, eligible: jax.Array, q: jax.Array, attempts: int, stake: jax.Array | None = None
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
        mean = weight.sum() / jnp.maximum(eligible.sum(), 1)
        chance = jnp.minimum(chance * weight / jnp.maximum(mean, 1e-30), 1.0)
    lot = jax.random.uniform(key, (attempts, *eligible.shape))
    return (lot < chance[None, :]) & eligible[None, :]


SORTITIONS = {"uniform": uniform_order, "stake": stake_order}
