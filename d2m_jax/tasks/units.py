"""Groups of parameters that are of use alone: the hidden units of a dense network.

What partial models hand out, see `privacy/partial.py`.
"""

import jax
import jax.numpy as jnp


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
