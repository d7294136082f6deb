"""One round of every job: the work, the vote on it, the model, the money.

Work, votes and models of several jobs are computed side by side; the money is booked one job after
another, when the last vote is over. Read first: `jobs.py`.
"""

from functools import partial

import jax
import jax.numpy as jnp

from d2m_jax import cone
from d2m_jax import ledger as books
from d2m_jax.config.hparams import HParams
from d2m_jax.core.types import Key
from d2m_jax.data import FederatedData
from d2m_jax.ledger import Ledger
from d2m_jax.market.apply import apply_result, rate_of
from d2m_jax.market.booking import (
    Booking,
    book_round,
    booking_of,
    credit,
    describe_round,
    is_running,
    works,
)
from d2m_jax.market.jobs import AXES, each_job, in_turn
from d2m_jax.market.keys import round_keys, vote_key
from d2m_jax.market.parts import Parts, cone_parts
from d2m_jax.market.round import learn
from d2m_jax.market.scene import Scene
from d2m_jax.market.seats import sits_of, timetable
from d2m_jax.market.state import JOB, MarketState, RoundInfo, Slot
from d2m_jax.market.variants import stages_of


def step(
    parts: Parts, state: MarketState, hparams: HParams, data: FederatedData
) -> tuple[MarketState, RoundInfo]:
    """One round of every job; nobody is paid before all have voted."""
    num_jobs, rules = parts.spec.num_jobs, parts.rules(hparams)
    before, play = state, partial(work_and_vote, parts, hparams)
    axes = AXES, 0, 0
    state, info, booking = each_job(num_jobs, play, state, data, out_axes=axes)
    blocks = 2 * info.attempts
    if num_jobs > 1:
        seats = each_job(num_jobs, partial(seats_of, parts, hparams), before, data)
        table = timetable(seats, info.attempts, before.round % num_jobs)
        info = info._replace(latency=cone.latency(table.ends, hparams.cone))
        blocks = 2 * table.last

    def book(job: Slot, ledger: Ledger, booking: Booking) -> tuple[Ledger, jax.Array]:
        return book_round(ledger, rules, booking, job)

    ledger, _ = books.advance(before.ledger, rules, blocks=blocks)
    ledger, paid = in_turn(num_jobs, book, ledger, booking)
    return state._replace(round=before.round + 1, ledger=ledger), info._replace(nodes_paid=paid)


def work_and_vote(
    parts: Parts, hparams: HParams, job: Slot, state: MarketState, data: FederatedData
) -> tuple[MarketState, RoundInfo, Booking]:
    """A job's round up to the money: the work, the vote, the model, who is credited, who lied."""
    scene = scene_of(parts, state, hparams, data, job)
    learning, work = learn(parts, stages_of(parts), scene)
    consensus = vote(parts, job, vote_key(state.key, state.round), state, hparams)
    running = is_running(state.ledger, job)
    is_right = (consensus.accepted == 0) & running
    is_wrong = (consensus.accepted > 0) & running
    verdict = is_right, is_wrong
    learning = apply_result(parts, scene.state, learning, work, *verdict, hparams, scene.rate)
    shares = credit(parts, state, hparams, work, learning, *verdict)
    info = describe_round(state, work, learning, consensus, shares, job)
    who = work.selection.indices
    state = state._replace(
        learning=learning,
        scores=state.scores + shares,
        drawn=state.drawn.at[who].add(work.selection.present.astype(jnp.int32)),
        accepted=state.accepted.at[who].add((work.info.accepted & is_right).astype(jnp.int32)),
    )
    return state, info, booking_of(work, consensus, is_right, parts.spec.num_listings)


def scene_of(
    parts: Parts, state: MarketState, hparams: HParams, data: FederatedData, job: Slot = JOB
) -> Scene:
    """What the stages of the next round of a job look at; state and data are this job's."""
    return Scene(
        keys=round_keys(state.key, state.round, parts.spec.num_listings),
        state=state.learning,
        hparams=hparams,
        data=data,
        roles=state.roles,
        sizes=jnp.where(works(state, job), state.ledger.sizes, 0),
        round=state.round,
        rate=rate_of(parts, hparams, state.round),
        shown=state.shown,
    )


def vote(parts: Parts, job: Slot, key: Key, state: MarketState, hparams: HParams) -> cone.Consensus:
    """CONE decides one unit of work of a matched job; what is pledged to the job votes."""
    pledges = books.electorate(state.ledger, job)
    behaviour = state.roles.behaviour
    return parts.vote(hparams)(key, behaviour, pledges > 0, hparams.cone, stake=pledges)


def seats_of(
    parts: Parts, hparams: HParams, job: Slot, state: MarketState, data: FederatedData
) -> jax.Array:
    """[A, C] bool: who sits in which set of the vote on a job's round."""
    del data
    chosen = cone_parts(parts.spec, hparams)
    schedule, sortition = chosen["schedule"], chosen["sortition"]
    most = cone.max_voters(sortition, parts.spec.num_nodes)
    pledges = books.electorate(state.ledger, job)
    sets = cone.draw_sets(
        vote_key(state.key, state.round),  # as `vote`
        pledges > 0,
        hparams.cone,
        cone.default_attempts(schedule, most, hparams.cone),
        schedule,
        sortition,
        pledges,
    )
    return sits_of(sets)
