"""One unit of work put to the vote: sets are drawn until the stop rule accepts a digest.

Votes and digests only: no money, no models. Read first: `behaviours.py`, `schedules.py`,
`sortition.py`, `stop_rules.py`.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from d2m_jax.cone.behaviours import Behaviour, Outcome
from d2m_jax.cone.params import ConeParams
from d2m_jax.cone.schedules import SCHEDULES, default_attempts
from d2m_jax.cone.sortition import SORTITIONS, seats
from d2m_jax.cone.stop_rules import STOP_RULES, Tally, running_sum, top_two
from d2m_jax.names import lookup
from d2m_jax.types import Key


class Consensus(NamedTuple):
    """What the vote on one unit of work came to."""

    accepted: jax.Array  # [] int32: 0 the honest digest, > 0 a wrong one, -1 undecided
    attempts: jax.Array  # [] int32: sets drawn
    executions: jax.Array  # [] int32: seats given out, over all sets
    outcome: jax.Array  # [C] int32: codes of `Outcome`
    lead: jax.Array  # [] int32: votes of the leader minus the runner-up, over all sets
    latency: jax.Array  # [] float32 seconds: attempts (t_exec + 2 t_block)


def decide(
    key: Key,
    behaviour: jax.Array,
    eligible: jax.Array,
    params: ConeParams,
    *,
    schedule: str = "exponential",
    stop_rule: str = "lead",
    sortition: str = "uniform",
    rice: bool = True,
    max_attempts: int | None = None,
    stake: jax.Array | None = None,
    group: jax.Array | None = None,
    num_groups: int = 1,
) -> Consensus:
    """Draws execution sets, counts their votes, and stops when the rule accepts a digest.

    Assumes an honest chain, commit-reveal (no copying within a set), colluders that know each
    other and the sets. All attempts are laid out at once (one sort, sums over `[A, C]`); the first
    one where the rule holds is the end. When the pool is used up first, the plurality is accepted,
    a tie is undecided; so is a unit that runs out of `max_attempts`, or in which nobody reveals.

    Args:
        key: consumed by the sortition; the same key gives the same sets whatever the votes.
        behaviour: `[C] int32`, codes of `Behaviour`.
        eligible: `[C] bool`, nodes that may be drawn.
        params: traced numbers.
        schedule: "exponential", "fixed" or "independent" (YODA).
        stop_rule: "lead", "hypergeometric", "miracle" or "majority_last" (unsafe).
        sortition: "uniform" or "stake".
        rice: a salt per set, which makes a copied digest worthless.
        max_attempts: A, static; None takes enough to exhaust the pool (exponential), else 32.
        stake: `[C]`, needed by stake-weighted sortition.
        group: `[C] int32` in 1..num_groups, the group of each colluder; None puts all in group 1.
        num_groups: static.

    Returns:
        A `Consensus`. Cost: a sort of C and about 6 A C additions; memory A C bits to bytes.

    Raises:
        ValueError: an unknown name, or stake-weighted sortition without stakes.
    """
    attempts = max_attempts or default_attempts(schedule, behaviour.shape[0])
    rule = lookup(STOP_RULES, stop_rule, "stop rule")
    running_seats = lookup(SCHEDULES, schedule, "schedule")(params, attempts)
    order = lookup(SORTITIONS, sortition, "sortition")
    pool = eligible.sum(dtype=jnp.int32)

    member, ends = seats(order(key, eligible, stake), running_seats, pool)
    size = jnp.diff(ends, prepend=0)
    exhausted = ends >= pool

    # The digest every node votes for: 0 right, 1..G groups, G+1 a lone liar's, -1 nothing.
    colluders = jnp.int32(1) if group is None else jnp.clip(group, 1, num_groups)
    lone = behaviour == Behaviour.LONE_LIAR
    vote = jnp.select(
        [behaviour == Behaviour.COLLUDE, lone, behaviour == Behaviour.SILENT],
        [colluders, num_groups + 1, -1],
        0,
    )
    votes = jnp.stack([count(member, vote == digest) for digest in range(num_groups + 2)], axis=-1)
    votes, digests = split_lone(votes)
    leader, accept = rule(Tally(votes, votes, digests, size, pool, False), params)

    stop = jnp.argmax(accept | exhausted | (jnp.arange(attempts) == attempts - 1))
    plurality, first, second = top_two(running_sum(votes))
    accepted = jnp.where(accept, leader, jnp.where(exhausted & (first > second), plurality, -1))
    accepted = accepted[stop]

    drawn = (member & (jnp.arange(attempts)[:, None] <= stop)).any(axis=0)
    # A lone liar's digest wins only as the only one, or (majority_last) within the last set.
    its_own = (vote <= num_groups) | member[stop] | (count(member, lone)[:attempts].sum() == 1)
    matched = (vote == accepted) & its_own
    outcome = jnp.select(
        [~drawn, vote < 0, matched],
        [Outcome.NOT_DRAWN, Outcome.NO_REVEAL, Outcome.MATCHED],
        Outcome.WRONG,
    )
    used = jnp.where(pool > 0, stop + 1, 0)
    return Consensus(
        accepted=accepted.astype(jnp.int32),
        attempts=used.astype(jnp.int32),
        executions=ends[stop],
        outcome=outcome.astype(jnp.int32),
        lead=(first - second)[stop],
        latency=used * jnp.asarray(params.t_exec + 2 * params.t_block, jnp.float32),
    )


def count(member: jax.Array, nodes: jax.Array) -> jax.Array:
    """How many of the nodes `[C] bool` sit in each set `[A, C] bool`: `[A] int32`."""
    return (member & nodes[None, :]).sum(axis=-1, dtype=jnp.int32)


def split_lone(votes: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Lone liars have one vote each: only their first and their second digest can matter.

    Args:
        votes: `[A, G + 2] int32`, the last column counting all lone liars of the set.

    Returns:
        `votes [A, G + 3]`, the last two columns 0 or 1 in all sets together, and the number of
        different digests seen up to each set `[A]`.
    """
    past = running_sum(votes)
    lone = past[:, -1]
    ones = jnp.stack([jnp.diff(jnp.minimum(lone, k), prepend=0) for k in (1, 2)], axis=-1)
    ones = ones - jnp.stack([jnp.zeros_like(lone), ones[:, 0]], axis=-1)
    digests = (past[:, :-1] > 0).sum(axis=-1, dtype=jnp.int32) + lone
    return jnp.concatenate([votes[:, :-1], ones], axis=-1), digests
