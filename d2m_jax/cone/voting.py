"""What the drawn nodes vote for, set by set, and how each of them ended.

Not here: the draw (`sortition.py`) and the verdict (`stop_rules.py`). Read next: `consensus.py`.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from d2m_jax.cone.behaviours import Behaviour
from d2m_jax.cone.sortition import Sets
from d2m_jax.cone.stop_rules import running_sum
from d2m_jax.core.outcomes import Outcome

NOTHING = -1  # no reveal
COPIED = -2  # a digest that is not the voter's own work: revealed, worth nothing


class Ballots(NamedTuple):
    """Votes per set, before anybody adaptive lies; digest 0 is right, 1..G are the groups'."""

    votes: jax.Array  # [A, G + 1] int32
    lone: jax.Array  # [A] int32, votes of lone liars, each for a digest of its own
    adaptive: jax.Array  # [A] int32, adaptive nodes in the set, counted as right in `votes`
    copied: jax.Array  # [A] int32, what the copiers of the set vote for


def cast(
    sets: Sets, behaviour: jax.Array, group: jax.Array | None, num_groups: int, rice: bool
) -> Ballots:
    """Counts the votes of every set, were all sets drawn.

    Copiers execute honestly while nothing has been revealed; from then on they vote for the leader
    among the digests 0..G of the earlier sets, the lowest on ties. With RICE a copy carries the
    wrong salt and does not count (our choice: the copier tries all the same, and is slashed). A
    node with several lots in a set has as many votes, but a lone liar's digest gets one.

    Args:
        sets: who sits where.
        behaviour: `[C] int32`.
        group: `[C] int32` in 1..G, or None when all colluders are in group 1.
        num_groups: G, static.
        rice: static.

    Returns:
        `Ballots`. Cost: one scatter-add of the seats into `[A, kinds]`.
    """
    attempts, kinds = sets.size.shape[0], len(Behaviour)
    kind = behaviour
    if group is not None:  # colluders of group 2, 3, .. are counted in columns of their own
        apart = (behaviour == Behaviour.COLLUDE) & (group > 1)
        kind = jnp.where(apart, kinds - 2 + group, behaviour)
    table = jnp.zeros((attempts + 1, kinds + num_groups - 1), jnp.int32)
    weight = jnp.int32(1)
    if sets.votes is not None:
        alone = behaviour == Behaviour.LONE_LIAR
        weight = jnp.where(alone, jnp.minimum(sets.votes, 1), sets.votes)
    table = table.at[sets.seat, kind[None, :]].add(weight)[:-1]

    adaptive = table[:, Behaviour.ADAPTIVE]
    honest = table[:, Behaviour.HONEST] + adaptive
    groups = table[:, Behaviour.COLLUDE, None], table[:, kinds:]
    votes = jnp.concatenate([honest[:, None], *groups], axis=-1)
    copiers = table[:, Behaviour.COPY]
    copied = copied_digests(votes, copiers, rice)
    votes += add_to(copied, copiers, num_groups)
    return Ballots(votes, table[:, Behaviour.LONE_LIAR], adaptive, copied)


def copied_digests(votes: jax.Array, copiers: jax.Array, rice: bool) -> jax.Array:
    """What the copiers of each set vote for: `[A] int32`, a digest or COPIED.

    Args:
        votes: `[A, G + 1] int32`, without the copiers.
        copiers: `[A] int32`, copiers in each set.
        rice: static.
    """
    if rice:
        revealed = votes.sum(axis=-1, dtype=jnp.int32) + copiers
        return jnp.where(running_sum(revealed, before=True) > 0, COPIED, 0)
    seen, copied = jnp.zeros(votes.shape[1:], jnp.int32), []
    for step in range(votes.shape[0]):  # copies depend on copies: A steps on G + 1 counts
        copied.append(jnp.argmax(seen).astype(jnp.int32))  # 0 while nothing is revealed
        seen += votes[step] + add_to(copied[-1], copiers[step], votes.shape[1] - 1)
    return jnp.stack(copied)


def add_to(digest: jax.Array, voters: jax.Array, num_groups: int) -> jax.Array:
    """The voters as counts per digest: `[...] and [...] -> [..., G + 1]`; COPIED counts nowhere."""
    return jax.nn.one_hot(digest, num_groups + 1, dtype=jnp.int32) * voters[..., None]


def lie(ballots: Ballots) -> jax.Array:
    """The votes of each set if its adaptive nodes vote with group 1: `[A, G + 1]`."""
    moved = ballots.adaptive
    return ballots.votes.at[:, 0].add(-moved).at[:, 1].add(moved)


class Judged(NamedTuple):
    """How every node ended, `[C] int32` each."""

    outcome: jax.Array  # codes of `Outcome`
    digests: jax.Array  # what it revealed; see `judge`


def last_seat(sets: Sets, stop: jax.Array) -> jax.Array:
    """The last set that every node sat in, up to set `stop`: `[C] int32`, -1 for none."""
    return jnp.where(sets.seat <= stop, sets.seat, -1).max(axis=0)


def judge(
    seat: jax.Array,
    behaviour: jax.Array,
    group: jax.Array | None,
    ballots: Ballots,
    stop: jax.Array,
    lied: jax.Array,
    accepted: jax.Array,
) -> Judged:
    """How every node ended, by its last vote, and the number of the digest that it revealed.

    When nothing was accepted nobody is right or wrong: only silence is noted, the others get
    NOT_DRAWN (neither paid nor slashed). Numbers of digests: 0 none, 1 the right one, 1 + g that of
    group g. A lone liar's and a worthless copy have a number to themselves, from G + 4; a lone
    liar's that is accepted has G + 2. So a node matched where its number is `accepted` + 1.

    Args:
        seat: from `last_seat`.
        behaviour: `[C] int32`.
        group: as in `cast`.
        ballots: from `cast`.
        stop: `[] int32`, index of the last set.
        lied: `[] bool`, whether the adaptive nodes of the last set lied.
        accepted: `[] int32`, digest or -1; G + 1 means a lone liar's.
    """
    attempts, num_groups = ballots.votes.shape[0], ballots.votes.shape[1] - 1
    in_last = seat == stop
    lone = behaviour == Behaviour.LONE_LIAR
    own = num_groups + 3 + jnp.arange(behaviour.shape[0], dtype=jnp.int32)
    copied = ballots.copied[seat]
    vote = jnp.select(
        [
            behaviour == Behaviour.COLLUDE,
            lone,
            behaviour == Behaviour.SILENT,
            behaviour == Behaviour.COPY,
            behaviour == Behaviour.ADAPTIVE,
        ],
        [
            jnp.int32(1) if group is None else group,
            own,
            jnp.int32(NOTHING),
            jnp.where(copied == COPIED, own, copied),
            (in_last & lied).astype(jnp.int32),
        ],
        jnp.int32(0),
    )
    # A lone liar's digest wins only if no other was drawn, or by the votes of the last set alone.
    seen = jnp.arange(attempts, dtype=jnp.int32) <= stop
    alone = jnp.where(seen, ballots.lone, 0).sum() == 1
    vote = jnp.where((accepted == num_groups + 1) & lone & (in_last | alone), num_groups + 1, vote)
    outcome = jnp.select(
        [seat < 0, vote == NOTHING, accepted < 0, vote == accepted],
        [Outcome.NOT_DRAWN, Outcome.SILENT, Outcome.NOT_DRAWN, Outcome.MATCHED],
        Outcome.WRONG,
    )
    return Judged(outcome.astype(jnp.int32), jnp.where(seat < 0, 0, vote + 1).astype(jnp.int32))
