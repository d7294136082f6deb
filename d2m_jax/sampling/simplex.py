"""The KL projection onto the floored simplex, the one hard step of OSMD. Read next: `osmd.py`."""

import jax
import jax.numpy as jnp


def kl_project(log_q: jax.Array, alpha: jax.Array | float, active: jax.Array) -> jax.Array:
    """Returns the p nearest to q in Kullback-Leibler divergence with p >= alpha / n, sum p = 1.

    With q sorted upwards and T_i the tail sums, the smallest entries are set to the floor
    fl = alpha / n while q_(i) (1 - i fl) <= fl T_i, and the rest keep their ratios.
    q need not be normalised (the projection does not change with its scale), so it comes as a
    logarithm and can neither overflow nor vanish altogether.

    Args:
        log_q: [N] float32.
        alpha: floor mass in [0, 1]; 1 gives the uniform distribution.
        active: [N] bool; the others get 0, and n counts the active only.

    Returns:
        [N] float32 that sums to 1 (all zero when nobody is active). O(N log N).

    Source: closed form of the OSMD authors' code (Zhao et al., JMLR 26(8), 2025). Theirs leaves the
    count at 0 when nothing is clipped and divides by the largest entry only (then renormalises);
    counting the clipped entries is right in every case.
    """
    num = log_q.shape[0]
    rank = jnp.arange(num)
    num_active = active.sum(dtype=rank.dtype)
    floor = alpha / jnp.maximum(num_active, 1).astype(log_q.dtype)
    log_q = jnp.where(active, log_q, -jnp.inf)
    top = log_q.max()
    q = jnp.exp(log_q - jnp.where(jnp.isfinite(top), top, 0.0))
    order = jnp.argsort(jnp.where(active, q, jnp.inf))  # the inactive come last
    ascending = q[order]
    tail = jnp.cumsum(ascending[::-1])[::-1]
    clipped = ascending * (1 - rank.astype(q.dtype) * floor) <= floor * tail
    num_clipped = jnp.sum(clipped & (rank < num_active), dtype=rank.dtype)
    rest = tail[jnp.minimum(num_clipped, num - 1)]
    kept = (1 - num_clipped.astype(q.dtype) * floor) * ascending / jnp.where(rest > 0, rest, 1.0)
    projected = jnp.where(rank < num_clipped, floor, kept)
    return jnp.zeros_like(q).at[order].set(jnp.where(active[order], projected, 0.0))
