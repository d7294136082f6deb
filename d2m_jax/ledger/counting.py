"""Counting the votes of a unit after each set: who leads, by how much, is it enough.

Read first: `votes_state.py`.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from d2m_jax.core.vote_tables import INFINITE, Score
from d2m_jax.ledger.votes_state import Terms, Votes, is_dispute, per_set


class Leaders(NamedTuple):
    """The digest with most of something, how much, and how much the next one has; each []."""

    digest: jax.Array
    first: jax.Array
    second: jax.Array


class Count(NamedTuple):
    """What one count finds."""

    by_score: Leaders
    by_votes: Leaders
    points: jax.Array  # [C] int32, the score of each node's digest, for the next set
    rivals: jax.Array  # [] int32, digests besides the leader's, at least 1


def count(row: Votes, terms: Terms) -> Count:
    """Sums lots by digest and scores them by the stop rule.

    A digest scores the lots of all sets (VOTES), the table's entry for them (LIKELIHOOD), the sum
    over sets of the entries for the lots in each (LIKELIHOOD of independent sets, SQUARES), or the
    lots in the last set (LAST_SET).

    Args:
        row: the unit; `seats` are those of the latest set.
        terms: its rule.

    Cost: one sort of C digests and four sums over their groups.
    """
    num_nodes = row.digests.shape[0]
    order = jnp.argsort(row.digests)
    digest = row.digests[order]
    is_new = jnp.concatenate([jnp.ones(1, bool), digest[1:] != digest[:-1]])
    group = jnp.cumsum(is_new, dtype=jnp.int32) - 1

    def total(values: jax.Array) -> jax.Array:
        return jax.ops.segment_sum(values[order], group, num_nodes, indices_are_sorted=True)

    votes, now = total(row.lots), total(row.seats)
    before = jnp.maximum(jax.ops.segment_max(row.points[order], group, num_nodes), 0)
    place = terms.rows[is_dispute(row, terms), jnp.maximum(row.attempt - 1, 0)]
    added = jnp.where(
        per_set(terms), jnp.minimum(before + look_up(terms, place + now), INFINITE), 0
    )
    tabled = jnp.where(per_set(terms), added, look_up(terms, votes))
    score = jnp.where(terms.rule == Score.VOTES, votes, tabled)
    score = jnp.where(terms.rule == Score.LAST_SET, now, score)

    name = jax.ops.segment_max(digest, group, num_nodes)
    real = (jnp.arange(num_nodes, dtype=jnp.int32) <= group[-1]) & (name != 0)
    points = jnp.zeros_like(row.points).at[order].set(score[group], unique_indices=True)
    return Count(
        by_score=lead(name, jnp.where(real, score, 0)),
        by_votes=lead(name, jnp.where(real, votes, 0)),
        points=jnp.where(per_set(terms) & (row.digests != 0), points, 0),
        rivals=jnp.maximum(real.sum(dtype=jnp.int32) - 1, 1),
    )


def look_up(terms: Terms, index: jax.Array) -> jax.Array:
    """[...] int32: entries of the table of scores; beyond its end the last one."""
    return terms.scores[jnp.minimum(index, terms.scores.shape[0] - 1)]


def lead(name: jax.Array, amount: jax.Array) -> Leaders:
    """The first two of [C] amounts; of equals the first is ahead by nothing."""
    best = jnp.argmax(amount)
    others = jnp.where(jnp.arange(amount.shape[0]) == best, 0, amount)
    return Leaders(name[best], amount[best], others.max())


def is_enough(found: Count, size: jax.Array, terms: Terms) -> jax.Array:
    """[] bool: whether the rule accepts the digest that leads by score."""
    first, second = found.by_score.first, found.by_score.second
    bound = terms.bounds[jnp.minimum(found.rivals, terms.bounds.shape[0]) - 1]
    ahead = (second < INFINITE) & (first - second >= bound)
    two_thirds = (size > 0) & (3 * first >= 2 * size)
    return jnp.where(terms.rule == Score.LAST_SET, two_thirds, ahead)
