"""Small operations on pytrees that every room may use."""

from typing import TypeVar

import jax
import jax.numpy as jnp

T = TypeVar("T")


def choose(condition: jax.Array, yes: T, no: T) -> T:
    """Leaf by leaf `yes` where the condition [] holds, else `no`; what is the same object stays."""
    return jax.tree.map(lambda a, b: a if a is b else jnp.where(condition, a, b), yes, no)


def varying_as(tree: T, *like: object) -> T:
    """The tree, which under `shard_map` counts as different on every device where `like` is.

    Constants are the same on all devices, and a loop that begins with one must end with one; a
    state that is going to depend on `like` begins as if it did. Elsewhere nothing happens.
    """
    axes = frozenset().union(*(varying_axes(leaf) for leaf in jax.tree.leaves(like)))

    def cast(leaf: jax.Array) -> jax.Array:
        missing = axes - varying_axes(leaf)
        return jax.lax.pcast(leaf, tuple(missing), to="varying") if missing else leaf

    return jax.tree.map(cast, tree) if axes else tree


def varying_axes(leaf: object) -> frozenset[str]:
    """The axes of the mesh of a `shard_map` over which an array differs; none outside of one."""
    kind = jax.typeof(leaf)
    manual = getattr(kind, "manual_axis_type", None)  # in jax 0.10; `vma` before and beside it
    return manual.varying if manual is not None else getattr(kind, "vma", frozenset())
