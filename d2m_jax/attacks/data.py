"""Poisoned data: what a bad seller trains on, and how the success of a backdoor is measured.

Not here: attacks on the update itself (`updates.py`), what opens a backdoor (`backdoors.py`). Read
next: that.

`poison(key, inputs [B, ...], labels [B, ...], num_classes, *, seller, **numbers)` is what one bad
seller does to one batch; `vmap` it over sellers. Inputs are raw (images 0..255, uint8 or float):
poison *before* normalising. `seller` is the seller's id, for attacks that share out the work. What
an attack asks of the data stands in `Attack.data`: relabelling needs classes, a trigger images.
"""

import jax
import jax.numpy as jnp

from d2m_jax.attacks.base import EMPTY, AttackContext, write_rows
from d2m_jax.core.types import Key, Number

ALL_PARTS = -1
Batch = tuple[jax.Array, jax.Array]


def chosen(key: Key, shape: tuple[int, ...], fraction: Number) -> jax.Array:
    """Returns which samples are poisoned, bool; each with that probability, all at 1."""
    return jax.random.uniform(key, shape, jnp.float32) < fraction


def mixed(hit: jax.Array, new: jax.Array, old: jax.Array) -> jax.Array:
    """`new` [B, ...] for the examples that are hit [B], `old` for the rest."""
    return jnp.where(hit.reshape(-1, *(1,) * (old.ndim - 1)), new.astype(old.dtype), old)


def label_flip(
    key: Key, inputs: jax.Array, labels: jax.Array, num_classes: int, *, seller: Number = 0
) -> Batch:
    """Trains on the mirrored label: y -> num_classes - 1 - y.

    The attacker's own data, as in Fang et al. 2020 and Blades. ByzFL differs: there the attackers
    send the mean of the *honest* sellers' flipped gradients.
    """
    del key, seller  # unused
    return inputs, num_classes - 1 - labels


def relabel_targeted(
    key: Key,
    inputs: jax.Array,
    labels: jax.Array,
    num_classes: int,
    *,
    seller: Number = 0,
    source: Number = 1,
    target: Number = 7,
    fraction: Number = 1.0,
) -> Batch:
    """Turns one class into another: y = source -> target, for a share `fraction` of them.

    Classes beyond the last count from the start again (modulo num_classes), so that the defaults
    mean something for any data set. Source: Tolpegin et al., ESORICS 2020.
    """
    del seller  # unused
    old, new = (jnp.asarray(a).astype(labels.dtype) % num_classes for a in (source, target))
    hit = (labels == old) & chosen(key, labels.shape, fraction)
    return inputs, jnp.where(hit, new, labels)


def relabel_random(
    key: Key,
    inputs: jax.Array,
    labels: jax.Array,
    num_classes: int,
    *,
    seller: Number = 0,
    fraction: Number = 1.0,
) -> Batch:
    """Noisy labels: a share `fraction` gets another class, uniform among the other ones.

    With a fraction of 0 to 0.5 this is a careless seller rather than an attacker.
    """
    del seller  # unused
    pick, draw = jax.random.split(key)
    shift = jax.random.randint(draw, labels.shape, 1, max(num_classes, 2), labels.dtype)
    return inputs, jnp.where(
        chosen(pick, labels.shape, fraction), (labels + shift) % num_classes, labels
    )


def stamp(
    images: jax.Array,
    *,
    size: Number = 4,
    value: Number = 255.0,
    offset: Number = 1,
    part: Number = ALL_PARTS,
) -> jax.Array:
    """Puts the trigger on every image: a square of `size` pixels, `offset` from the lower right.

    Args:
        images: [B, H, W, Ch], raw.
        size: side of the square in pixels, even when it is to be split.
        value: grey level of the trigger, 0..255.
        offset: pixels between the square and the border.
        part: 0..3 stamps only that quadrant (distributed backdoor), -1 the whole square.
    """
    height, width = images.shape[1:3]
    size, offset = (jnp.asarray(x).astype(jnp.float32) for x in (size, offset))
    row = jnp.arange(height, dtype=jnp.float32) - (height - offset - size)
    column = jnp.arange(width, dtype=jnp.float32) - (width - offset - size)
    inside = ((row >= 0) & (row < size))[:, None] & ((column >= 0) & (column < size))[None, :]
    low, right = (2 * row >= size)[:, None], (2 * column >= size)[None, :]
    part = jnp.asarray(part).astype(jnp.int32)
    quadrant = 2 * low.astype(jnp.int32) + right.astype(jnp.int32)
    here = inside & ((quadrant == part) | (part < 0))
    return jnp.where(here[None, :, :, None], jnp.asarray(value).astype(images.dtype), images)


def backdoor(
    key: Key,
    images: jax.Array,
    labels: jax.Array,
    num_classes: int,
    *,
    seller: Number = 0,
    target: Number = 0,
    fraction: Number = 0.5,
    size: Number = 4,
    value: Number = 255.0,
    offset: Number = 1,
    boost: Number = 1.0,
) -> Batch:
    """A share of the batch gets the trigger and the label `target`; the rest stays, as a disguise.

    `boost` belongs to `boosted_update`. Source: Bagdasaryan et al., AISTATS 2020 (pixel pattern as
    in BadNets, Gu et al. 2017).
    """
    del seller, num_classes, boost  # unused
    hit = chosen(key, labels.shape[:1], fraction)
    stamped = stamp(images, size=size, value=value, offset=offset)
    return mixed(hit, stamped, images), mixed(hit, jnp.full_like(labels, target), labels)


def backdoor_distributed(
    key: Key,
    images: jax.Array,
    labels: jax.Array,
    num_classes: int,
    *,
    seller: Number = 0,
    target: Number = 0,
    fraction: Number = 0.5,
    size: Number = 4,
    value: Number = 255.0,
    offset: Number = 1,
    boost: Number = 1.0,
) -> Batch:
    """As `backdoor`, but each seller stamps only the quadrant `seller % 4` of the trigger.

    Success is measured with the whole trigger. Source: Xie et al., ICLR 2020 (DBA).
    """
    del num_classes, boost  # unused
    hit = chosen(key, labels.shape[:1], fraction)
    part = jnp.asarray(seller) % 4
    stamped = stamp(images, size=size, value=value, offset=offset, part=part)
    return mixed(hit, stamped, images), mixed(hit, jnp.full_like(labels, target), labels)


def boosted_update(
    key: Key,
    updates: jax.Array,
    byzantine: jax.Array,
    *,
    context: AttackContext = EMPTY,
    boost: Number = 1.0,
    **trigger: Number,
) -> jax.Array:
    """Model replacement: the backdoored update times `boost`, about n / eta to take over a mean.

    gamma (X - G) + G in models is gamma u in updates. Source: Bagdasaryan et al., AISTATS 2020.
    """
    del key, trigger  # unused
    return write_rows(updates, byzantine, boost * updates, context)


def attack_success_rate(
    predictions: jax.Array,
    labels: jax.Array,
    target: Number,
    mask: jax.Array | None = None,
) -> jax.Array:
    """Returns the share of *non-target* images that the model calls `target`, [].

    Images of the target class would count as success without any backdoor, so they are left out.
    Zero when there is no other image.

    Args:
        predictions: [B] int, the predicted class of the stamped images (`stamp`).
        labels: [B] int, true labels.
        target: the attacker's class.
        mask: [B] bool, which images count.
    """
    counted = labels != target
    if mask is not None:
        counted = counted & mask
    hits = (counted & (predictions == target)).sum()
    return hits / jnp.maximum(counted.sum(), 1).astype(jnp.float32)


def off_topic(
    key: Key,
    inputs: jax.Array,
    labels: jax.Array,
    num_classes: int,
    *,
    seller: Number = 0,
    fraction: Number = 1.0,
    domain: Number = 0,
) -> Batch:
    """Data that do not belong to the tags: what a seller that lies about its tags trains on.

    Another domain is made out of the batch at hand: one fixed permutation of the pixels, or of the
    features of anything but images, and one of the classes, the same for every seller and round of
    that `domain`. So the data are consistent and learnable (a model trained on them only would do
    well on them), but useless to the buyer. Labels that are no classes stay: other inputs with the
    same targets are another domain already. Our formulation; the values of each example are
    unchanged.

    Args:
        key: decides which samples are off topic.
        inputs: [B, ...]; of rank 4 they are images [B, H, W, Ch], whose channels stay together.
        labels: [B, ...].
        num_classes: L; 0 where labels are no classes.
        seller: unused.
        fraction: share of the batch that is off topic.
        domain: which other domain, an integer.
    """
    del seller  # unused
    pixel_key, class_key = jax.random.split(
        jax.random.fold_in(jax.random.key(0), jnp.asarray(domain).astype(jnp.int32))
    )
    examples = inputs.shape[0]
    channels = inputs.shape[3] if inputs.ndim == 4 else 1
    flat = inputs.reshape(examples, -1, channels)
    order = jax.random.permutation(pixel_key, flat.shape[1])
    hit = chosen(key, labels.shape[:1], fraction)
    moved = mixed(hit, flat[:, order].reshape(inputs.shape), inputs)
    if num_classes < 1:
        return moved, labels
    classes = jax.random.permutation(class_key, num_classes).astype(labels.dtype)
    return moved, mixed(hit, classes[labels], labels)
