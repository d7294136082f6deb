"""The rows of a round and how they agree: with the buyer's examples, and with each other.

What Corrected OSMD judges by, without memory. Next: `corrected.py`.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from d2m_jax.core.norms import safe_norms
from d2m_jax.sampling.base import Context, DefenceParams
from d2m_jax.sampling.robust import weighted_quantile

TINY = 1e-30
MOST = 1e30  # of a rise of the loss in one round, so that sums stay finite
_LEAST_MEAN = 1e-3  # of the agreement, below which it tells nothing


class Rows(NamedTuple):
    """The updates of a round, clipped and in units of R, so that no square overflows."""

    values: jax.Array  # [S, D] float32
    length: jax.Array  # [S] float32, at most `clip`
    use: jax.Array  # [S] bool, present and finite
    copy: jax.Array  # [S] bool, an earlier row is the same
    free: jax.Array  # [S] bool, next to nothing: a free-rider's
    gram: jax.Array  # [S, S] float32, inner products of `values`

    @property
    def counted(self) -> jax.Array:
        """[S] bool, usable and not a copy."""
        return self.use & ~self.copy


def clip_rows(
    updates: jax.Array, norms: jax.Array, use: jax.Array, radius: jax.Array, params: DefenceParams
) -> Rows:
    """The rows in units of R, clipped, and which of them are copies or next to nothing."""
    length = jnp.minimum(norms / jnp.maximum(radius, TINY), params.clip)
    length = jnp.where(use & (radius > 0), length, 0.0)
    values = jnp.where(use[:, None], updates * (length / jnp.maximum(norms, TINY))[:, None], 0.0)

    gram = jnp.matmul(values, values.T, precision="highest")
    outer = length[:, None] * length[None, :]
    same = (gram > params.duplicate_cosine * outer) & (outer > 0)
    copy = jnp.tril(same, -1).any(axis=1)
    return Rows(values, length, use, copy, use & (norms < params.free_ratio * radius), gram)


def agreement_of(
    rows: Rows, weights: jax.Array, radius: jax.Array, context: Context
) -> tuple[jax.Array, jax.Array]:
    """Returns ([S] cosines, [S] first-order falls of the validation loss, lr <u, grad L_V>).

    The cosine is with the validation gradient; without validation data with the weighted mean of
    the others, and nothing is known of the loss.
    """
    units = rows.values / jnp.maximum(rows.length, TINY)[:, None]
    if context.grad_of_validation is not None:
        gradient = context.grad_of_validation()
        norm = safe_norms(gradient[None])[0]
        norm = jnp.where(jnp.isfinite(norm), norm, 0.0)
        cosine = units @ (gradient / jnp.maximum(norm, TINY))
        cosine = jnp.where(jnp.isfinite(cosine), cosine, 0.0)
        return cosine, jnp.minimum(context.lr * radius * norm, MOST) * rows.length * cosine
    gram = jnp.matmul(units, units.T, precision="highest")
    pull = gram @ weights
    own = jnp.diagonal(gram) * weights
    others = jnp.maximum(weights @ pull - 2 * weights * pull + weights * own, 1e-6)
    return (pull - own) / jnp.sqrt(others), jnp.zeros_like(weights)


def log_odds(
    agreement: jax.Array,
    mean: jax.Array,
    variance: jax.Array,
    ratio: jax.Array | float,
    params: DefenceParams,
) -> jax.Array:
    """log N(z; mean, variance) - log N(z; ratio * mean, variance), capped; 0 while mean <= 0."""
    mean = jnp.maximum(mean, 0.0)
    odds = (1 - ratio) * mean * (agreement - 0.5 * (1 + ratio) * mean)
    return jnp.clip(odds / jnp.maximum(variance, 1e-4), -params.evidence_cap, params.evidence_cap)


def merit_of(
    rows: Rows,
    agreement: jax.Array,
    mean: jax.Array,
    trust: jax.Array,
    context: Context,
    params: DefenceParams,
) -> jax.Array:
    """[S] in [0, 1] what a row counts for in this round, whoever sent it; 1 without examples.

    It grows with its agreement, up to the `mean` [] of the trusted if they agree at all, and falls
    with its kin.
    """
    if context.grad_of_validation is None:
        return jnp.ones_like(agreement)
    share = jnp.clip(agreement / jnp.maximum(mean, _LEAST_MEAN), 0.0, 1.0)
    share = jnp.where(mean > _LEAST_MEAN, share, 1.0)
    return share**params.growth / (1 + params.kinship * kin_of(rows, agreement, trust))


def kin_of(rows: Rows, agreement: jax.Array, trust: jax.Array) -> jax.Array:
    """[S] sum over the other rows j of trust_j max(r_mj, 0), with probabilities `trust` [S].

    r is the cosine of two rows across the validation gradient, with which they have the cosines
    `agreement` [S]. Honest rows are nearly orthogonal there, since their noise is independent: what
    many rows have in common there, and the buyer's examples do not confirm, is a push.
    """
    cosines = rows.gram / jnp.maximum(rows.length[:, None] * rows.length[None, :], TINY)
    aside = jnp.sqrt(jnp.maximum(1 - jnp.square(agreement), 1e-4))
    across = cosines - agreement[:, None] * agreement[None, :]
    across = jnp.maximum(across / (aside[:, None] * aside[None, :]), 0.0)
    return _others(across) @ trust


def rises_of(rows: Rows, shares: jax.Array, scale: jax.Array) -> jax.Array:
    """[S] what each raises the others' loss by, to first order: -scale <u_m, sum_j share_j u_j>.

    The sum is over the other rows j, with `shares` [S]; `scale` [] is the rate times R^2.
    """
    along = rows.gram @ shares - jnp.diagonal(rows.gram) * shares
    return -jnp.minimum(scale, MOST) * along


def rises_of_most(
    rows: Rows, merit: jax.Array, shares: jax.Array, scale: jax.Array, params: DefenceParams
) -> jax.Array:
    """[S] as `rises_of`, but positive only when most, a share `majority`, are opposed as well.

    The quantile `majority` of -<u_m, u_j> over the other rows j, each weighted by its `merit` [S]
    too, which fewer rows cannot turn, nor more that are kin; or `rises_of`, if that is less. With a
    majority of 0 it is `rises_of`.
    """
    plain = rises_of(rows, shares, scale)
    weights = _others(jnp.broadcast_to((merit * shares)[None, :], rows.gram.shape))
    each = jax.vmap(weighted_quantile, in_axes=(0, 0, None))
    most = -jnp.minimum(scale, MOST) * each(rows.gram, weights, params.majority)
    return jnp.where(params.majority > 0, jnp.minimum(most, plain), plain)


def _others(matrix: jax.Array) -> jax.Array:
    """[S, S] with the diagonal set to 0."""
    return matrix * (1 - jnp.eye(matrix.shape[0], dtype=matrix.dtype))
