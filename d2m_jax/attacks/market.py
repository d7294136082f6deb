"""How buyers and sellers lie in the market itself: shaded bids, false tags, false sizes.

Not here: the ledger, which decides what such claims are worth, and attacks on learning
(`updates.py`). Read next: the ledger.

Pure functions from the truth and traced parameters to what an agent *says*. Money and sizes are
int32, shares are basis points (1/10000), products are exact: (a // 10000) * b + (a % 10000) * b //
10000, saturating at int32.
"""

import jax
import jax.numpy as jnp

from d2m_jax.core.types import Number

BASIS = 10_000
INT32_MAX = 2**31 - 1


def scaled_amount(amount: jax.Array, bps: Number) -> jax.Array:
    """Returns floor(amount * bps / 10000) in int32, exact; the largest int32 if it would not fit.

    Args:
        amount: int32, not negative.
        bps: basis points, 0 to 200_000 (20 times), clipped to that range.
    """
    amount = jnp.asarray(amount, jnp.int32)
    bps = jnp.clip(jnp.asarray(bps, jnp.int32), 0, 20 * BASIS)
    whole, rest = amount // BASIS, amount % BASIS
    small = rest * bps // BASIS  # below 10^4 * 2 * 10^5 = 2 * 10^9: fits
    fits = whole <= (INT32_MAX - small) // jnp.maximum(bps, 1)
    return jnp.where(fits, jnp.where(fits, whole, 0) * bps + small, INT32_MAX)


def claimed_tags(tags: jax.Array, byzantine: jax.Array, wanted: Number) -> jax.Array:
    """Returns the tags each seller registers, [N] int32 bit masks.

    A liar adds the tags that are in demand to its own; what it then trains on is `off_topic`.

    Args:
        tags: [N] int32, true tags.
        byzantine: [N] bool.
        wanted: [] int32, the tags of the request.
    """
    return jnp.where(byzantine, tags | wanted, tags)


def claimed_sizes(sizes: jax.Array, byzantine: jax.Array, inflation_bps: Number) -> jax.Array:
    """Returns the data sizes that sellers report, [N] int32; liars multiply theirs.

    Sizes weigh a plain mean and the importance weights of OSMD, so a lie there is an attack.
    """
    return jnp.where(byzantine, scaled_amount(sizes, inflation_bps), jnp.asarray(sizes, jnp.int32))
