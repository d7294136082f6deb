"""Defences without memory of misbehaviour: any sampler with a weighted mean or any robust rule.

`uniform_defence` samples distinct sellers evenly; `bandit_defence` draws from a learnt distribution
(OSMD, MABS, VRB) with replacement and weights by importance. Nobody is ever flagged or excluded.
"""

from typing import Any

import jax
import jax.numpy as jnp

from d2m_jax.core.norms import safe_norms
from d2m_jax.core.protocols import Aggregator
from d2m_jax.core.types import Key, PyTree
from d2m_jax.sampling.base import (
    Context,
    Defence,
    DefenceInfo,
    DefenceParams,
    DefenceState,
    Selection,
    as_before,
    initial_state,
)
from d2m_jax.sampling.baselines import Learner
from d2m_jax.sampling.draws import draw_distinct, draw_independent


def combine(updates: jax.Array, weights: jax.Array, use: jax.Array) -> jax.Array:
    """Returns sum_m w_m u_m over the rows in use; zero when that is not finite. One matmul."""
    total = jnp.where(use, weights, 0.0) @ jnp.where(use[:, None], updates, 0.0)
    return jnp.where(jnp.isfinite(total).all(), total, 0.0)


def validation_gains(updates: jax.Array, use: jax.Array, context: Context) -> jax.Array:
    """Returns max(0, L_V(theta) - L_V(theta - lr u_m)) [S], 0 without validation data."""
    if context.losses_of is None:
        return jnp.zeros(updates.shape[0], updates.dtype)
    rows = jnp.where(use[:, None], updates, 0.0)
    losses = context.losses_of(jnp.concatenate([rows, jnp.zeros_like(rows[:1])]))
    change = jnp.maximum(losses[-1] - losses[:-1], 0.0)
    return jnp.where(use & jnp.isfinite(change), change, 0.0)


def _plain_info(use: jax.Array, selection: Selection, gain: jax.Array) -> DefenceInfo:
    no = jnp.zeros_like(use)
    invalid = selection.present & ~use
    return DefenceInfo(
        accepted=use,
        flagged=invalid,
        duplicate=no,
        gain=gain,
        num_excluded=jnp.int32(0),
        num_invalid=invalid.sum(dtype=jnp.int32),
        skipped=~use.any(),
    )


def uniform_defence(num_sampled: int, aggregator: Aggregator | None = None) -> Defence:
    """Uniform sampling of distinct sellers, then the aggregator or the mean.

    Without a rule the aggregate is sum lam_m u_m / sum lam_m over the valid rows (FedAvg).
    """

    def init(num_sellers: int, dim: int, lam: jax.Array, dtype: Any = jnp.float32) -> DefenceState:
        del lam
        memory = aggregator.init(num_sellers, dim, dtype=dtype) if aggregator else ()
        return initial_state(num_sellers, memory, dtype)

    def sample(
        key: Key, state: DefenceState, eligible: jax.Array, params: DefenceParams
    ) -> Selection:
        del params
        can = eligible & state.active
        drawn = draw_distinct(key, jnp.ones_like(state.p), can, num_sampled)
        chance = jnp.minimum(num_sampled / jnp.maximum(can.sum(), 1), 1.0)
        return drawn._replace(weights=jnp.full(num_sampled, chance, state.p.dtype))

    def aggregate(
        key: Key,
        state: DefenceState,
        selection: Selection,
        updates: jax.Array,
        valid: jax.Array,
        context: Context,
        params: DefenceParams,
    ) -> tuple[jax.Array, DefenceState, DefenceInfo]:
        del params
        # One pass; beyond 1e19 the sum of squares overflows, and the row is not used.
        use = valid & selection.present & jnp.isfinite(jnp.square(updates).sum(axis=1))
        if aggregator is None:
            lam = jnp.where(use, context.lam[selection.indices], 0.0)
            total = combine(updates, lam / jnp.maximum(lam.sum(), 1e-30), use)
        else:
            total, memory = _apply(aggregator, key, state.memory, selection, updates, use, context)
            state = as_before(state._replace(memory=memory), state)
        gain = validation_gains(updates, use, context)
        return total.astype(updates.dtype), state, _plain_info(use, selection, gain)

    return Defence(init, sample, aggregate)


def bandit_defence(
    num_sampled: int, learner: Learner, aggregator: Aggregator | None = None
) -> Defence:
    """Sellers drawn with replacement from a learnt distribution, as in the OSMD paper.

    The aggregate is the unbiased (1/S) sum lam_m u_m / p_m, over every draw; invalid draws count as
    zero. A rule, if given, sees the raw updates of the draws and ignores the importance weights
    (they would distort every distance; our choice). A rule that remembers sellers one by one sees
    only the first row of each, else who is drawn twice would count twice in its memory. Feedback is
    a_m = lam_m^2 ||u_m||^2.
    """
    by_seller = aggregator is not None and "indices" in aggregator.uses

    def init(num_sellers: int, dim: int, lam: jax.Array, dtype: Any = jnp.float32) -> DefenceState:
        del lam
        memory = aggregator.init(num_sellers, dim, dtype=dtype) if aggregator else ()
        learnt = cast(learner.init(num_sellers), dtype)
        return initial_state(num_sellers, (learnt, memory), dtype)

    def sample(
        key: Key, state: DefenceState, eligible: jax.Array, params: DefenceParams
    ) -> Selection:
        del params
        return draw_independent(key, state.p, eligible & state.active, num_sampled)

    def aggregate(
        key: Key,
        state: DefenceState,
        selection: Selection,
        updates: jax.Array,
        valid: jax.Array,
        context: Context,
        params: DefenceParams,
    ) -> tuple[jax.Array, DefenceState, DefenceInfo]:
        learnt, memory = state.memory
        norms = safe_norms(updates)
        use = valid & selection.present & jnp.isfinite(norms)
        accepted = use
        lam = context.lam[selection.indices]
        if aggregator is None:
            share = lam / (num_sampled * jnp.maximum(selection.weights, 1e-30))
            total = combine(updates, share, use)
        else:
            accepted = use & ~_repeated(selection.indices, use) if by_seller else use
            total, memory = _apply(aggregator, key, memory, selection, updates, accepted, context)
        counts = jnp.zeros_like(state.p).at[selection.indices].add(use.astype(state.p.dtype))
        feedback = jnp.where(use, jnp.square(jnp.minimum(lam * norms, 1e15)), 0.0)
        a = jnp.zeros_like(state.p).at[selection.indices].max(feedback.astype(state.p.dtype))
        learnt = learner.update(
            learnt, a, counts, num_sampled, params.alpha, params.horizon, params.eta
        )
        p = learner.probabilities(learnt, params.alpha)
        state = as_before(state._replace(p=p, memory=(learnt, memory)), state)
        gain = validation_gains(updates, accepted, context)
        info = _plain_info(use, selection, gain)
        return (
            total.astype(updates.dtype),
            state,
            info._replace(accepted=accepted, duplicate=use & ~accepted),
        )

    return Defence(init, sample, aggregate)


def cast(tree: PyTree, dtype: Any) -> PyTree:
    """The floating leaves of a tree in that type."""
    return jax.tree.map(
        lambda x: x.astype(dtype) if jnp.issubdtype(x.dtype, jnp.floating) else x, tree
    )


def _repeated(indices: jax.Array, use: jax.Array) -> jax.Array:
    """[S] bool: an earlier row in use is of the same seller."""
    same = (indices[:, None] == indices[None, :]) & use[None, :]
    return jnp.tril(same, -1).any(axis=1)


def _apply(
    aggregator: Aggregator,
    key: Key,
    memory: PyTree,
    selection: Selection,
    updates: jax.Array,
    use: jax.Array,
    context: Context,
) -> tuple[jax.Array, PyTree]:
    """The rule on the rows in use; zero when there are none or the result is not finite.

    Rules do not look at what absent rows hold, so they are not set to 0 (a pass over the matrix).
    """
    given: dict[str, Any] = {"indices": selection.indices, "key": key, "layers": context.layers}
    given["outputs_of"] = context.outputs_of
    if "root" in aggregator.uses:
        if context.root_update is None:
            raise ValueError("this rule needs root examples: set num_root to at least 1")
        given["root"] = context.root_update()
    if {"losses", "losses_of"} & set(aggregator.uses):
        losses_of = context.losses_of
        if losses_of is None:
            raise ValueError("this rule needs the buyer's validation examples")
        given["losses_of"] = losses_of
        if "losses" in aggregator.uses:
            given["losses"] = losses_of(jnp.where(use[:, None], updates, 0.0))
    total, memory = aggregator.apply(memory, updates, context.f, use, **given)
    return jnp.where(use.any() & jnp.isfinite(total).all(), total, 0.0), memory
