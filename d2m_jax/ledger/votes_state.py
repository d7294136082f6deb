"""Votes of CONE on the ledger, as arrays: one unit of work per job slot, a ballot per node.

No transition is here. Read next: `votes.py`.
"""

import enum
from typing import TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from d2m_jax.core.vote_tables import Score, VoteTables

MOST_BLOCKS = 2**20  # of a window


class Stage(enum.IntEnum):
    """Where the unit of work of a slot is."""

    IDLE = 0  # no unit yet
    OPEN = 1  # the electorate is fixed; the next set can be drawn
    VOTING = 2  # a set is drawn: commitments, then reveals, by the block
    DECIDED = 3  # a digest is accepted
    FAILED = 4  # out of nodes or of sets without one


@struct.dataclass
class Terms:
    """How a vote is held; the tables are those of `cone.tables` (index 1 of 2 is a dispute)."""

    commit_window: jax.Array  # [] int32 blocks from the draw
    reveal_window: jax.Array  # [] int32 blocks after them
    num_rounds: jax.Array  # [] int32 R: units 0..R-1 are rounds, R verifies, R+1+u disputes u
    rule: jax.Array  # [] int32, see Score
    independent: jax.Array  # [] int32: 1, every node has a seat by chance in every set
    by_stake: jax.Array  # [] int32: 1, lots or chance follow the stake
    chance: jax.Array  # [] int32 of a seat, in 2^-31 (independent sets)
    ends: jax.Array  # [2, A] int32 seats after each set
    rows: jax.Array  # [2, A] int32 where the scores of a set begin
    scores: jax.Array  # [X] int32
    bounds: jax.Array  # [K] int32 least lead in score, by rivals less one


@struct.dataclass
class Votes:
    """The unit of work of every slot; one row of it (no leading J) is one unit."""

    serial: jax.Array  # [J] int32 number by which the market asked for the unit, 0 none
    unit: jax.Array  # [J] int32
    stage: jax.Array  # [J] int32, see Stage
    attempt: jax.Array  # [J] int32 sets drawn
    since: jax.Array  # [J] int32 block of the last draw
    pool: jax.Array  # [J] int32 lots of all eligible nodes
    drawn: jax.Array  # [J] int32 lots given a seat so far
    size: jax.Array  # [J] int32 seats of the latest set
    accepted: jax.Array  # [J] int32 digest, 0 none
    is_open: jax.Array  # [J] bool, the content of the accepted digest is known
    content: jax.Array  # [J, L] int32, see `contents.py`
    # per node
    urn: jax.Array  # [J, C] int32 lots that are not drawn yet; chance where sets are independent
    lots: jax.Array  # [J, C] int32 seats in all sets
    seats: jax.Array  # [J, C] int32 seats in the latest set
    first_set: jax.Array  # [J, C] int32 set in which it votes, from 1; 0 not drawn
    commitments: jax.Array  # [J, C] int32, 0 none
    digests: jax.Array  # [J, C] int32 as revealed, 0 none
    points: jax.Array  # [J, C] int32 score of its digest in the sets that are counted


Counted: TypeAlias = tuple[Votes, jax.Array]  # of a transition: after it, and the receipt [] int32


def make_terms(
    tables: VoteTables,
    *,
    num_rounds: int | jax.Array,
    commit_window: int | jax.Array = 1,
    reveal_window: int | jax.Array = 1,
) -> Terms:
    """Terms as int32 arrays.

    Args:
        tables: from `cone.vote_tables`.
        num_rounds: R, rounds of a job.
        commit_window, reveal_window: blocks, at least 1 (our choice: one each, as in CONE).

    Raises:
        ValueError: a window (that is not a tracer) out of range, or tables that cannot be.
    """
    for name, blocks in (("commit_window", commit_window), ("reveal_window", reveal_window)):
        if not isinstance(blocks, jax.core.Tracer) and not 1 <= int(blocks) <= MOST_BLOCKS:
            raise ValueError(f"{name} must lie in [1, {MOST_BLOCKS}] blocks, got {blocks}")
    if (np.asarray(tables.bounds) < 1).any() or (np.diff(tables.ends, axis=-1) < 0).any():
        raise ValueError("bounds must be at least 1, and totals of seats must not fall")
    whole = tables._asdict() | {"commit_window": commit_window, "reveal_window": reveal_window}
    whole["num_rounds"] = num_rounds
    return Terms(**{name: jnp.asarray(value, jnp.int32) for name, value in whole.items()})


def new_votes(num_jobs: int, num_nodes: int, num_sellers: int) -> Votes:
    """No unit in any slot.

    Args:
        num_jobs: J.
        num_nodes: C.
        num_sellers: N, which sets the length of a content.
    """
    zero = jnp.zeros(num_jobs, jnp.int32)
    nodes = jnp.zeros((num_jobs, num_nodes), jnp.int32)
    slots = ("serial", "unit", "stage", "attempt", "since", "pool", "drawn", "size", "accepted")
    ballots = ("urn", "lots", "seats", "first_set", "commitments", "digests", "points")
    return Votes(
        **dict.fromkeys(slots, zero),
        **dict.fromkeys(ballots, nodes),
        is_open=jnp.zeros(num_jobs, bool),
        content=jnp.zeros((num_jobs, content_length(num_sellers)), jnp.int32),
    )


def content_length(num_sellers: int) -> int:
    """L = 2 N + 5."""
    return 2 * num_sellers + 5


def is_dispute(row: Votes, terms: Terms) -> jax.Array:
    """[] int32: 1 where the unit executes another one again."""
    return (row.unit > terms.num_rounds).astype(jnp.int32)


def per_set(terms: Terms) -> jax.Array:
    """[] bool: scores are those of single sets, added up."""
    redrawn = (terms.rule == Score.LIKELIHOOD) & (terms.independent != 0)
    return redrawn | (terms.rule == Score.SQUARES)
