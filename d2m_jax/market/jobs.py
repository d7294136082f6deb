"""Several jobs over one ledger, one pool of nodes and one clock: what is whose.

    each_job    side by side (`vmap`): models, rounds of training, votes, evaluations
    in_turn     one after another (`scan`): what moves money in the ledger
    job_of      what one of the jobs left behind, as the outcome of a market of one job

With one job there is no axis of jobs, no vmap and no scan: the functions themselves are called, at
slot `JOB`. Read next: `seats.py`, the time that votes take which share their nodes.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import jax
import jax.numpy as jnp

from d2m_jax.data import FederatedData
from d2m_jax.ledger import Ledger
from d2m_jax.market.state import JOB, MarketOutcome, MarketState

T = TypeVar("T")

SHARED = ("round", "ledger", "roles", "opening", "shown")  # fields that all jobs share
AXES: Any = MarketState._make(None if name in SHARED else 0 for name in MarketState._fields)
_OF_ALL: dict[str, Any] = {"pool": None, "stats": None, "units": None}
_OWN = ("rows", "starts", "sizes", "correction", "verdict", "root", "test")
DATA_AXES = FederatedData(**{**_OF_ALL, **dict.fromkeys(_OWN, 0)})


def has_own_data(data: FederatedData) -> bool:
    """Whether every job has holdings and examples of its own, with a leading axis of jobs."""
    return data.sizes.ndim > 1


def each_job(
    num_jobs: int,
    work: Callable[..., T],
    state: MarketState | None,
    data: FederatedData,
    *mine: Any,
    out_axes: Any = 0,
) -> T:
    """`work(job, state, data, *mine)` of every job at once.

    Args:
        num_jobs: J, static; with 1 no leaf has an axis of jobs.
        work: reads one job's state and data; must not move money.
        state: of all jobs, fields that are not `SHARED` with a leading J; or None.
        data: of all jobs, or shared by them.
        *mine: further arguments, every leaf with a leading J.
        out_axes: of what it returns; `AXES` for a state.

    Returns:
        What it returns for each, leaves with a leading J.
    """
    if num_jobs == 1:
        return work(JOB, state, data, *mine)
    axes = (
        0,
        None if state is None else AXES,
        DATA_AXES if has_own_data(data) else None,
        *(0 for _ in mine),
    )
    slots = jnp.arange(num_jobs, dtype=jnp.int32)
    found: T = jax.vmap(work, axes, out_axes)(slots, state, data, *mine)
    return found


def in_turn(
    num_jobs: int,
    book: Callable[..., tuple[Ledger, T]],
    ledger: Ledger,
    *mine: Any,
    order: jax.Array | None = None,
) -> tuple[Ledger, T]:
    """`book(job, ledger, *mine) -> (ledger, found)` of one job after another.

    Args:
        num_jobs: J, static; with 1 no leaf has an axis of jobs.
        book: acts for one job; it gets the ledger that the job before it left.
        ledger: before.
        *mine: further arguments, every leaf with a leading J.
        order: [J] int32, which job comes first; by default that of the slots.

    Returns:
        The ledger after the last one, and what was found for each, leaves with a leading J.
    """
    if num_jobs == 1:
        return book(JOB, ledger, *mine)
    order = jnp.arange(num_jobs, dtype=jnp.int32) if order is None else order

    def turn(ledger: Ledger, job: jax.Array) -> tuple[Ledger, T]:
        return book(job, ledger, *jax.tree.map(lambda x: x[job], mine))

    ledger, found = jax.lax.scan(turn, ledger, order)
    places = jnp.zeros_like(order).at[order].set(jnp.arange(num_jobs, dtype=jnp.int32))
    return ledger, jax.tree.map(lambda x: x[places], found)


def of_each(num_jobs: int, value: jax.Array) -> jax.Array:
    """The value that every job begins with, [J, ...]; with one job the value itself."""
    return value if num_jobs == 1 else jnp.broadcast_to(value, (num_jobs, *value.shape))


def own_part(num_jobs: int, state: MarketState) -> MarketState:
    """The state without what all jobs share, as an argument of `in_turn`."""
    nothing: dict[str, Any] = dict.fromkeys(SHARED, ())
    return state if num_jobs == 1 else state._replace(**nothing)


def with_shared(mine: MarketState, state: MarketState, ledger: Ledger) -> MarketState:
    """One job's own part with what all jobs share, and the ledger as it stands."""
    shared = {name: getattr(state, name) for name in SHARED}
    return mine._replace(**{**shared, "ledger": ledger})


def job_of(outcome: MarketOutcome, job: int, *, worlds: bool = False) -> MarketOutcome:
    """What one of several jobs left behind, for whatever reads the outcome of one job.

    The ledger keeps all accounts and this job's slot, so money of the other jobs counts in
    balances, not in pools; the rounds have the latency that waiting for shared nodes cost. With
    `worlds` every leaf of the outcome has a leading axis of worlds, and keeps it.
    """
    lead = (slice(None),) * worlds

    def slot(ledger: Ledger) -> Ledger:
        rows = jax.tree.map(lambda x: x[(*lead, slice(job, job + 1))], ledger.jobs)
        return replace(ledger, jobs=rows)

    def own(tree: T) -> T:
        found: T = jax.tree.map(lambda x: x[(*lead, job)], tree)
        return found

    def over_time(tree: T) -> T:
        found: T = jax.tree.map(lambda x: x[(*lead, slice(None), job)], tree)
        return found

    return MarketOutcome(
        theta=own(outcome.theta),
        ledger=slot(outcome.ledger),
        opening=slot(outcome.opening),
        roles=outcome.roles,
        auction=own(outcome.auction),
        closing=own(outcome.closing),
        scores=own(outcome.scores),
        defence=own(outcome.defence),
        rounds=over_time(outcome.rounds),
        evaluations=over_time(outcome.evaluations),
        attack_success=own(outcome.attack_success),
        found_out=outcome.found_out,
    )
