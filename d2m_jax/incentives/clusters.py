"""Values that see through names: copies are discounted, or valued as one. Read first: `values.py`.

No value over reported names is proof against false names (arXiv 2605.07663). What looks alike is
therefore treated alike here, whoever signs it. Both rules work on the updates of one round.
"""

import jax
import jax.numpy as jnp

from d2m_jax.core.norms import unit
from d2m_jax.core.types import Number


def cosines(updates: jax.Array, use: jax.Array) -> jax.Array:
    """[S, S] float: cosine of every pair of updates in use, 0 elsewhere and for an update of zero.

    Args:
        updates: [S, D].
        use: [S] bool.
    """
    rows = unit(jnp.where(use[:, None], updates, 0.0))
    return jnp.matmul(rows, rows.T, precision="highest")


def replication_discount(updates: jax.Array, use: jax.Array, strength: Number = 1.0) -> jax.Array:
    """[S] factors exp(-strength sum_{j != i} max(0, cos(u_i, u_j))), 0 where not in use.

    Multiplies any value phi_i >= 0: k equal copies then earn k e^{-strength (k - 1)} times what one
    would, less than it from the second on if strength > ln 2. The sum is no longer efficient, and
    honest sellers of alike data are discounted, too. Source: Agarwal, Dahleh and Sarkar 2019
    (arXiv 1805.08125), algorithm 3, with the cosine of updates in the place of that of features.

    Args:
        updates: [S, D].
        use: [S] bool.
        strength: [] lambda, not negative.
    """
    alike = jnp.maximum(cosines(updates, use), 0.0)
    others = alike.sum(axis=1) - jnp.diagonal(alike)
    return jnp.where(use, jnp.exp(-jnp.asarray(strength, alike.dtype) * others), 0.0)


def connected(alike: jax.Array) -> jax.Array:
    """[S] int32: the lowest member of everybody's component in the graph [S, S] of who is alike.

    Labels spread along edges and jump to the label of their label: about log2(S) turns, S at most.
    """
    num = alike.shape[0]
    names = jnp.arange(num, dtype=jnp.int32)
    edges = alike | alike.T | jnp.eye(num, dtype=bool)

    def spread(state: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        label, _ = state
        lowest = jnp.where(edges, label[None, :], num).min(axis=1)
        jumped = lowest[lowest]
        return jumped, jnp.any(jumped != label)

    found, _ = jax.lax.while_loop(lambda state: state[1], spread, (names, jnp.bool_(True)))
    return found


def clusters(updates: jax.Array, use: jax.Array, threshold: Number) -> jax.Array:
    """[S] int32: the lowest member of everybody's cluster; who is not in use is alone.

    Two updates in use belong together when their cosine is at least the threshold, and whatever
    hangs together does (single linkage).

    Args:
        updates: [S, D].
        use: [S] bool.
        threshold: [] cosine in [-1, 1].
    """
    alike = cosines(updates, use) >= jnp.asarray(threshold, updates.dtype)
    return connected(alike & use[:, None] & use[None, :])


def representatives(
    rows: jax.Array, use: jax.Array, leader: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """One row per cluster: the mean of its members in use, at the place of its leader.

    Args:
        rows: [S, D].
        use: [S] bool.
        leader: [S] int32, from `clusters`.

    Returns:
        [S, D] rows, 0 where nobody leads, and the [S] number of members in use of each leader.
    """
    num = rows.shape[0]
    belongs = (leader[None, :] == jnp.arange(num, dtype=jnp.int32)[:, None]) & use[None, :]
    members = belongs.astype(rows.dtype)
    counts = members.sum(axis=1)
    total = jnp.matmul(members, rows, precision="highest")
    return total / jnp.maximum(counts, 1.0)[:, None], counts


def of_owner(values: jax.Array, owners: jax.Array, num_owners: int) -> jax.Array:
    """[O] what each owner's units are worth together: the sum of their values.

    With Shapley values of units this is the faithful value of a group (FGSV): however an owner
    names or divides its units, the sum stays; one that sells through shell companies gains nothing.
    Source: arXiv 2505.19013, theorem 1.

    Args:
        values: [U] of single units.
        owners: [U] int32 in [0, O); others count for nobody.
        num_owners: O, static.
    """
    return jnp.zeros(num_owners, values.dtype).at[owners].add(values, mode="drop")
