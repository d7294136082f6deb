"""HDBSCAN on a matrix of distances: which rows are a cluster, and which are noise.

Not here: the first majority alone, which `majority.py` finds without a tree. Read next:
`deepsight.py`.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from d2m_jax.core.trees import varying_as

NOISE = -1
SMALLEST = 1e-12  # height of a merge, of which densities are the reciprocals


class Merges(NamedTuple):
    """A tree of S - 1 merges; node i < S is a row, node S + t is what merge t made."""

    left: jax.Array  # [S - 1] int32 nodes
    right: jax.Array  # [S - 1] int32 nodes
    height: jax.Array  # [S - 1], rising; inf: this merge joins nothing


class Condensed(NamedTuple):
    """Clusters that shed rows as the density rises, and split where both parts are large."""

    cluster: jax.Array  # [2 S - 1] int32, in which cluster a node last was
    fallen: jax.Array  # [2 S - 1] bool, it is too small to be one
    parent: jax.Array  # [S] int32 of clusters, -1 of the first
    birth: jax.Array  # [S], density at which a cluster appears
    stability: jax.Array  # [S], sum over its rows of density when they leave - birth
    clusters: jax.Array  # [] int32, how many


def hdbscan(
    distances: jax.Array, mask: jax.Array, *, neighbours: int = 3, least: int = 3
) -> jax.Array:
    """Labels `[S]` int32 of the clusters of most stability, -1 for noise.

    Formula: mutual reachability max(core_i, core_j, d_ij), core_i the distance to the
    `neighbours`-th nearest row, itself included; single linkage; clusters of at least `least` rows;
    of each cluster and its parts whichever has more excess of mass. All rows together are no
    cluster. At equal distances rows are joined in order.

    Args:
        distances: `[S, S]`, symmetric, 0 on the diagonal.
        mask: `[S]` bool, True for present rows.
        neighbours: static, at least 1.
        least: static, at least 2.

    Cost: O(S^3). Source: Campello, Moulavi, Sander, PAKDD 2013.
    """
    if mask.shape[0] < least:
        return jnp.full(mask.shape, NOISE, jnp.int32)
    far = jnp.where(mask[:, None] & mask[None, :], distances, jnp.inf)
    core = jnp.sort(far, axis=1)[:, min(neighbours, far.shape[0]) - 1]
    reach = jnp.maximum(far, jnp.maximum(core[:, None], core[None, :]))
    reach = jnp.where(jnp.isfinite(far), reach, jnp.inf)
    tree = condense(single_linkage(reach), least)
    return jnp.where(mask, _most_stable(tree)[tree.cluster[: far.shape[0]]], NOISE)


def single_linkage(distances: jax.Array) -> Merges:
    """Merges of the nearest two, one after the other; inf distances are never merged."""
    n = distances.shape[0]
    far = jnp.where(jnp.eye(n, dtype=bool), jnp.inf, distances)

    def merge(
        carry: tuple[jax.Array, jax.Array], t: jax.Array
    ) -> tuple[tuple[jax.Array, jax.Array], Merges]:
        far, node = carry
        i, j = jnp.divmod(jnp.argmin(far), n)
        height = far[i, j]
        row = jnp.minimum(far[i], far[j]).at[i].set(jnp.inf).at[j].set(jnp.inf)
        merged = far.at[i].set(row).at[:, i].set(row).at[j].set(jnp.inf).at[:, j].set(jnp.inf)
        done = Merges(node[i], node[j], height)
        joins = jnp.isfinite(height)
        far, grown = jnp.where(joins, merged, far), node.at[i].set(n + t)
        return (far, jnp.where(joins, grown, node)), done

    start = varying_as((far, jnp.arange(n, dtype=jnp.int32)), distances)
    return jax.lax.scan(merge, start, jnp.arange(n - 1, dtype=jnp.int32))[1]


def condense(merges: Merges, least: int) -> Condensed:
    """The clusters of a tree, from the top: what is smaller than `least` falls out of its own."""
    steps = merges.height.shape[0]
    n = steps + 1
    size = jnp.ones(2 * n - 1, jnp.int32)

    def grow(t: jax.Array, size: jax.Array) -> jax.Array:
        return size.at[n + t].set(size[merges.left[t]] + size[merges.right[t]])

    size = jax.lax.fori_loop(0, steps, grow, varying_as(size, merges))
    kind = merges.height.dtype
    tree = Condensed(
        cluster=jnp.zeros(2 * n - 1, jnp.int32),  # the top is cluster 0, and absent rows never fall
        fallen=jnp.zeros(2 * n - 1, bool),
        parent=jnp.full(n, -1, jnp.int32),
        birth=jnp.zeros(n, kind),
        stability=jnp.zeros(n, kind),
        clusters=jnp.int32(1),
    )

    def open_up(back: jax.Array, tree: Condensed) -> Condensed:
        t = steps - 1 - back
        parts = jnp.stack([merges.left[t], merges.right[t]])
        new = _opened(tree, n + t, parts, size[parts], merges.height[t], least)
        there = jnp.isfinite(merges.height[t])
        return jax.tree.map(lambda a, b: jnp.where(there, a, b), new, tree)

    return jax.lax.fori_loop(0, steps, open_up, varying_as(tree, merges))


def _opened(
    tree: Condensed,
    node: jax.Array,
    parts: jax.Array,
    sizes: jax.Array,
    height: jax.Array,
    least: int,
) -> Condensed:
    """The clusters below a node: it splits where both of its two parts are large."""
    mine, fallen, density = tree.cluster[node], tree.fallen[node], 1 / jnp.maximum(height, SMALLEST)
    large = sizes >= least
    split = large.all() & ~fallen
    leaving = jnp.where(split | ~large, sizes, 0).sum().astype(density.dtype)
    gain = jnp.where(fallen, 0, leaving * (density - tree.birth[mine]))
    children = tree.clusters + jnp.arange(2, dtype=jnp.int32)
    place = jnp.where(split, children, tree.parent.shape[0])  # past the end nothing is written
    return Condensed(
        cluster=tree.cluster.at[parts].set(jnp.where(split, children, mine)),
        fallen=tree.fallen.at[parts].set(fallen | ~large),
        parent=tree.parent.at[place].set(mine, mode="drop"),
        birth=tree.birth.at[place].set(density, mode="drop"),
        stability=tree.stability.at[mine].add(gain),
        clusters=tree.clusters + jnp.where(split, 2, 0),
    )


def _most_stable(tree: Condensed) -> jax.Array:
    """`[S]` int32: for each cluster the one above it, or itself, that is chosen; else -1."""
    n = tree.parent.shape[0]

    def weigh(back: jax.Array, carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        below, chosen = carry
        c = n - 1 - back
        best = jnp.maximum(tree.stability[c], below[c])
        is_chosen = (tree.stability[c] >= below[c]) & (c > 0) & (c < tree.clusters)
        below = below.at[jnp.maximum(tree.parent[c], 0)].add(jnp.where(c < tree.clusters, best, 0))
        return below, chosen.at[c].set(is_chosen)

    start = varying_as((jnp.zeros(n, tree.stability.dtype), jnp.zeros(n, bool)), tree)
    _, chosen = jax.lax.fori_loop(0, n, weigh, start)

    def name(c: jax.Array, top: jax.Array) -> jax.Array:
        above = jnp.where(tree.parent[c] >= 0, top[tree.parent[c]], NOISE)
        return top.at[c].set(jnp.where(above >= 0, above, jnp.where(chosen[c], c, NOISE)))

    return jax.lax.fori_loop(0, n, name, varying_as(jnp.full(n, NOISE, jnp.int32), tree))
