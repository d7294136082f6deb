"""How buyers and sellers misbehave in the market itself: bids, metrics, disputes, tags, sizes.

Not here: the ledger, which decides what such claims are worth, and attacks on learning
(`updates.py`). Read next: the ledger.

Pure functions from the truth and traced parameters to what an agent *says*. Money and sizes are
int32, shares are basis points (1/10000), products are exact: (a // 10000) * b + (a % 10000) * b //
10000, saturating at int32.
"""

import jax
import jax.numpy as jnp

from d2m_jax.types import Key, Number

BASIS = 10_000
INT32_MAX = 2**31 - 1


def scaled_amount(amount: jax.Array, bps: Number) -> jax.Array:
    """Returns floor(amount * bps / 10000) in int32, exact; the largest int32 if it would not fit.

    Args:
        amount: int32, not negative.
        bps: basis points, 0 to 200_000 (20 times), clipped to that range.
    """
    amount = jnp.asarray(amount, jnp.int32)
    bps = jnp.clip(jnp.asarray(bps, jnp.int32), 0, 20 * BASIS)
    whole, rest = amount // BASIS, amount % BASIS
    small = rest * bps // BASIS  # below 10^4 * 2 * 10^5 = 2 * 10^9: fits
    fits = whole <= (INT32_MAX - small) // jnp.maximum(bps, 1)
    return jnp.where(fits, jnp.where(fits, whole, 0) * bps + small, INT32_MAX)


def bid_limits(values: jax.Array, byzantine: jax.Array, shade_bps: Number) -> jax.Array:
    """Returns how far each buyer is willing to bid, [U] int32.

    An honest buyer stops at its value (optimal in an open ascending auction with a second price); a
    shading one at value * shade_bps / 10000. Above 10000 it overbids.

    Args:
        values: [U] int32, what the model is worth to each buyer.
        byzantine: [U] bool, who misbehaves.
        shade_bps: [] or [U] int32, the multiplier.
    """
    return jnp.where(byzantine, scaled_amount(values, shade_bps), jnp.asarray(values, jnp.int32))


def claimed_tau(tau: jax.Array, byzantine: jax.Array, excess: Number = 0.1) -> jax.Array:
    """Returns the threshold each buyer asks for, [U] float32 in [0, 1].

    A bad buyer asks for `excess` more than it needs, hoping for a refund and a useful model.
    """
    return jnp.where(byzantine, jnp.clip(tau + excess, 0.0, 1.0), tau)


def disputes(
    key: Key,
    harmed: jax.Array,
    byzantine: jax.Array,
    probability: Number = 1.0,
) -> jax.Array:
    """Returns who opens a dispute, [U] bool: whoever was harmed, and bad buyers without a reason.

    Args:
        key: for the false ones.
        harmed: [U] bool, has a true reason.
        byzantine: [U] bool.
        probability: that a bad buyer without a reason disputes.
    """
    false_claim = byzantine & (jax.random.uniform(key, byzantine.shape) < probability)
    return harmed | false_claim


def accused(key: Key, candidates: jax.Array) -> jax.Array:
    """Returns whom a false dispute names: one candidate at random, [] int32; -1 if there is none.

    Args:
        key: consumed.
        candidates: [N] bool, e.g. the honest sellers of the job.
    """
    draw = jnp.where(candidates, jax.random.uniform(key, candidates.shape), -1.0)
    return jnp.where(candidates.any(), jnp.argmax(draw), -1).astype(jnp.int32)


def claimed_tags(tags: jax.Array, byzantine: jax.Array, wanted: Number) -> jax.Array:
    """Returns the tags each seller registers, [N] int32 bit masks.

    A liar adds the tags that are in demand to its own; what it then trains on is `off_topic`.

    Args:
        tags: [N] int32, true tags.
        byzantine: [N] bool.
        wanted: [] int32, the tags of the request.
    """
    return jnp.where(byzantine, tags | wanted, tags)


def truly_eligible(tags: jax.Array, wanted: Number) -> jax.Array:
    """Returns whose *true* tags cover the request, [N] bool: the measure of a tag lie's success."""
    return (wanted & ~tags) == 0


def claimed_sizes(sizes: jax.Array, byzantine: jax.Array, inflation_bps: Number) -> jax.Array:
    """Returns the data sizes that sellers report, [N] int32; liars multiply theirs.

    Sizes weigh a plain mean and the importance weights of OSMD, so a lie there is an attack.
    """
    return jnp.where(byzantine, scaled_amount(sizes, inflation_bps), jnp.asarray(sizes, jnp.int32))
