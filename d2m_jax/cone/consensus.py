"""One unit of work put to the vote: sets are drawn until the stop rule accepts a digest.

Votes and digests only: no money, no models. Read next, in this order: `schedules.py`,
`sortition.py`, `voting.py`, `stop_rules.py`.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from d2m_jax.cone.params import ConeParams
from d2m_jax.cone.schedules import Schedule, default_attempts, schedule_of
from d2m_jax.cone.sortition import SortitionChoice, draw_sets, max_voters
from d2m_jax.cone.stop_rules import StopChoice, Tally, apply_rule, top_two
from d2m_jax.cone.voting import cast, judge, last_seat, lie
from d2m_jax.core.outcomes import Outcome
from d2m_jax.core.types import Key


class Consensus(NamedTuple):
    """What the vote on one unit of work came to."""

    accepted: jax.Array  # [] int32: 0 the right digest, 1.. a wrong one, -1 undecided
    attempts: jax.Array  # [] int32: sets drawn
    executions: jax.Array  # [] int32: seats given out, over all sets
    outcome: jax.Array  # [C] int32: codes of `Outcome`
    digests: jax.Array  # [C] int32: what each revealed, 0 nothing, else numbered; see `judge`
    lead: jax.Array  # [] int32: votes of the leader minus the runner-up, over all sets
    latency: jax.Array  # [] float32 seconds: attempts (t_exec + 2 t_block)
    seat: jax.Array  # [C] int32: the last set that each node sat in, from 0; -1 none

    @property
    def drawn(self) -> jax.Array:
        """[C] bool: who sat in a set."""
        return (self.digests != 0) | (self.outcome == Outcome.SILENT)


def decide(
    key: Key,
    behaviour: jax.Array,
    eligible: jax.Array,
    params: ConeParams,
    *,
    schedule: Schedule = "exponential",
    stop_rule: StopChoice = "lead",
    sortition: SortitionChoice = "uniform",
    rice: bool = True,
    max_attempts: int | None = None,
    stake: jax.Array | None = None,
    group: jax.Array | None = None,
    num_groups: int = 1,
) -> Consensus:
    """Draws execution sets, counts their votes, and stops when the rule accepts a digest.

    Assumes an honest chain, commit-reveal (no copying within a set), and at worst adaptive nodes
    that know who sits in their set: they lie exactly when that makes group 1 win with this set.
    All attempts are laid out at once (one sort, one count); the first one where the rule
    holds is the end. When the pool is used up first, the plurality is accepted; a tie is undecided,
    and so is a unit that runs out of `max_attempts` or in which nobody reveals (our choices).

    Args:
        key: consumed by the sortition; the same key gives the same sets whatever the votes.
        behaviour: `[C] int32`, codes of `Behaviour`.
        eligible: `[C] bool`, nodes that may be drawn.
        params: traced numbers.
        schedule: "exponential", "fixed" or "independent" (YODA); or a function of your own.
        stop_rule: "lead", "hypergeometric", "miracle" or "majority_last" (unsafe); or your own.
        sortition: "uniform", a seat is a node's; "stake", a seat is a lot of stake; or your own.
        rice: a salt per set, which makes a copied digest worthless.
        max_attempts: A, static; None: see `default_attempts`.
        stake: `[C]` integer units, needed by stake-weighted sortition.
        group: `[C] int32` in 1..num_groups, the group of each colluder; None puts all in group 1.
        num_groups: static.

    Returns:
        A `Consensus`. Cost: a sort of C integers; 5 us at C = 64 in a batch on one CPU core.

    Raises:
        ValueError: an unknown name, stake-weighted sortition without stakes, or a part of your own
            that gives what it must not.
    """
    voters = max_voters(sortition, behaviour.shape[0])
    attempts = max_attempts or default_attempts(schedule, voters, params)
    sets = draw_sets(key, eligible, params, attempts, schedule, sortition, stake)
    group = None if group is None else jnp.clip(group, 1, num_groups)
    ballots = cast(sets, behaviour, group, num_groups, rice)

    def verdict(last: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Accepted digest or -1, whether the unit ends here, and the lead, at every attempt."""
        tally = Tally(ballots.votes, last, ballots.lone, sets.size, sets.share, sets.pool, redrawn)
        leader, accept = apply_rule(stop_rule, tally, params)
        plurality, first, second = top_two(tally.running(lambda votes: votes))
        left_over = jnp.where(sets.exhausted & (first > second), plurality, -1)
        return jnp.where(accept, leader, left_over), accept | sets.exhausted, first - second

    redrawn = schedule_of(schedule).seats is None
    honest, lying = verdict(ballots.votes), verdict(lie(ballots))
    lied = (ballots.adaptive > 0) & (lying[0] == 1)  # it pays at once
    accepted, ends, lead = (jnp.where(lied, b, a) for a, b in zip(honest, lying))

    stop = jnp.argmax(ends | (jnp.arange(attempts) == attempts - 1)).astype(jnp.int32)
    used = jnp.where(sets.pool > 0, stop + 1, 0)
    seat = last_seat(sets, stop)
    nodes = judge(seat, behaviour, group, ballots, stop, lied[stop], accepted[stop])
    return Consensus(
        accepted=accepted[stop],
        attempts=used,
        executions=jnp.where(jnp.arange(attempts) <= stop, sets.size, 0).sum(dtype=jnp.int32),
        outcome=nodes.outcome,
        digests=nodes.digests,
        lead=lead[stop],
        latency=latency(used, params),
        seat=seat,
    )


def latency(attempts: jax.Array, params: ConeParams) -> jax.Array:
    """Seconds of a unit of work: `attempts (t_exec + 2 t_block)`, commit and reveal apart."""
    seconds = jnp.asarray(params.t_exec, jnp.float32) + 2 * jnp.asarray(params.t_block, jnp.float32)
    return attempts.astype(jnp.float32) * seconds
