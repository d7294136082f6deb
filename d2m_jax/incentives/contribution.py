"""What a seller's work in one round was worth. Not here: money (see `ledger/settlement.py`).

Each measure maps the evidence of a round to shares that sum to one over the sampled sellers, or to
all zeros when nobody contributed. The market adds the shares up over the rounds and turns the sums
into integer weights with `to_weights`. The D2M paper does not say how sellers are paid; `gain` as
the default is our choice. Read next: `federated.py`, where the values of a round come from.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol, TypeVar

import jax
import jax.numpy as jnp

from d2m_jax.core.rows import masked_median
from d2m_jax.core.types import Number
from d2m_jax.incentives.clusters import clusters, replication_discount, representatives
from d2m_jax.incentives.coalitions import all_coalitions
from d2m_jax.incentives.federated import (
    clipped_parts,
    gradient_similarity,
    path_value,
    round_utility,
)
from d2m_jax.incentives.sampled import permutation_shapley
from d2m_jax.incentives.values import shapley

T = TypeVar("T")


class Evidence(NamedTuple):
    """What CONE knows of the sampled sellers after a round; made inside the market's trace.

    The three measures that existed first need only the first three fields.
    """

    accepted: jax.Array  # [S] bool: the defence used this update
    gain: jax.Array  # [S] float32: fall of the validation loss by this update alone, >= 0
    mass: jax.Array  # [S] float32: probability with which the sampler draws this seller
    updates: jax.Array | None = None  # [S, D] float32, finite
    reputation: jax.Array | None = None  # [S] float32 in [0, 1]
    previous: jax.Array | None = None  # [D] float32, the aggregate that was applied before
    lr: Number = 1.0  # [] server's rate
    losses_of: Callable[[jax.Array], jax.Array] | None = None  # [C, D] -> [C]
    gradient_at: Callable[[jax.Array], jax.Array] | None = None  # candidate [D] -> [D]
    # () -> [S] twice: first-order help to what its unit has shown, and to what another unit has
    on_units: Callable[[], tuple[jax.Array, jax.Array]] | None = None
    # updates [S, D] -> falls [S] of the loss on the seller's own batch, and [S] on another one's
    batch_falls: Callable[[jax.Array], tuple[jax.Array, jax.Array]] | None = None


class Contribution(Protocol):
    """`(evidence, **numbers) -> [S]`: shares of a round that sum to one, or zeros."""

    def __call__(self, evidence: Evidence, /) -> jax.Array:
        """What each sampled seller's work was worth."""


def _given(value: T | None, field: str) -> T:
    """A field of the evidence that a measure needs; ValueError where it was not collected."""
    if value is None:
        raise ValueError(f"this measure needs {field!r} in the evidence of the round")
    return value


def _shares(scores: jax.Array) -> jax.Array:
    total = scores.sum()
    return jnp.where(total > 0, scores / jnp.where(total > 0, total, 1.0), 0.0)


def _positive_shares(evidence: Evidence, values: jax.Array) -> jax.Array:
    """Accepted sellers with a positive value share the round in proportion to it.

    Clipping and normalising per round (our choice) bounds what one round can be worth: without it
    the first rounds, where the loss falls fastest, would decide the pay by the luck of the draw.
    """
    good = evidence.accepted & jnp.isfinite(values)
    return _shares(jnp.where(good, jnp.maximum(values, 0.0), 0.0))


def gain(evidence: Evidence) -> jax.Array:
    """Shares in proportion to the validation gain of accepted updates -> [S] float32.

    c_m = z_m max(0, L(theta) - L(theta - lr u_m)), normalised over the round. A useless or harmful
    update earns nothing, which is what makes honesty pay. So does an honest one of few classes that
    helps only beside others (`round_shapley` pays it). O(S).
    """
    return _shares(jnp.where(evidence.accepted, jnp.maximum(evidence.gain, 0.0), 0.0))


def count(evidence: Evidence) -> jax.Array:
    """Equal shares for every accepted update -> [S] float32. Pays attackers who go unnoticed."""
    return _shares(evidence.accepted.astype(jnp.float32))


def mass(evidence: Evidence) -> jax.Array:
    """Shares in proportion to the sampling mass of accepted sellers -> [S] float32."""
    return _shares(jnp.where(evidence.accepted, evidence.mass, 0.0))


def reputation(evidence: Evidence) -> jax.Array:
    """Shares in proportion to the reputation of accepted sellers -> [S] float32."""
    known = _given(evidence.reputation, "reputation")
    return _shares(jnp.where(evidence.accepted, known, 0.0))


def similarity(evidence: Evidence) -> jax.Array:
    """Shares by cosine with the mean direction (CGSV), accepted sellers only -> [S] float32."""
    cosine = gradient_similarity(_given(evidence.updates, "updates"), evidence.accepted)
    return _shares(jnp.maximum(cosine, 0.0))


def _parts(evidence: Evidence) -> jax.Array:
    return clipped_parts(_given(evidence.updates, "updates"), evidence.accepted)


def path(evidence: Evidence) -> jax.Array:
    """Aumann-Shapley value of the accepted updates along the mean step -> [S] shares.

    One gradient of the validation loss at the midpoint of the step, instead of the S + 1 losses of
    `gain`: see `federated.path_value`. Zero for all without validation examples.
    """
    if evidence.gradient_at is None:
        return jnp.zeros_like(evidence.gain)
    return _positive_shares(
        evidence, path_value(evidence.gradient_at, _parts(evidence), evidence.lr)
    )


def fresh(evidence: Evidence) -> jax.Array:
    """As `path`, for what a seller adds beyond the last aggregate, which everybody knows.

    c_i <- c_i - <c_i, d> d / |d|^2 with d the previous aggregate (our choice). Sending d again, as
    it is or under noise, is the one way found in which idling beats honest work under every other
    measure here: the old step still lowers the loss, and has less noise than a fresh gradient.
    """
    if evidence.gradient_at is None:
        return jnp.zeros_like(evidence.gain)
    parts, known = _parts(evidence), _given(evidence.previous, "previous")
    step = jnp.ones(parts.shape[0], parts.dtype) @ parts
    slope = evidence.gradient_at(0.5 * step)
    square = known @ known
    along = (known @ slope) / jnp.where(square > 0, square, 1.0)
    values = evidence.lr * jnp.matmul(parts, slope - along * known, precision="highest")
    return _positive_shares(evidence, values)


def unique(evidence: Evidence) -> jax.Array:
    """Shares by what an update does for its seller's own batch beyond another's -> [S] float32.

    c_i = max(0, fall on the batch that i was to train on - fall on that of another seller), of
    updates that are all brought to the typical length: a smaller batch makes longer ones. Work of
    somebody else, or of an earlier round, helps both alike and earns nothing on average. Source:
    the unique-work test of arXiv 2505.21684, of which the difference itself is paid here, round by
    round, in place of its running sign (`validators.uniqueness`). The batches are opened to the
    nodes. 3 S losses of a batch.
    """
    if evidence.batch_falls is None:
        return jnp.zeros_like(evidence.gain)
    updates = _given(evidence.updates, "updates")
    sizes = jnp.linalg.norm(updates, axis=1)
    scale = masked_median(sizes, evidence.accepted) / jnp.where(sizes > 0, sizes, 1.0)
    used = jnp.where(evidence.accepted[:, None], updates * scale[:, None], 0.0)
    own, other = evidence.batch_falls(used)
    return _positive_shares(evidence, own - other)


def discounted(evidence: Evidence, *, strength: Number = 1.0) -> jax.Array:
    """As `path`, times exp(-strength times what is alike among the others) -> [S] shares.

    Copies lose, and so do honest sellers of alike data: see `clusters.replication_discount`.

    Args:
        evidence: of the round.
        strength: lambda; from ln 2 = 0.69 on a second copy earns no more than one alone.
    """
    if evidence.gradient_at is None:
        return jnp.zeros_like(evidence.gain)
    values = path_value(evidence.gradient_at, _parts(evidence), evidence.lr)
    updates = _given(evidence.updates, "updates")
    factor = replication_discount(updates, evidence.accepted, strength)
    return _positive_shares(evidence, jnp.maximum(values, 0.0) * factor)


def quotient(evidence: Evidence, *, alike: Number = 0.9, num_orders: int = 8) -> jax.Array:
    """Shapley value of clusters of alike updates, in equal parts to their members -> [S] shares.

    Accepted updates whose cosine is at least `alike` are one player, with their mean as its update:
    an owner gains nothing by a copy that is recognised, and what it gains otherwise is bounded by
    what escapes. Shapley values as in `round_shapley`. Source: arXiv 2605.07663 (quotient
    semivalues); single linkage by cosine within a round is our choice.

    Args:
        evidence: of the round.
        alike: cosine from which on two updates are one player.
        num_orders: static, orders of the estimate for more than 8 sellers.
    """
    if evidence.losses_of is None:
        return jnp.zeros_like(evidence.gain)
    updates = _given(evidence.updates, "updates")
    leader = clusters(updates, evidence.accepted, alike)
    rows, counts = representatives(updates, evidence.accepted, leader)
    among = evidence._replace(updates=rows, accepted=counts > 0)
    worth = round_shapley(among, num_orders)
    each = worth / jnp.maximum(counts, 1.0)
    return jnp.where(evidence.accepted, each[leader], 0.0)


def own_work(evidence: Evidence) -> jax.Array:
    """As `gain`, as far as an update helps its own unit more than another one -> [S] shares.

        c_i = z_i gain_i clip((<u_i, g_own> - <u_i, g_other>) / <u_i, g_V>, 0, 1)

    with the gradients g of what the two units have shown and of the validation examples. Work on
    the unit fits the noise of its examples, too; who sends the mean of the others, a copy of one of
    them, or work on other data helps no unit more than another, and is paid for luck alone. Needs
    bonded units with openings. Two gradients a seller. Source: unique work, arXiv 2505.21684
    section 4, which takes the sign over hundreds of rounds (`validators.uniqueness`); the size of
    the excess in the place of its sign is our choice.
    """
    if evidence.gradient_at is None:
        return jnp.zeros_like(evidence.gain)
    on_units, updates = _given(evidence.on_units, "on_units"), _given(evidence.updates, "updates")
    own, other = on_units()
    slope = evidence.gradient_at(jnp.zeros(updates.shape[1], updates.dtype))
    help_of_all = jnp.matmul(updates, slope, precision="highest")
    excess = (own - other) / jnp.where(help_of_all > 0, help_of_all, 1.0)
    useful = jnp.where(help_of_all > 0, evidence.gain, 0.0)
    return _positive_shares(evidence, useful * jnp.clip(excess, 0.0, 1.0))


def leave_one_out(evidence: Evidence) -> jax.Array:
    """Leave-one-out value in the mean of the accepted updates -> [S] shares. S + 2 losses.

    The worth of the mean without seller i is measured against the mean with it.
    """
    if evidence.losses_of is None:
        return jnp.zeros_like(evidence.gain)
    num = evidence.accepted.shape[0]
    masks = jnp.concatenate([~jnp.eye(num, dtype=bool), jnp.ones((1, num), bool)])
    worth = _game(evidence)(masks)
    return _positive_shares(evidence, worth[-1] - worth[:-1])


def round_shapley(evidence: Evidence, num_orders: int = 8) -> jax.Array:
    """Shapley value of the round's reconstructed game -> [S] shares.

    Exact up to 8 sampled sellers (2^S losses), else over `num_orders` orders, the same in every
    round (the draw of the sellers is random enough). Fairer than `gain` to sellers of few classes,
    whose update alone harms but helps beside others: see docs/incentives.md.
    """
    if evidence.losses_of is None:
        return jnp.zeros_like(evidence.gain)
    num = evidence.accepted.shape[0]
    if num <= 8:
        return _positive_shares(evidence, shapley(_game(evidence)(all_coalitions(num))))
    estimate = permutation_shapley(jax.random.key(0), _game(evidence), num, num_orders)
    return _positive_shares(evidence, estimate.values)


def _game(evidence: Evidence) -> Callable[[jax.Array], jax.Array]:
    losses_of, parts = _given(evidence.losses_of, "losses_of"), _parts(evidence)
    weights = evidence.accepted.astype(parts.dtype)
    rows = parts * jnp.maximum(weights.sum(), 1.0)  # clipped updates
    return round_utility(losses_of, rows, weights)


def to_weights(scores: jax.Array, levels: int = 100) -> jax.Array:
    """Scores as integer weights that a ledger can split a pool by.

    w_m = round(levels * s_m / max s): hundredths of the best seller's score; less than half a
    hundredth earns nothing. So coarse (our choice) that money does not follow the last bits of a
    float: the scores of batched and single runs differ by some 1e-7.

    Args:
        scores: [N] float32, accumulated over rounds.
        levels: resolution, at most 2**15.

    Returns:
        [N] int32 weights in [0, levels]; all zero when no score is positive.
    """
    clean = jnp.where(jnp.isfinite(scores), jnp.maximum(scores, 0.0), 0.0)
    best = clean.max()
    return jnp.round(levels * (clean / jnp.where(best > 0, best, 1.0))).astype(jnp.int32)
