"""When bad sellers are bad: always, from some round on, now and then, or others each round.

Not here: what they do (`updates.py`, `data.py`). Read next: `market/engine.py`.

`schedule(key, round_index, byzantine [N], **numbers) -> active [N] bool`. Pass the same key in
every round: the schedules that draw fold the round in themselves.
"""

from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp

from d2m_jax.core import choices
from d2m_jax.core.types import Key, Number


class Active(Protocol):
    """Who attacks in a round."""

    def __call__(
        self,
        key: Key,
        round_index: Number,
        byzantine: jax.Array,
        /,
        *given: Any,
        **numbers: Any,
    ) -> jax.Array:
        """Of the bad sellers `byzantine` `[N]` bool those that are bad in this round, `[N]` bool.

        Args:
            key: of the run, the same in every round.
            round_index: `[]` int32, from 0.
            byzantine: `[N]` bool.
            given: nothing.
            numbers: of the schedule.
        """


class Schedule(NamedTuple):
    """One entry of the registry. Called like a function, it calls `active`."""

    active: Active

    @property
    def numbers(self) -> dict[str, Number]:
        """What may be traced and swept, with defaults."""
        return choices.numbers(self.active)

    def __call__(
        self, key: Key, round_index: Number, byzantine: jax.Array, **numbers: Any
    ) -> jax.Array:
        """`active(key, round_index, byzantine, **numbers)`."""
        return self.active(key, round_index, byzantine, **numbers)


def as_schedule(part: Schedule | Active) -> Schedule:
    """A schedule from a function of the user's own; a `Schedule` stays what it is.

    Args:
        part: a `Schedule`, or `schedule(key, round_index, byzantine, **numbers) -> active`.

    Raises:
        ValueError: neither.
    """
    if isinstance(part, Schedule):
        return part
    if not callable(part):
        raise ValueError(f"a schedule must be a Schedule or a function, not {part!r}")
    return Schedule(part)


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
    return byzantine & (_float(round_index) >= _float(start))


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
    phase = _float(round_index) % jnp.maximum(_float(period), 1)
    return byzantine & (phase < _float(duty))


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


def _float(number: Number) -> jax.Array:
    """A round or a count as float32, exact up to 2^24."""
    return jnp.asarray(number).astype(jnp.float32)
