"""What an accepted digest stands for, and what a node commits to.

Read first: `votes_state.py`.
"""

import jax
import jax.numpy as jnp

from d2m_jax.core.money import BPS
from d2m_jax.ledger.accounts import integer
from d2m_jax.ledger.codes import Verdict
from d2m_jax.ledger.mixing import mix_all
from d2m_jax.ledger.state import MAX_WEIGHT
from d2m_jax.ledger.votes_state import Terms, Votes

HEAD = 4  # metric, base metric, model, metric's digest


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


def round_content(model: jax.Array, verdicts: jax.Array) -> jax.Array:
    """[L] int32: the content of a round.

    Args:
        model: [] int32 digest of the new model.
        verdicts: [N] int32, see `Verdict`.
    """
    blank = jnp.zeros((), jnp.int32)
    head = jnp.stack([blank, blank, integer(model), blank])
    return jnp.concatenate([head, integer(verdicts), jnp.zeros_like(integer(verdicts))])


def verification_content(
    metric_bps: jax.Array,
    base_bps: jax.Array,
    model: jax.Array,
    metric: jax.Array,
    weights: jax.Array,
    harmful: jax.Array,
) -> jax.Array:
    """[L] int32: the content of the verification.

    Args:
        metric_bps, base_bps: [] int32, metric of the last and of the first model.
        model, metric: [] int32 digests that the buyer asked for.
        weights: [N] int32 payment weights.
        harmful: [N] bool, sellers against which there is evidence of harm.
    """
    head = jnp.stack([integer(x) for x in (metric_bps, base_bps, model, metric)])
    return jnp.concatenate([head, integer(weights), integer(harmful)])


def is_well_formed(content: jax.Array, is_verification: jax.Array) -> jax.Array:
    """[] bool: every field is in its range, and what the kind of unit has no use for is 0."""
    one, two = jnp.split(content[HEAD:], 2)
    metrics = content[:2]
    verified = (
        jnp.all((metrics >= 0) & (metrics <= BPS))
        & jnp.all((one >= 0) & (one <= MAX_WEIGHT))
        & jnp.all((two == 0) | (two == 1))
    )
    blank = jnp.all(metrics == 0) & (content[3] == 0) & jnp.all(two == 0)
    trained = blank & jnp.all((one >= 0) & (one <= max(Verdict)))
    return jnp.where(is_verification, verified, trained)
