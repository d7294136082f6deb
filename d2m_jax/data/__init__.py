"""Data: load a named set or bring one's own, deal it to sellers and a buyer.

What a data set is stands in `core/dataset.py`; read `federated.py` first.
"""

from d2m_jax.core.dataset import DataError, Dataset, num_examples
from d2m_jax.data.arrays import from_arrays
from d2m_jax.data.batches import check_num_classes, from_batches
from d2m_jax.data.clients import natural_clients
from d2m_jax.data.dealing import checked_parts
from d2m_jax.data.federated import (
    FederatedData,
    Units,
    build,
    seller_rows,
)
from d2m_jax.data.files import from_file
from d2m_jax.data.frame import from_frame
from d2m_jax.data.holdings import describe, report
from d2m_jax.data.overlap import shared_examples, shared_in
from d2m_jax.data.partition import (
    PARTITIONS,
    as_partition,
    dirichlet,
    fixed_partition,
    gamma_similarity,
    iid,
    inner_dirichlet,
    lognormal_sizes,
    shards,
)
from d2m_jax.data.raw import ImageArrays, images_dataset
from d2m_jax.data.sources import SOURCES, load
from d2m_jax.data.splits import assert_disjoint
from d2m_jax.data.tfds import from_tfds

__all__ = [
    "PARTITIONS",
    "SOURCES",
    "DataError",
    "Dataset",
    "FederatedData",
    "ImageArrays",
    "Units",
    "as_partition",
    "assert_disjoint",
    "build",
    "check_num_classes",
    "checked_parts",
    "describe",
    "dirichlet",
    "fixed_partition",
    "from_arrays",
    "from_batches",
    "from_file",
    "from_frame",
    "from_tfds",
    "gamma_similarity",
    "iid",
    "images_dataset",
    "inner_dirichlet",
    "load",
    "lognormal_sizes",
    "natural_clients",
    "num_examples",
    "report",
    "seller_rows",
    "shards",
    "shared_examples",
    "shared_in",
]
