"""Weights on the simplex that the buyer's examples like best.

Not here: masks per coordinate (`mask_learning.py`). Read next: that.
"""

import jax
import jax.numpy as jnp

from d2m_jax.aggregation.masks import clip_factors, takes_rows, typed, weighted_sum, whole
from d2m_jax.core.norms import row_norms
from d2m_jax.core.protocols import LossesOf
from d2m_jax.core.rows import masked_median, present
from d2m_jax.core.trees import varying_as
from d2m_jax.core.types import Count


@takes_rows
def learnt_weights(
    updates: jax.Array,
    f: Count = 0,
    *,
    losses_of: LossesOf,
    mask: jax.Array | None = None,
    steps: int = 20,
    rate: float | jax.Array = 0.5,
) -> jax.Array:
    """The mixture of clipped rows with the least loss on the buyer's examples, by mirror descent.

    Formula: rows clipped at their median norm; w = 1/m at first; steps times, with g_i = <x_i,
    grad L(sum_j w_j x_j)>: w_i <- w_i exp(-rate g_i / max |g|) / sum.

    Args:
        updates: `[S, D]`.
        f: ignored; any number of Byzantine rows is tolerated as far as the buyer's data is good.
        losses_of: updates `[K, D]` -> `[K]`, loss on the buyer's examples after each step, with a
            gradient.
        mask: `[S]` bool, True for present rows; None for all.
        steps: of the weights, in every round from equal ones.
        rate: of a step, per largest slope.

    Returns:
        `[D]`; zeros when nobody is present.

    Raises:
        ValueError: no step.

    Cost: a gradient of the loss and two passes per step. Source: the idea of arXiv 2511.03529
    (ICLR 2026), model and simplex weights minimised in turn, of which we know the abstract; the
    clipping, the mirror step and its unit are ours.
    """
    del f  # unused
    steps = whole("steps", steps, 1)
    here = present(updates, mask)
    norms = row_norms(updates, mask)
    factors = jnp.where(here, clip_factors(norms, masked_median(norms, mask)), 0)
    rows = jax.lax.stop_gradient(updates)
    equal = typed(here, updates) / typed(jnp.maximum(jnp.sum(here), 1), updates)

    def step(weights: jax.Array, _: None) -> tuple[jax.Array, None]:
        at = weighted_sum(weights * factors, rows, mask)
        slope = jax.grad(lambda point: losses_of(point[None])[0])(at)
        inner = jnp.matmul(rows, slope, precision="highest")
        pull = factors * (inner if mask is None else jnp.where(mask, inner, 0))
        pull = jnp.where(jnp.isfinite(pull), pull, 0)
        most = jnp.max(jnp.abs(pull))
        pull = pull / jnp.where(most > 0, most, 1)
        new = weights * jnp.exp(-rate * pull)
        return new / jnp.where(here.any(), jnp.sum(new), 1), None

    start = varying_as(equal, updates, mask)
    weights, _ = jax.lax.scan(step, jax.lax.stop_gradient(start), length=steps)
    return weighted_sum(jax.lax.stop_gradient(weights) * factors, updates, mask)
