"""Drop-outs and stragglers as masks of fixed shape."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from d2m_jax.core.types import Key


class Participation(NamedTuple):
    """Who of the sampled sellers delivers, and after how many local steps."""

    present: jax.Array  # [S] bool
    steps: jax.Array  # [S] int32, 0 .. local_steps; 0 where absent


def participation(
    key: Key,
    sampled: jax.Array,
    *,
    local_steps: int,
    drop_out: jax.Array | float = 0.0,
    straggle: jax.Array | float = 0.0,
) -> Participation:
    """Draws which sampled sellers drop out and which finish only part of their local steps.

    A straggler finishes 0 .. local_steps - 1 steps with equal probability, and one that finishes
    none is absent; with one local step every straggler is absent (our choice).

    Args:
        key: consumed; a seller's fate depends on it and on its number, not on its place.
        sampled: [S] int32.
        local_steps: static, at least 1.
        drop_out: probability of delivering nothing.
        straggle: probability of being a straggler.
    """

    def one(seller: jax.Array) -> jax.Array:
        drop_key, straggle_key, steps_key = jax.random.split(jax.random.fold_in(key, seller), 3)
        part = jax.random.randint(steps_key, (), 0, local_steps, jnp.int32)
        whole, nothing = jnp.int32(local_steps), jnp.int32(0)
        steps = jnp.where(jax.random.bernoulli(straggle_key, straggle), part, whole)
        return jnp.where(jax.random.bernoulli(drop_key, drop_out), nothing, steps)

    steps = jax.vmap(one)(sampled)
    return Participation(steps > 0, steps)
