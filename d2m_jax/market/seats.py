"""When the sets of several votes meet that share their nodes: a node executes one at a time.

Every job's vote draws its sets from the whole pool, so other jobs take nothing from its safety:
what is accepted, who is paid and who is slashed is as if it were alone. A set meets once all its
nodes are free of the other jobs' sets; other jobs cost time.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from d2m_jax import cone


class Timetable(NamedTuple):
    """When J votes are over; one step is an execution with its commits and its reveals."""

    ends: jax.Array  # [J] int32, steps until each vote is decided
    last: jax.Array  # [] int32, until all are
    meets: jax.Array  # [J, A] int32, the step in which each set meets, -1 never


def sits_of(sets: cone.Sets) -> jax.Array:
    """[A, C] bool: who sits in which set of one vote."""
    attempts = jnp.arange(sets.size.shape[0], dtype=jnp.int32)
    return (sets.seat[None] == attempts[:, None, None]).any(axis=1)


def timetable(sits: jax.Array, used: jax.Array, first: jax.Array | int = 0) -> Timetable:
    """Seats the sets of J votes step by step, the sets of a vote in their order.

    In every step each job, from `first` on in a circle, has its next set meet if none of its nodes
    sits already. So a step seats at least one set: all end within the sum of the sets.

    Args:
        sits: [J, A, C] bool, from `sits_of`.
        used: [J] int32, sets until each vote was decided.
        first: [] int32, the job that may choose first.

    Returns:
        A `Timetable`. Cost: J C per step.
    """
    num_jobs, attempts, num_nodes = sits.shape
    order = jnp.roll(jnp.arange(num_jobs, dtype=jnp.int32), -first)

    def seat(
        carry: tuple[jax.Array, jax.Array, jax.Array, jax.Array], job: jax.Array
    ) -> tuple[tuple[jax.Array, jax.Array, jax.Array, jax.Array], None]:
        busy, done, meets, step = carry
        wanted = sits[job, jnp.minimum(done[job], attempts - 1)]
        goes = (done[job] < used[job]) & ~(wanted & busy).any()
        meets = meets.at[job, done[job]].max(jnp.where(goes, step, -1))
        return (busy | (wanted & goes), done.at[job].add(goes), meets, step), None

    def step(
        carry: tuple[jax.Array, jax.Array, jax.Array],
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        done, meets, now = carry
        free = jnp.zeros(num_nodes, bool)
        (_, done, meets, _), _ = jax.lax.scan(seat, (free, done, meets, now), order)
        return done, meets, now + 1

    start = jnp.zeros_like(used), jnp.full((num_jobs, attempts), -1, jnp.int32), jnp.int32(0)
    _, meets, last = jax.lax.while_loop(lambda carry: (carry[0] < used).any(), step, start)
    return Timetable(meets.max(axis=1) + 1, last, meets)
