"""The shape letters and aliases used everywhere. Read next: `market/engine.py`.

Letters in shape comments:
    N sellers, S sellers sampled in a round, M samples of a seller, B examples in a batch,
    T examples of the pool, D flat model parameters, L classes, V validation examples, R rounds,
    C compute nodes, P points of a sweep, J jobs, A ledger accounts, U buyers (users).
"""

from typing import Any, TypeAlias

import jax

PyTree: TypeAlias = Any
Batch: TypeAlias = Any  # a pytree of arrays whose leading axis is that of the examples
Number: TypeAlias = float | int | jax.Array  # on the host a number, in a program a traced array []
Count: TypeAlias = int | jax.Array  # a whole number, int32 when traced
Key: TypeAlias = jax.Array  # from `jax.random.key`, or a legacy uint32 [2] of `jax.random.PRNGKey`
