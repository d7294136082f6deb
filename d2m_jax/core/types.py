"""The shape letters and aliases used everywhere. Read next: `market.py`.

Letters in shape comments:
    N sellers, S sellers sampled in a round, M samples of a seller (padded), B images in a batch,
    D flat model parameters, L classes, V validation images, R rounds, C compute nodes,
    P points of a sweep, J jobs, A ledger accounts, U buyers (users).
"""

from typing import Any, TypeAlias

PyTree: TypeAlias = Any
Number: TypeAlias = Any  # a Python number on the host, a traced array [] inside a program
Key: TypeAlias = Any  # a typed key from `jax.random.key`
