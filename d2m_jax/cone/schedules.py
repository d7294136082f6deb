"""How many seats the execution sets have. Read next: `sortition.py`.

A schedule gives the running total of seats after each attempt; sortition fills them. One of your
own is a function `(params, attempts) -> [A] int32`; its numbers are bound by `functools.partial`.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from d2m_jax.cone.params import ConeParams
from d2m_jax.cone.parts import resolve
from d2m_jax.core.choices import label
from d2m_jax.core.promises import check_call, integers, kept

MOST_ATTEMPTS = 32  # where nothing says how many it takes (our choice)


class SeatTotals(Protocol):
    """`(params, attempts) -> [A] int32`: seats given out after each attempt, never falling."""

    def __call__(self, params: ConeParams, attempts: int, /) -> jax.Array:
        """Running totals of seats."""


class SetSchedule(NamedTuple):
    """The sizes of the sets, and how many sets there are unless the caller says so."""

    seats: SeatTotals | None  # None: no fixed size, every node is drawn on its own
    attempts: Callable[[int], int] | None = None  # pool -> A; None: the seats are counted up


Schedule: TypeAlias = str | SetSchedule | SeatTotals


def exponential(params: ConeParams, attempts: int) -> jax.Array:
    """Running totals of sets that grow as `size_i = base + 2^(i-1)`.

    After r attempts `r base + 2^r - 1` seats were given out, so at most about log2(C) attempts
    exhaust a pool of C. What i counts is left open by the paper; ours: the attempt within one
    unit of work. Source: D2M (arXiv 2512.10372), as quoted by its reviews.

    Args:
        params: uses `base`, at least 1.
        attempts: A, static.

    Returns:
        `[A] int32` seats, saturating at 2^29.
    """
    i = jnp.arange(1, attempts + 1, dtype=jnp.int32)
    base = jnp.maximum(jnp.asarray(params.base, jnp.int32), 1)
    return jnp.minimum(i * base + 2 ** jnp.minimum(i, 29) - 1, 2**29)


def fixed(params: ConeParams, attempts: int) -> jax.Array:
    """Running totals of sets of `params.size` seats each, `[A] int32`."""
    size = jnp.maximum(jnp.asarray(params.size, jnp.int32), 1)
    return jnp.arange(1, attempts + 1, dtype=jnp.int32) * size


def _until_doubled(pool: int) -> int:
    """Enough attempts for sets of one seat more than half of all before them."""
    return next(r for r in range(1, 64) if r + 2**r - 1 >= pool)


def _one_each(pool: int) -> int:
    return min(pool, MOST_ATTEMPTS)


def _most(pool: int) -> int:
    del pool
    return MOST_ATTEMPTS


SCHEDULES: dict[str, SetSchedule] = {
    "exponential": SetSchedule(exponential, _until_doubled),
    "fixed": SetSchedule(fixed, _one_each),
    "independent": SetSchedule(None, _most),  # `sortition.independent_seats`
}


def schedule_of(choice: Schedule) -> SetSchedule:
    """The schedule of a name, a record or a function of the user's own."""
    return resolve(SCHEDULES, choice, SetSchedule, "schedule")


def totals(schedule: Schedule, params: ConeParams, attempts: int) -> jax.Array:
    """The running totals of a schedule that has them, checked: `[A] int32`.

    Raises:
        ValueError: another shape than `[A]`, no integers, or (where they are known) totals that
            fall or stay below one seat.
    """
    seats = schedule_of(schedule).seats
    assert seats is not None, "sets without a fixed size have no totals"
    what = f"set schedule {label(schedule)!r}"
    check_call(what, seats, params, attempts)
    ends = kept(what, seats(params, attempts), integers(attempts))
    if not isinstance(ends, jax.core.Tracer):
        check_totals(schedule, np.asarray(ends))
    return ends.astype(jnp.int32)


def check_totals(schedule: Schedule, ends: np.ndarray) -> None:
    """Raises a ValueError where running totals `[..., A]` fall or stay below one seat."""
    if (np.diff(ends, axis=-1, prepend=0) < 0).any() or (ends[..., -1] < 1).any():
        raise ValueError(
            f"the running totals of schedule {label(schedule)!r} must not fall and must reach one "
            f"seat, got {ends.reshape(-1, ends.shape[-1])[0].tolist()}"
        )


def default_attempts(schedule: Schedule, pool: int, params: ConeParams | None = None) -> int:
    """A bound on the attempts: enough to exhaust the pool when sets grow, else 32 (our choice).

    A schedule of the user's own is evaluated on the host; where its numbers are traced it gets 32,
    which changes no result: a vote ends with the pool.

    Args:
        schedule: a name, a record or a function.
        pool: voters.
        params: for a schedule of the user's own; by default `ConeParams()`.
    """
    chosen = schedule_of(schedule)
    if chosen.attempts is not None:
        return chosen.attempts(pool)
    with jax.ensure_compile_time_eval():
        ends = totals(schedule, ConeParams() if params is None else params, MOST_ATTEMPTS)
    if isinstance(ends, jax.core.Tracer):
        return MOST_ATTEMPTS
    used_up = np.flatnonzero(np.asarray(ends) >= pool)
    return int(used_up[0]) + 1 if used_up.size else MOST_ATTEMPTS
