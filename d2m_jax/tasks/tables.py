"""A network for tables. Linear and one-layer models: `dense.py`. Read next: `adapters.py`."""

import flax.linen as nn
import jax
import numpy as np

from d2m_jax.core import backend
from d2m_jax.tasks.adapters import from_flax
from d2m_jax.tasks.heads import head_of
from d2m_jax.tasks.problem import Problem
from d2m_jax.tasks.task import Task


class TableMLP(nn.Module):
    """Fully connected layers with relu between them, normalised before it if asked for."""

    hidden: tuple[int, ...]
    shape: tuple[int, ...]  # of one example's outputs
    layer_norm: bool

    @nn.compact
    def __call__(self, rows: jax.Array) -> jax.Array:
        """Returns outputs [B, ...] of rows [B, F]."""
        x = rows
        for width in self.hidden:
            x = nn.Dense(width, kernel_init=nn.initializers.he_normal())(x)
            x = nn.relu(nn.LayerNorm()(x) if self.layer_norm else x)
        size = int(np.prod(self.shape, dtype=int))
        return nn.Dense(size)(x).reshape(-1, *self.shape)


def table_mlp(
    problem: Problem, *, hidden: tuple[int, ...] = (64, 64), layer_norm: bool = False
) -> Task:
    """Two hidden layers of 64 rectified units, for classes, sets of labels or numbers.

    Assumes standardised columns, as the named tables have them.

    Raises:
        ValueError: the inputs of an example are no row of numbers.
    """
    if len(problem.input_shape) != 1 or problem.kind in ("images", "text"):
        raise ValueError(
            f"table_mlp takes rows of numbers, not {problem.kind} of shape {problem.input_shape}"
        )
    head = head_of(problem)
    dtype = np.dtype(np.int32 if problem.num_classes else np.float32)
    sample = {
        "inputs": jax.ShapeDtypeStruct((1, *problem.input_shape), problem.input_dtype),
        "labels": jax.ShapeDtypeStruct((1, *problem.label_shape), dtype),
    }
    task = from_flax(
        TableMLP(hidden, head.shape, layer_norm),
        sample=sample,
        loss=head.loss,
        metric=head.metric,
        num_classes=head.num_classes,
        name="table_mlp",
    )
    return task._replace(kind=problem.kind, map_sellers=backend.choices().map_dense)
