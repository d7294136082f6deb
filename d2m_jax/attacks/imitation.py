"""Sellers that do not train but copy: free-riders, Sybil identities, mimics.

Not here: poisoned data (`data.py`), false sizes and tags (`market.py`). These attacks are judged by
what they are paid, not by the accuracy they cost. Read next: `data.py`.
"""

import jax
import jax.numpy as jnp

from d2m_jax.attacks.base import AttackContext, place, present, required
from d2m_jax.types import Key

EMPTY = AttackContext()


def free_rider_zero(
    key: Key, updates: jax.Array, byzantine: jax.Array, *, context: AttackContext = EMPTY
) -> jax.Array:
    """Sends the model back as it came: m = 0. Source: Lin et al. 2019; Fraboni et al. 2021."""
    del key  # unused
    return place(updates, byzantine, jnp.zeros(updates.shape[1:], updates.dtype), context)


def free_rider_replay(
    key: Key, updates: jax.Array, byzantine: jax.Array, *, context: AttackContext = EMPTY
) -> jax.Array:
    """Sends the last global step again: m = previous aggregate (zeros in the first round).

    Source: Lin et al. 2019, "delta weights".

    Raises:
        ValueError: `context.previous` is missing.
    """
    del key  # unused
    previous = required(context.previous, "previous", "free_rider_replay")
    return place(updates, byzantine, previous, context)


def free_rider_disguised(
    key: Key,
    updates: jax.Array,
    byzantine: jax.Array,
    *,
    context: AttackContext = EMPTY,
    sigma: float | jax.Array = 1.0,
    gamma: float | jax.Array = 1.0,
) -> jax.Array:
    """The last global step under fading noise: m_i = previous + s t^-gamma N(0, I), t = 1, 2, ...

    s = sigma * root mean square coordinate of the previous aggregate, so that one sigma suits every
    model: our choice (the paper has an absolute sigma and adds the noise to the received model).
    Source: Fraboni et al., AISTATS 2021, section 3; the base step of Lin et al. 2019.

    Raises:
        ValueError: `context.previous` or `context.round_index` is missing.
    """
    previous = required(context.previous, "previous", "free_rider_disguised")
    t = 1.0 + required(context.round_index, "round_index", "free_rider_disguised")
    size = sigma * jnp.sqrt(jnp.mean(previous * previous)) * jnp.power(t, -gamma)
    noise = jax.random.normal(key, updates.shape, updates.dtype)
    return place(updates, byzantine, previous[None, :] + size * noise, context)


def sybil_copies(
    key: Key,
    updates: jax.Array,
    byzantine: jax.Array,
    *,
    context: AttackContext = EMPTY,
    scale: float | jax.Array = 1.0,
    jitter: float | jax.Array = 0.0,
) -> jax.Array:
    """One seller under many names: every attacker sends the update of the first attacker present.

    m_i = scale * g_first + jitter * rms(g_first) * N(0, I). Without jitter the rows are identical,
    so they tie in every distance rule by construction; a little jitter slips past exact
    de-duplication. Source: Douceur 2002; Fung et al., RAID 2020. Cost O(S D).
    """
    leader = jnp.argmax(byzantine & present(updates, context))
    vector = updates[leader]
    noise = jax.random.normal(key, updates.shape, updates.dtype)
    spread = jitter * jnp.sqrt(jnp.mean(vector * vector))
    return place(updates, byzantine, scale * vector[None, :] + spread * noise, context)
