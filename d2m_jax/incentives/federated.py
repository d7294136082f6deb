"""What the updates of one training round were worth, without training again.

The game of a round: a coalition is worth the fall of the validation loss by the mean of its updates
(reconstruction). Its values add up over rounds (multi-round reconstruction, MR). Here too are the
measures that need no game: the path value, gradient similarity. Read first: `values.py`.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from d2m_jax.core.rows import masked_median
from d2m_jax.core.types import Number
from d2m_jax.incentives.coalitions import Utility


def round_utility(
    losses_of: Callable[[jax.Array], jax.Array] | None,
    updates: jax.Array,
    weights: jax.Array,
    *,
    renormalised: bool = True,
    mixed: Callable[[jax.Array], jax.Array] | None = None,
) -> Utility:
    """The game of one round on reconstructed models.

    v(T) = L(theta) - L(theta - lr sum_{j in T} w_j u_j / sum_{j in T} w_j), v(none) = 0. Without
    renormalisation the divisor is the sum over all sellers, so that the absent send zero; then
    values measure what is added to the step rather than what changes in the mean.

    Args:
        losses_of: updates [C, D] -> [C], validation loss after each candidate step; None with
            `mixed`.
        updates: [S, D].
        weights: [S] float32, not negative; a seller with weight 0 is a null player.
        mixed: weights [C, S] -> [C], the same losses of mixtures of the updates, in the place of
            `losses_of` (`tasks.losses_of_mixtures` is much faster for many coalitions).
        renormalised: as Song, Tong, Wei 2019, equation 6 (MR); False is our choice.

    Returns:
        masks [C, S] -> [C]: one matmul and C + 1 losses.
    """

    def utility(masks: jax.Array) -> jax.Array:
        share = jnp.where(masks, weights[None, :], 0.0)
        total = share.sum(1, keepdims=True) if renormalised else weights.sum()
        share = share / jnp.where(total > 0, total, 1.0)
        if mixed is not None:
            losses = mixed(jnp.concatenate([share, jnp.zeros_like(share[:1])]))
            return losses[-1] - losses[:-1]
        assert losses_of is not None
        losses = losses_of(jnp.concatenate([share @ updates, jnp.zeros_like(updates[:1])]))
        return losses[-1] - losses[:-1]

    return utility


def multi_round(values: jax.Array, decay: Number = 1.0) -> jax.Array:
    """MR: phi_i = sum_t decay^t phi_i^t of round values [R, S] -> [S]; decay < 1 is our reading of
    the truncated variant (TMR), which weighs late rounds less. Source: Song, Tong, Wei 2019."""
    rounds = jnp.arange(values.shape[0], dtype=values.dtype)
    return jnp.power(jnp.asarray(decay, values.dtype), rounds) @ values


def path_value(
    gradient_at: Callable[[jax.Array], jax.Array],
    parts: jax.Array,
    lr: Number,
    num_points: int = 1,
) -> jax.Array:
    """Aumann-Shapley value of the parts of a step: every part is paid along the way actually taken.

        phi_i = lr integral_0^1 <c_i, grad L(theta - s lr sum_j c_j)> ds

    by the midpoint rule. The values sum to L(theta) - L(theta - lr sum c) (efficient, up to the
    quadrature; one point is exact for a quadratic loss, where it is the Shapley value of the sums
    of parts). A seller that splits its part in any proportions is paid the same in sum, and a part
    of zero gets zero. Sources: Aumann and Shapley 1974; one gradient at theta is the first order of
    Wang et al. 2024 (In-Run Data Shapley), the midpoint takes in their second order.

    Args:
        gradient_at: candidate update [D] -> gradient [D] of the loss at theta - lr * candidate.
        parts: [S, D], what each seller adds to the aggregate; their sum is the step's direction.
        lr: [] server rate.
        num_points: K of the midpoint rule.

    Returns:
        [S] float32, in units of the loss. K gradients and an [S, D] matmul.

    Raises:
        ValueError: fewer than one point.
    """
    if num_points < 1:
        raise ValueError(f"num_points must be at least 1, not {num_points}")
    step = jnp.ones(parts.shape[0], parts.dtype) @ parts
    ways = (jnp.arange(num_points, dtype=parts.dtype) + 0.5) / num_points
    mean = jax.lax.map(lambda way: gradient_at(way * step), ways).mean(0)
    return lr * jnp.matmul(parts, mean, precision="highest")


def gradient_similarity(updates: jax.Array, use: jax.Array) -> jax.Array:
    """CGSV of one round: cos(u_i, mean of the unit updates) -> [S], 0 where not in use.

    Source: Xu et al., NeurIPS 2021, equation 2; over rounds it is kept as a running mean,
    r <- a r + (1 - a) phi. Anybody may raise it by sending the mean: it pays for agreement.
    """
    size = jnp.linalg.norm(updates, axis=1)
    good = use & (size > 0)
    unit = jnp.where(good[:, None], updates / jnp.where(good, size, 1.0)[:, None], 0.0)
    centre = good.astype(unit.dtype) @ unit
    length = jnp.linalg.norm(centre)
    return jnp.matmul(unit, centre, precision="highest") / jnp.where(length > 0, length, 1.0)


def clipped_parts(updates: jax.Array, use: jax.Array, clip: Number = 1.5) -> jax.Array:
    """[S, D] parts of a plain mean of the updates in use, none longer than clip times the median.

    So that a round is valued alike whatever the defence is, and no one is paid for sheer length
    (our choice).
    """
    size = jnp.linalg.norm(updates, axis=1)
    typical = masked_median(size, use)
    scale = jnp.minimum(1.0, clip * typical / jnp.where(size > 0, size, 1.0))
    share = jnp.where(use, scale, 0.0) / jnp.maximum(use.astype(size.dtype).sum(), 1.0)
    return jnp.where(use[:, None], updates * share[:, None], 0.0)
