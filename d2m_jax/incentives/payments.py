"""From scores to integer pay, and how good a payment was.

A rule turns the scores of a job into integer weights; the ledger splits the pool by them so that it
adds up exactly. Read next: `ledger/settlement.py` for the split.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from d2m_jax.core.types import Number
from d2m_jax.incentives.contribution import to_weights

TRAINING_COST = 100.0  # units that one round of honest training costs a seller (our choice)
EXECUTION_COST = 20.0  # units that one execution costs a node (our choice)


def proportional(scores: jax.Array) -> jax.Array:
    """Weights in proportion to the scores (default) -> [N] int32."""
    return to_weights(scores)


def equal(scores: jax.Array) -> jax.Array:
    """One share for everybody with a positive score -> [N] int32. An owner of two accounts is paid
    twice."""
    return to_weights((scores > 0).astype(jnp.float32))


def tempered(scores: jax.Array) -> jax.Array:
    """Weights in proportion to the square roots of the scores -> [N] int32.

    Between `proportional` and `equal`: the luck of few draws weighs less, and splitting pays more.
    """
    return to_weights(jnp.sqrt(jnp.maximum(jnp.where(jnp.isfinite(scores), scores, 0.0), 0.0)))


def capped(scores: jax.Array, most: Number = 3.0) -> jax.Array:
    """As `proportional`, but nobody counts for more than `most` times the mean positive score."""
    good = jnp.maximum(jnp.where(jnp.isfinite(scores), scores, 0.0), 0.0)
    mean = good.sum() / jnp.maximum((good > 0).sum(), 1)
    return to_weights(jnp.minimum(good, most * mean))


class PaymentReport(NamedTuple):
    """What a payment looks like; shares are of the sellers that took part."""

    unbalanced: jax.Array  # [] int32 units of the pool neither paid nor refunded: 0 is balanced
    rational: jax.Array  # [] float32, share whose pay covers their cost
    jain: jax.Array  # [] float32, (sum x)^2 / (n sum x^2): 1 is equal, 1/n is one takes all
    gini: jax.Array  # [] float32, 0 is equal
    correlation: jax.Array  # [] float32, of pay with the reference worth; NaN if either is flat
    misplaced: jax.Array  # [] float32, half the distance of the shares from those of the reference


def payment_report(
    pool: jax.Array,
    pay: jax.Array,
    refund: jax.Array,
    took_part: jax.Array,
    cost: jax.Array | float = 0.0,
    worth: jax.Array | None = None,
) -> PaymentReport:
    """Budget balance, individual rationality and fairness of one payment.

    Args:
        pool: [] int32 units to be split.
        pay: [N] int32 units, 0 for those that did not take part.
        refund: [] int32 units of the pool that went back.
        took_part: [N] bool.
        cost: [N] or [] units that taking part cost.
        worth: [N] reference contributions, for instance exact Shapley values; default: all alike.
    """
    there = took_part.astype(jnp.float32)
    count = jnp.maximum(there.sum(), 1.0)
    paid = jnp.where(took_part, pay, 0).astype(jnp.float32)
    total = jnp.maximum(paid.sum(), 1e-30)
    rational = jnp.where(took_part, paid >= cost, False).sum() / count
    square = jnp.maximum((paid * paid).sum(), 1e-30)
    gaps = jnp.abs(paid[:, None] - paid[None, :]) * there[:, None] * there[None, :]
    worth = there if worth is None else jnp.where(took_part, jnp.maximum(worth, 0.0), 0.0)
    fair = worth / jnp.maximum(worth.sum(), 1e-30)

    def centred(x: jax.Array) -> jax.Array:
        return jnp.where(took_part, x - (x * there).sum() / count, 0.0)

    a, b = centred(paid), centred(worth)
    return PaymentReport(
        unbalanced=pool - pay.sum(dtype=jnp.int32) - refund,
        rational=rational,
        jain=paid.sum() ** 2 / (count * square),
        gini=gaps.sum() / (2 * count * total),
        correlation=(a * b).sum() / jnp.sqrt((a * a).sum() * (b * b).sum()),
        misplaced=0.5 * jnp.abs(paid / total - fair).sum(),
    )


PAYMENTS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "proportional": proportional,
    "equal": equal,
    "tempered": tempered,
    "capped": capped,
}
