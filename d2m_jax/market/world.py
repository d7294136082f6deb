"""The data of one market, from a `DataSpec` (host side). Not here: the readers (`data/`)."""

import dataclasses
import inspect
import os

from d2m_jax import data
from d2m_jax.config.spec import DataSpec
from d2m_jax.core.choices import lookup
from d2m_jax.data import FederatedData, RawDataset


def deal(
    raw: RawDataset, spec: DataSpec, num_sellers: int, *, whole_pool: bool = False
) -> FederatedData:
    """Splits a data set into sellers' shares, the buyer's examples and the test set.

    See `data.build`, for `whole_pool` too.

    Raises:
        ValueError: an unknown partition or an impossible number.
    """
    partition = lookup(data.PARTITIONS, spec.partition, "partition")
    wanted = inspect.signature(partition).parameters
    own = {
        f.name: getattr(spec, f.name)
        for f in dataclasses.fields(spec)
        if f.name in wanted and f.name not in ("seed", "min_samples")
    }
    return data.build(
        raw,
        num_sellers=num_sellers,
        partition=spec.partition,
        num_validation=spec.num_validation,
        num_root=spec.num_root,
        seed=spec.seed,
        min_samples=spec.min_samples,
        max_train=spec.max_train or None,
        whole_pool=whole_pool,
        **own,
    )


def load_world(
    spec: DataSpec, num_sellers: int, data_dir: str | os.PathLike[str] | None = None
) -> tuple[RawDataset, FederatedData]:
    """Loads the named data set and deals it; see `data.load` for where it looks.

    Raises:
        ValueError: an unknown name, missing or damaged files; the sentence says which.
    """
    raw = data.load(spec.name, data_dir)
    return raw, deal(raw, spec, num_sellers)
