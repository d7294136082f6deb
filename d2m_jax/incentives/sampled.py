"""Estimates of values for many sellers, from sampled coalitions.

Every function takes the utility itself and evaluates its coalitions in one vmap. Read first:
`values.py`, whose exact values these estimate.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from d2m_jax.core.types import Key, Number
from d2m_jax.incentives.coalitions import Utility, prefixes
from d2m_jax.incentives.values import beta_weights


class Estimate(NamedTuple):
    """A sampled value."""

    values: jax.Array  # [S] float32
    error: jax.Array  # [S] float32, standard error of the mean; infinite from a single sample
    evaluations: jax.Array  # [] int32, utilities that a sequential machine would have computed


def draw_orders(key: Key, num_sellers: int, num_orders: int, *, leading: bool = False) -> jax.Array:
    """Random orders of the sellers, [P, S] int32.

    Args:
        key: consumed.
        num_sellers: S.
        num_orders: P.
        leading: each seller leads in turn (guided sampling of GTG-Shapley).
    """
    check_count("num_orders", num_orders)
    sellers = jnp.arange(num_sellers, dtype=jnp.int32)
    keys = jax.random.split(key, num_orders)
    orders = jax.vmap(lambda key: jax.random.permutation(key, sellers))(keys)
    if not leading:
        return orders
    first = jnp.arange(num_orders, dtype=jnp.int32) % num_sellers
    swapped = jnp.where(orders == first[:, None], orders[:, :1], orders)
    return swapped.at[:, 0].set(first)


def permutation_shapley(
    key: Key,
    utility: Utility,
    num_sellers: int,
    num_orders: int,
    *,
    alpha: float = 1.0,
    beta: float = 1.0,
) -> Estimate:
    """Mean marginal contribution over random orders; Beta(alpha, beta) Shapley by weights.

    The k-th to enter is weighed by S C(S-1, k-1) w(k-1), which is 1 for Shapley. Every order
    spends exactly v(all) - v(none), so Shapley estimates are efficient. Source: Castro, Gomez,
    Tejada 2009; Kwon and Zou 2022 for the weights.

    Args:
        key: consumed.
        utility: masks [C, S] bool -> [C].
        num_sellers: S.
        num_orders: P.
        alpha: of Beta Shapley.
        beta: of Beta Shapley.

    Returns:
        `Estimate`; P (S - 1) + 2 evaluations. One order has no spread: its error is infinite.

    Raises:
        ValueError: fewer than one order; alpha or beta not positive.
    """
    orders = draw_orders(key, num_sellers, num_orders)
    masks = prefixes(orders)
    worth = utility(masks.reshape(-1, num_sellers))
    steps = jnp.diff(worth.reshape(num_orders, num_sellers + 1), axis=1)
    entry, weights = jnp.argsort(orders, axis=1), place_weights(num_sellers, alpha, beta)
    marginal = jnp.take_along_axis(steps * weights.astype(steps.dtype), entry, axis=1)
    return _estimate(marginal, jnp.int32(num_orders * (num_sellers - 1) + 2))


def place_weights(num_sellers: int, alpha: float, beta: float) -> jax.Array:
    """[1, S]: weight of the marginal of the k-th to enter, S C(S-1, k) w(k), k = 0 .. S-1."""
    uniform = beta_weights(num_sellers, 1.0, 1.0)  # 1 / (S C(S-1, k))
    return (beta_weights(num_sellers, alpha, beta) / uniform)[None, :]


def truncated_shapley(
    key: Key,
    utility: Utility,
    num_sellers: int,
    num_orders: int,
    *,
    tolerance: Number = 0.0,
    between: Number = 0.0,
    leading: bool = False,
) -> Estimate:
    """Truncated Monte Carlo Shapley; with `leading` and `between` it is GTG-Shapley.

    An order stops when its coalition is nearer than `tolerance` to v(all); those still to enter get
    0. A tolerance of 0 truncates nothing.
    All orders go side by side, one place at a time, and a place at which every order has stopped is
    not evaluated. When |v(all) - v(none)| <= `between` the round is skipped: all zero. A truncated
    utility is never reused as if it had been measured (the released GTG code caches it).

    Source: Ghorbani and Zou 2019, Algorithm 1; Liu et al., ACM TIST 2022 (GTG), Algorithm 1.

    Args:
        key: consumed.
        utility: masks [C, S] bool -> [C].
        num_sellers: S.
        num_orders: P; GTG takes a multiple of S.
        tolerance: in units of the utility.
        between: in units of the utility, truncation of the whole round.
        leading: each seller leads in turn.

    Returns:
        `Estimate`; at most P (S - 1) + 2 evaluations.
    """
    orders = draw_orders(key, num_sellers, num_orders, leading=leading)
    masks = prefixes(orders)
    ends = jnp.stack([jnp.zeros(num_sellers, bool), jnp.ones(num_sellers, bool)])
    none, full = utility(ends)
    worthless = jnp.abs(full - none) <= between

    def place(
        carry: tuple[jax.Array, jax.Array, jax.Array], mask: jax.Array
    ) -> tuple[tuple[jax.Array, jax.Array, jax.Array], jax.Array]:
        worth, stopped, count = carry
        stopped = stopped | (jnp.abs(full - worth) < tolerance)
        now = jax.lax.cond(stopped.all(), lambda _: worth, utility, mask)
        now = jnp.where(stopped, worth, now)
        return (now, stopped, count + (~stopped).sum(dtype=jnp.int32)), now - worth

    start = (
        jnp.full(num_orders, none, none.dtype),
        jnp.broadcast_to(worthless, (num_orders,)),
        jnp.int32(2),
    )
    (last, stopped, count), steps = jax.lax.scan(place, start, jnp.moveaxis(masks[:, 1:-1], 1, 0))
    stopped = stopped | (jnp.abs(full - last) < tolerance)
    final = jnp.where(stopped, 0.0, full - last)  # v(all) is known: the last place is free
    steps = jnp.concatenate([steps, final[None]]).T
    return _estimate(jnp.take_along_axis(steps, jnp.argsort(orders, axis=1), axis=1), count)


def banzhaf_msr(key: Key, utility: Utility, num_sellers: int, num_samples: int) -> Estimate:
    """Banzhaf by maximum sample reuse: every sampled coalition serves every seller.

    phi_i = mean of v over the samples with i - mean over those without. Source: Wang and Jia,
    AISTATS 2023, section 4.

    Args:
        key: consumed.
        utility: masks [C, S] bool -> [C].
        num_sellers: S.
        num_samples: C coalitions, each seller in with probability one half.

    Returns:
        `Estimate`; C evaluations. A seller never seen on one of the sides gets 0, and one not seen
        twice on both has an infinite error: one sample tells nothing of the spread.
    """
    check_count("num_samples", num_samples)
    masks = jax.random.bernoulli(key, 0.5, (num_samples, num_sellers))
    worth = utility(masks)

    def mean_and_error(side: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        count = side.astype(worth.dtype).sum(0)
        mean = jnp.where(side, worth[:, None], 0.0).sum(0) / jnp.maximum(count, 1)
        square = jnp.where(side, jnp.square(worth[:, None] - mean[None, :]), 0.0).sum(0)
        error = jnp.where(count > 1, square / jnp.maximum(count * (count - 1), 1), jnp.inf)
        return mean, error, count

    (inside, error_in, seen), (outside, error_out, missed) = map(mean_and_error, (masks, ~masks))
    known = (seen > 0) & (missed > 0)
    values = jnp.where(known, inside - outside, 0.0)
    return Estimate(values, jnp.sqrt(error_in + error_out), jnp.int32(num_samples))


def check_count(name: str, value: int) -> None:
    """Raises ValueError unless a number of samples is at least 1."""
    if value < 1:
        raise ValueError(f"{name} must be at least 1, not {value}")


def _estimate(marginal: jax.Array, evaluations: jax.Array) -> Estimate:
    """Mean and standard error over the orders of [P, S] marginals."""
    num_orders = marginal.shape[0]
    if num_orders == 1:
        return Estimate(marginal[0], jnp.full_like(marginal[0], jnp.inf), evaluations)
    error = jnp.std(marginal, axis=0, ddof=1) / num_orders**0.5
    return Estimate(marginal.mean(0), error, evaluations)
