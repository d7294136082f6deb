"""The two directed attacks of Fang et al.: against Krum, against median and trimmed mean.

Not here: attacks on a rule that is only given as a function (`optimised.py`). Read next: that.

The paper writes models, w = previous - lr * update; here everything is an update, so "the direction
in which the model would have moved" is -sign(mu), and the attack pushes along -sign(mu) in update
space. Previous model and learning rate cancel.
"""

import jax
import jax.numpy as jnp

from d2m_jax.attacks.base import (
    EMPTY,
    AttackContext,
    known_rows,
    masked_mean,
    masked_std,
    write_rows,
)
from d2m_jax.attacks.base import present as present_rows
from d2m_jax.attacks.geometry import believed_crowd, crowd_gram
from d2m_jax.core.norms import lift_of, lifted
from d2m_jax.core.types import Key, Number


def _attacker_chosen(
    pairs: jax.Array, to_attacker: jax.Array, honest: jax.Array, attackers: jax.Array, f: jax.Array
) -> jax.Array:
    """Returns whether Krum prefers the attackers' common vector to every honest row.

    Args:
        pairs: [S, S] squared distances between honest rows.
        to_attacker: [S] squared distance of each honest row from the attackers' vector.
        honest: [S] bool.
        attackers: [S] bool.
        f: [] int32, tolerated by Krum.
    """
    num_rows = honest.shape[0]
    cross = jnp.where(honest[:, None] & attackers[None, :], to_attacker[:, None], 0.0)
    table = pairs + cross + cross.T
    both = (honest | attackers)[None, :] & ~jnp.eye(num_rows, dtype=bool)
    ranked = jnp.sort(jnp.where(both, table, jnp.inf), axis=1)
    neighbours = jnp.maximum((honest | attackers).sum() - f - 2, 1)
    scores = jnp.where(jnp.arange(num_rows)[None, :] < neighbours, ranked, 0.0).sum(axis=1)
    best_attacker = jnp.where(attackers, scores, jnp.inf).min()
    return best_attacker < jnp.where(honest, scores, jnp.inf).min()


def fang_krum(
    key: Key,
    updates: jax.Array,
    byzantine: jax.Array,
    *,
    context: AttackContext = EMPTY,
    knowledge: str = "omniscient",
    halvings: int = 40,
    threshold: Number = 1e-5,
) -> jax.Array:
    """Against Krum: m = -lambda sign(mu), the largest lambda of a halving series that Krum picks.

    lambda starts at the paper's bound
    sqrt(min_i sum_(n-f-2 nearest) ||x_i - x_l||^2 / ((n - 2f - 1) D)) + max_i ||x_i|| / sqrt(D)
    and is halved until Krum picks m or lambda < threshold. All attackers send the same m (the
    paper's supporting copies at distance epsilon, with epsilon = 0). Krum is told
    `context.tolerated_f`, else the number of attackers. When n - 2f - 1 < 1 it is taken as 1.

    Only inner products with sign(mu) are needed, so no lambda costs a pass over the rows.
    Source: Fang et al., USENIX Security 2020, section 4.2. Cost O(S^2 D + halvings S^2 log S).
    """
    crowd, honest = believed_crowd(key, updates, byzantine, context, knowledge)
    lift = lift_of(crowd, honest)  # of tiny rows the squares would vanish
    crowd = jnp.where(honest[:, None], lifted(crowd, lift), 0)
    attackers = byzantine & present_rows(updates, context)
    told = context.tolerated_f
    f = jnp.asarray(attackers.sum() if told is None else told, jnp.int32)
    num_params = updates.shape[1]
    num_rows = honest.sum() + attackers.sum()

    step = -jnp.sign(masked_mean(crowd, honest))
    squares = jnp.sum(crowd * crowd, axis=1)
    along = jnp.matmul(crowd, step, precision="highest")
    moving = jnp.sum(step * step)

    pairs = crowd_gram(crowd, honest).products
    off_diagonal = honest[None, :] & ~jnp.eye(honest.shape[0], dtype=bool)
    ranked = jnp.sort(jnp.where(off_diagonal, pairs, jnp.inf), axis=1)
    near = jnp.arange(honest.shape[0])[None, :] < num_rows - f - 2
    sums = jnp.where(near & jnp.isfinite(ranked), ranked, 0.0).sum(axis=1)
    tightest = jnp.where(honest, sums, jnp.inf).min()
    room = num_params * jnp.maximum(num_rows - 2 * f - 1, 1).astype(crowd.dtype)
    first = jnp.sqrt(jnp.where(honest.any(), tightest, 0.0) / room)
    first += jnp.where(honest, jnp.sqrt(squares), 0.0).max() / jnp.sqrt(1.0 * num_params)

    series = first * 0.5 ** jnp.arange(halvings, dtype=first.dtype)

    def chosen(size: jax.Array) -> jax.Array:
        to_attacker = jnp.maximum(squares - 2 * size * along + size * size * moving, 0.0)
        return _attacker_chosen(pairs, to_attacker, honest, attackers, f)

    stop = jax.lax.map(chosen, series) | (series < threshold * lift)
    size = jnp.where(stop.any(), series[jnp.argmax(stop)], series[-1])
    return write_rows(updates, byzantine, size / lift * step, context, honest.any())


def fang_trimmed(
    key: Key,
    updates: jax.Array,
    byzantine: jax.Array,
    *,
    context: AttackContext = EMPTY,
    knowledge: str = "omniscient",
    shared: bool = False,
    stretch: Number = 2.0,
) -> jax.Array:
    """Against median and trimmed mean: per coordinate, just beyond the honest range, wrong side.

    Where mu > 0 draw below the honest minimum lo: from [stretch * lo, lo] if lo < 0, else from
    [lo / stretch, lo]; where mu <= 0 above the maximum hi: [hi, stretch * hi] if hi > 0, else
    [hi, hi / stretch]. With knowledge "byzantine" the range is not known: draw from
    [mu - 4 sigma, mu - 3 sigma] or [mu + 3 sigma, mu + 4 sigma] of the attackers' own rows.

    Args:
        key: for the uniform draws.
        updates: [S, D].
        byzantine: [S] bool.
        context: mask.
        knowledge: "omniscient" or "byzantine".
        shared: one draw for all attackers (Blades), else one for each (NDSS21).
        stretch: the paper's b.

    The paper works on models, we (as Blades and NDSS21) on updates. Source: Fang et al., USENIX
    Security 2020, section 4.3. Cost O(S D).
    """
    rows = known_rows(updates, byzantine, context, knowledge)
    mean = masked_mean(updates, rows)
    if knowledge == "omniscient":
        low = jnp.where(rows[:, None], updates, jnp.inf).min(axis=0)
        high = jnp.where(rows[:, None], updates, -jnp.inf).max(axis=0)
        below = jnp.where(low < 0, stretch * low, low / stretch), low
        above = high, jnp.where(high > 0, stretch * high, high / stretch)
    else:
        std = masked_std(updates, rows, mean)
        below = mean - 4 * std, mean - 3 * std
        above = mean + 3 * std, mean + 4 * std
    start = jnp.where(mean > 0, below[0], above[0])
    end = jnp.where(mean > 0, below[1], above[1])
    shape = (1, updates.shape[1]) if shared else updates.shape
    share = jax.random.uniform(key, shape, updates.dtype)
    forged = start[None, :] + share * (end - start)[None, :]
    return write_rows(updates, byzantine, forged, context, rows.any())
