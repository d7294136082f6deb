"""The numbers of CONE that a sweep may vary. Read next: `consensus.py`."""

import dataclasses

import jax
import jax.numpy as jnp
from flax import struct
from jax.typing import ArrayLike


@struct.dataclass
class ConeParams:
    """Traced numbers of the compute network; every field may be a Python number or an array [].

    The defaults are our choice: the D2M paper gives the form of the set size and no number.
    """

    base: ArrayLike = 4  # set i has base + 2^(i-1) seats (exponential schedule)
    f_max: ArrayLike = 1 / 3  # share of bad nodes that the stop rule is built for, below 1/2
    beta: ArrayLike = 1e-6  # accepted probability of a wrong result per unit of work
    q: ArrayLike = 0.05  # probability of a seat (independent schedule)
    size: ArrayLike = 20  # seats of every set (fixed schedule)
    t_exec: ArrayLike = 60.0  # seconds of one execution
    t_block: ArrayLike = 12.0  # seconds of one block; a set costs one for commits, one for reveals


def larger(params: ConeParams, by: ArrayLike, pool: int) -> ConeParams:
    """Numbers whose every set is larger by `by` seats, whatever the schedule reads.

    `base + by` and `size + by` seats; `min(1, q + by / pool)`, by more seats expected of a pool.

    Args:
        params: of the vote that is in question.
        by: `[]` whole seats, at least 0.
        pool: compute nodes.
    """
    share = jnp.asarray(by, jnp.float32) / pool
    q: jax.Array = jnp.minimum(jnp.asarray(params.q, jnp.float32) + share, 1.0)
    base, size, more = (jnp.asarray(x, jnp.int32) for x in (params.base, params.size, by))
    return dataclasses.replace(params, base=base + more, size=size + more, q=q)
