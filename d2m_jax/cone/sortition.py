"""Who sits in which execution set. Read next: `voting.py`.

Sets of exact size are slices of one random order. Uniform sortition orders the nodes, so no node
sits twice in a unit of work. Stake-weighted sortition orders lots, equal units of stake, each of
which is one vote: k nodes with one lot each are then the same as one node with k. A sortition of
your own is a function `(key, eligible, stake, ends) -> Sets`.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol, TypeAlias

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from d2m_jax.cone.params import ConeParams
from d2m_jax.cone.parts import resolve
from d2m_jax.cone.schedules import Schedule, schedule_of, totals
from d2m_jax.core.choices import label
from d2m_jax.core.promises import anything, booleans, check_call, floats, integers, kept
from d2m_jax.core.types import Key


class Sets(NamedTuple):
    """The execution sets of one unit of work, were all attempts needed."""

    seat: jax.Array  # [E, C] int32, the set a node sits in, A for none; E is A if it may be in many
    size: jax.Array  # [A] int32, seats
    share: jax.Array  # [A] float32, expected share of the pool in the set
    pool: jax.Array  # [] int32, eligible nodes, or their lots
    exhausted: jax.Array  # [A] bool, nobody is left after this set
    votes: jax.Array | None = None  # [A, C] int32, lots of a node in a set; None: one each


class Draw(Protocol):
    """`(key, eligible [C], stake [C] or None, ends [A]) -> Sets`; `ends` are running totals."""

    def __call__(
        self, key: Key, eligible: jax.Array, stake: jax.Array | None, ends: jax.Array, /
    ) -> Sets:
        """Fills the seats of all sets."""


class Sortition(NamedTuple):
    """Who has a seat, and how many voters that makes of the nodes."""

    draw: Draw
    voters: Callable[[int], int] | None = None  # nodes -> most voters; None: one each
    by_stake: bool = False  # needs the argument `stake`


SortitionChoice: TypeAlias = str | Sortition | Draw


def draw_sets(
    key: Key,
    eligible: jax.Array,
    params: ConeParams,
    attempts: int,
    schedule: Schedule = "exponential",
    sortition: SortitionChoice = "uniform",
    stake: jax.Array | None = None,
) -> Sets:
    """Draws the sets of all attempts; the last one is truncated to the nodes that are left.

    Args:
        key: consumed.
        eligible: `[C] bool`.
        params: `base`, `size` or `q`, by schedule.
        attempts: A, static.
        schedule: a name of `SCHEDULES`, a record, or a function of your own.
        sortition: a name of `SORTITIONS`, a record, or a function of your own.
        stake: `[C]` integer units, for stake-weighted sortition.

    Raises:
        ValueError: an unknown name, stake-weighted sortition without stakes, or a part of your own
            that gives what it must not.
    """
    chosen = sortition_of(sortition)
    if chosen.by_stake and stake is None:
        raise ValueError("stake-weighted sortition needs the argument stake [C]")
    if schedule_of(schedule).seats is None:
        check_independent(chosen)
        pool = eligible.sum(dtype=jnp.int32)
        weight = stake if chosen.by_stake else None
        member = independent_seats(key, eligible, params.q, attempts, weight)
        seat = jnp.where(member, jnp.arange(attempts, dtype=jnp.int32)[:, None], attempts)
        share = jnp.broadcast_to(jnp.asarray(params.q, jnp.float32), (attempts,))
        exhausted = jnp.broadcast_to(pool == 0, (attempts,))
        return Sets(seat, member.sum(axis=-1, dtype=jnp.int32), share, pool, exhausted)
    what, ends = f"sortition {label(sortition)!r}", totals(schedule, params, attempts)
    check_call(what, chosen.draw, key, eligible, stake, ends)
    seats, nodes = integers(attempts), eligible.shape[0]
    promise = Sets(
        seat=integers(None, nodes),
        size=seats,
        share=floats(attempts),
        pool=integers(),
        exhausted=booleans(attempts),
        votes=anything,
    )
    sets = kept(what, chosen.draw(key, eligible, stake, ends), promise)
    if sets.votes is not None:
        kept(f"the votes of {what}", sets.votes, integers(attempts, nodes))
    return sets


def check_independent(sortition: Sortition) -> None:
    """Raises a ValueError unless independent sets know what to do with a sortition."""
    if sortition not in SORTITIONS.values():
        raise ValueError(
            "sets of the independent schedule draw every node on its own, which a sortition of "
            f"your own ({label(sortition)}) cannot change; take uniform or stake"
        )


def by_node(key: Key, eligible: jax.Array, stake: jax.Array | None, ends: jax.Array) -> Sets:
    """Every eligible node is one voter, whatever its stake; `ends [A]` are running seat totals."""
    del stake  # one node, one lot
    seat, size, share, pool, exhausted = deal(key, eligible, ends)
    return Sets(seat[None, :], size, share, pool, exhausted)


def by_lot(key: Key, eligible: jax.Array, stake: jax.Array | None, ends: jax.Array) -> Sets:
    """Every lot of stake is one voter: all lots are alike and drawn without replacement.

    A node votes in a set with all its lots there, and may sit in several sets. Votes for a digest
    depend on how many lots stand behind it, not on how many nodes hold them, so an owner gains
    nothing by splitting its stake over nodes, in one seat or in a whole vote (our choice).

    Args:
        key: consumed.
        eligible: `[C] bool`.
        stake: `[C]` integer units.
        ends: `[A]` seats after each attempt; a seat is a lot's.
    """
    assert stake is not None  # `draw_sets` refuses earlier
    num_nodes, attempts = eligible.shape[0], ends.shape[0]
    lots, most = lots_of(stake, eligible), most_lots(num_nodes)
    nodes = jnp.arange(num_nodes, dtype=jnp.int32)
    owner = jnp.repeat(nodes, lots, total_repeat_length=most)
    there = jnp.arange(most, dtype=jnp.int32) < lots.sum(dtype=jnp.int32)
    seat, size, share, pool, exhausted = deal(key, there, ends)
    votes = jnp.zeros((attempts + 1, num_nodes), jnp.int32).at[seat, owner].add(1)[:-1]
    sits = jnp.where(votes > 0, jnp.arange(attempts, dtype=jnp.int32)[:, None], attempts)
    return Sets(sits, size, share, pool, exhausted, votes)


def lots_of(stake: jax.Array, eligible: jax.Array) -> jax.Array:
    """Lots of every node, `[C] int32`: whole multiples of a quantum of stake.

    `floor(stake / quantum)`, quantum = ceil(total eligible stake / `most_lots`). What is left over
    votes for nobody; splitting can only leave more over. Assumes a total that fits the type of the
    stakes.
    """
    units = jnp.where(eligible, stake, 0)
    units = units if jnp.issubdtype(units.dtype, jnp.integer) else units.astype(jnp.int32)
    most = most_lots(eligible.shape[0])
    quantum = jnp.maximum((units.sum(dtype=units.dtype) - 1) // most + 1, 1)
    return (units // quantum).astype(jnp.int32)


def most_lots(num_nodes: int) -> int:
    """Lots that all stake is cut into: 1,024, or 4 per node above 256 nodes."""
    return max(1024, 4 * num_nodes)


def max_voters(sortition: SortitionChoice, num_nodes: int) -> int:
    """How many voters may be drawn: the nodes, or what the sortition makes of them."""
    voters = sortition_of(sortition).voters
    return num_nodes if voters is None else voters(num_nodes)


Dealt: TypeAlias = tuple[jax.Array, jax.Array, jax.Array, jax.Array, jax.Array]


def deal(key: Key, eligible: jax.Array, ends: jax.Array) -> Dealt:
    """Slices one random order of the voters: seat [V], size [A], share [A], pool, exhausted [A]."""
    pool = eligible.sum(dtype=jnp.int32)
    ends = jnp.minimum(ends, pool)
    size = jnp.diff(ends, prepend=jnp.int32(0))
    rank = uniform_order(key, eligible)
    seat = (rank[None, :] >= ends[:, None]).sum(axis=0, dtype=jnp.int32)
    share = size.astype(jnp.float32) / jnp.maximum(pool, 1).astype(jnp.float32)
    return seat, size, share, pool, ends >= pool


def uniform_order(key: Key, eligible: jax.Array) -> jax.Array:
    """A uniformly random order of the eligible voters, `rank[c]` being the place of voter c.

    Each key is one integer: ineligible bit, random bits, index in the lowest bits. Such keys are
    distinct, and sorting them alone is about six times faster than an argsort. Above 4,096 nodes
    the random bits get scarce, so a second pass sorts by fresh ones (a radix sort with two digits).

    Args:
        key: consumed.
        eligible: `[C] bool`, C up to 2^20; the others come last.

    Returns:
        `rank [C] int32`, a permutation of 0..C-1. Cost: one or two sorts of C.
    """
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


def inverse(order: jax.Array) -> jax.Array:
    """The place of every node in an order: `[C] -> [C] int32`."""
    places = jnp.arange(order.shape[0], dtype=jnp.int32)
    return jnp.zeros_like(places).at[order].set(places, unique_indices=True)


def independent_seats(
    key: Key, eligible: jax.Array, q: ArrayLike, attempts: int, stake: jax.Array | None = None
) -> jax.Array:
    """YODA's sets: in every attempt every eligible node has a seat with probability q, afresh.

    A node may sit in several sets of one unit of work. With `stake`, the probability is
    `min(1, q stake / mean stake)` and a node has one vote (our choice): where nothing is cut off at
    1, splitting a stake changes nobody's expected share of the votes. Source: Das et al., YODA,
    NDSS 2019, as recalled in our reference notes.

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
        mean = weight.sum() / jnp.maximum(eligible.sum(dtype=jnp.int32), 1).astype(jnp.float32)
        chance = jnp.minimum(chance * weight / jnp.maximum(mean, 1e-30), 1.0)
    lot = jax.random.uniform(key, (attempts, eligible.shape[0]), jnp.float32)
    return (lot < chance[None, :]) & eligible[None, :]


SORTITIONS: dict[str, Sortition] = {
    "uniform": Sortition(by_node),
    "stake": Sortition(by_lot, most_lots, by_stake=True),
}


def sortition_of(choice: SortitionChoice) -> Sortition:
    """The sortition of a name, a record or a function of the user's own."""
    return resolve(SORTITIONS, choice, Sortition, "sortition")
