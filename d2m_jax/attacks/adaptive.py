"""Attacks on a defence that judges by the buyer's gradient and remembers sellers.

They keep what such a defence looks at and spend the rest of their length on harm, or they wait
until it trusts them. Not here: searches through a known rule (`optimised.py`, `whitebox.py`).
Read next: `schedules.py`.

g is the unit gradient of the buyer's loss, which any node can compute (0 when the buyer gave no
examples), mu the mean and L the mean length of the rows that the attacker knows.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from d2m_jax.attacks.base import (
    EMPTY,
    AttackContext,
    known_rows,
    masked_mean,
    present,
    required,
    write_rows,
)
from d2m_jax.attacks.geometry import mean_norm
from d2m_jax.core.norms import safe_norms, unit
from d2m_jax.core.types import Key, Number


def across(rows: jax.Array, axis: jax.Array) -> jax.Array:
    """What is left of rows [R, D] when their part along a unit axis [D] is taken out."""
    along = jnp.matmul(rows, axis, precision="highest")
    return rows - along[:, None] * axis[None, :]


def buyer_axis(context: AttackContext, updates: jax.Array) -> jax.Array:
    """The unit gradient [D] of the buyer's loss, 0 without its examples: one backward pass."""
    here = jnp.zeros(updates.shape[1], updates.dtype)
    if context.damage is None:
        return here
    gradient = -jax.grad(context.damage)(here)  # the damage is of theta - lr * aggregate
    return unit(jnp.where(jnp.isfinite(gradient), gradient, 0))


class Sight(NamedTuple):
    """What the attackers of this room aim by."""

    rows: jax.Array  # [S] bool, rows that they know
    axis: jax.Array  # [D], g
    mean: jax.Array  # [D], mu
    length: jax.Array  # [], L
    cosine: jax.Array  # [], mean of cos(u, g)


def sight_of(
    updates: jax.Array, byzantine: jax.Array, context: AttackContext, knowledge: str
) -> Sight:
    """Looks at the rows that the attacker knows."""
    rows = known_rows(updates, byzantine, context, knowledge)
    axis = buyer_axis(context, updates)
    seen = jnp.where(rows[:, None], updates, 0)
    cosines = jnp.matmul(unit(seen), axis, precision="highest")
    mean = masked_mean(updates, rows)
    count = jnp.maximum(rows.sum(), 1).astype(updates.dtype)
    return Sight(rows, axis, mean, mean_norm(updates, rows), cosines.sum() / count)


def toward(
    key: Key, sight: Sight, goal: jax.Array, shape: tuple[int, ...], cosine: Number, jitter: Number
) -> jax.Array:
    """Rows [S, D] of length L with this cosine to g; the rest points to `goal`, with noise.

    The goal is one for all, [1, D], or one for each row, [S, D].

    Every row has noise of its own, `jitter` times as long as the goal, so that none is a copy.
    """
    noise = unit(jax.random.normal(key, shape, goal.dtype))
    rest = unit(across(unit(across(goal, sight.axis)) + jitter * noise, sight.axis))
    c = jnp.clip(jnp.asarray(cosine, goal.dtype), -1, 1)
    return sight.length * (c * sight.axis[None, :] + jnp.sqrt(1 - c * c) * rest)


def orthogonal(
    key: Key,
    updates: jax.Array,
    byzantine: jax.Array,
    *,
    context: AttackContext = EMPTY,
    knowledge: str = "omniscient",
    share: Number = 1.0,
    jitter: Number = 0.1,
) -> jax.Array:
    """Keeps a share of the honest cosine to g; all other length goes against the honest mean.

    m_i = L (c g + sqrt(1 - c^2) w_i), c = share * mean cos(u, g), w_i = unit(-mu_across + noise).
    Share 1 cannot be told from honest work by g alone; 0.35 ("hover") is just above what loses
    trust. Our formulation. Cost: one backward pass and O(S D).
    """
    sight = sight_of(updates, byzantine, context, knowledge)
    cosine = share * sight.cosine
    forged = toward(key, sight, -sight.mean[None], updates.shape, cosine, jitter)
    return write_rows(updates, byzantine, forged, context, sight.rows.any())


def overfit(
    key: Key,
    updates: jax.Array,
    byzantine: jax.Array,
    *,
    context: AttackContext = EMPTY,
    knowledge: str = "omniscient",
    jitter: Number = 0.1,
) -> jax.Array:
    """Works for the buyer's examples and nothing else: m_i = L unit(g + noise).

    It takes the pay of those that are judged by these examples. Our formulation.
    """
    sight = sight_of(updates, byzantine, context, knowledge)
    noise = unit(jax.random.normal(key, updates.shape, updates.dtype))
    forged = sight.length * unit(sight.axis[None, :] + jitter * noise)
    return write_rows(updates, byzantine, forged, context, sight.rows.any())


def drowning(
    key: Key,
    updates: jax.Array,
    byzantine: jax.Array,
    *,
    context: AttackContext = EMPTY,
    knowledge: str = "omniscient",
    start: Number = 10,
    pace: Number = 0.1,
) -> jax.Array:
    """Honest first, then a slow turn against the honest mean: m_i = (1 - a) u_i + a o_i.

    a = pace * (round - start), between 0 and 1; o_i is the row of `orthogonal`, so that the cosine
    to g never gives it away. Ten honest rounds and a pace of 0.1 are those of arXiv 2509.05833.

    Raises:
        ValueError: `context.round_index` is missing.
    """
    index = jnp.asarray(required(context.round_index, "round_index", "drowning"))
    amount = jnp.clip(pace * (index.astype(updates.dtype) - start), 0, 1).astype(updates.dtype)
    turned = orthogonal(key, updates, byzantine, context=context, knowledge=knowledge)
    forged = (1 - amount) * jnp.where(byzantine[:, None], updates, 0) + amount * turned
    return write_rows(updates, byzantine, forged, context)


def sleeper(
    key: Key,
    updates: jax.Array,
    byzantine: jax.Array,
    *,
    context: AttackContext = EMPTY,
    knowledge: str = "omniscient",
    level: Number = 0.95,
    share: Number = -1.0,
) -> jax.Array:
    """Attacks while it is trusted, works while it is not: on and off at the pace of the forgetting.

    A seller whose reputation is at least `level` of the best of the round sends the row of
    `orthogonal` with this share of the honest cosine (-1: against g as well), else its own work.
    The pivot of arXiv 2509.05833, with the reputation in the place of past selections.

    Raises:
        ValueError: `context.reputation` is missing.
    """
    reputation = required(context.reputation, "reputation", "sleeper")
    best = jnp.where(present(updates, context), reputation, 0).max()
    awake = byzantine & (reputation >= level * best)
    turned = orthogonal(key, updates, byzantine, context=context, knowledge=knowledge, share=share)
    return write_rows(updates, awake, turned, context)


def opportunist(
    key: Key,
    updates: jax.Array,
    byzantine: jax.Array,
    *,
    context: AttackContext = EMPTY,
    knowledge: str = "omniscient",
    level: Number = 1.0,
    scale: Number = 10.0,
) -> jax.Array:
    """Inflates only while the sampling mass is high: m_i = scale o_i, o_i the row of `orthogonal`.

    High is at least `level` times the even share 1 / N. Below it works, until the mass is back.
    Our formulation.

    Raises:
        ValueError: `context.mass` is missing.
    """
    awake = byzantine & (required(context.mass, "mass", "opportunist") >= level)
    turned = orthogonal(key, updates, byzantine, context=context, knowledge=knowledge)
    return write_rows(updates, awake, scale * turned, context)


def pawns(
    key: Key,
    updates: jax.Array,
    byzantine: jax.Array,
    *,
    context: AttackContext = EMPTY,
    knowledge: str = "omniscient",
    loud: Number = 0.5,
    scale: Number = 10.0,
) -> jax.Array:
    """Corners the cap on exclusions: some attackers are loud, so that the others are not seen.

    The first share `loud` of the attackers that are present send -scale u_i and draw all evidence
    (a defence that excludes so many at most excludes these); the others are `orthogonal`. Our
    formulation.
    """
    here = byzantine & present(updates, context)
    rank = jnp.cumsum(here.astype(updates.dtype)) - 1
    shouts = here & (rank < jnp.round(loud * here.sum().astype(updates.dtype)))
    quiet = orthogonal(key, updates, byzantine, context=context, knowledge=knowledge)
    forged = jnp.where(shouts[:, None], -scale * updates, quiet)
    return write_rows(updates, byzantine, forged, context)


def framing(
    key: Key,
    updates: jax.Array,
    byzantine: jax.Array,
    *,
    context: AttackContext = EMPTY,
    knowledge: str = "omniscient",
    share: Number = 1.0,
    jitter: Number = 0.1,
) -> jax.Array:
    """Makes an honest seller look like an enemy of the others: all point away from its update.

    The victim is the known row with the least cosine to g; the attackers keep a share of the honest
    cosine and put the rest of their length against the victim. Our formulation.
    """
    sight = sight_of(updates, byzantine, context, knowledge)
    rows = unit(jnp.where(sight.rows[:, None], updates, 0))
    cosines = jnp.where(sight.rows, jnp.matmul(rows, sight.axis, precision="highest"), jnp.inf)
    victim = jnp.where(sight.rows.any(), rows[jnp.argmin(cosines)], 0)
    cosine = share * sight.cosine
    forged = toward(key, sight, -victim[None], updates.shape, cosine, jitter)
    return write_rows(updates, byzantine, forged, context, sight.rows.any())


def duel(
    key: Key,
    updates: jax.Array,
    byzantine: jax.Array,
    *,
    context: AttackContext = EMPTY,
    knowledge: str = "omniscient",
    share: Number = 1.0,
    jitter: Number = 0.1,
) -> jax.Array:
    """Every attacker undoes the work of another honest seller, so that no two of them are alike.

    The k-th attacker keeps a share of the honest cosine to g and puts the rest of its length
    against the k-th known row (in turn, when there are fewer). Colluders that push together stick
    out by what they have in common; these have nothing. Our formulation.
    """
    sight = sight_of(updates, byzantine, context, knowledge)
    here = byzantine & present(updates, context)
    order = jnp.argsort(~sight.rows)  # known rows first, stable
    turn = (jnp.cumsum(here) - 1) % jnp.maximum(sight.rows.sum(), 1)
    rival = unit(jnp.where(sight.rows[:, None], updates, 0))[order[turn]]
    forged = toward(key, sight, -rival, updates.shape, share * sight.cosine, jitter)
    return write_rows(updates, byzantine, forged, context, sight.rows.any())


def knock_out(
    key: Key,
    updates: jax.Array,
    byzantine: jax.Array,
    *,
    context: AttackContext = EMPTY,
    blend: Number = 0.5,
) -> jax.Array:
    """Harm behind what was chosen last time: m_i = (1 - blend) (-u_i) + blend ||u_i|| p.

    p is the unit aggregate of the round before (zero in the first). The Sybil strategies "mimic"
    and "knock-out" of arXiv 2509.05833 are such blends with the mean of what was selected; a blend
    of 1 works no more and only replays. Cost O(S D).

    Raises:
        ValueError: `context.previous` is missing.
    """
    del key  # unused
    previous = required(context.previous, "previous", "knock_out").astype(updates.dtype)
    lengths = safe_norms(jnp.where(byzantine[:, None], updates, 0))
    forged = -(1 - blend) * updates + blend * lengths[:, None] * unit(previous[None])
    return write_rows(updates, byzantine, forged, context)


class CopycatState(NamedTuple):
    """What a copycat remembers."""

    seen: jax.Array  # [] int32, rounds in which its model was seen
    mean: jax.Array  # [D] float32, mean update of that seller


def copycat_init(num_params: int) -> CopycatState:
    """The state before the first round."""
    return CopycatState(jnp.int32(0), jnp.zeros(num_params, jnp.float32))


def copycat_observe(
    state: CopycatState,
    updates: jax.Array,
    byzantine: jax.Array,
    *,
    context: AttackContext = EMPTY,
    target: Number = 0,
    fading: Number = 0.5,
) -> CopycatState:
    """Averages what the target sends: mean <- fading mean + (1 - fading) u; the first starts it."""
    ids = jnp.arange(updates.shape[0]) if context.ids is None else context.ids
    rows = known_rows(updates, byzantine, context, "omniscient")
    wanted = rows & (ids == jnp.asarray(target).astype(ids.dtype))
    new = updates[jnp.argmax(wanted)].astype(state.mean.dtype)
    weight = jnp.where(state.seen > 0, 1 - jnp.asarray(fading).astype(new.dtype), 1)
    learnt = CopycatState(state.seen + 1, state.mean + weight * (new - state.mean))
    return jax.tree.map(lambda a, b: jnp.where(wanted.any(), a, b), learnt, state)


def copycat(
    key: Key,
    updates: jax.Array,
    byzantine: jax.Array,
    *,
    context: AttackContext = EMPTY,
    warmup: Number = 3,
    jitter: Number = 0.1,
) -> jax.Array:
    """Copies a competitor after observation: after some rounds it sends that seller's mean update.

    m_i = ||u_i|| unit(mean + jitter noise), once the seller was seen in `warmup` rounds; honest
    work before. Three rounds are those of arXiv 2509.05833 ("averaged history").

    Raises:
        ValueError: `context.state` is missing.
    """
    state: CopycatState = required(context.state, "state", "copycat")
    noise = unit(jax.random.normal(key, updates.shape, updates.dtype))
    lengths = safe_norms(jnp.where(byzantine[:, None], updates, 0))
    rows = unit(unit(state.mean.astype(updates.dtype)[None]) + jitter * noise)
    ready = state.seen.astype(updates.dtype) >= warmup
    return write_rows(updates, byzantine, lengths[:, None] * rows, context, ready)
