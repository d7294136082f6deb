"""What a round comes to: who is credited, what the ledger books, what the user may look at."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from d2m_jax import cone, privacy
from d2m_jax import ledger as books
from d2m_jax.config.hparams import HParams
from d2m_jax.core.money import total
from d2m_jax.ledger import Ledger, Phase, Rules, Verdict
from d2m_jax.ledger.contents import round_content
from d2m_jax.market.decisions import as_decision
from d2m_jax.market.parts import Parts
from d2m_jax.market.roles import ANYBODY
from d2m_jax.market.scene import LearningState, RoundWork
from d2m_jax.market.state import JOB, MarketState, RoundInfo, Slot


def is_running(ledger: Ledger, job: Slot = JOB) -> jax.Array:
    """[] bool: the job is in training."""
    phase = ledger.jobs.phase[job]
    return (phase == Phase.MATCHED) | (phase == Phase.TRAINING)


def may_train(ledger: Ledger, job: Slot = JOB) -> jax.Array:
    """[N] bool: the sellers that may train for the job."""
    matched = ledger.jobs.matched[job]
    return matched & ~ledger.banned[ledger.layout.sellers] & is_running(ledger, job)


def works(state: MarketState, job: Slot = JOB) -> jax.Array:
    """[N] bool: as `may_train`, without units whose openings look false."""
    may = may_train(state.ledger, job)
    return may & ~state.shown.found_out if state.shown else may


def credit(
    parts: Parts,
    state: MarketState,
    hparams: HParams,
    work: RoundWork,
    learning: LearningState,
    is_right: jax.Array,
    is_wrong: jax.Array,
) -> jax.Array:
    """[N] shares of the round: by contribution, or to the adversary's own sellers."""
    who, present = work.selection.indices, work.selection.present
    evidence = work.evidence._replace(mass=learning.defence.p[who])
    worth = parts.contribution(evidence, **hparams.contribution)
    ours = jnp.where(is_right, worth, 0.0)
    byzantine = (state.roles.byzantine[who] & present).astype(jnp.float32)
    theirs = jnp.where(is_wrong, byzantine / jnp.maximum(byzantine.sum(), 1.0), 0.0)
    shares = privacy.release(jnp.where(present, ours + theirs, 0.0), "contributions")
    nothing = jnp.zeros(parts.spec.num_listings, jnp.float32)
    return nothing.at[who].add(shares.astype(jnp.float32))


class Booking(NamedTuple):
    """What the ledger is told of a job's round."""

    consensus: cone.Consensus
    content: jax.Array  # [L] int32, of the digest that was accepted


def booking_of(
    work: RoundWork, consensus: cone.Consensus, is_right: jax.Array, num_sellers: int
) -> Booking:
    """How the nodes voted, and what the defence said of the sellers; a wrong result says nothing.

    Model and metric are not told: digests here are numbers, and training ends with the last round.
    """
    who = jnp.where(work.selection.present, work.selection.indices, num_sellers)
    verdicts = jnp.where(work.info.accepted, Verdict.ACCEPTED, Verdict.FLAGGED)
    verdicts = jnp.zeros(num_sellers, jnp.int32).at[who].set(verdicts, mode="drop")
    verdicts = jnp.where(is_right, verdicts, Verdict.NOT_SAMPLED)
    return Booking(consensus, round_content(jnp.int32(0), verdicts))


def book_round(
    ledger: Ledger, rules: Rules, booking: Booking, job: Slot = JOB
) -> tuple[Ledger, jax.Array]:
    """Nodes are paid and slashed, sellers rated, by whoever books it.

    Returns:
        The ledger, and the [] units that the nodes earned.
    """
    before = ledger.jobs.earned[job]
    decision = as_decision(ledger, job, *booking)
    ledger, _ = books.book_round(ledger, rules, actor=ANYBODY, job=job, decision=decision)
    return ledger, total(ledger.jobs.earned[job] - before)


def describe_round(
    state: MarketState,
    work: RoundWork,
    learning: LearningState,
    consensus: cone.Consensus,
    shares: jax.Array,
    job: Slot = JOB,
) -> RoundInfo:
    """What happened; `state` is before the round, `learning` after it. Nodes are paid later."""
    bad = state.roles.bad_seller
    mass = jnp.where(works(state, job), learning.defence.p, 0.0)
    mass = mass / jnp.maximum(mass.sum(), 1e-30)
    return RoundInfo(
        round=state.round + 1,
        sellers=work.selection.indices,
        present=work.selection.present,
        valid=work.valid,
        accepted=work.info.accepted,
        flagged=work.info.flagged,
        credited=shares,
        sampling=mass,
        byzantine_mass=jnp.where(bad, mass, 0.0).sum(),
        byzantine_credit=jnp.where(bad, shares, 0.0).sum(),
        refused=work.refused,
        excluded=work.info.num_excluded,
        direction_norm=jnp.linalg.norm(work.direction),
        accepted_digest=consensus.accepted,
        attempts=consensus.attempts,
        executions=consensus.executions,
        latency=consensus.latency,
        nodes_paid=state.ledger.units(0),
        seats=consensus.seat,
        outcomes=consensus.outcome,
    )
