"""SCAFFOLD's control variates as explicit state.

Round: `controls` before training (pass to `train_sellers`), `advance` after it.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp


class ScaffoldState(NamedTuple):
    """Estimates of the gradient of everybody and of each seller."""

    server: jax.Array  # [D], of the model's type
    sellers: jax.Array  # [N, D]


def init(num_sellers: int, num_params: int, dtype: jnp.dtype | type = jnp.float32) -> ScaffoldState:
    """Returns all-zero controls; the first round is then plain FedAvg."""
    return ScaffoldState(jnp.zeros(num_params, dtype), jnp.zeros((num_sellers, num_params), dtype))


def controls(state: ScaffoldState, sampled: jax.Array) -> jax.Array:
    """Returns c - c_s [S, D], to be added to every local gradient of the sampled sellers [S]."""
    return state.server[None] - state.sellers[sampled]


def advance(
    state: ScaffoldState,
    sampled: jax.Array,
    updates: jax.Array,
    mask: jax.Array,
    aggregate: jax.Array | None = None,
) -> ScaffoldState:
    """Returns the state after a round.

        c_s <- c_s - c + update_s        (option II: the mean of the plain local gradients)
        c   <- c + S / N (aggregate - c)    (with the mean: c + sum of the changes of the c_s / N)

    A robust aggregate so guards the server's control as it guards the model (our choice).

    Args:
        state: before the round, the same that `controls` saw.
        sampled: [S] int32, distinct.
        updates: [S, D] mean gradients along the path, controls included, as `train_sellers` gives.
        mask: [S] bool; absent or excluded sellers change nothing, nor do rows that are not finite.
        aggregate: [D] what the server accepted as the aggregate of these rows; none: their mean.

    Source: Karimireddy et al. 2020, Algorithm 1, with (theta - theta_K) / (K lr) = update.
    """
    use = mask & jnp.isfinite(updates).all(axis=1)
    change = jnp.where(use[:, None], updates - state.server[None], 0.0)
    if aggregate is None:
        total = jnp.ones(change.shape[0], change.dtype) @ change
    else:
        total = use.sum(dtype=jnp.float32) * (aggregate - state.server)
    server = state.server + total / state.sellers.shape[0]
    return ScaffoldState(server, state.sellers.at[sampled].add(change))
