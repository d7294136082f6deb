"""What an accepted digest stands for, and what a node commits to.

Read first: `votes_state.py`.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from d2m_jax.core.money import BPS
from d2m_jax.ledger.accounts import integer
from d2m_jax.ledger.codes import Verdict
from d2m_jax.ledger.mixing import mix_all
from d2m_jax.ledger.state import MAX_WEIGHT
from d2m_jax.ledger.votes_state import Terms, Votes

HEAD = 5  # metric, base metric, model, metric's digest, work


class Content(NamedTuple):
    """The fields of a content."""

    metric_bps: jax.Array  # [] int32; of a round 0 if it was not measured
    base_bps: jax.Array  # [] int32; of a round 0
    model: jax.Array  # [] int32 digest: of a round its work, else that which was asked for
    metric: jax.Array  # [] int32 digest that was asked for; of a round 0
    work: jax.Array  # [] int32 digest of all checkpoints of a verification; of a round 0
    sellers: jax.Array  # [N] int32 verdicts of a round, else payment weights
    harmful: jax.Array  # [N] bool


def read_content(content: jax.Array) -> Content:
    """The fields of a content [2 N + 5]."""
    sellers, harmful = jnp.split(content[HEAD:], 2)
    metric_bps, base_bps, model, metric, work = content[:HEAD]
    return Content(metric_bps, base_bps, model, metric, work, sellers, harmful != 0)


def work_of(content: Content, is_verification: jax.Array) -> jax.Array:
    """[] int32: the digest of the work that a content names, 0 none."""
    return jnp.where(is_verification, content.work, content.model)


def commitment_of(
    row: Votes, job: jax.Array, node: jax.Array, digest: jax.Array, salt: jax.Array
) -> jax.Array:
    """[] int32: what a node commits to; of no use to another node, job, unit or set.

    The mix of job, serial, set, node, digest, salt; the serial is the unit's and never comes back.
    """
    words = (job, row.serial, row.attempt, node, digest, salt)
    return mix_all(jnp.stack([integer(word) for word in words]))


def task_of(unit: jax.Array, terms: Terms) -> jax.Array:
    """[] int32: the unit itself, or the one that it executes again."""
    return jnp.where(unit > terms.num_rounds, unit - terms.num_rounds - 1, unit)


def round_content(
    model: int | jax.Array, verdicts: jax.Array, metric_bps: int | jax.Array = 0
) -> jax.Array:
    """[L] int32: the content of a round.

    Args:
        model: [] int32 digest of the new model: of the checkpoints of all steps to it.
        verdicts: [N] int32, see `Verdict`.
        metric_bps: [] int32, metric of the new model, 0 if it was not measured: where it reaches
            the buyer's threshold the rounds are over.
    """
    blank = jnp.zeros((), jnp.int32)
    head = jnp.stack([integer(metric_bps), blank, integer(model), blank, blank])
    return jnp.concatenate([head, integer(verdicts), jnp.zeros_like(integer(verdicts))])


def verification_content(
    metric_bps: jax.Array,
    base_bps: jax.Array,
    model: jax.Array,
    metric: jax.Array,
    weights: jax.Array,
    harmful: jax.Array,
    work: int | jax.Array = 0,
) -> jax.Array:
    """[L] int32: the content of the verification.

    Args:
        metric_bps, base_bps: [] int32, metric of the last and of the first model.
        model, metric: [] int32 digests that the buyer asked for.
        weights: [N] int32 payment weights.
        harmful: [N] bool, sellers against which there is evidence of harm.
        work: [] int32 digest of the checkpoints of all steps that led to this.
    """
    head = jnp.stack([integer(x) for x in (metric_bps, base_bps, model, metric, work)])
    return jnp.concatenate([head, integer(weights), integer(harmful)])


def words_of(content: jax.Array) -> tuple[jax.Array, jax.Array]:
    """([L] int32, [] bool): a content as words, and whether all of them are what was given."""
    given = jnp.asarray(content)
    words = integer(given)
    return words, jnp.all(words.astype(given.dtype) == given)


def is_well_formed(content: jax.Array, is_verification: jax.Array) -> jax.Array:
    """[] bool: every field is in its range, and what the kind of unit has no use for is 0."""
    it = read_content(content)
    harm, metrics = content[HEAD + it.sellers.shape[0] :], content[:2]
    measured = jnp.all((metrics >= 0) & (metrics <= BPS))
    verified = jnp.all((it.sellers <= MAX_WEIGHT) & ((harm == 0) | (harm == 1)))
    blank = (it.base_bps == 0) & (it.metric == 0) & (it.work == 0) & jnp.all(harm == 0)
    trained = blank & jnp.all(it.sellers <= max(Verdict))
    return measured & jnp.all(it.sellers >= 0) & jnp.where(is_verification, verified, trained)
