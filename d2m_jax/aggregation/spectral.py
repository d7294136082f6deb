"""Rules that look for the direction of greatest variance: caf and dnc.

Not here: smea, which compares subsets (`subsets.py`). Read next: `gram.py`.
"""

import jax
import jax.numpy as jnp

from d2m_jax.aggregation.gram import centred_gram
from d2m_jax.aggregation.masks import check_f, num_present, takes_rows, typed, weighted_mean, whole
from d2m_jax.aggregation.order_stats import rank_of
from d2m_jax.core.gram import top_eigenpair
from d2m_jax.core.norms import safe_sqrt
from d2m_jax.core.rows import present
from d2m_jax.core.trees import varying_as
from d2m_jax.core.types import Count

TIE = 3e-5  # rows this close to the one that sticks out most, relatively, tie with it
Carry = tuple[jax.Array, jax.Array, jax.Array]


@takes_rows
def caf(updates: jax.Array, f: Count, *, mask: jax.Array | None = None) -> jax.Array:
    """Covariance-bound agnostic filter: weighs down what stretches the covariance, keeps the best.

    Formula: c = 1; while sum c > m - 2f: mu_c, top eigenpair (lambda, v) of the weighted
    covariance; remember the mu_c of least lambda; c_i <- c_i (1 - tau_i / max tau), with
    tau_i = <x_i - mu_c, v>^2 and the maximum over rows with c_i > 0, so that every step removes
    one row and at most 2f steps are needed.

    Args:
        updates: `[S, D]`.
        f: rows that may be Byzantine, 2 f < m.
        mask: `[S]` bool, True for present rows; None for all.

    Returns:
        `[D]`; the mean for f = 0 (our choice: the loop then never runs). Zeros for nobody.

    Cost: O(S^2 D + f S^3): all steps happen in the S x S Gram matrix. Source: Allouah et al.,
    ICML 2025. ByzFL takes one power step from a random vector; we take the eigenvector itself.
    """
    return weighted_mean(caf_weights(updates, f, mask), updates, mask)


def caf_weights(updates: jax.Array, f: Count, mask: jax.Array | None) -> jax.Array:
    """The weights `[S]` under which CAF found the least top eigenvalue."""
    n = updates.shape[0]
    count = num_present(updates, mask)
    f = check_f(f, count)
    gram = centred_gram(updates, mask, f).products
    weights = present(updates, mask).astype(updates.dtype)

    def lighten(carry: Carry) -> Carry:
        c, best, least = carry
        total = jnp.sum(c)
        share = c / jnp.where(total > 0, total, 1)
        to_mean = jnp.matmul(gram, share, precision="highest")
        products = gram - to_mean[:, None] - to_mean[None, :] + jnp.vdot(share, to_mean)
        root = safe_sqrt(share)
        top, u = top_eigenpair(root[:, None] * products * root[None, :])
        tau = jnp.where(c > 0, jnp.matmul(products, root * u, precision="highest"), 0)
        size = jnp.max(jnp.abs(tau))
        ratio = jnp.where(size > 0, tau / jnp.where(size > 0, size, 1), 0)
        most = (size > 0) & (jnp.abs(ratio) >= 1 - TIE)
        lighter = jnp.where(most, 0, c * (1 - ratio**2))
        better = top < least
        return jnp.maximum(lighter, 0), jnp.where(better, c, best), jnp.where(better, top, least)

    def step(carry: Carry, _: None) -> tuple[Carry, None]:
        running = jnp.sum(carry[0]) > typed(count - 2 * f, updates)
        return jax.lax.cond(running, lighten, lambda done: done, carry), None

    steps = 2 * f if isinstance(f, int) else n
    start = (weights, weights, jnp.asarray(jnp.inf, updates.dtype))
    start = varying_as(start, gram, f)
    return jax.lax.scan(step, start, length=steps)[0][1]


@takes_rows
def dnc(
    updates: jax.Array,
    f: Count,
    *,
    mask: jax.Array | None = None,
    key: jax.Array | None = None,
    rounds: int = 5,
    num_coordinates: int = 10_000,
    share: float | jax.Array = 1.0,
) -> jax.Array:
    """Divide and conquer: drops the rows that stick out most along the top singular vector.

    Formula: in each round, b coordinates are sampled and centred, v is their top right singular
    vector, and the floor(share f) rows with the largest <x_i - mu, v>^2 are dropped; the mean of
    the rows that every round kept.

    Args:
        updates: `[S, D]`.
        f: rows that may be Byzantine, 2 f < m.
        mask: `[S]` bool, True for present rows; None for all.
        key: draws the coordinates (with replacement, our choice: it needs no sort of all D);
            not needed when D <= num_coordinates, where all are used in one round.
        rounds: repetitions.
        num_coordinates: b.
        share: the filtering fraction c of the paper, 0 <= share.

    Returns:
        `[D]`. Where no row survives every round, the rows that survive most often are averaged
        (our choice; the paper leaves it open). Zeros when nobody is present.

    Raises:
        ValueError: no key where coordinates have to be drawn, no round or no coordinate.

    Cost: O(rounds S^2 b). Source: Shejwalkar and Houmansadr, NDSS 2021.
    """
    n, dim = updates.shape
    rounds = whole("rounds", rounds, 1)
    num_coordinates = whole("num_coordinates", num_coordinates, 1)
    count = num_present(updates, mask)
    f = check_f(f, count)
    here = present(updates, mask)
    dropped = jnp.floor(share * typed(f, updates) + 1e-4).astype(jnp.int32)
    keep = jnp.maximum(count - dropped, 1)

    def survivors(gram: jax.Array) -> jax.Array:
        size = typed(jnp.maximum(jnp.asarray(count), 1), gram)
        to_mean = jnp.sum(gram, axis=1) / size
        products = gram - to_mean[:, None] - to_mean[None, :] + jnp.sum(to_mean) / size
        _, u = top_eigenpair(jnp.where(here[:, None] & here[None, :], products, 0))
        return rank_of(jnp.where(here, u**2, jnp.inf)) < keep

    if dim <= num_coordinates:
        kept = survivors(centred_gram(updates, mask).products).astype(jnp.int32)
    elif key is None:
        raise ValueError(f"dnc draws {num_coordinates} of {dim} coordinates: give it a key")
    else:
        draws = jax.random.randint(key, (rounds, num_coordinates), 0, dim, jnp.int32)
        kept = jnp.zeros(n, jnp.int32)
        for r in range(rounds):
            drawn = jnp.take(updates, draws[r], axis=1)
            kept = kept + survivors(centred_gram(drawn, mask).products)
    kept = jnp.where(here, kept, -1)
    return weighted_mean(kept == jnp.max(kept), updates, mask)
