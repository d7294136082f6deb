"""Partial models: a seller sees and trains a random part of the buyer's model only.

Federated dropout (Caldas et al. 2018) over groups of parameters; the aggregate counts, coordinate
by coordinate, how many sellers covered it. The market does so with `spec.partial`.
"""

import jax
import jax.numpy as jnp

from d2m_jax.core.types import Key, Number


def draw_parts(
    key: Key, num_sellers: int, groups: jax.Array, num_groups: int, density: Number
) -> jax.Array:
    """Which parameters each seller gets, [S, D] bool: whole groups, each with probability density.

    Args:
        key: consumed.
        num_sellers: S.
        groups: [D] int32, group of every parameter; group 0 is given to everybody.
        num_groups: static.
        density: [] in (0, 1]; a traced one is not checked.

    Raises:
        ValueError: a density outside (0, 1].
    """
    if not isinstance(density, jax.core.Tracer) and not 0 < density <= 1:
        raise ValueError(f"density must lie in (0, 1], got {density}")
    kept = jax.random.bernoulli(key, density, (num_sellers, num_groups)).at[:, 0].set(True)
    return kept[:, groups]


def spread_parts(updates: jax.Array, parts: jax.Array, use: jax.Array) -> jax.Array:
    """Rows whose plain mean over `use` is `aggregate_parts`: u_mj b_mj S / sum_m b_mj.

    Every row holds only what its seller did, so it can be valued and paid by itself.

    Args:
        updates: [S, D]; what lies outside a seller's part is ignored.
        parts: [S, D] bool.
        use: [S] bool.
    """
    weights = use.astype(updates.dtype)
    covered = weights @ parts.astype(updates.dtype)
    factor = weights.sum() / jnp.where(covered > 0, covered, 1.0)
    return jnp.where(parts & use[:, None], updates * factor[None, :], 0.0)


def aggregate_parts(updates: jax.Array, parts: jax.Array, weights: jax.Array) -> jax.Array:
    """Coverage-weighted mean: sum_m w_m b_mj u_mj / sum_m w_m b_mj; 0 where nobody covers j.

    Args:
        updates: [S, D]; what lies outside a seller's part is ignored.
        parts: [S, D] bool.
        weights: [S] not negative.

    Returns:
        [D] float32. Equal to the weighted mean when every part is whole.
    """
    covered = weights @ parts.astype(updates.dtype)
    total = weights @ jnp.where(parts, updates, 0.0)
    return jnp.where(covered > 0, total / jnp.where(covered > 0, covered, 1.0), 0.0)


def exposure(parts: jax.Array) -> jax.Array:
    """[S] share of the model that each seller sees, and so the most that one can resell."""
    return parts.astype(jnp.float32).mean(1)
