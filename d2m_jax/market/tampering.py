"""What bad sellers do to their data before they train on it."""

import jax

from d2m_jax.attacks.data import off_topic
from d2m_jax.core.choices import label, taken
from d2m_jax.core.training import Tamper
from d2m_jax.core.trees import choose
from d2m_jax.core.types import Batch, Key
from d2m_jax.market.parts import Parts
from d2m_jax.market.scene import Scene
from d2m_jax.tasks import is_labelled


def tampering(parts: Parts, scene: Scene, active: jax.Array) -> Tamper:
    """The function that turns a seller's batch into what it trains on.

    A seller that lied about its tags holds data of another domain; one that attacks in this round,
    by `active` [N], poisons what it holds. Batches that are no dictionary of `inputs` and `labels`
    stay as they are: an attack that would change them is refused.

    Raises:
        ValueError: the attack poisons data that it cannot read.
    """
    poison, roles = parts.attack.poison, scene.roles
    labelled = is_labelled(scene.data.pool)
    if poison is not None and not labelled:
        raise ValueError(
            f"attack {label(parts.spec.attack)!r} poisons inputs and labels, which the batches of "
            "this data set do not have under these names"
        )

    def tamper(key: Key, seller: jax.Array, batch: Batch) -> Batch:
        if not labelled:
            return batch
        num_classes, pair = parts.model.num_classes, (batch["inputs"], batch["labels"])
        other = off_topic(key, *pair, num_classes)
        pair = choose(roles.tag_liar[seller], other, pair)
        if poison is not None:
            own = taken(poison, scene.hparams.attack)
            bad = poison(key, *pair, num_classes, seller=seller, **own)
            pair = choose(active[seller], bad, pair)
        return {**batch, "inputs": pair[0], "labels": pair[1]}

    return tamper
