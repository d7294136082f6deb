"""Corrected OSMD: the default defence, one jittable step of fixed shape.

The D2M paper says that it exists, not what it is; everything here is our choice, argued from the
measurements in `docs/corrected_osmd.md`. Plain OSMD samples in proportion to the norm of an
update, so who inflates the norm is sampled more. The correction judges every update by its
agreement with the buyer's validation gradient and keeps two accounts per seller, in log odds:

    trust      is this seller helpful?   weighs its update and its sampling mass; it forgets
    suspicion  does it point the other way?   a CUSUM; past a limit the seller is excluded

One direction is not the whole of an update, so a row counts for less the less it agrees, and the
more it has in common with others across the validation gradient: see `_merit`.
Few examples err, and always the same way. So nobody is excluded who does not oppose the other
sellers as well: see `_opposes_both`.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from d2m_jax.core.norms import safe_norms
from d2m_jax.core.rows import masked_median
from d2m_jax.core.types import Key
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
from d2m_jax.sampling.draws import draw_distinct
from d2m_jax.sampling.osmd import mirror_step
from d2m_jax.sampling.robust import masked_deviation, weighted_quantile

_TINY = 1e-30
_MOST = 1e30  # of a rise of the loss in one round, so that sums stay finite
_LARGEST_EXPONENT = 80.0  # exp of more is infinite
_LEAST_MEAN = 1e-3  # of the agreement, below which it tells nothing
_SETTLED = 0.44  # quantile of the norms from which on R moves little by little


class CorrectedMemory(NamedTuple):
    """What Corrected OSMD remembers beside the common state."""

    radius: jax.Array  # [] float32, typical norm R; 0 before the first update
    norms: jax.Array  # [N] float32, last norm of each seller
    recency: jax.Array  # [N] float32, norm_memory ** (rounds since)
    heard: jax.Array  # [N] bool, has sent an update
    rises: jax.Array  # [] float32, rounds on end in which R was kept from rising by more
    largest: jax.Array  # [] float32, largest feedback of the first round with one
    mean: jax.Array  # [] float32, mean agreement of trusted sellers
    variance: jax.Array  # [] float32, its variance
    trust: jax.Array  # [N] float32, log odds that a seller is helpful
    drift: jax.Array  # [D] float32, slow mean of all updates
    harm: jax.Array  # [N] float32, rise of the validation loss by each seller; it fades
    opposition: jax.Array  # [N] float32, rise of the other sellers' loss by each; it fades


class Rows(NamedTuple):
    """The updates of a round, clipped and in units of R, so that no square overflows."""

    values: jax.Array  # [S, D] float32
    length: jax.Array  # [S] float32, at most `clip`
    use: jax.Array  # [S] bool, present and finite
    copy: jax.Array  # [S] bool, an earlier row is the same
    free: jax.Array  # [S] bool, next to nothing: a free-rider's
    gram: jax.Array  # [S, S] float32, inner products of `values`


def corrected_defence(num_sampled: int) -> Defence:
    """Returns the Corrected OSMD defence for S = `num_sampled` sellers a round."""

    def init(num_sellers: int, dim: int, lam: jax.Array, dtype: Any = jnp.float32) -> DefenceState:
        del lam
        zero = jnp.zeros((), dtype)
        sellers = jnp.zeros(num_sellers, dtype)
        memory = CorrectedMemory(
            radius=zero,
            norms=sellers,
            recency=sellers,
            heard=sellers > 0,
            rises=zero,
            largest=zero,
            mean=zero,
            variance=zero,
            trust=sellers,
            drift=jnp.zeros(dim, dtype),
            harm=sellers,
            opposition=sellers,
        )
        return initial_state(num_sellers, memory, dtype)

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
        before_round = state
        memory: CorrectedMemory = state.memory
        present, who = selection.present, selection.indices
        before = memory.trust[who]
        norms = safe_norms(updates)
        use = valid & present & jnp.isfinite(norms)
        known = state.active & (context.lam > 0)
        memory = _remember(norms, selection._replace(present=use), known, memory, params)
        radius = memory.radius
        rows = _clip(updates, norms, use, radius, params)
        counted = rows.use & ~rows.copy

        weights = jnp.where(counted, jax.nn.sigmoid(before), 0.0)
        agreement, gain = agreement_of(rows, weights, radius, context)
        mean, variance = _moments(agreement, weights, memory, params)
        steered = counted & _steered(rows, counted, memory, params)
        lost = (present & ~rows.use) | steered

        helpful = log_odds(agreement, mean, variance, params.useless, params)
        helpful = jnp.where(rows.free, jnp.minimum(helpful, -0.5 * params.evidence_cap), helpful)
        helpful = jnp.where(lost, -params.evidence_cap, helpful)
        trust = _trust(before, helpful, _opposes_both(memory)[who], lost, params)

        harmless = log_odds(agreement, mean, variance, params.harmful, params)
        harmless = jnp.where(lost, -0.5 * params.evidence_cap, harmless)
        suspicion = params.suspicion_memory * state.suspicion[who] - harmless
        suspicion = jnp.maximum(suspicion, 0.0)

        rank = jax.nn.sigmoid(trust)
        flagged = lost | (rows.use & ((rank < params.reject) | rows.free))
        accepted = counted & ~flagged
        lam = _believed(context.lam, before, who, params)
        fair = num_sampled * lam / jnp.maximum(selection.weights, _TINY)
        trusted = jnp.where(accepted, rank, 0.0)
        merit = _merit(rows, agreement, mean, trusted, context, params)
        weights = merit * trusted * jnp.minimum(fair, 1 / params.alpha)
        mass = weights.sum()
        shares = weights / jnp.maximum(mass, _TINY)
        total = radius * (shares @ rows.values)
        total = jnp.where((mass > 0) & jnp.isfinite(total).all(), total, 0.0)

        useful = jnp.minimum(lam * radius * rows.length * jnp.maximum(agreement, 0.0), 1e15)
        feedback = jnp.where(accepted, rank * jnp.square(useful), 0.0)
        counts = counted.astype(rows.values.dtype)
        even = counts / jnp.maximum(counts.sum(), 1)
        mixed = even @ rows.values
        scale = context.lr * radius * radius
        opposed = _rises(rows, shares, scale)
        discord = _rise_of_most(rows, merit, even, scale, params)
        memory = memory._replace(
            largest=jnp.where(memory.largest > 0, memory.largest, feedback.max()),
            mean=mean,
            variance=variance,
            trust=_put(memory.trust, selection, trust),
            drift=params.drift_memory * memory.drift + (1 - params.drift_memory) * radius * mixed,
            harm=_account(memory.harm, selection, rows, -gain, params),
            opposition=_account(memory.opposition, selection, rows, opposed, params),
        )
        state = state._replace(
            memory=memory,
            suspicion=_put(state.suspicion, selection, suspicion),
            reputation=jax.nn.sigmoid(memory.trust),
            damage=state.damage.at[who].add(jnp.where(rows.use, -gain, 0.0)),
            discord=state.discord.at[who].add(jnp.where(rows.use, discord, 0.0)),
        )
        state = _sampling_mass(state, selection, feedback, trust, params)
        info = DefenceInfo(
            accepted=accepted,
            flagged=flagged,
            duplicate=rows.copy,
            gain=jnp.where(accepted, jnp.maximum(gain, 0.0), 0.0),
            num_excluded=jnp.sum(~state.active, dtype=jnp.int32),
            num_invalid=jnp.sum(present & ~rows.use, dtype=jnp.int32),
            skipped=~(mass > 0),
        )
        return total.astype(updates.dtype), as_before(state, before_round), info

    return Defence(init, sample, aggregate)


def _remember(
    norms: jax.Array,
    heard: Selection,
    known: jax.Array,
    memory: CorrectedMemory,
    params: DefenceParams,
) -> CorrectedMemory:
    """The memory with the norms [S] of the `heard` and the next R; `known` [N] may be heard at all.

    R is the median of every seller's last norm, by trust and recency: who is sampled often counts
    once. The Byzantine share of h heard sellers of N differs from that of all by a standard
    deviation of at most sqrt((1 - h / N) / (4 h)), so at first R is a quantile lower than the half
    by `start_deviations` of these: too short a step costs little, a far too long one everything.
    From the quantile 0.44 on R is settled: it falls to no less than half in a round and rises to at
    most norm_growth^(1 + k / 4) R after k rounds on end in which it was to rise by more.
    """
    last = _put(memory.norms, heard, norms)
    recency = _put(params.norm_memory * memory.recency, heard, jnp.ones_like(norms))
    ever = _put(memory.heard, heard, heard.present)
    settled = (_level(memory.heard, known, params) >= _SETTLED) & (memory.radius > 0)
    trusted = recency * jax.nn.sigmoid(memory.trust)
    weights = jnp.where(ever, jnp.where(settled, trusted, 1.0), 0.0)
    typical = weighted_quantile(last, weights, _level(ever, known, params))
    limit = params.norm_growth ** (1 + 0.25 * memory.rises) * memory.radius
    bounded = jnp.clip(typical, 0.5 * memory.radius, limit)
    radius = jnp.where(heard.present.any(), jnp.where(settled, bounded, typical), memory.radius)
    rises = jnp.where(settled & (typical > limit), memory.rises + 1, 0.0)
    return memory._replace(radius=radius, norms=last, recency=recency, heard=ever, rises=rises)


def _level(heard: jax.Array, known: jax.Array, params: DefenceParams) -> jax.Array:
    """[] float32, the quantile of the norms that R is when these sellers [N] have been heard."""
    count = jnp.maximum(jnp.sum(heard & known, dtype=jnp.float32), 1)
    unheard = jnp.sum(known & ~heard, dtype=jnp.float32)
    deviation = 0.5 * jnp.sqrt(unheard / (count * (count + unheard)))
    return 0.5 - params.start_deviations * deviation


def _clip(
    updates: jax.Array, norms: jax.Array, use: jax.Array, radius: jax.Array, params: DefenceParams
) -> Rows:
    """The rows in units of R, clipped, and which of them are copies or next to nothing."""
    length = jnp.minimum(norms / jnp.maximum(radius, _TINY), params.clip)
    length = jnp.where(use & (radius > 0), length, 0.0)
    values = jnp.where(use[:, None], updates * (length / jnp.maximum(norms, _TINY))[:, None], 0.0)

    gram = jnp.matmul(values, values.T, precision="highest")
    outer = length[:, None] * length[None, :]
    same = (gram > params.duplicate_cosine * outer) & (outer > 0)
    copy = jnp.tril(same, -1).any(axis=1)
    return Rows(values, length, use, copy, use & (norms < params.free_ratio * radius), gram)


def _believed(lam: jax.Array, trust: jax.Array, who: jax.Array, params: DefenceParams) -> jax.Array:
    """The data weights [S] of the sample as far as they are believed.

    Nobody can see how much a seller holds: with `lam` [N] and `trust` [S], the log odds before this
    round, a claim counts up to median(lam of all) * exp(size_trust * max(trust, 0)).
    """
    usual = masked_median(lam, lam > 0)
    growth = jnp.exp(jnp.minimum(params.size_trust * jnp.maximum(trust, 0.0), _LARGEST_EXPONENT))
    return jnp.minimum(lam[who], usual * growth)


def agreement_of(
    rows: Rows, weights: jax.Array, radius: jax.Array, context: Context
) -> tuple[jax.Array, jax.Array]:
    """Returns ([S] cosines, [S] first-order falls of the validation loss, lr <u, grad L_V>).

    The cosine is with the validation gradient; without validation data with the weighted mean of
    the others, and nothing is known of the loss.
    """
    units = rows.values / jnp.maximum(rows.length, _TINY)[:, None]
    if context.grad_of_validation is not None:
        gradient = context.grad_of_validation()
        norm = safe_norms(gradient[None])[0]
        norm = jnp.where(jnp.isfinite(norm), norm, 0.0)
        cosine = units @ (gradient / jnp.maximum(norm, _TINY))
        cosine = jnp.where(jnp.isfinite(cosine), cosine, 0.0)
        return cosine, jnp.minimum(context.lr * radius * norm, _MOST) * rows.length * cosine
    gram = jnp.matmul(units, units.T, precision="highest")
    pull = gram @ weights
    own = jnp.diagonal(gram) * weights
    others = jnp.maximum(weights @ pull - 2 * weights * pull + weights * own, 1e-6)
    return (pull - own) / jnp.sqrt(others), jnp.zeros_like(weights)


def _moments(
    agreement: jax.Array, weights: jax.Array, memory: CorrectedMemory, params: DefenceParams
) -> tuple[jax.Array, jax.Array]:
    """Running mean and variance of the agreement of trusted sellers; round one starts them."""
    total = jnp.maximum(weights.sum(), _TINY)
    mean = agreement @ weights / total
    variance = jnp.square(agreement - mean) @ weights / total
    rate = jnp.where(memory.variance > 0, params.moment_rate, 1.0)
    return (
        memory.mean + rate * (mean - memory.mean),
        memory.variance + rate * (variance - memory.variance),
    )


def _steered(
    rows: Rows, counted: jax.Array, memory: CorrectedMemory, params: DefenceParams
) -> jax.Array:
    """[S] bool: much more along the slow mean of all updates than the others are.

    Colluders that push the same way round after round (ALIE, IPM) become a part of that mean;
    honest noise averages out of it.
    """
    drift = memory.drift / jnp.maximum(safe_norms(memory.drift[None])[0], _TINY)
    along = (rows.values @ drift) / jnp.maximum(rows.length, _TINY)
    spread = jnp.maximum(
        params.drift_deviations * masked_deviation(along, counted), params.drift_gap
    )
    return along > masked_median(along, counted) + spread


def log_odds(
    agreement: jax.Array,
    mean: jax.Array,
    variance: jax.Array,
    ratio: jax.Array | float,
    params: DefenceParams,
) -> jax.Array:
    """log N(z; mean, variance) - log N(z; ratio * mean, variance), capped; 0 while mean <= 0."""
    mean = jnp.maximum(mean, 0.0)
    odds = (1 - ratio) * mean * (agreement - 0.5 * (1 + ratio) * mean)
    return jnp.clip(odds / jnp.maximum(variance, 1e-4), -params.evidence_cap, params.evidence_cap)


def _merit(
    rows: Rows,
    agreement: jax.Array,
    mean: jax.Array,
    trust: jax.Array,
    context: Context,
    params: DefenceParams,
) -> jax.Array:
    """[S] in [0, 1] what a row counts for in this round, whoever sent it; 1 without examples.

    It grows with its agreement, up to the `mean` [] of the trusted if they agree at all, and falls
    with its kin.
    """
    if context.grad_of_validation is None:
        return jnp.ones_like(agreement)
    share = jnp.clip(agreement / jnp.maximum(mean, _LEAST_MEAN), 0.0, 1.0)
    share = jnp.where(mean > _LEAST_MEAN, share, 1.0)
    return share**params.growth / (1 + params.kinship * _kin(rows, agreement, trust))


def _kin(rows: Rows, agreement: jax.Array, trust: jax.Array) -> jax.Array:
    """[S] sum over the other rows j of trust_j max(r_mj, 0), with probabilities `trust` [S].

    r is the cosine of two rows across the validation gradient, with which they have the cosines
    `agreement` [S]. Honest rows are nearly orthogonal there, since their noise is independent: what
    many rows have in common there, and the buyer's examples do not confirm, is a push.
    """
    cosines = rows.gram / jnp.maximum(rows.length[:, None] * rows.length[None, :], _TINY)
    aside = jnp.sqrt(jnp.maximum(1 - jnp.square(agreement), 1e-4))
    across = cosines - agreement[:, None] * agreement[None, :]
    across = jnp.maximum(across / (aside[:, None] * aside[None, :]), 0.0)
    return _others(across) @ trust


def _others(matrix: jax.Array) -> jax.Array:
    """[S, S] with the diagonal set to 0."""
    return matrix * (1 - jnp.eye(matrix.shape[0], dtype=matrix.dtype))


def _rises(rows: Rows, shares: jax.Array, scale: jax.Array) -> jax.Array:
    """[S] what each raises the others' loss by, to first order: -scale <u_m, sum_j share_j u_j>.

    The sum is over the other rows j, with `shares` [S]; `scale` [] is the rate times R^2.
    """
    along = rows.gram @ shares - jnp.diagonal(rows.gram) * shares
    return -jnp.minimum(scale, _MOST) * along


def _rise_of_most(
    rows: Rows, merit: jax.Array, shares: jax.Array, scale: jax.Array, params: DefenceParams
) -> jax.Array:
    """[S] as `_rises`, but positive only when a share `majority` of the others is opposed as well.

    The quantile `majority` of -<u_m, u_j> over the other rows j, each weighted by its `merit` [S]
    too, which fewer rows cannot turn, nor more that are kin; or `_rises`, if that is less. With a
    majority of 0 it is `_rises`.
    """
    plain = _rises(rows, shares, scale)
    weights = _others(jnp.broadcast_to((merit * shares)[None, :], rows.gram.shape))
    each = jax.vmap(weighted_quantile, in_axes=(0, 0, None))
    most = -jnp.minimum(scale, _MOST) * each(rows.gram, weights, params.majority)
    return jnp.where(params.majority > 0, jnp.minimum(most, plain), plain)


def _account(
    sums: jax.Array, selection: Selection, rows: Rows, rise: jax.Array, params: DefenceParams
) -> jax.Array:
    """[N] what each seller raised a loss by, to first order; fades by the rounds it is heard in."""
    new = params.harm_memory * sums[selection.indices] + jnp.clip(rise, -_MOST, _MOST)
    return _put(sums, selection._replace(present=rows.use), new)


def _put(values: jax.Array, selection: Selection, new: jax.Array) -> jax.Array:
    """[N] values with those of the sampled sellers replaced."""
    who = jnp.where(selection.present, selection.indices, values.shape[0])
    return values.at[who].set(new.astype(values.dtype), mode="drop")


def _opposes_both(memory: CorrectedMemory) -> jax.Array:
    """[N] bool: on balance the seller raised the buyer's loss and that of the other sellers.

    An honest seller may oppose one of the two for long: near convergence all gradients are noise,
    and of the error of the buyer's few examples every round sees the same; a buyer that lacks
    classes has every holder of them against it. It hardly opposes both. The sums are of rises, not
    of cosines, so that the clear first rounds outweigh the noise of the late ones. Without
    validation data no rise of its loss is known, the sum is 0, and the others decide.
    """
    return (memory.harm >= 0) & (memory.opposition > 0)


def _trust(
    before: jax.Array,
    evidence: jax.Array,
    opposes: jax.Array,
    lost: jax.Array,
    params: DefenceParams,
) -> jax.Array:
    """[S] log odds after a round.

    Who opposes both and is left out comes back when that balance changes, not when one update
    happens to agree; nobody else falls below `trust_floor`, unless it is lost.
    """
    trust = jnp.minimum(params.trust_memory * before + evidence, params.trust_limit)
    stays_out = opposes & (jax.nn.sigmoid(before) < params.reject)
    trust = jnp.where(stays_out, jnp.minimum(trust, before + params.readmission), trust)
    return jnp.where(opposes | lost, trust, jnp.maximum(trust, params.trust_floor))


def _sampling_mass(
    state: DefenceState,
    selection: Selection,
    feedback: jax.Array,
    trust: jax.Array,
    params: DefenceParams,
) -> DefenceState:
    """Mirror step with a penalty for distrust, and exclusion of at most half of the sellers."""
    num = state.p.shape[0]
    p = state.p[selection.indices]
    log_n = jnp.log(jnp.float32(max(num, 2)))
    rate = 4 * params.eta * (params.alpha / num) ** 3 * jnp.sqrt(log_n / (2 * params.horizon))
    relative = feedback / jnp.maximum(state.memory.largest, _TINY)
    step = jnp.minimum(rate * relative / jnp.maximum(p, _TINY) ** 3, params.exponent_cap)
    step = step + params.distrust_penalty * jnp.clip(trust, -1.0, 0.0)

    suspicion = jnp.where(_opposes_both(state.memory), state.suspicion, -1.0)
    order = jnp.argsort(-suspicion)
    rank = jnp.zeros(num, jnp.int32).at[order].set(jnp.arange(num, dtype=jnp.int32))
    active = ~((suspicion >= params.exclusion_log_odds) & (rank < num // 2))
    back = active & (state.p <= 0)  # excluded before, let in again: at the floor
    p = jnp.where(back, params.alpha / num, state.p)
    slope = _put(jnp.zeros_like(p), selection, step)
    p = mirror_step(p, slope, 1.0, params.alpha, active, exponent_cap=params.exponent_cap)
    return state._replace(p=p, active=active)
