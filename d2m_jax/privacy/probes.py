"""Leak probes: how much of the sellers' data shows in the model and in single updates.

Metrics for tables, not attacks on anybody: membership inference by losses or by an update, gradient
inversion of one update, words of a text in an update. Read next: `docs/privacy.md`.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from d2m_jax.core.norms import unit
from d2m_jax.core.training import OfBatch
from d2m_jax.core.types import Batch, Key, Number

NORMAL_95 = 1.959964  # quantile of the normal distribution for an interval of 95 %


class Membership(NamedTuple):
    """How well losses tell members from others."""

    auc: jax.Array  # [] float32, 0.5 is blind
    advantage: jax.Array  # [] float32, true minus false positive rate at the held-out threshold
    low: jax.Array  # [] float32, end of the advantage's interval of 95 %
    high: jax.Array  # [] float32, the other end


def membership(
    members: jax.Array,
    others: jax.Array,
    reference_members: jax.Array | None = None,
    reference_others: jax.Array | None = None,
) -> Membership:
    """Membership inference by thresholding losses: a low loss says "was in the training set".

    Calibrated (Watson et al. 2022) when the losses under a reference model that saw neither are
    given: the score is then the fall of the loss from the reference. The threshold is chosen on the
    even half of the examples and the advantage (Yeom et al. 2018) measured on the odd half, so that
    a blind score has an expected advantage of 0. The interval is that of a difference of two shares
    (`difference_interval`) given the threshold; it takes the examples as independent.

    Args:
        members: [A] losses of examples of the training set.
        others: [B] losses of examples that were not in it.
        reference_members: [A] losses under the reference model.
        reference_others: [B] the same.
    """
    if reference_members is not None and reference_others is not None:
        members, others = members - reference_members, others - reference_others
    found, false = _rates(members, others)
    ends = difference_interval(found, members[1::2].size, false, others[1::2].size)
    return Membership(_auc(members, others), found - false, *ends)


def difference_interval(
    first: jax.Array, num_first: int, second: jax.Array, num_second: int
) -> tuple[jax.Array, jax.Array]:
    """The interval of 95 % of a difference of two shares, from the score intervals of both.

    Args:
        first: [] share of `num_first`.
        num_first: trials.
        second: [] share of `num_second`.
        num_second: trials.

    Source: Newcombe 1998 (Statistics in Medicine 17, 873), method 10.
    """
    a, b = _wilson(first, num_first), _wilson(second, num_second)
    below = jnp.sqrt(jnp.square(first - a[0]) + jnp.square(b[1] - second))
    above = jnp.sqrt(jnp.square(a[1] - first) + jnp.square(second - b[0]))
    return first - second - below, first - second + above


def _wilson(share: jax.Array, num: int) -> tuple[jax.Array, jax.Array]:
    """Wilson's score interval of 95 % of a share."""
    z = NORMAL_95
    middle = (share + z * z / (2 * num)) / (1 + z * z / num)
    half = z / (1 + z * z / num) * jnp.sqrt(share * (1 - share) / num + z * z / (4 * num * num))
    return middle - half, middle + half


def _auc(low: jax.Array, high: jax.Array) -> jax.Array:
    """P(a member's loss is smaller), ties count one half."""
    order = jnp.sort(high)
    below = jnp.searchsorted(order, low, side="left")
    upto = jnp.searchsorted(order, low, side="right")
    return 1.0 - 0.5 * (below + upto).astype(low.dtype).mean() / high.shape[0]


def _rates(low: jax.Array, high: jax.Array) -> tuple[jax.Array, jax.Array]:
    """True and false positive rate on the odd half, at the threshold that is best on the even."""
    cuts = jnp.concatenate([low[::2], high[::2]])
    inside = (low[None, ::2] <= cuts[:, None]).astype(low.dtype).mean(1)
    outside = (high[None, ::2] <= cuts[:, None]).astype(low.dtype).mean(1)
    cut = cuts[jnp.argmax(inside - outside)]
    found, false = low[1::2] <= cut, high[1::2] <= cut
    return found.astype(low.dtype).mean(), false.astype(low.dtype).mean()


def likeness(gradient: OfBatch, theta: jax.Array, update: jax.Array, batch: Batch) -> jax.Array:
    """Cosine [B] of an update with the gradient of each example alone: was it in the batch?

    Works for every task; `membership(-likeness of members, -likeness of others)` is the probe.

    Args:
        gradient: (theta, batch of one example) -> [D].
        theta: [D] the model the seller started from.
        update: [D] what it sent.
        batch: [B, ...] as the model takes it.

    Cost: B gradients, one after the other.
    """
    way = unit(update)

    def alone(example: Batch) -> jax.Array:
        mine = gradient(theta, jax.tree.map(lambda leaf: leaf[None], example))
        return jnp.vdot(unit(mine), way, precision="highest")

    return jax.lax.map(alone, batch)


def word_traces(
    gradient: OfBatch, theta: jax.Array, update: jax.Array, batch: Batch, vocabulary: int
) -> jax.Array:
    """Length [V] of an update on the parameters that belong to each word alone.

    A network that embeds words moves the embedding of a word only if a text holds it, so without
    noise the words of a batch are exactly those with a length above 0. Which parameters are a
    word's is found from the outside: those that texts of this word move, and of no other.

    Args:
        gradient: (theta, batch of one text) -> [D].
        theta: [D] the model the seller started from.
        update: [D] what it sent.
        batch: one text, `inputs` [1, S] int32 and `labels`: gives shapes and a label.
        vocabulary: V; word 0 is the padding and counts as 0.

    Cost: 2 V gradients, one after the other.
    """
    words = jnp.arange(vocabulary, dtype=batch["inputs"].dtype)

    def moved(word: jax.Array) -> jax.Array:
        text = jnp.full_like(batch["inputs"], word)
        return gradient(theta, {**batch, "inputs": text}) != 0

    def count(total: jax.Array, word: jax.Array) -> tuple[jax.Array, None]:
        return total + moved(word), None

    movers, _ = jax.lax.scan(count, jnp.zeros(theta.shape, jnp.int32), words)

    def trace(word: jax.Array) -> jax.Array:
        return jnp.linalg.norm(jnp.where(moved(word) & (movers == 1), update, 0))

    return jnp.where(words > 0, jax.lax.map(trace, words), 0)


class Inversion(NamedTuple):
    """A reconstruction of one example from one gradient."""

    example: jax.Array  # [...] float32, an image [H, W, Ch] or a row [F], in normalised units
    similarity: jax.Array  # [] float32, cosine of the two gradients at the end


def invert_gradient(
    key: Key,
    gradient: OfBatch,
    theta: jax.Array,
    update: jax.Array,
    label: jax.Array,
    shape: tuple[int, ...],
    *,
    steps: int = 300,
    rate: Number = 0.1,
) -> Inversion:
    """Searches the example whose gradient points where the update does: max cos(grad(x), update).

    For inputs that are numbers: images and rows of tables.

    Adam with cosine decay on the sign-free cosine; the label is taken as known (it shows in the
    last bias of a single gradient). Source: Geiping et al. 2020, without their total variation (our
    images are small).

    Args:
        key: consumed; where the search starts.
        gradient: (theta, batch of one example as the model takes it) -> [D].
        theta: [D] the model the seller started from.
        update: [D] what it sent.
        label: [] int32, or a number.
        shape: of the inputs of one example, (H, W, Ch) or (F,).
        steps: static.
        rate: of Adam.
    """
    unit = update / jnp.maximum(jnp.linalg.norm(update), 1e-30)

    def distance(image: jax.Array) -> jax.Array:
        mine = gradient(theta, {"inputs": image[None], "labels": label[None]})
        return 1.0 - (mine @ unit) / jnp.maximum(jnp.linalg.norm(mine), 1e-30)

    adam = optax.adam(optax.cosine_decay_schedule(rate, steps), b1=0.9, b2=0.99)

    def step(carry: tuple[jax.Array, optax.OptState], _: None) -> tuple[Any, None]:
        image, memory = carry
        slope = jax.grad(distance)(image)
        with jax.numpy_dtype_promotion("standard"):  # optax counts in int32 and decays in floats
            change, memory = adam.update(slope, memory)
        return (image + jnp.asarray(change, image.dtype), memory), None

    start = 0.1 * jax.random.normal(key, shape, update.dtype)
    (image, _), _ = jax.lax.scan(step, (start, adam.init(start)), length=steps)
    return Inversion(image, 1.0 - distance(image))


def correlation(image: jax.Array, truth: jax.Array) -> jax.Array:
    """Pearson correlation of a reconstruction with the truth: 1 is an image up to contrast."""
    a, b = image - image.mean(), truth - truth.mean()
    return (a * b).sum() / jnp.maximum(jnp.linalg.norm(a) * jnp.linalg.norm(b), 1e-30)
