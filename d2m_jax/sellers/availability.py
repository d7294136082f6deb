"""Who can be drawn in a round: `availability(key, round_index, num_sellers, **n) -> [N] bool`.

Pass the same key in every round: what is drawn anew folds the round in itself. Not here: sellers
that are drawn and then deliver nothing (`participation.py`).
"""

from typing import Any, Protocol

import jax
import jax.numpy as jnp

from d2m_jax.core.types import Key, Number


class Availability(Protocol):
    """Who can be drawn in a round."""

    def __call__(
        self, key: Key, round_index: Number, num_sellers: int, /, *given: Any, **numbers: Any
    ) -> jax.Array:
        """`[N]` bool, True for sellers that can be drawn.

        Args:
            key: of the run, the same in every round.
            round_index: `[]` int32, from 0.
            num_sellers: N.
            given: nothing.
            numbers: of the availability.
        """


def sporadic(key: Key, round_index: Number, num_sellers: int, *, share: Number = 0.5) -> jax.Array:
    """Each seller is there with probability `share`, in every round anew."""
    return jax.random.uniform(jax.random.fold_in(key, round_index), (num_sellers,)) < share


def diurnal(
    key: Key,
    round_index: Number,
    num_sellers: int,
    *,
    period: Number = 24.0,
    share: Number = 0.5,
    spread: Number = 1.0,
) -> jax.Array:
    """Each seller is there in a `share` of every `period` of rounds, each from a time of its own.

    Formula: (round / period + spread u_i) mod 1 < share, u_i uniform in [0, 1): with spread 1 the
    sellers live all round the globe, with 0 in one place, where nobody is there at night.
    """
    begin = spread * jax.random.uniform(key, (num_sellers,))
    turns = jnp.asarray(round_index).astype(begin.dtype) / jnp.asarray(period).astype(begin.dtype)
    return jnp.mod(turns + begin, 1) < share


def replayed(table: jax.Array) -> Availability:
    """An availability trace: row r of `table` `[T, N]` bool is who is there in round r mod T.

    Example: `Spec(availability=replayed(trace))`.

    Raises:
        ValueError: no table of booleans; when it is called, one of another number of sellers.
    """
    trace = jnp.asarray(table)
    if trace.ndim != 2 or trace.dtype != bool or 0 in trace.shape:
        raise ValueError(
            f"an availability trace is a table [rounds, sellers] of booleans, not {trace.dtype} of "
            f"shape {trace.shape}"
        )

    def from_trace(key: Key, round_index: Number, num_sellers: int) -> jax.Array:
        del key  # unused
        if trace.shape[1] != num_sellers:
            raise ValueError(
                f"the availability trace has {trace.shape[1]} sellers, not {num_sellers}"
            )
        return trace[jnp.asarray(round_index) % trace.shape[0]]

    return from_trace


AVAILABILITIES: dict[str, Availability] = {"sporadic": sporadic, "diurnal": diurnal}
