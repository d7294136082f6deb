"""How far a backdoor has got into the model. Not here: the attack (`attacks/data.py`)."""

from typing import Any

import jax
import jax.numpy as jnp

from d2m_jax import tasks
from d2m_jax.config.hparams import HParams
from d2m_jax.core.choices import taken
from d2m_jax.core.types import Batch, PyTree
from d2m_jax.data import FederatedData
from d2m_jax.market.parts import Parts
from d2m_jax.tasks import Metric, is_labelled

NONE = -1.0  # of an attack without a backdoor


def attack_success(
    parts: Parts, theta: jax.Array, hparams: HParams, data: FederatedData
) -> jax.Array:
    """The share of test examples that the model calls the attacker's class once they are triggered.

    Only examples that the trigger is meant to turn count (`Attack.trigger` says which): one of the
    attacker's class would be a success without any backdoor. A model that nobody attacked has a
    rate, too, to compare with.

    Args:
        parts: of the market.
        theta: [D], the last model.
        hparams: numbers; those of the attack say what the trigger is.
        data: of all parties.

    Returns:
        [] float32; -1 where the attack has no trigger, or no example that counts is there. Cost:
        one more pass over the test set where there is a trigger, else nothing.
    """
    trigger, model = parts.attack.trigger, parts.model
    if trigger is None or not is_labelled(data.test):
        return jnp.float32(NONE)
    own = taken(trigger, hparams.attack)

    def prepare(batch: Batch, stats: PyTree) -> Batch:
        labels = batch["labels"]
        inputs, wanted, counts = trigger(batch["inputs"], labels, model.num_classes, **own)
        shown = model.prepare({**batch, "inputs": inputs}, stats)
        asked = jnp.broadcast_to(wanted, labels.shape).astype(jnp.int32)
        return {**shown, "wanted": asked, "counts": counts & (labels >= 0)}

    def of(worth: Any) -> jax.Array:
        marked = model._replace(prepare=prepare, metric=Metric("attack_success", worth))
        share, _ = tasks.evaluate(marked, theta, data.test, data.stats)
        return share

    counted = of(lambda outputs, batch: _counts(batch).astype(jnp.float32))
    hits = of(lambda outputs, batch: (_counts(batch) & _obeys(outputs, batch)).astype(jnp.float32))
    rate = hits / jnp.where(counted > 0, counted, 1.0)
    return jnp.where(counted > 0, rate, NONE).astype(jnp.float32)


def _counts(batch: Batch) -> jax.Array:
    """[B] bool: the trigger is meant to turn this example, whose class is known."""
    return batch["counts"]


def _obeys(outputs: jax.Array, batch: Batch) -> jax.Array:
    """[B] bool: the model says what the attacker wants."""
    return jnp.argmax(outputs, axis=-1).astype(jnp.int32) == batch["wanted"]
