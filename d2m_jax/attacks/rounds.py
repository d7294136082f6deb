"""Attacks that lean on the last global step: poisoned_fl, relocated, sparse_hybrid, neurotoxin.

Not here: free-riders, which copy it (`imitation.py`). Read next: `backdoors.py`.

The model moves against the aggregate, theta - lr * aggregate, so what is said of steps of the model
in the papers is said of aggregates here; signs do not matter where a direction is drawn.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from d2m_jax.attacks.base import (
    EMPTY,
    AttackContext,
    known_rows,
    masked_mean,
    masked_std,
    required,
    write_rows,
)
from d2m_jax.core.norms import row_norms, safe_norms, unit
from d2m_jax.core.selection import kth_largest
from d2m_jax.core.types import Key, Number

LEAST_FACTOR = 0.5  # of poisoned_fl: the released code stops here
QUANTILE = 2.326  # of the normal distribution, for 99 %


class Course(NamedTuple):
    """What poisoned_fl knows of the model's way."""

    signs: jax.Array  # [D] float32, the direction of all rounds
    forged: jax.Array  # [D] float32, what is sent this round
    moved: jax.Array  # [D] float32, sum of the aggregates since the last test
    factor: jax.Array  # [] float32, c
    rounds: jax.Array  # [] int32, seen


def poisoned_fl_init(num_params: int) -> Course:
    """A direction, and nothing seen; the direction depends on the size of the model alone."""
    signs = jax.random.rademacher(jax.random.key(num_params), (num_params,), jnp.float32)
    zeros = jnp.zeros(num_params, jnp.float32)
    return Course(signs, zeros, zeros, jnp.float32(-1), jnp.int32(0))


def poisoned_fl_observe(
    state: Course,
    updates: jax.Array,
    byzantine: jax.Array,
    *,
    context: AttackContext = EMPTY,
    strength: Number = 8.0,
    decay: Number = 0.7,
    period: Number = 50,
) -> Course:
    """What is sent this round, and every `period` rounds a test whether it worked.

    g the last aggregate, m what was sent for it: v = |g - m |g| / |m|| / its norm, per coordinate;
    m <- c |g| v s. The test counts the coordinates in which the aggregates of the period sum to the
    sign s: with no effect they are binomial, and unless there are more than the 99 % quantile (as
    a normal variable) c <- decay c, as long as that is 0.5 or more.
    """
    del updates, byzantine  # unused
    previous = required(context.previous, "previous", "poisoned_fl").astype(state.moved.dtype)
    rounds, moved = state.rounds + 1, state.moved + previous
    size = state.signs.shape[0]
    agreeing = jnp.sum(jnp.sign(moved) == state.signs).astype(moved.dtype)
    failed = agreeing <= 0.5 * size + QUANTILE * 0.5 * size**0.5
    due = rounds.astype(moved.dtype) % jnp.asarray(period).astype(moved.dtype) == 0
    factor = jnp.where(state.factor < 0, jnp.asarray(strength).astype(moved.dtype), state.factor)
    less = factor * jnp.asarray(decay).astype(moved.dtype)
    factor = jnp.where(due & failed & (less >= LEAST_FACTOR), less, factor)
    length, before = safe_norms(jnp.stack([previous, state.forged]))
    rest = jnp.abs(previous - state.forged * (length / jnp.where(before > 0, before, 1)))
    along = safe_norms(rest[None])[0]
    forged = factor * length * rest / jnp.where(along > 0, along, 1) * state.signs
    return Course(state.signs, forged, jnp.where(due, 0, moved), factor, rounds)


def poisoned_fl(
    key: Key,
    updates: jax.Array,
    byzantine: jax.Array,
    *,
    context: AttackContext = EMPTY,
    strength: Number = 8.0,
    decay: Number = 0.7,
    period: Number = 50,
) -> jax.Array:
    """The same signs in every round, in lengths that look like what the model still learns.

    Knows no honest update, only the model's way; see `poisoned_fl_observe`. Before there is a
    global step the attackers send what they computed (our choice). Source: Xie, Fang, Gong,
    CVPR 2025.

    Raises:
        ValueError: `context.state` is missing.
    """
    del key, strength, decay, period  # unused
    state: Course = required(context.state, "state", "poisoned_fl")
    return write_rows(updates, byzantine, state.forged, context, jnp.any(state.forged != 0))


def relocated(
    key: Key,
    updates: jax.Array,
    byzantine: jax.Array,
    *,
    context: AttackContext = EMPTY,
    knowledge: str = "omniscient",
    z: Number = 1.0,
    angle: Number = 270.0,
    location: Number = 1.0,
    reference: Number = 0.9,
) -> jax.Array:
    """ROP: a perturbation at an angle to where the model goes, sent from where it was.

    Formula: M the last aggregate, u = l M + (1 - l) mu; p = 1 - <1, u> u / <u, u>; with unit
    vectors, m = pi M + (1 - pi) mu + z ||mu|| (sin a p + cos a u).

    Args:
        key: unused.
        updates: [S, D].
        byzantine: [S] bool.
        context: mask, previous.
        knowledge: "omniscient" or "byzantine".
        z: length of the perturbation in lengths of mu (our choice; the paper's is absolute).
        angle: a in degrees; 270 and the two shares as in a port.
        location: pi.
        reference: l.

    In the first round M is 0. Source: Ozfatura et al. 2022 (arXiv 2208.09894). Cost O(S D).

    Raises:
        ValueError: `context.previous` is missing.
    """
    del key  # unused
    last = required(context.previous, "previous", "relocated").astype(updates.dtype)
    rows = known_rows(updates, byzantine, context, knowledge)
    mean = masked_mean(updates, rows)
    ahead = unit(reference * last + (1 - reference) * mean)
    across = unit(1 - jnp.sum(ahead) * ahead)
    turn = jnp.deg2rad(jnp.asarray(angle).astype(updates.dtype))
    length = z * safe_norms(mean[None])[0]
    push = length * (jnp.sin(turn) * across + jnp.cos(turn) * ahead)
    return write_rows(
        updates, byzantine, location * last + (1 - location) * mean + push, context, rows.any()
    )


def sparse_hybrid(
    key: Key,
    updates: jax.Array,
    byzantine: jax.Array,
    *,
    context: AttackContext = EMPTY,
    knowledge: str = "omniscient",
    share: Number = 0.005,
    strong: Number = 10.0,
    z: Number = 0.25,
) -> jax.Array:
    """Strong on few sensitive coordinates, a little on all others: m = mu - w sigma sign(mu).

    w = strong on the floor(share D) coordinates (one at least) with the largest |mu|, z elsewhere.
    The paper finds sensitive coordinates by pruning the network; the attack here sees no network,
    so the largest honest steps stand in, and the three numbers are ours. Source: arXiv 2404.06230,
    the weights and the sign as in a port. Cost O(S D) and 31 passes over mu.
    """
    del key  # unused
    rows = known_rows(updates, byzantine, context, knowledge)
    mean = masked_mean(updates, rows)
    sizes = jnp.abs(mean)
    count = jnp.maximum(jnp.floor(share * sizes.shape[0] + 1e-4), 1).astype(jnp.int32)
    weight = jnp.where(sizes >= kth_largest(sizes[None], count)[0], strong, z)
    shift = weight * masked_std(updates, rows, mean) * jnp.sign(mean)
    return write_rows(updates, byzantine, mean - shift, context, rows.any())


def unheeded(
    key: Key,
    updates: jax.Array,
    byzantine: jax.Array,
    *,
    context: AttackContext = EMPTY,
    heavy: Number = 0.1,
    radius: Number = 1.0,
    boost: Number = 1.0,
    **trigger: Number,
) -> jax.Array:
    """Neurotoxin: the backdoored update, only where the last global step hardly moved the model.

    The floor(heavy D) coordinates in which the last aggregate is largest are set to 0; the rest,
    times `boost`, is cut to `radius` lengths of what the attacker computed, so that it stays
    inconspicuous. Before there is a global step all coordinates count. Source: Zhang et al.,
    ICML 2022 (heavy hitters from the last global step; its projection is to an absolute norm).

    Raises:
        ValueError: `context.previous` is missing.
    """
    del key, trigger  # unused
    last = jnp.abs(required(context.previous, "previous", "neurotoxin").astype(updates.dtype))
    count = jnp.floor(heavy * last.shape[0] + 1e-4).astype(jnp.int32)
    free = (last < kth_largest(last[None], count)[0]) | (last == 0)
    forged = boost * jnp.where(free[None], updates, 0)
    lengths, limit = row_norms(forged), radius * row_norms(updates)
    cut = jnp.where(lengths > limit, limit / jnp.where(lengths > 0, lengths, 1), 1)
    return write_rows(updates, byzantine, cut[:, None] * forged, context)
