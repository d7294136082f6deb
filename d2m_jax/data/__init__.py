"""Data: load a named set, deal it to sellers and a buyer. Read `federated.py` first."""

from d2m_jax.data.federated import (
    Examples,
    FederatedData,
    build,
    normalize,
    repartition,
    seller_rows,
    stack_partitions,
)
from d2m_jax.data.holdings import describe, report
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
from d2m_jax.data.splits import assert_disjoint, shared_images

__all__ = [
    "PARTITIONS",
    "SOURCES",
    "DataError",
    "Examples",
    "FederatedData",
    "RawDataset",
    "assert_disjoint",
    "build",
    "describe",
    "dirichlet",
    "from_arrays",
    "gamma_similarity",
    "iid",
    "inner_dirichlet",
    "load",
    "lognormal_sizes",
    "normalize",
    "repartition",
    "report",
    "seller_rows",
    "shards",
    "shared_images",
    "stack_partitions",
]
