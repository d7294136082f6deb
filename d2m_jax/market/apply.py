"""The model after the vote: the honest step, the adversary's, or none. Read next: `server.py`."""

import jax
import jax.numpy as jnp

from d2m_jax import privacy
from d2m_jax.config.hparams import HParams
from d2m_jax.core.types import Number
from d2m_jax.market.parts import Parts
from d2m_jax.market.scene import LearningState, RoundWork
from d2m_jax.market.server import is_finite, server_optimizer
from d2m_jax.sellers import scaffold


def rate_of(parts: Parts, hparams: HParams, round_index: jax.Array) -> jax.Array:
    """[] the server's rate in a round: it falls linearly from lr to lr * lr_final."""
    done = jnp.asarray(round_index, jnp.float32) / max(parts.spec.num_rounds - 1, 1)
    return hparams.learning.lr * (1.0 - (1.0 - hparams.learning.lr_final) * done)


def apply_result(
    parts: Parts,
    old: LearningState,
    new: LearningState,
    work: RoundWork,
    is_right: jax.Array,
    is_wrong: jax.Array,
    hparams: HParams,
    rate: Number,
) -> LearningState:
    """The learning state after the vote.

    Args:
        parts: of the market.
        old: before the round.
        new: from `learn`, with the memories advanced.
        work: the round's.
        is_right: [] bool, the honest result was accepted.
        is_wrong: [] bool, a wrong one was; the step is then -spoil times the honest direction.
        hparams: numbers.
        rate: [] the server's.
    """
    spoilt = -hparams.conduct.spoil * work.direction
    direction = jnp.where(is_right, work.direction, spoilt)
    optimizer = server_optimizer(parts.spec.server_optimizer, hparams.learning)
    change, memory = optimizer.update(direction, old.server)
    controls = old.controls
    if parts.spec.scaffold:
        who, mine = work.selection.indices, work.own_updates
        controls = scaffold.advance(old.controls, who, mine, work.valid, direction)
    moved = is_right | is_wrong
    keep = jax.tree.map(lambda a, b: jnp.where(is_right, a, b), new.defence, old.defence)
    theta = old.theta - rate * change
    # A step that overflows, here or in the optimiser's memory, is not taken.
    moved = moved & jnp.isfinite(theta).all() & is_finite((memory, controls))
    after = theta, memory, controls, direction
    before = old.theta, old.server, old.controls, old.previous
    after = jax.tree.map(lambda a, b: jnp.where(moved, a, b), after, before)
    theta, memory, controls, previous = after
    theta = privacy.release(theta, "model")
    return new._replace(
        theta=theta, server=memory, controls=controls, previous=previous, defence=keep
    )
