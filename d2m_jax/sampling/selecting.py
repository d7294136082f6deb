"""Even draws, where accepted is only who the rule uses: the selection of a gradient marketplace.

In such a marketplace the rule chooses whose gradients are bought. A rule of this package says only
what the aggregate is; here the aggregate itself is asked whose rows it moves with. Not here: what
the rule is (`aggregation`). Read first: `weighted.py`.
"""

import jax
import jax.numpy as jnp

from d2m_jax.core.protocols import Aggregator
from d2m_jax.core.types import Key
from d2m_jax.sampling.base import (
    Context,
    Defence,
    DefenceInfo,
    DefenceParams,
    DefenceState,
    Selection,
)
from d2m_jax.sampling.weighted import uniform_defence


def selecting(num_sampled: int, *, aggregator: Aggregator | None) -> Defence:
    """Every seller alike; accepted are the rows that the aggregate moves with, flagged the others.

    Row i is used if the derivative of <aggregate, w> by it is not 0, w a random direction. That is
    exact for rules that weigh or choose whole rows (FLTrust: a positive cosine, martFL: a positive
    weight, SkyMask and Krum: chosen, median: a middle value anywhere). The gain of rows that are
    not used is 0, so nobody is paid for them.

    Args:
        num_sampled: S.
        aggregator: the rule; None is the weighted mean, which uses everybody.

    Cost: one backward pass of the rule a round. Our formulation.
    """
    base = uniform_defence(num_sampled, aggregator)

    def aggregate(
        key: Key,
        state: DefenceState,
        selection: Selection,
        updates: jax.Array,
        valid: jax.Array,
        context: Context,
        params: DefenceParams,
    ) -> tuple[jax.Array, DefenceState, DefenceInfo]:
        way_key, key = jax.random.split(key)

        def whole(rows: jax.Array) -> tuple[jax.Array, tuple[DefenceState, DefenceInfo]]:
            total, new, info = base.aggregate(key, state, selection, rows, valid, context, params)
            return total, (new, info)

        total, pull, (new, info) = jax.vjp(whole, updates, has_aux=True)
        (slope,) = pull(jax.random.normal(way_key, total.shape, total.dtype))
        used = info.accepted & (slope != 0).any(axis=1)
        return (
            total,
            new,
            info._replace(
                accepted=used,
                flagged=info.flagged | (info.accepted & ~used),
                gain=jnp.where(used, info.gain, 0),
                skipped=~used.any(),
            ),
        )

    return Defence(base.init, base.sample, aggregate)
