"""Public sampling masses in coarse steps, so that they tell less of what sellers hold.

Sellers are drawn from the mass that everybody sees, rounded to powers of a base; what was learnt
stays exact in the memory of the defence, which execution sets hold and nobody else. Not here: what
exact and coarse masses give away (`benchmarks/mass_leaks.py`). Read next: `base.py`.
"""

from typing import Any

import jax
import jax.numpy as jnp

from d2m_jax.core.types import Key, Number
from d2m_jax.sampling.base import (
    Context,
    Defence,
    DefenceInfo,
    DefenceParams,
    DefenceState,
    Selection,
)
from d2m_jax.sampling.corrected import corrected_defence

BASE = 4.0  # between neighbouring steps; 2 tells of nearly as much as the exact mass


def coarse_mass(p: jax.Array, base: Number = BASE) -> jax.Array:
    """The distribution [N] in which every N p is the nearest power of `base`, made to sum to 1.

    A seller at 0 stays at 0. With base 4 and a floor of 0.4 / N, three steps are left up to 8 / N.

    Args:
        p: [N], at least 0.
        base: above 1.
    """
    size, positive = p.shape[0], p > 0
    level = jnp.round(
        jnp.log(jnp.where(positive, size * p, 1)) / jnp.log(jnp.asarray(base, p.dtype))
    )
    steps = jnp.where(positive, jnp.asarray(base, p.dtype) ** level, 0)
    total = steps.sum()
    return steps / jnp.where(total > 0, total, 1)


def coarse(defence: Defence, base: Number = BASE) -> Defence:
    """A defence whose public mass is coarse, and which draws from that.

    The estimates stay unbiased, as inclusion probabilities are those of the coarse draw. The exact
    mass is the first part of the memory.

    Args:
        defence: any.
        base: of the steps.
    """

    def shown(state: DefenceState) -> DefenceState:
        return state._replace(p=coarse_mass(state.p, base), memory=(state.p, state.memory))

    def hidden(state: DefenceState) -> DefenceState:
        p, memory = state.memory
        return state._replace(p=p, memory=memory)

    def init(num_sellers: int, dim: int, lam: jax.Array, dtype: Any = jnp.float32) -> DefenceState:
        return shown(defence.init(num_sellers, dim, lam, dtype=dtype))

    def sample(
        key: Key, state: DefenceState, eligible: jax.Array, params: DefenceParams
    ) -> Selection:
        return defence.sample(key, hidden(state)._replace(p=state.p), eligible, params)

    def aggregate(
        key: Key,
        state: DefenceState,
        selection: Selection,
        updates: jax.Array,
        valid: jax.Array,
        context: Context,
        params: DefenceParams,
    ) -> tuple[jax.Array, DefenceState, DefenceInfo]:
        total, new, info = defence.aggregate(
            key, hidden(state), selection, updates, valid, context, params
        )
        return total, shown(new), info

    return Defence(init, sample, aggregate)


def coarse_osmd(num_sampled: int) -> Defence:
    """Corrected OSMD with a public mass in powers of four."""
    return coarse(corrected_defence(num_sampled))
