"""Secure aggregation in groups: masks that cancel, so that only group sums can be read.

Updates are fixed-point integers modulo 2^32; in every pair of a group one seller adds a mask and
the other subtracts it (Bonawitz et al. 2017, without their recovery of drop-outs: a group with an
absent member is lost whole, our choice). Rules that look at single updates cannot be combined with
it: they get group means, or an error. The market does so with `spec.secure_group`.
"""

import jax
import jax.numpy as jnp

from d2m_jax.core.trees import varying_as
from d2m_jax.core.types import Key, Number

# rules that need nothing but the sum of all updates
SUM_RULES = ("mean", "average")
JUDGES = ("corrected_osmd", "coarse_osmd")  # samplers whose own rule looks at each seller
BY_SELLER = ("foolsgold", "safeguard")  # rules that remember each seller
STEPS = 2**20  # an entry is cut at so many steps of the fixed point
LARGEST_GROUP = (2**31 - 1) // STEPS  # members whose sum cannot wrap, all entries at the cut
GROUP_CONTRIBUTIONS = ("gain", "count", "mass", "reputation")  # a group's members share alike


def check_secure(rule: str, num_sampled: int, group_size: int) -> None:
    """Refuses what secure aggregation would make meaningless.

    Args:
        rule: name of the aggregation rule, or of a sampler that brings its own.
        num_sampled: S.
        group_size: g, sellers that share a sum.

    Raises:
        ValueError: a group of one hides nothing; a group whose sum may wrap; groups that do not
            divide the sample; a rule that needs several rows when all sellers form one group.
    """
    if group_size < 2:
        raise ValueError(
            f"secure aggregation in groups of {group_size} hides nothing; take at least 2"
        )
    check_groups(num_sampled, group_size)
    if group_size == num_sampled and rule not in SUM_RULES:
        raise ValueError(
            f"rule {rule!r} needs single updates, which secure aggregation over all "
            f"{num_sampled} sellers hides; use mean, or smaller groups and a rule on group means"
        )
    if rule in JUDGES:
        raise ValueError(
            f"{rule} judges single sellers (flags, pay, exclusion), which secure "
            "aggregation hides; choose another sampler with a rule on group means"
        )


def check_groups(num_sampled: int, group_size: int) -> None:
    """Refuses groups that cannot be summed.

    Raises:
        ValueError: a group whose sum may pass 2^31 steps, or that does not divide the sample.
    """
    if group_size > LARGEST_GROUP:
        raise ValueError(
            f"secure sums of {group_size:,} sellers may wrap: entries reach 2^20 steps and a sum "
            f"must stay below 2^31; take groups of at most {LARGEST_GROUP:,}"
        )
    if group_size < 1 or num_sampled % group_size:
        raise ValueError(
            f"secure aggregation needs groups of equal size: {group_size} does not divide the "
            f"{num_sampled} sampled sellers"
        )


def encode(update: jax.Array, step: Number) -> jax.Array:
    """[..., D] floats -> uint32 fixed point of `step` per unit, modulo 2^32; cut at 2^20 steps."""
    units = jnp.clip(jnp.round(update / jnp.asarray(step, update.dtype)), -STEPS, STEPS)
    return units.astype(jnp.int32).view(jnp.uint32)


def decode(total: jax.Array, step: Number) -> jax.Array:
    """Inverse of `encode` for sums below 2^31 steps, in float32."""
    return total.view(jnp.int32).astype(jnp.float32) * jnp.asarray(step, jnp.float32)


def pair_masks(key: Key, num_sellers: int, dim: int) -> jax.Array:
    """[g, D] uint32 masks that sum to zero modulo 2^32; each alone is uniformly random for g > 1.

    mask_i = sum_{j > i} r_ij - sum_{j < i} r_ji, r_ij drawn from the secret of the pair.
    """

    def drawn(i: jax.Array, j: jax.Array) -> jax.Array:
        low, high = jnp.minimum(i, j), jnp.maximum(i, j)
        pair = jax.random.fold_in(jax.random.fold_in(key, low), high)
        bits = jax.random.bits(pair, (dim,), jnp.uint32)
        return jnp.where(i < j, bits, jnp.where(i > j, jnp.uint32(0) - bits, jnp.uint32(0)))

    others = jnp.arange(num_sellers, dtype=jnp.int32)

    def one(i: jax.Array) -> jax.Array:
        def add(total: jax.Array, j: jax.Array) -> tuple[jax.Array, None]:
            return total + drawn(i, j), None

        return jax.lax.scan(add, varying_as(jnp.zeros(dim, jnp.uint32), key), others)[0]

    return jax.lax.map(one, others)


def masked_uploads(key: Key, updates: jax.Array, group_size: int, step: Number) -> jax.Array:
    """What the compute nodes receive: [S, D] uint32, single rows uniformly random.

    Args:
        key: consumed; a secret per group is folded in.
        updates: [S, D] float32; consecutive rows form groups.
        group_size: g, static, divides S.
        step: [] resolution of the fixed point.

    Raises:
        ValueError: groups that do not divide S, or whose sums may wrap.
    """
    check_groups(updates.shape[0], group_size)
    num_groups = updates.shape[0] // group_size
    keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.arange(num_groups, dtype=jnp.int32))
    masks = jax.lax.map(lambda key: pair_masks(key, group_size, updates.shape[1]), keys)
    return encode(updates, step) + masks.reshape(updates.shape)


def group_means(
    uploads: jax.Array, present: jax.Array, group_size: int, step: Number
) -> tuple[jax.Array, jax.Array]:
    """What the nodes can read: means of whole groups.

    Args:
        uploads: [S, D] uint32 from `masked_uploads`.
        present: [S] bool.
        group_size: static.
        step: as in `masked_uploads`.

    Returns:
        [S / g, D] float32 and the [S / g] bool of groups in which everybody is present; the masks
        of the others do not cancel and their rows are zero.
    """
    check_groups(uploads.shape[0], group_size)
    groups = uploads.reshape(-1, group_size, uploads.shape[1])
    whole = present.reshape(-1, group_size).all(1)
    totals = decode(groups.sum(1, dtype=jnp.uint32), step) / group_size
    return jnp.where(whole[:, None], totals, 0.0), whole
