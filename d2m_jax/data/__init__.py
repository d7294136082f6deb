"""Data: load a named set, deal it to sellers and a buyer. Read `federated.py` first."""

from d2m_jax.data.federated import (
    Examples,
    FederatedData,
    assert_disjoint,
    build,
    normalize,
    seller_rows,
)
from d2m_jax.data.partition import (
    PARTITIONS,
    dirichlet,
    gamma_similarity,
    iid,
    inner_dirichlet,
    lognormal_sizes,
    shards,
)
from d2m_jax.data.raw import DataError, RawDataset, from_arrays
from d2m_jax.data.sources import SOURCES, load

__all__ = [
    "PARTITIONS",
    "SOURCES",
    "DataError",
    "Examples",
    "FederatedData",
    "RawDataset",
    "assert_disjoint",
    "build",
    "dirichlet",
    "from_arrays",
    "gamma_similarity",
    "iid",
    "inner_dirichlet",
    "load",
    "lognormal_sizes",
    "normalize",
    "seller_rows",
    "shards",
]
