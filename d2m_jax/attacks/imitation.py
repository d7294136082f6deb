"""Sellers that do not train but copy: free-riders, Sybil identities, mimics.

Not here: poisoned data (`data.py`), false sizes and tags (`market.py`). These attacks are judged by
what they are paid, not by the accuracy they cost. Read next: `data.py`.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from d2m_jax.attacks.base import (
    EMPTY,
    AttackContext,
    known_rows,
    masked_mean,
    present,
    required,
    write_rows,
)
from d2m_jax.core.norms import lift_of, lifted, row_norms, unit
from d2m_jax.core.types import Key, Number


def free_rider_zero(
    key: Key, updates: jax.Array, byzantine: jax.Array, *, context: AttackContext = EMPTY
) -> jax.Array:
    """Sends the model back as it came: m = 0. Source: Lin et al. 2019; Fraboni et al. 2021."""
    del key  # unused
    return write_rows(updates, byzantine, jnp.zeros(updates.shape[1:], updates.dtype), context)


def free_rider_replay(
    key: Key, updates: jax.Array, byzantine: jax.Array, *, context: AttackContext = EMPTY
) -> jax.Array:
    """Sends the last global step again: m = previous aggregate (zeros in the first round).

    Source: Lin et al. 2019, "delta weights".

    Raises:
        ValueError: `context.previous` is missing.
    """
    del key  # unused
    previous = required(context.previous, "previous", "free_rider_replay")
    return write_rows(updates, byzantine, previous, context)


def free_rider_disguised(
    key: Key,
    updates: jax.Array,
    byzantine: jax.Array,
    *,
    context: AttackContext = EMPTY,
    sigma: Number = 1.0,
    gamma: Number = 1.0,
) -> jax.Array:
    """The last global step under fading noise: m_i = previous + s t^-gamma N(0, I), t = 1, 2, ...

    s = sigma * root mean square coordinate of the previous aggregate, so that one sigma suits every
    model: our choice (the paper has an absolute sigma and adds the noise to the received model).
    Source: Fraboni et al., AISTATS 2021, section 3; the base step of Lin et al. 2019.

    Raises:
        ValueError: `context.previous` or `context.round_index` is missing.
    """
    previous = required(context.previous, "previous", "free_rider_disguised")
    previous = previous.astype(updates.dtype)
    index = required(context.round_index, "round_index", "free_rider_disguised")
    t = 1 + jnp.asarray(index).astype(updates.dtype)
    size = sigma * jnp.sqrt(jnp.mean(previous * previous)) * jnp.power(t, -gamma)
    noise = jax.random.normal(key, updates.shape, updates.dtype)
    return write_rows(updates, byzantine, previous[None, :] + size * noise, context)


def sybil_copies(
    key: Key,
    updates: jax.Array,
    byzantine: jax.Array,
    *,
    context: AttackContext = EMPTY,
    scale: Number = 1.0,
    jitter: Number = 0.0,
) -> jax.Array:
    """One seller under many names: every attacker sends the update of the first attacker present.

    m_i = scale * g_first + jitter * rms(g_first) * N(0, I). Without jitter the rows are identical,
    so they tie in every distance rule by construction; a little jitter slips past exact
    de-duplication. Source: Douceur 2002; Fung et al., RAID 2020. Cost O(S D).
    """
    leader = jnp.argmax(byzantine & present(updates, context))
    vector = updates[leader]
    noise = jax.random.normal(key, updates.shape, updates.dtype)
    spread = jitter * jnp.sqrt(jnp.mean(vector * vector))
    return write_rows(updates, byzantine, scale * vector[None, :] + spread * noise, context)


def mimic(
    key: Key,
    updates: jax.Array,
    byzantine: jax.Array,
    *,
    context: AttackContext = EMPTY,
    knowledge: str = "omniscient",
    target: Number = 0,
) -> jax.Array:
    """All attackers send the update of one seller: over-represents it among unlike sellers.

    `target` is a seller id (`context.ids`; the row number when there are none). When that seller is
    absent or not known, the first known row is copied: our choice.
    Source: Karimireddy et al., ICLR 2022, section 3; ByzFL's Mimic. Cost O(S D).
    """
    del key  # unused
    rows = known_rows(updates, byzantine, context, knowledge)
    ids = _seller_ids(updates, context)
    wanted = rows & (ids == jnp.asarray(target).astype(ids.dtype))
    chosen = jnp.where(wanted.any(), jnp.argmax(wanted), jnp.argmax(rows))
    return write_rows(updates, byzantine, updates[chosen], context, rows.any())


class MimicState(NamedTuple):
    """What the variance-maximising mimic has learnt."""

    step: jax.Array  # [] int32, rounds seen
    mean: jax.Array  # [D] float32, running mean of the known rows
    axis: jax.Array  # [D] float32, direction of greatest variance so far (unit, or zero at first)
    target: jax.Array  # [] int32, seller id that is copied after the warm-up


def mimic_init(num_params: int) -> MimicState:
    """Returns the state before the first round."""
    zeros = jnp.zeros(num_params, jnp.float32)
    return MimicState(jnp.int32(0), zeros, zeros, jnp.int32(-1))


def mimic_observe(
    state: MimicState,
    updates: jax.Array,
    byzantine: jax.Array,
    *,
    context: AttackContext = EMPTY,
    knowledge: str = "omniscient",
    warmup: Number = 20,
) -> MimicState:
    """One round of Oja's rule on the known rows, during the warm-up only; then picks the seller.

    mu <- (t mu + mean x) / (1 + t);  v = sum_i <x_i - mu, z> (x_i - mu);
    z <- unit((t z + v / ||v||) / (1 + t));  target = argmax_i <x_i, z>.
    z starts as the deviation of the row farthest from the mean, without randomness: our choice (the
    released code starts from a fixed normal draw). A round with no known row changes nothing.
    Source: Karimireddy et al., ICLR 2022, appendix; the update and the uncentred projection as in
    its released code. Cost O(S D).
    """
    rows = known_rows(updates, byzantine, context, knowledge)
    updates = updates.astype(state.mean.dtype)
    t = state.step.astype(updates.dtype)
    mean = (t * state.mean + masked_mean(updates, rows)) / (1 + t)
    lift = lift_of(updates, rows)  # of tiny rows the cubes would vanish; only directions matter
    centred = jnp.where(rows[:, None], lifted(updates - mean[None, :], lift), 0)
    first = state.step == 0
    axis = jnp.where(first, centred[jnp.argmax(row_norms(centred))], state.axis)
    pull = unit(jnp.matmul(_project(centred, axis), centred, precision="highest"))
    axis = unit(jnp.where(first, pull, (t * axis + pull) / (1 + t)))
    scores = jnp.where(rows, _project(jnp.where(rows[:, None], updates, 0.0), axis), -jnp.inf)
    target = _seller_ids(updates, context)[jnp.argmax(scores)]
    learnt = MimicState(state.step + 1, mean, axis, target)
    learning = (t < jnp.asarray(warmup).astype(t.dtype)) & rows.any()
    return jax.tree.map(
        lambda new, old: jnp.where(learning, new.astype(old.dtype), old), learnt, state
    )


def mimic_variance(
    key: Key,
    updates: jax.Array,
    byzantine: jax.Array,
    *,
    context: AttackContext = EMPTY,
    knowledge: str = "omniscient",
    warmup: Number = 20,
) -> jax.Array:
    """Mimics the seller that lies farthest along the direction of greatest variance.

    Follows `context.state` as `mimic_observe` left it this round: during the warm-up its target
    changes, afterwards it is fixed. When that seller is not sampled, the known row farthest along
    the direction stands in: our choice.

    Raises:
        ValueError: `context.state` is missing.
    """
    del key, warmup  # unused
    state: MimicState = required(context.state, "state", "mimic_variance")
    rows = known_rows(updates, byzantine, context, knowledge)
    wanted = rows & (_seller_ids(updates, context) == state.target)
    axis = state.axis.astype(updates.dtype)
    scores = _project(jnp.where(rows[:, None], updates, 0.0), axis)
    stand_in = jnp.argmax(jnp.where(rows, scores, -jnp.inf))
    chosen = jnp.where(wanted.any(), jnp.argmax(wanted), stand_in)
    return write_rows(updates, byzantine, updates[chosen], context, rows.any())


def _seller_ids(updates: jax.Array, context: AttackContext) -> jax.Array:
    return jnp.arange(updates.shape[0]) if context.ids is None else context.ids


def _project(rows: jax.Array, axis: jax.Array) -> jax.Array:
    return jnp.matmul(rows, axis, precision="highest")
