"""Drawing sellers from a distribution, with and without replacement. Read next: `base.py`."""

import jax
import jax.numpy as jnp

from d2m_jax.core.types import Key
from d2m_jax.sampling.base import Selection


def draw_distinct(key: Key, p: jax.Array, eligible: jax.Array, num_sampled: int) -> Selection:
    """Draws distinct sellers, the next one always in proportion to p among those left.

    Every seller gets an exponential clock of rate p; the `num_sampled` that ring first are drawn.
    Given the time tau of the next ring, seller m is in with probability 1 - exp(-p_m tau), and
    sum over the drawn of x_m / (1 - exp(-p_m tau)) is an unbiased estimate of sum x_m (exactly, for
    any p). When all the eligible are drawn, tau is infinite and every probability is 1.

    Args:
        key: consumed.
        p: [N] float32, need not sum to 1; 0 is never drawn.
        eligible: [N] bool.
        num_sampled: S, at most N.

    Returns:
        Selection whose weights are these inclusion probabilities.

    Raises:
        ValueError: S > N.

    Source: exponential clocks are Gumbel top-k; the estimate is rank conditioning, Cohen and
    Kaplan, "Summarizing data using bottom-k sketches", PODC 2007.
    """
    num = p.shape[0]
    if num_sampled > num:
        raise ValueError(f"num_sampled = {num_sampled} sellers cannot be drawn from {num}")
    can = eligible & (p > 0)
    clocks = jax.random.exponential(key, (num,), p.dtype)
    rings = jnp.where(can, clocks / jnp.where(can, p, 1), jnp.inf)
    order = jnp.argsort(rings)
    indices = order[:num_sampled]
    tau = rings[order[num_sampled]] if num_sampled < num else jnp.asarray(jnp.inf, p.dtype)
    chance = -jnp.expm1(-jnp.where(can, p, 1.0)[indices] * tau)
    return Selection(indices.astype(jnp.int32), chance, can[indices])


def draw_independent(key: Key, p: jax.Array, eligible: jax.Array, num_sampled: int) -> Selection:
    """Draws `num_sampled` sellers independently from p among the eligible (repeats happen).

    Then (1/S) sum over the draws of x_m / p_m is an unbiased estimate of sum x_m.

    Returns:
        Selection whose weights are p of the drawn, renormalised over the eligible.
    """
    can = eligible & (p > 0)
    total = jnp.where(can, p, 0.0).sum()
    p = jnp.where(can, p, 0.0) / jnp.where(total > 0, total, 1.0)
    indices = jax.random.categorical(key, jnp.log(p), shape=(num_sampled,))
    present = jnp.full(num_sampled, can.any())
    return Selection(indices.astype(jnp.int32), p[indices], present)
