"""Rows dealt out to the devices of a mesh. Not here: worlds over devices (`sweep/program.py`)."""

from collections.abc import Callable
from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P


def dealt(mesh: Mesh | None, work: Callable[..., jax.Array], rows: Any, *same: Any) -> jax.Array:
    """`work(rows, *same)`, each device of the mesh working on as many of the rows.

    Args:
        mesh: with one axis; None: `work` is called as it is.
        work: of any number of rows, each result `[..]` depending on its own row alone.
        rows: tree of arrays with a leading axis that the devices divide.
        same: what every device gets whole.

    Returns:
        The results with a leading axis of rows, on every device.
    """
    if mesh is None:
        return work(rows, *same)
    (axis,) = mesh.axis_names
    specs = P(axis), *(P() for _ in same)
    # Rows never meet, so there is nothing to check.
    share = jax.shard_map(work, mesh=mesh, in_specs=specs, out_specs=P(axis), check_vma=False)
    whole: jax.Array = jax.lax.with_sharding_constraint(
        share(rows, *same), NamedSharding(mesh, P())
    )
    return whole
