"""The k-th largest value of every row, for a k that may be traced.

Not here: order statistics over the sellers (`aggregation/order_stats.py`). Read next:
`aggregation/layers.py`.
"""

import jax
import jax.numpy as jnp

from d2m_jax.core.types import Count


def kth_largest(values: jax.Array, k: Count) -> jax.Array:
    """The k-th largest `[S]` of each row of values >= 0 `[S, D]`, exactly; +inf for k < 1.

    The bits of a float >= 0, read as an integer, are in its order: the answer is found bit by bit,
    by counting. Faster than a sort of long rows. Cost: 31 passes (63 for float64).
    """
    values = jax.lax.stop_gradient(values)
    width = jnp.finfo(values.dtype).bits
    kind = jnp.int32 if width == 32 else jnp.int64
    bits = jax.lax.bitcast_convert_type(values, kind)
    one = jnp.ones((), kind)

    def decide(step: jax.Array, found: jax.Array) -> jax.Array:
        more = found | (one << jnp.asarray(width - 2 - step, kind))
        enough = jnp.sum(bits >= more[:, None], axis=1) >= k
        return jnp.where(enough, more, found)

    start = jnp.zeros_like(bits[:, 0])
    found = jax.lax.fori_loop(0, width - 1, decide, start)
    value = jax.lax.bitcast_convert_type(found, values.dtype)
    return jnp.where(jnp.asarray(k) < 1, jnp.inf, value)
