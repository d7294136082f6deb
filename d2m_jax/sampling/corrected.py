"""Corrected OSMD: the default defence, one jittable step of fixed shape.

The D2M paper says that it exists, not what it is; everything here is our choice, argued from the
measurements in `docs/corrected_osmd.md`. Plain OSMD samples in proportion to the norm of an
update, so who inflates the norm is sampled more. The correction judges every update by its
agreement with the buyer's validation gradient and keeps two accounts per seller, in log odds:

    trust      is this seller helpful?   weighs its update and its sampling mass; it forgets
    suspicion  does it point the other way?   a CUSUM; past a limit the seller is excluded

One direction is not the whole of an update, so a row counts for less the less it agrees, and the
more it has in common with others across the validation gradient: see `agreement.py`.
Few examples err, and always the same way. So nobody is excluded who does not oppose the other
sellers as well: see `_opposes_both`.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from d2m_jax.core.norms import safe_norms
from d2m_jax.core.rows import masked_median
from d2m_jax.core.types import Key
from d2m_jax.sampling.agreement import (
    MOST,
    TINY,
    Rows,
    agreement_of,
    clip_rows,
    log_odds,
    merit_of,
    rises_of,
    rises_of_most,
)
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

_LARGEST_EXPONENT = 80.0  # exp of more is infinite
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


class Judgement(NamedTuple):
    """What a round says about each of its rows."""

    agreement: jax.Array  # [S] float32, cosine with the validation gradient
    gain: jax.Array  # [S] float32, first-order fall of the validation loss
    mean: jax.Array  # [] float32, running mean agreement of trusted sellers
    variance: jax.Array  # [] float32, its variance
    trust: jax.Array  # [S] float32, log odds after the round
    suspicion: jax.Array  # [S] float32, after the round
    accepted: jax.Array  # [S] bool
    flagged: jax.Array  # [S] bool

    @property
    def trusted(self) -> jax.Array:
        """[S] probability that an accepted row helps, else 0."""
        return jnp.where(self.accepted, jax.nn.sigmoid(self.trust), 0.0)


class Weighing(NamedTuple):
    """What the rows of a round count for."""

    merit: jax.Array  # [S] float32 in [0, 1], whoever sent it
    mass: jax.Array  # [] float32, sum of the weights; 0: the round is skipped
    shares: jax.Array  # [S] float32, of the aggregate; they sum to 1
    feedback: jax.Array  # [S] float32, the squared useful length that sampling learns from


def corrected_defence(num_sampled: int) -> Defence:
    """Returns the Corrected OSMD defence for S = `num_sampled` sellers a round."""

    def init(num_sellers: int, dim: int, lam: jax.Array, dtype: Any = jnp.float32) -> DefenceState:
        del lam
        return initial_state(num_sellers, first_memory(num_sellers, dim, dtype), dtype)

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
        memory, rows = _receive(state, selection, updates, valid, context, params)
        told = _judge(rows, memory, state.suspicion, selection, context, params)
        weighed = _weigh(rows, told, memory, selection, context, params)
        there = weighed.mass > 0
        total = memory.radius * (weighed.shares @ rows.values)
        total = jnp.where(there & jnp.isfinite(total).all(), total, 0.0)
        after = _learn(state, memory, rows, told, weighed, selection, context, params)
        after = _sampling_mass(after, selection, weighed.feedback, told.trust, params)
        info = DefenceInfo(
            accepted=told.accepted,
            flagged=told.flagged,
            duplicate=rows.copy,
            gain=jnp.where(told.accepted, jnp.maximum(told.gain, 0.0), 0.0),
            num_excluded=jnp.sum(~after.active, dtype=jnp.int32),
            num_invalid=jnp.sum(selection.present & ~rows.use, dtype=jnp.int32),
            skipped=~there,
        )
        return total.astype(updates.dtype), as_before(after, state), info

    return Defence(init, sample, aggregate)


def first_memory(num_sellers: int, dim: int, dtype: Any = jnp.float32) -> CorrectedMemory:
    """Of N = `num_sellers` sellers that nobody has heard, with updates of `dim` parameters."""
    zero, sellers = jnp.zeros((), dtype), jnp.zeros(num_sellers, dtype)
    return CorrectedMemory(
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


def _receive(
    state: DefenceState,
    selection: Selection,
    updates: jax.Array,
    valid: jax.Array,
    context: Context,
    params: DefenceParams,
) -> tuple[CorrectedMemory, Rows]:
    """The memory with the new norms and R, and the updates in units of that R."""
    norms = safe_norms(updates)
    use = valid & selection.present & jnp.isfinite(norms)
    known = state.active & (context.lam > 0)
    memory = _remember(norms, selection._replace(present=use), known, state.memory, params)
    return memory, clip_rows(updates, norms, use, memory.radius, params)


def _judge(
    rows: Rows,
    memory: CorrectedMemory,
    suspicion: jax.Array,
    selection: Selection,
    context: Context,
    params: DefenceParams,
) -> Judgement:
    """The evidence of this round on top of the trust and the suspicion [N] of before."""
    who, cap = selection.indices, params.evidence_cap
    before = memory.trust[who]
    weights = jnp.where(rows.counted, jax.nn.sigmoid(before), 0.0)
    agreement, gain = agreement_of(rows, weights, memory.radius, context)
    mean, variance = _moments(agreement, weights, memory, params)
    lost = (selection.present & ~rows.use) | _steered(rows, memory, params)

    helpful = log_odds(agreement, mean, variance, params.useless, params)
    helpful = jnp.where(rows.free, jnp.minimum(helpful, -0.5 * cap), helpful)
    helpful = jnp.where(lost, -cap, helpful)
    trust = _trust(before, helpful, _opposes_both(memory)[who], lost, params)

    harmless = log_odds(agreement, mean, variance, params.harmful, params)
    harmless = jnp.where(lost, -0.5 * cap, harmless)
    suspicion = jnp.maximum(params.suspicion_memory * suspicion[who] - harmless, 0.0)

    distrusted = jax.nn.sigmoid(trust) < params.reject
    flagged = lost | (rows.use & (distrusted | rows.free))
    accepted = rows.counted & ~flagged
    return Judgement(agreement, gain, mean, variance, trust, suspicion, accepted, flagged)


def _weigh(
    rows: Rows,
    told: Judgement,
    memory: CorrectedMemory,
    selection: Selection,
    context: Context,
    params: DefenceParams,
) -> Weighing:
    """Weights by merit, trust, and data weight over inclusion probability, which is capped."""
    lam = _believed(context.lam, memory.trust, selection.indices, params)
    fair = lam.shape[0] * lam / jnp.maximum(selection.weights, TINY)
    merit = merit_of(rows, told.agreement, told.mean, told.trusted, context, params)
    weights = merit * told.trusted * jnp.minimum(fair, 1 / params.alpha)
    mass = weights.sum()
    along = jnp.maximum(told.agreement, 0.0)
    useful = jnp.minimum(lam * memory.radius * rows.length * along, 1e15)
    feedback = jnp.where(told.accepted, told.trusted * jnp.square(useful), 0.0)
    return Weighing(merit, mass, weights / jnp.maximum(mass, TINY), feedback)


def _learn(
    state: DefenceState,
    memory: CorrectedMemory,
    rows: Rows,
    told: Judgement,
    weighed: Weighing,
    selection: Selection,
    context: Context,
    params: DefenceParams,
) -> DefenceState:
    """The state with all that the round tells, but for the sampling mass."""
    who, scale = selection.indices, context.lr * memory.radius * memory.radius
    counts = rows.counted.astype(rows.values.dtype)
    even = counts / jnp.maximum(counts.sum(), 1)
    mixed = even @ rows.values
    opposed = rises_of(rows, weighed.shares, scale)
    discord = rises_of_most(rows, weighed.merit, even, scale, params)
    memory = memory._replace(
        largest=jnp.where(memory.largest > 0, memory.largest, weighed.feedback.max()),
        mean=told.mean,
        variance=told.variance,
        trust=_put(memory.trust, selection, told.trust),
        drift=params.drift_memory * memory.drift
        + (1 - params.drift_memory) * memory.radius * mixed,
        harm=_account(memory.harm, selection, rows, -told.gain, params),
        opposition=_account(memory.opposition, selection, rows, opposed, params),
    )
    return state._replace(
        memory=memory,
        suspicion=_put(state.suspicion, selection, told.suspicion),
        reputation=jax.nn.sigmoid(memory.trust),
        damage=state.damage.at[who].add(jnp.where(rows.use, -told.gain, 0.0)),
        discord=state.discord.at[who].add(jnp.where(rows.use, discord, 0.0)),
    )


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


def _believed(lam: jax.Array, trust: jax.Array, who: jax.Array, params: DefenceParams) -> jax.Array:
    """The data weights [S] of the sample as far as they are believed.

    Nobody can see how much a seller holds: with `lam` [N] and `trust` [N], the log odds before this
    round, a claim counts up to median(lam of all) * exp(size_trust * max(trust, 0)).
    """
    usual = masked_median(lam, lam > 0)
    trusted = jnp.maximum(trust[who], 0.0)
    growth = jnp.exp(jnp.minimum(params.size_trust * trusted, _LARGEST_EXPONENT))
    return jnp.minimum(lam[who], usual * growth)


def _moments(
    agreement: jax.Array, weights: jax.Array, memory: CorrectedMemory, params: DefenceParams
) -> tuple[jax.Array, jax.Array]:
    """Running mean and variance of the agreement of trusted sellers; round one starts them."""
    total = jnp.maximum(weights.sum(), TINY)
    mean = agreement @ weights / total
    variance = jnp.square(agreement - mean) @ weights / total
    rate = jnp.where(memory.variance > 0, params.moment_rate, 1.0)
    return (
        memory.mean + rate * (mean - memory.mean),
        memory.variance + rate * (variance - memory.variance),
    )


def _steered(rows: Rows, memory: CorrectedMemory, params: DefenceParams) -> jax.Array:
    """[S] bool: counted, and much more along the slow mean of all updates than the others are.

    Colluders that push the same way round after round (ALIE, IPM) become a part of that mean;
    honest noise averages out of it.
    """
    drift = memory.drift / jnp.maximum(safe_norms(memory.drift[None])[0], TINY)
    along = (rows.values @ drift) / jnp.maximum(rows.length, TINY)
    spread = jnp.maximum(
        params.drift_deviations * masked_deviation(along, rows.counted), params.drift_gap
    )
    return rows.counted & (along > masked_median(along, rows.counted) + spread)


def _account(
    sums: jax.Array, selection: Selection, rows: Rows, rise: jax.Array, params: DefenceParams
) -> jax.Array:
    """[N] what each seller raised a loss by, to first order; fades by the rounds it is heard in."""
    new = params.harm_memory * sums[selection.indices] + jnp.clip(rise, -MOST, MOST)
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
    relative = feedback / jnp.maximum(state.memory.largest, TINY)
    step = jnp.minimum(rate * relative / jnp.maximum(p, TINY) ** 3, params.exponent_cap)
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
