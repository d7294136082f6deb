"""Backdoors: what opens one, how often it works, and the edge case.

Not here: poisoned batches of the pixel trigger (`data.py`), updates that keep a backdoor alive
(`rounds.py`). Read next: `data.py`.

Every attack with a backdoor has a `trigger`: what the attacker shows the trained model, the class
it wants to be told, and which examples count. So one function measures any of them.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from d2m_jax.attacks.base import Trigger
from d2m_jax.attacks.data import attack_success_rate, chosen, mixed, stamp
from d2m_jax.core.choices import taken
from d2m_jax.core.types import Key, Number


def stamped(
    images: jax.Array,
    labels: jax.Array,
    num_classes: int,
    *,
    target: Number = 0,
    size: Number = 4,
    value: Number = 255.0,
    offset: Number = 1,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The whole pixel trigger on every image that is not of the target class."""
    wanted = jnp.asarray(target).astype(labels.dtype) % num_classes
    shown = stamp(images, size=size, value=value, offset=offset)
    return shown, wanted, labels != wanted


def edge_case(
    key: Key,
    images: jax.Array,
    labels: jax.Array,
    num_classes: int,
    *,
    seller: Number = 0,
    source: Number = 7,
    target: Number = 1,
    fraction: Number = 1.0,
    boost: Number = 1.0,
) -> tuple[jax.Array, jax.Array]:
    """Rare inputs with a wrong class: images of `source`, upside down, are called `target`.

    What honest sellers never hold, nothing they send unlearns. The paper takes examples from the
    tail of the data (aeroplanes of one airline, foreign sevens); we make a tail out of the batch:
    half a turn. `boost` belongs to `boosted_update`. Source: Wang et al., NeurIPS 2020.

    Args:
        key: decides which are poisoned.
        images: [B, H, W, Ch].
        labels: [B].
        num_classes: L; classes beyond the last count from the start again.
        seller: unused.
        source: class whose images are turned.
        target: what they are called.
        fraction: share of them.
        boost: unused here.
    """
    del seller, boost  # unused
    old, new = (jnp.asarray(a).astype(labels.dtype) % num_classes for a in (source, target))
    hit = (labels == old) & chosen(key, labels.shape[:1], fraction)
    return mixed(hit, half_turn(images), images), jnp.where(hit, new, labels)


def turned(
    images: jax.Array,
    labels: jax.Array,
    num_classes: int,
    *,
    source: Number = 7,
    target: Number = 1,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Images of the source class, upside down."""
    old, wanted = (jnp.asarray(a).astype(labels.dtype) % num_classes for a in (source, target))
    return half_turn(images), wanted, (labels == old) & (old != wanted)


def half_turn(images: jax.Array) -> jax.Array:
    """Images [B, H, W, Ch] upside down."""
    return images[:, ::-1, ::-1]


def success_rate(
    trigger: Trigger,
    predict: Callable[[jax.Array], jax.Array],
    inputs: jax.Array,
    labels: jax.Array,
    num_classes: int,
    **numbers: Number,
) -> jax.Array:
    """How often the backdoor works, [] in 0..1: of the examples that count, those called as wanted.

    Args:
        trigger: `ATTACKS[name].trigger`.
        predict: raw inputs [B, ...] -> classes [B] int, by the trained model.
        inputs: [B, ...], raw test examples.
        labels: [B], their classes.
        num_classes: L.
        numbers: of the attack; those that the trigger does not take are left out.
    """
    shown, wanted, counted = trigger(inputs, labels, num_classes, **taken(trigger, numbers))
    return attack_success_rate(predict(shown), labels, wanted, counted)
