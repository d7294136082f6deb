"""Corrected OSMD: the default defence, one jittable step of fixed shape.

The D2M paper says that it exists, not what it is; everything here is our choice, argued from the
measurements in `docs/corrected_osmd.md`. Plain OSMD samples in proportion to the norm of an
update, so who inflates the norm is sampled more; hence the correction acts on the update (clip,
drop copies, reference, validation), on the feedback (only accepted, clipped norms) and on the
sampling mass.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from d2m_jax.sampling.base import (
    Context,
    Defence,
    DefenceInfo,
    DefenceParams,
    DefenceState,
    Selection,
    initial_state,
)
from d2m_jax.sampling.draws import draw_distinct
from d2m_jax.sampling.osmd import mirror_step
from d2m_jax.sampling.robust import masked_deviation, masked_median, safe_norms, sorted_median
from d2m_jax.types import Key

_TINY = 1e-30


class CorrectedMemory(NamedTuple):
    """What Corrected OSMD remembers beside the common state."""

    momentum: jax.Array  # [D] float32, running mean of the aggregates
    radius: jax.Array  # [] float32, typical norm R; 0 before the first update
    abar: jax.Array  # [] float32, largest accepted feedback of the first round with one


def corrected_defence(
    num_sampled: int, median: Callable[[jax.Array, jax.Array], jax.Array] = sorted_median
) -> Defence:
    """Returns the Corrected OSMD defence; `median(updates [S, D], mask [S]) -> [D]` is injected."""

    def init(num_sellers: int, dim: int, lam: jax.Array) -> DefenceState:
        del lam
        zero = jnp.float32(0)
        return initial_state(num_sellers, CorrectedMemory(jnp.zeros(dim), zero, zero))

    def sample(
        key: Key, state: DefenceState, eligible: jax.Array, params: DefenceParams
    ) -> Selection:
        del params
        return draw_distinct(key, state.p, eligible & state.active, num_sampled)

    def aggregate(
        key: Key,
        state: DefenceState,
        selection: Selection,
        updates: jax.Array,
        valid: jax.Array,
        context: Context,
        params: DefenceParams,
    ) -> tuple[jax.Array, DefenceState, DefenceInfo]:
        del key
        memory: CorrectedMemory = state.memory
        norms = safe_norms(updates)
        use = valid & selection.present & jnp.isfinite(norms)

        # Clip. Rows are kept in units of R, so that no square overflows.
        radius = _next_radius(memory.radius, norms, use, params.radius_rate)
        length = jnp.minimum(norms, params.clip * radius)
        scale = length / jnp.maximum(norms, _TINY) / jnp.maximum(radius, _TINY)
        rows = jnp.where(use[:, None], updates * scale[:, None], 0.0)
        length = jnp.where(use, length, 0.0)

        duplicate = use & _copies(rows, use, params.duplicate_cosine)
        reference = _reference(rows, use & ~duplicate, memory, radius, context, params, median)
        change, loss, reference = _validate(rows, reference, radius, context, params)
        harmful = use & _harmful(change, loss, use, params)

        along = jnp.matmul(rows, reference, precision="highest")
        suspect = use & ((along < 0) | harmful | (norms < params.free_ratio * radius))
        flagged = suspect | (selection.present & ~use)
        accepted = use & ~suspect & ~duplicate

        lam = context.lam[selection.indices]
        reputation = state.reputation[selection.indices]
        fair = num_sampled * lam / jnp.maximum(selection.weights, _TINY)
        weights = jnp.where(accepted, reputation * jnp.minimum(fair, 1 / params.alpha), 0.0)
        mass = weights.sum()
        total = radius * ((weights / jnp.maximum(mass, _TINY)) @ rows)
        total = jnp.where((mass > 0) & jnp.isfinite(total).all(), total, 0.0)
        skipped = ~(mass > 0)
        momentum = params.momentum * memory.momentum + (1 - params.momentum) * total
        momentum = jnp.where(skipped, memory.momentum, momentum)

        feedback = jnp.where(accepted, jnp.square(jnp.minimum(lam * length, 1e15)), 0.0)
        abar = jnp.where(memory.abar > 0, memory.abar, feedback.max())
        state = state._replace(memory=CorrectedMemory(momentum, radius, abar))
        state = _learn(state, selection, feedback, flagged, accepted, params)
        seen = jnp.where(use & jnp.isfinite(change), change, 0.0)
        state = state._replace(
            harm_rounds=state.harm_rounds.at[selection.indices].add(harmful.astype(jnp.int32)),
            damage=state.damage.at[selection.indices].add(seen),
        )
        info = DefenceInfo(
            accepted=accepted,
            flagged=flagged,
            harmful=harmful,
            duplicate=duplicate,
            gain=jnp.where(accepted, jnp.maximum(-seen, 0.0), 0.0),
            num_excluded=jnp.sum(~state.active, dtype=jnp.int32),
            num_invalid=jnp.sum(selection.present & ~use, dtype=jnp.int32),
            skipped=skipped,
        )
        return total, state, info

    return Defence(init, sample, aggregate)


def _next_radius(
    radius: jax.Array, norms: jax.Array, use: jax.Array, rate: jax.Array | float
) -> jax.Array:
    """R <- (1 - rate) R + rate min(median, 2 R); the first median starts it."""
    median = masked_median(norms, use)
    moved = (1 - rate) * radius + rate * jnp.minimum(median, 2 * radius)
    return jnp.where(radius > 0, jnp.where(use.any(), moved, radius), median)


def _copies(rows: jax.Array, use: jax.Array, threshold: jax.Array | float) -> jax.Array:
    """Returns [S] bool: an earlier row in use has a cosine above `threshold` with this one."""
    gram = jnp.matmul(rows, rows.T, precision="highest")
    size = jnp.sqrt(jnp.maximum(jnp.diagonal(gram), 0.0))
    outer = size[:, None] * size[None, :]
    same = (gram > threshold * outer) & (outer > 0) & use[None, :]
    return jnp.tril(same, -1).any(axis=1)


def _reference(
    rows: jax.Array,
    distinct: jax.Array,
    memory: CorrectedMemory,
    radius: jax.Array,
    context: Context,
    params: DefenceParams,
    median: Callable[[jax.Array, jax.Array], jax.Array],
) -> jax.Array:
    """The direction updates are compared with, in units of R: median, later mixed with momentum."""
    centre = median(rows, distinct)
    mixed = (1 - params.reference_mix) * centre + params.reference_mix * memory.momentum / (
        jnp.maximum(radius, _TINY)
    )
    return jnp.where(context.round > params.warm_up, mixed, centre)


def _validate(
    rows: jax.Array,
    reference: jax.Array,
    radius: jax.Array,
    context: Context,
    params: DefenceParams,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Returns (change of L_V by each row [S], L_V, reference anchored by L_V); one call for all."""
    if context.losses_of is None:
        return jnp.zeros(rows.shape[0]), jnp.float32(1), reference
    candidates = jnp.concatenate([rows, reference[None], jnp.zeros_like(rows[:1])])
    losses = context.losses_of(radius * candidates)
    loss = losses[-1]
    change = losses[:-2] - loss
    gradient = context.grad_of_validation
    if gradient is not None:
        floor = jnp.maximum(loss, params.loss_floor)
        lost = ~(losses[-2] <= loss + params.anchor_ratio * floor)
        reference = jax.lax.cond(lost, lambda: _unit(gradient()), lambda: reference)
    return change, loss, reference


def _unit(direction: jax.Array) -> jax.Array:
    return direction / jnp.maximum(safe_norms(direction[None])[0], _TINY)


def _harmful(
    change: jax.Array, loss: jax.Array, use: jax.Array, params: DefenceParams
) -> jax.Array:
    """Raises the validation loss, much more than the others do, and by a share that matters."""
    finite = use & jnp.isfinite(change)
    spread = masked_deviation(change, finite)
    limit = masked_median(change, finite) + params.mad_factor * spread
    matters = params.harm_ratio * jnp.maximum(loss, params.loss_floor)
    return ~jnp.isfinite(change) | ((change > limit) & (change > matters))


def _learn(
    state: DefenceState,
    selection: Selection,
    feedback: jax.Array,
    flagged: jax.Array,
    accepted: jax.Array,
    params: DefenceParams,
) -> DefenceState:
    """Mirror step with penalty, reputation, CUSUM of flags and exclusion of at most half."""
    num = state.p.shape[0]
    who = jnp.where(selection.present, selection.indices, num)  # num: dropped by the scatters
    abar = jnp.maximum(state.memory.abar, _TINY)

    p = state.p[selection.indices]
    log_n = jnp.log(jnp.float32(max(num, 2)))
    rate = 4 * params.eta * (params.alpha / num) ** 3 * jnp.sqrt(log_n / (2 * params.horizon))
    step = jnp.minimum(rate * (feedback / abar) / jnp.maximum(p, _TINY) ** 3, params.exponent_cap)
    step = step - params.flag_penalty * flagged

    odds = jnp.where(
        flagged,
        jnp.log(params.flag_rate_bad / params.flag_rate_honest),
        jnp.log((1 - params.flag_rate_bad) / (1 - params.flag_rate_honest)),
    )
    suspicion = jnp.maximum(state.suspicion[selection.indices] + odds, 0.0)
    suspicion = state.suspicion.at[who].set(suspicion, mode="drop")
    order = jnp.argsort(-suspicion)
    rank = jnp.zeros(num, jnp.int32).at[order].set(jnp.arange(num, dtype=jnp.int32))
    active = ~((suspicion >= params.exclusion_log_odds) & (rank < num // 2))

    old = state.reputation[selection.indices]
    rated = (1 - params.reputation_rate) * old + params.reputation_rate * accepted
    reputation = state.reputation.at[who].set(
        jnp.clip(rated, params.reputation_floor, 1.0), mode="drop"
    )
    slope = jnp.zeros(num).at[who].set(step, mode="drop")
    back = active & (state.p <= 0)  # excluded before, let in again: at the floor
    p = jnp.where(back, params.alpha / num, state.p)
    p = mirror_step(p, slope, 1.0, params.alpha, active, exponent_cap=params.exponent_cap)
    return state._replace(p=p, reputation=reputation, suspicion=suspicion, active=active)
