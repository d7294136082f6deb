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


def unit_groups(shapes: list[tuple[int, ...]], hidden: int) -> jax.Array:
    """Groups of a network with one hidden layer: one per hidden unit, 0 for the output bias.

    Arrays are known by their place, so that hidden = outputs or inputs does no harm.

    Args:
        shapes: of the arrays in the flat vector, in order: [hidden], [hidden, inputs], [outputs],
            [outputs, hidden], as `ravel_pytree` orders a dense network of two layers.
        hidden: units.

    Returns:
        [D] int32 in 0 .. hidden.

    Raises:
        ValueError: other arrays than these four.
    """
    wanted = "[hidden], [hidden, inputs], [outputs], [outputs, hidden]"
    dims = [len(shape) for shape in shapes]
    if dims != [1, 2, 1, 2] or not (
        shapes[0][0] == shapes[1][0] == shapes[3][1] == hidden and shapes[2][0] == shapes[3][0]
    ):
        raise ValueError(f"shapes must be {wanted} with {hidden} hidden units, got {shapes}")
    unit = jnp.arange(1, hidden + 1, dtype=jnp.int32)
    (_, (_, inputs), (outputs,), _) = shapes
    return jnp.concatenate(
        [
            unit,
            jnp.repeat(unit, inputs),
            jnp.zeros(outputs, jnp.int32),
            jnp.tile(unit, outputs),
        ]
    )


def dense_groups(num_inputs: int, num_outputs: int, num_params: int) -> tuple[jax.Array, int]:
    """`unit_groups` of a dense network with one hidden layer, and how many groups there are.

    Raises:
        ValueError: no such network has that many parameters.
    """
    hidden, rest = divmod(num_params - num_outputs, num_inputs + 1 + num_outputs)
    if rest or hidden < 1:
        raise ValueError(
            f"no dense network with one hidden layer has {num_params} parameters for {num_inputs} "
            f"inputs and {num_outputs} outputs"
        )
    shapes = [(hidden,), (hidden, num_inputs), (num_outputs,), (num_outputs, hidden)]
    return unit_groups(shapes, hidden), hidden + 1


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
