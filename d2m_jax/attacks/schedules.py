"""When bad sellers are bad: always, from some round on, now and then, or others each round.

Not here: what they do (`updates.py`, `data.py`). Read next: `market.py`.

`schedule(key, round_index, byzantine [N], **hyper) -> active [N] bool`. Pass the same key in every
round: the schedules that draw fold the round in themselves.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp

from d2m_jax.core.types import Key, Number


class Schedule(NamedTuple):
    """One entry of the registry."""

    active: Callable[..., jax.Array]
    hyper: Mapping[str, float] = {}  # default numbers; what a config may set


def fixed(key: Key, round_index: Number, byzantine: jax.Array) -> jax.Array:
    """The same sellers attack in every round."""
    del key, round_index  # unused
    return byzantine


def resampled(key: Key, round_index: Number, byzantine: jax.Array) -> jax.Array:
    """As many sellers attack as there are bad ones, but drawn anew each round among all.

    This is "Byzantine rows", not "Byzantine sellers": no memory can help the defence.
    """
    return jax.random.permutation(jax.random.fold_in(key, round_index), byzantine)


def dormant(
    key: Key, round_index: Number, byzantine: jax.Array, *, start: Number = 10
) -> jax.Array:
    """Honest until round `start` (from 0), then always bad: earns reputation first."""
    del key  # unused
    return byzantine & (jnp.asarray(round_index) >= start)


def intermittent(
    key: Key,
    round_index: Number,
    byzantine: jax.Array,
    *,
    period: Number = 5,
    duty: Number = 1,
) -> jax.Array:
    """Bad in the first `duty` rounds of every `period` rounds, all together."""
    del key  # unused
    phase = jnp.asarray(round_index) % jnp.maximum(period, 1)
    return byzantine & (phase < duty)


def sporadic(
    key: Key,
    round_index: Number,
    byzantine: jax.Array,
    *,
    probability: Number = 0.5,
) -> jax.Array:
    """Each bad seller decides alone, each round, with that probability."""
    draw = jax.random.uniform(jax.random.fold_in(key, round_index), byzantine.shape)
    return byzantine & (draw < probability)
