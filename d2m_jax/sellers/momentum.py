"""Client momentum, in the two conventions that the literature mixes up.

Both start from zeros and keep one buffer per seller, `[N, D]`. They differ by the factor
1 / (1 - beta) only, and so do all radii and thresholds of a defence that sees them.
"""

from typing import Protocol

import jax
import jax.numpy as jnp


class Momentum(Protocol):
    """`(buffer [N, D], sampled [S], updates [S, D], beta) -> (buffer [N, D], sent [S, D])`."""

    def __call__(
        self,
        buffer: jax.Array,
        sampled: jax.Array | None,
        updates: jax.Array,
        beta: jax.Array | float,
        /,
    ) -> tuple[jax.Array, jax.Array]:
        """The new buffer and what the sampled sellers send."""


def ema(
    buffer: jax.Array, sampled: jax.Array | None, updates: jax.Array, beta: jax.Array | float
) -> tuple[jax.Array, jax.Array]:
    """Exponential moving average: m <- beta m + (1 - beta) g.

    A non-finite coordinate is sent as it is and restarts from 0 in the buffer, so that one bad
    batch does not silence a seller for good.

    Args:
        buffer: [N, D] of all sellers, zeros at the start.
        sampled: [S] int32, distinct; None: all N in order, which costs two passes less.
        updates: [S, D] of this round.
        beta: in [0, 1); 0 sends the updates themselves.

    Returns:
        the new buffer [N, D] and what the sampled sellers send [S, D].

    Source: Karimireddy et al. 2021 (Learning from History), Algorithm 2; ByzFL uses this form.
    """
    return _advance(buffer, sampled, beta, (1.0 - beta) * updates)


def heavy_ball(
    buffer: jax.Array, sampled: jax.Array | None, updates: jax.Array, beta: jax.Array | float
) -> tuple[jax.Array, jax.Array]:
    """Polyak's heavy ball: m <- beta m + g; arguments and results as in `ema`.

    Source: Polyak 1964; the form of torch.optim.SGD and of the epfml code.
    """
    return _advance(buffer, sampled, beta, updates)


def _advance(
    buffer: jax.Array, sampled: jax.Array | None, beta: jax.Array | float, added: jax.Array
) -> tuple[jax.Array, jax.Array]:
    sent = beta * (buffer if sampled is None else buffer[sampled]) + added
    kept = jnp.where(jnp.isfinite(sent), sent, 0.0)
    return (kept if sampled is None else buffer.at[sampled].set(kept)), sent
