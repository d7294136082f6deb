"""From scores to integer pay, and how good a payment was.

A payment turns the scores of a job into integer weights; the ledger splits the pool by them so that
it adds up exactly. One of your own is a function `(scores [N], **numbers) -> weights [N]`; if it
has a keyword `view` it also gets a `PaymentView`. Read next: `ledger/settlement.py` for the split.
"""

import inspect
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol, TypeAlias

import jax
import jax.numpy as jnp

from d2m_jax.core.choices import label, numbers, options, pick
from d2m_jax.core.promises import check_call, integers, kept
from d2m_jax.core.types import Number
from d2m_jax.incentives.contribution import to_weights

TRAINING_COST = 100.0  # units that one round of honest training costs a seller (our choice)
EXECUTION_COST = 20.0  # units that one execution costs a node (our choice)


class PaymentView(NamedTuple):
    """What the chain knows of the sellers at the end of a job."""

    scores: jax.Array  # [N] float32, contributions added up over the rounds
    sizes: jax.Array  # [N] int32, examples each says it has
    accepted: jax.Array  # [N] int32, rounds in which its update was used
    rounds: jax.Array  # [N] int32, rounds in which it was drawn and delivered


class ScorePayment(Protocol):
    """`(scores [N], **numbers) -> weights [N] int32`, 0 for those who get nothing."""

    def __call__(self, scores: jax.Array, /) -> jax.Array:
        """Weights to split the pool by."""


class ViewPayment(Protocol):
    """As `ScorePayment`, for who wants to see more than the scores."""

    def __call__(self, scores: jax.Array, /, *, view: PaymentView) -> jax.Array:
        """Weights to split the pool by."""


Payment: TypeAlias = ScorePayment | ViewPayment


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
    return to_weights(jnp.sqrt(_positive(scores)))


def capped(scores: jax.Array, *, most: Number = 3.0) -> jax.Array:
    """As `proportional`, but nobody counts for more than `most` times the mean positive score."""
    good = _positive(scores)
    mean = good.sum() / jnp.maximum((good > 0).astype(good.dtype).sum(), 1.0)
    return to_weights(jnp.minimum(good, jnp.asarray(most, good.dtype) * mean))


def sharp(scores: jax.Array, *, power: Number = 2.0) -> jax.Array:
    """Weights in proportion to the scores to a power, 2 by default -> [N] int32.

    Who works less scores a little less and is paid less by `power` times as much, to first order.
    The luck of the draw weighs more, too.
    """
    good = _positive(scores)
    best = jnp.maximum(good.max(), 1e-30)
    return to_weights((good / best) ** jnp.asarray(power, good.dtype))


def sized(scores: jax.Array, *, view: PaymentView) -> jax.Array:
    """Weights in proportion to score times registered size -> [N] int32.

    An owner that splits its data splits its size, too: two halves of equal score earn what the
    whole earned, where `proportional` pays both in full. Sizes must be certified (they are claims):
    Corrected OSMD believes one above the median only by trust.
    """
    return to_weights(_positive(scores) * view.sizes.astype(scores.dtype))


def marginal_pay(values: jax.Array, price: jax.Array, pool: jax.Array) -> jax.Array:
    """[N] units: price times what the whole loses without each, and at most the pool.

    Not normalised: what is not earned goes back to the buyer, so a seller cannot gain by making
    others worth less, and a split owner loses what its parts are worth beside each other. If the
    pool is too small all are scaled alike, rounded down. Source: Qi and Zhu 2024 (2403.04753).

    Args:
        values: [N] leave-one-out values; negative and non-finite ones earn nothing.
        price: [] units for one unit of value.
        pool: [] units that there are; the pay has their type.
    """
    good = jnp.maximum(jnp.where(jnp.isfinite(values), values, 0.0), 0.0)
    asked = good * jnp.asarray(price, good.dtype)
    limit = pool.astype(good.dtype)
    scale = jnp.minimum(1.0, limit / jnp.maximum(asked.sum(), 1e-30))
    paid = jnp.floor(asked * scale).astype(pool.dtype)
    over = paid.sum(dtype=pool.dtype) - pool  # what rounding in floats may add
    return jnp.where(
        jnp.arange(paid.shape[0]) == jnp.argmax(paid), paid - jnp.maximum(over, 0), paid
    )


def _positive(scores: jax.Array) -> jax.Array:
    return jnp.maximum(jnp.where(jnp.isfinite(scores), scores, 0.0), 0.0)


def asks_for_view(payment: Payment) -> bool:
    """Whether a payment has a keyword `view`."""
    return "view" in inspect.signature(payment).parameters


def pay(
    payment: str | Payment,
    scores: jax.Array,
    view: PaymentView | None = None,
    **values: Number,
) -> jax.Array:
    """The weights that a payment makes of the scores.

    Args:
        payment: a name of `PAYMENTS` or a function of your own.
        scores: [N] float32.
        view: for payments that ask for it.
        **values: numbers of the payment, which may be traced.

    Returns:
        [N] int32 weights.

    Raises:
        ValueError: an unknown name or number, a view that is not given, or weights that are not
            [N] integers.
    """
    part = pick(PAYMENTS, payment, "payment")
    name, known = label(payment), {**numbers(part), **options(part)}
    wrong = sorted(set(values) - set(known))
    if wrong:
        raise ValueError(
            f"payment {name!r} has no number {wrong[0]!r}; it has: {', '.join(known) or 'none'}"
        )
    given: dict[str, Any] = dict(values)
    if asks_for_view(part):
        if view is None:
            raise ValueError(f"payment {name!r} asks for a view of the job, and none is given")
        given["view"] = view
    what = f"payment {name!r} (`to_weights` makes weights of scores)"
    check_call(what, part, scores, **given)
    return kept(what, part(scores, **given), integers(*scores.shape)).astype(jnp.int32)


def switched_payment(
    payments: Sequence[str | Payment], index: jax.Array, values: Sequence[Mapping[str, Number]]
) -> ViewPayment:
    """A payment that behaves as `payments[index]`; it has no numbers of its own.

    Args:
        payments: in the order of the index, names of `PAYMENTS` or functions of your own.
        index: [] int32, the same for all worlds of a `vmap`: only the chosen payment runs.
        values: the numbers of each, in the same order, which may be traced.
    """

    def chosen(scores: jax.Array, /, *, view: PaymentView) -> jax.Array:
        branches = [
            partial(pay, payment, scores, view, **own) for payment, own in zip(payments, values)
        ]
        return jax.lax.switch(index, branches)

    return chosen


class PaymentReport(NamedTuple):
    """What a payment looks like; shares are of the sellers that took part."""

    unbalanced: jax.Array  # [] units of the pool neither paid nor refunded: 0 is balanced
    rational: jax.Array  # [] float32, share whose pay covers their cost
    jain: jax.Array  # [] float32, (sum x)^2 / (n sum x^2): 1 is equal, 1/n is one takes all
    gini: jax.Array  # [] float32, 0 is equal
    correlation: jax.Array  # [] float32, of pay with the reference worth; 0 if either is flat
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
        pool: [] units to be split.
        pay: [N] units, 0 for those that did not take part.
        refund: [] units of the pool that went back.
        took_part: [N] bool.
        cost: [N] or [] units that taking part cost.
        worth: [N] reference contributions, for instance exact Shapley values; default: all alike.
    """
    there = took_part.astype(jnp.float32)
    count = jnp.maximum(there.sum(), 1.0)
    paid = jnp.where(took_part, pay, 0).astype(jnp.float32)
    total = jnp.maximum(paid.sum(), 1e-30)
    rational = (took_part & (paid >= jnp.asarray(cost, paid.dtype))).astype(
        paid.dtype
    ).sum() / count
    square = jnp.maximum((paid * paid).sum(), 1e-30)
    gaps = jnp.abs(paid[:, None] - paid[None, :]) * there[:, None] * there[None, :]
    worth = there if worth is None else jnp.where(took_part, jnp.maximum(worth, 0.0), 0.0)
    worth = worth.astype(paid.dtype)
    fair = worth / jnp.maximum(worth.sum(), 1e-30)

    def centred(x: jax.Array) -> jax.Array:
        return jnp.where(took_part, x - (x * there).sum() / count, 0.0)

    a, b = centred(paid), centred(worth)
    spread = jnp.sqrt((a * a).sum() * (b * b).sum())
    return PaymentReport(
        unbalanced=pool - pay.sum(dtype=pay.dtype) - refund,
        rational=rational,
        jain=paid.sum() ** 2 / (count * square),
        gini=gaps.sum() / (2 * count * total),
        correlation=(a * b).sum() / jnp.where(spread > 0, spread, 1.0),
        misplaced=0.5 * jnp.abs(paid / total - fair).sum(),
    )


PAYMENTS: dict[str, Payment] = {
    "proportional": proportional,
    "equal": equal,
    "tempered": tempered,
    "capped": capped,
    "sharp": sharp,
    "sized": sized,
}
