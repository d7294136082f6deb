"""The data of one market, from a `DataSpec` (host side). Not here: the readers (`data/`)."""

import dataclasses
import inspect
import os

import numpy as np

from d2m_jax import data
from d2m_jax.config.spec import DataSpec
from d2m_jax.core.choices import label, pick
from d2m_jax.data import Dataset, FederatedData
from d2m_jax.market.job_data import deal_jobs
from d2m_jax.market.units import cut


def deal(
    dataset: Dataset,
    spec: DataSpec,
    num_sellers: int,
    *,
    unit_slots: int = 0,
    whole_pool: bool = False,
    serves: np.ndarray | None = None,
) -> FederatedData:
    """Splits a data set into sellers' shares, the buyer's examples and the test set.

    See `data.build`, for `whole_pool` too. With `unit_slots` the shares are cut into bonded units
    of `spec.unit_size`, see `units.cut`; `Spec.unit_slots` tells how many a market has. With
    `spec.job_classes` every job has data of its own, see `deal_jobs`, to which `serves` goes, from
    `job_data.serving`.

    Raises:
        ValueError: an unknown partition or an impossible number.
    """
    if spec.job_classes:
        if serves is None:
            raise ValueError("data.job_classes needs to know which jobs each seller serves")
        return deal_jobs(
            dataset,
            spec.job_classes,
            serves,
            num_validation=spec.num_validation,
            correction_share=spec.correction_share,
            max_train=spec.max_train or None,
            seed=spec.seed,
            whole_pool=whole_pool,
        )
    partition = spec.partition
    wanted = inspect.signature(data.as_partition(partition)).parameters
    own = {
        f.name: getattr(spec, f.name)
        for f in dataclasses.fields(spec)
        if f.name in wanted and f.name not in ("seed", "min_samples")
    }
    dealt = data.build(
        dataset,
        num_sellers=num_sellers,
        partition=partition,
        num_validation=spec.num_validation,
        correction_share=spec.correction_share,
        num_root=spec.num_root,
        seed=spec.seed,
        min_samples=spec.min_samples,
        max_train=spec.max_train or None,
        whole_pool=whole_pool,
        **own,
    )
    return cut(dealt, unit_slots, spec.unit_size) if unit_slots else dealt


def load_dataset(spec: DataSpec, data_dir: str | os.PathLike[str] | None = None) -> Dataset:
    """The data set of a spec: named, or made by a function of the user's own.

    Raises:
        ValueError: an unknown name, missing or damaged files, or a function that returns no data
            set; the sentence says which.
    """
    if isinstance(spec.name, str):
        return data.load(spec.name, data_dir)
    made = pick(data.SOURCES, spec.name, "data set")()
    if not isinstance(made, Dataset):
        raise ValueError(
            f"data.name {label(spec.name)!r} must return a Dataset, not {type(made).__name__}"
        )
    return made


def load_world(
    spec: DataSpec,
    num_sellers: int,
    data_dir: str | os.PathLike[str] | None = None,
    *,
    unit_slots: int = 0,
    serves: np.ndarray | None = None,
) -> tuple[Dataset, FederatedData]:
    """The data set of a spec and what each party holds of it; see `data.load` for where it looks.

    `unit_slots` and `serves` are those of `deal`.

    Raises:
        ValueError: see `load_dataset`; or an impossible partition.
    """
    dataset = load_dataset(spec, data_dir)
    return dataset, deal(dataset, spec, num_sellers, unit_slots=unit_slots, serves=serves)
