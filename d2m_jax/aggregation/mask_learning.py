"""SkyMask: learnt masks tell which coordinates of which seller the buyer's examples can use.

Here also: two normal distributions in the plane. Read next: `baseline.py`, `line.py`.
"""

import jax
import jax.numpy as jnp

from d2m_jax.aggregation.masks import takes_rows, typed, weighted_mean, whole
from d2m_jax.aggregation.trust import usable_root
from d2m_jax.core.gram import top_eigenpair
from d2m_jax.core.norms import safe_sqrt
from d2m_jax.core.protocols import LossesOf
from d2m_jax.core.rows import present, zero_absent
from d2m_jax.core.trees import varying_as
from d2m_jax.core.types import Count

ROUNDS = 50  # of expectation and maximisation, and of 2-means before them
LEAST_VARIANCE = 1e-6  # of a normal distribution, for points of variance 1


@takes_rows
def skymask(
    updates: jax.Array,
    f: Count = 0,
    *,
    root: jax.Array,
    losses_of: LossesOf,
    mask: jax.Array | None = None,
    steps: int = 20,
    rate: float | jax.Array = 1e7,
    largest: float | jax.Array = 1.0,
    threshold: float | jax.Array = 0.5,
) -> jax.Array:
    """Mean of the sellers whose learnt mask is of one kind with that of the buyer's own update.

    Formula: with the buyer's update as one row more, mix_j = sum_i s(m_ij) x_ij / sum_i s(m_ij), s
    the logistic function, all m_ij = 1 at first; steps times m <- m - clip(rate dL(mix)/dm,
    largest); the masks s(m) > threshold are projected to their two principal components and split
    by a mixture of two normal distributions.

    Args:
        updates: `[S, D]`.
        f: ignored; any number of Byzantine rows is tolerated as far as the buyer's data is good.
        root: `[D]`, the buyer's own update.
        losses_of: updates `[K, D]` -> `[K]`, loss on the buyer's examples after each step, with a
            gradient.
        mask: `[S]` bool, True for present rows; None for all.
        steps: of the masks.
        rate: of the masks, per unit of loss.
        largest: change of one m in a step.
        threshold: of a mask, between 0 and 1.

    Returns:
        `[D]`; the root update where the buyer's mask stands alone (our choice), zeros when nobody
        is present.

    Raises:
        ValueError: a root of another length, or no step.

    Cost: a gradient of the loss and three passes per step, O(S^2 D) for the masks. Source: Yan et
    al., ECCV 2024. The numbers are those of the released code, which clips the gradient at 1e-7.
    Our choices: every step sees all examples, none is the last before its time, and the mixture
    starts from 2-means between the buyer's point and the one farthest from it.
    """
    del f  # unused
    root = usable_root(root, updates)
    here = present(updates, mask)
    rows = jax.lax.stop_gradient(jnp.concatenate([zero_absent(updates, mask), root[None]]))
    there = jnp.append(here, True)
    learnt = _learn(rows, there, losses_of, whole("steps", steps, 1), rate, largest)
    on = (learnt > jnp.log(threshold / (1 - threshold))) & there[:, None]
    kept = like_last(_plane(typed(on, updates), there), there)[:-1] & here
    return jnp.where(here.any() & ~kept.any(), root, weighted_mean(kept, updates, mask))


def _learn(
    rows: jax.Array,
    there: jax.Array,
    losses_of: LossesOf,
    steps: int,
    rate: float | jax.Array,
    largest: float | jax.Array,
) -> jax.Array:
    """The masks `[S + 1, D]` before the logistic function."""

    def step(masks: jax.Array, _: None) -> tuple[jax.Array, None]:
        open_ = jnp.where(there[:, None], jax.nn.sigmoid(masks), 0)
        total = open_.sum(axis=0, keepdims=True)
        mixed = (open_ * rows).sum(axis=0, keepdims=True) / total
        slope = jax.grad(lambda at: losses_of(at)[0])(mixed) / total
        pull = open_ * (1 - open_) * (rows - mixed) * slope
        change = jnp.clip(rate * pull, -largest, largest)
        return masks - jnp.where(jnp.isfinite(change), change, 0), None

    start = varying_as(jnp.ones_like(rows), rows, there)
    return jax.lax.scan(step, start, length=steps)[0]


def _plane(points: jax.Array, there: jax.Array) -> jax.Array:
    """The first two principal components `[S, 2]` of points `[S, D]`, the first of variance 1."""
    count = typed(jnp.sum(there), points)
    share = typed(there, points) / count
    centred = jnp.where(
        there[:, None], points - jnp.matmul(share[None], points, precision="highest"), 0
    )
    products = jnp.matmul(centred, centred.T, precision="highest")
    first, u = top_eigenpair(products)
    rest = products - jnp.outer(u, u @ products)
    second, v = top_eigenpair(rest - jnp.outer(rest @ u, u))
    shares = jnp.stack([first, second]) / jnp.where(first > 0, first, 1)
    return jnp.stack([u, v], axis=1) * safe_sqrt(count * shares)[None]


def like_last(points: jax.Array, there: jax.Array) -> jax.Array:
    """True `[S]` for the points in the plane of the same normal distribution as the last one.

    Two distributions, any covariance, by expectation and maximisation; who is as likely under
    either counts to the last one's.
    """
    gaps = jnp.sum((points - points[-1:]) ** 2, axis=1)
    far = points[jnp.argmax(jnp.where(there, gaps, -1))]
    weights = typed(there, points)

    def nearer(centres: jax.Array, _: None) -> tuple[jax.Array, None]:
        share = _nearest(points, centres) * weights[:, None]
        size = share.sum(axis=0)
        means = (share.T @ points) / jnp.where(size > 0, size, 1)[:, None]
        return jnp.where((size > 0)[:, None], means, centres), None

    start = varying_as(jnp.stack([points[-1], far]), points, there)
    centres, _ = jax.lax.scan(nearer, start, length=ROUNDS)

    def maximise(share: jax.Array, _: None) -> tuple[jax.Array, None]:
        return _posterior(points, share * weights[:, None]), None

    share, _ = jax.lax.scan(maximise, _nearest(points, centres), length=ROUNDS)
    second = share[:, 1] > 0.5
    return there & (second == second[-1])


def _nearest(points: jax.Array, centres: jax.Array) -> jax.Array:
    """`[S, 2]`: 1 at the nearer of two centres, the first of equals."""
    gaps = jnp.sum((points[:, None] - centres[None]) ** 2, axis=2)
    first = gaps[:, 0] <= gaps[:, 1]
    return typed(jnp.stack([first, ~first], axis=1), points)


def _posterior(points: jax.Array, share: jax.Array) -> jax.Array:
    """`[S, 2]`: how likely each point is of either distribution, fitted to the shares."""
    size = share.sum(axis=0)
    held = share / jnp.where(size > 0, size, 1)[None]
    means = held.T @ points
    apart = points[:, None] - means[None]  # [S, 2, 2]: point, distribution, axis
    xx = jnp.sum(held * apart[..., 0] ** 2, axis=0) + LEAST_VARIANCE
    xy = jnp.sum(held * apart[..., 0] * apart[..., 1], axis=0)
    yy = jnp.sum(held * apart[..., 1] ** 2, axis=0) + LEAST_VARIANCE
    rest = jnp.maximum(yy - xy**2 / xx, LEAST_VARIANCE)
    across = apart[..., 1] - (xy / xx)[None] * apart[..., 0]
    distance = apart[..., 0] ** 2 / xx[None] + across**2 / rest[None]
    known = jnp.where(size > 0, jnp.log(jnp.where(size > 0, size, 1)), -jnp.inf)
    return jax.nn.softmax(known[None] - 0.5 * (jnp.log(xx * rest)[None] + distance), axis=1)
