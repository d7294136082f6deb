"""How many seats the execution sets have. Read next: `sortition.py`.

A schedule gives the running total of seats after each attempt; sortition fills them.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from d2m_jax.cone.params import ConeParams


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
    i = jnp.arange(1, attempts + 1)
    base = jnp.maximum(jnp.asarray(params.base, jnp.int32), 1)
    return jnp.minimum(i * base + 2 ** jnp.minimum(i, 29) - 1, 2**29)


def fixed(params: ConeParams, attempts: int) -> jax.Array:
    """Running totals of sets of `params.size` seats each, `[A] int32`."""
    return jnp.arange(1, attempts + 1) * jnp.maximum(jnp.asarray(params.size, jnp.int32), 1)


def default_attempts(schedule: str, pool: int) -> int:
    """A bound on the attempts: enough to exhaust the pool when sets grow, else 32 (our choice)."""
    if schedule == "exponential":
        return next(r for r in range(1, 64) if r + 2**r - 1 >= pool)
    return min(pool, 32) if schedule == "fixed" else 32


# None: sets have no fixed size, `sortition.independent_seats` draws every node on its own.
SCHEDULES: dict[str, Callable[[ConeParams, int], jax.Array] | None] = {
    "exponential": exponential,
    "fixed": fixed,
    "independent": None,
}
