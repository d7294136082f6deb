"""Which updates a defence may see at all."""

import jax
import jax.numpy as jnp

from d2m_jax.core.types import Number


def refuse_bad_values(updates: jax.Array, max_norm: Number) -> tuple[jax.Array, jax.Array]:
    """Zeroes updates that are not finite or longer than `max_norm`, before any rule sees them.

    Args:
        updates: [S, D] float32, anything.
        max_norm: [] float32, at most 1e18, so that no square of an accepted entry overflows.

    Returns:
        [S, D] finite updates and the [S] bool of rows that were good.
    """
    good = jnp.linalg.norm(updates, axis=1) <= max_norm  # False for NaN, inf and overflow to inf
    return jnp.where(good[:, None], updates, 0.0), good
