"""How buyers and sellers lie in the market itself: shaded bids, false tags, false sizes.

Not here: the ledger, which decides what such claims are worth, and attacks on learning
(`updates.py`). Read next: the ledger.

Pure functions from the truth and traced parameters to what an agent *says*. Money and sizes are
int32, shares are basis points (1/10000), products are exact (`core/money.py`).
"""

import jax
import jax.numpy as jnp

from d2m_jax.core.money import scaled_amount
from d2m_jax.core.types import Number


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
    sizes = jnp.asarray(sizes, jnp.int32)
    return jnp.where(byzantine, scaled_amount(sizes, inflation_bps), sizes)
