"""The data of several jobs that want different classes: who holds what, and what each job sees.

Host side, numpy. Read next: `data/federated.py`; without this all jobs share one deal.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from d2m_jax import data
from d2m_jax.config.hparams import HParams
from d2m_jax.config.spec import DataSpec, Spec
from d2m_jax.core.types import Batch
from d2m_jax.data import Dataset, FederatedData
from d2m_jax.market.keys import opening_keys
from d2m_jax.market.requests import asked_tags
from d2m_jax.market.roles import draw_roles

# Fields of `DataSpec` that say how a deal to one job is made.
OF_ONE_DEAL = ("partition", "alpha", "classes_per_seller", "gamma", "sigma", "min_samples",
               "unit_size", "num_root")  # fmt: skip


def check_job_classes(spec: Spec, wanted: DataSpec) -> None:
    """Raises a ValueError, one sentence, for classes that are not those of the jobs of a spec."""
    classes = wanted.job_classes
    if not classes:
        return
    if spec.num_jobs == 1:
        raise ValueError("data.job_classes is for several jobs: spec.num_jobs is 1")
    if len(classes) != spec.num_jobs:
        raise ValueError(
            f"data.job_classes names the classes of {len(classes)} jobs, and spec.num_jobs is "
            f"{spec.num_jobs}"
        )
    if not all(isinstance(some, tuple | list) and some and all(map(_is_class, some))
               for some in classes):  # fmt: skip
        raise ValueError(
            f"data.job_classes = {classes} must hold the classes of every job, such as "
            "((0, 1), (2, 3))"
        )
    if spec.unit_slots:
        raise ValueError("data.job_classes deals to accounts: set spec.selling to accounts")
    usual = DataSpec()
    for name in OF_ONE_DEAL:
        if getattr(wanted, name) != getattr(usual, name):
            raise ValueError(
                f"data.{name} does nothing with data.job_classes, which deals the examples of a "
                "class evenly to the sellers that serve it: leave one of them out"
            )


def _is_class(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def rows_of_jobs(own: FederatedData) -> list[np.ndarray]:
    """The rows of the pool that each seller holds for any job, of jobs with data of their own."""
    starts, sizes, rows = (np.asarray(leaf) for leaf in (own.starts, own.sizes, own.rows))
    jobs, num_sellers = range(len(sizes)), sizes.shape[1]
    return [
        np.unique(
            np.concatenate([rows[j, starts[j, n] : starts[j, n] + sizes[j, n]] for j in jobs])
        )
        for n in range(num_sellers)
    ]


def serving(spec: Spec, hparams: HParams, seed: int) -> np.ndarray | None:
    """[N, J] bool: the jobs that each seller's data fits in the run of a seed; None of one job.

    Args:
        spec: of the market.
        hparams: plain numbers, or arrays that are not traced.
        seed: of the run, from which the market draws the same roles.
    """
    if spec.num_jobs == 1:
        return None
    tags = asked_tags(spec, hparams)
    sizes = Spec(num_jobs=spec.num_jobs, num_sellers=spec.num_sellers, num_nodes=spec.num_nodes)
    return np.asarray(_serving(sizes, hparams.population, tags, np.uint32(seed)))


@partial(jax.jit, static_argnums=0)
def _serving(sizes: Spec, who: Any, tags: jax.Array, seed: Any) -> jax.Array:
    roles = draw_roles(opening_keys(jax.random.key(seed)).roles, who, sizes, tags)
    return (tags[None] & ~jnp.asarray(roles.holds)[:, None]) == 0


def deal_jobs(
    dataset: Dataset,
    classes: Sequence[Sequence[int]],
    serves: np.ndarray,
    *,
    num_validation: int = 200,
    seed: int = 0,
    whole_pool: bool = False,
    **options: Any,
) -> FederatedData:
    """Deals a data set to the buyers of J jobs and to N sellers; each job is about some classes.

    The examples of a class are dealt evenly to the sellers that serve a job with this class. For a
    job a seller has those of its examples that the job wants; one that has none (it lies) all.
    Buyers' and test examples are those of the job's classes, the same number for every job.

    Args:
        dataset: with class labels.
        classes: J sets of classes.
        serves: [N, J] bool, the jobs that each seller's data fits; none: examples of all classes.
        num_validation: buyers' examples before the classes are told apart; see `data.build`.
        seed: of the deal.
        whole_pool: see `data.build`; `rows` then has a place for every example of the pool.
        **options: of `data.build`, such as `correction_share`, `max_train`.

    Returns:
        `FederatedData` with a leading axis of jobs on all but the pool and its moments.

    Raises:
        ValueError: examples have no class, a job has no examples, or no seller.
    """
    check_classes(dataset, classes)
    serves = np.asarray(serves, bool)
    wants = [np.asarray(sorted(some)) for some in classes]
    if serves.ndim != 2 or serves.shape[1] != len(wants) or not serves.any(axis=0).all():
        raise ValueError(
            f"serves must name, for each seller, which of the {len(wants)} jobs it serves, and "
            "every job needs a seller"
        )

    def partition(seed: int, strata: np.ndarray, num_sellers: int) -> list[np.ndarray]:
        rng = np.random.default_rng(seed)
        held: list[list[np.ndarray]] = [[] for _ in range(num_sellers)]
        for label in np.unique(np.concatenate(wants)):
            asked = np.array([label in some for some in wants])
            takers = np.nonzero((serves & asked).any(axis=1) | ~serves.any(axis=1))[0]
            rows = rng.permutation(np.nonzero(strata == label)[0])
            for seller, part in zip(rng.permutation(takers), np.array_split(rows, len(takers))):
                held[seller].append(part)
        return [np.sort(np.concatenate(parts)) for parts in held]

    dealt = data.build(
        dataset,
        num_sellers=len(serves),
        partition=partition,
        num_validation=num_validation,
        seed=seed,
        whole_pool=whole_pool,
        **options,
    )
    labels = np.asarray(dealt.pool["labels"])
    parts = data.seller_rows(dealt)
    holdings = [[own_rows(labels, rows, some) for rows in parts] for some in wants]
    most = len(labels) if whole_pool else max(sum(map(len, held)) for held in holdings)
    sizes = np.array([[len(rows) for rows in held] for held in holdings], np.int32)
    rows = np.zeros((len(wants), most), np.int32)
    for job, held in enumerate(holdings):
        flat = np.concatenate(held)
        rows[job, : len(flat)] = flat
    return FederatedData(
        pool=dealt.pool,
        rows=jnp.asarray(rows),
        starts=jnp.asarray(np.cumsum(sizes, axis=1, dtype=np.int32) - sizes),
        sizes=jnp.asarray(sizes),
        stats=dealt.stats,
        correction=of_classes(dealt.correction, wants),
        verdict=of_classes(dealt.verdict, wants),
        root=jax.tree.map(lambda leaf: jnp.stack([leaf] * len(wants)), dealt.root),
        test=of_classes(dealt.test, wants),
    )


def check_classes(dataset: Dataset, classes: Sequence[Sequence[int]]) -> None:
    """Raises a ValueError, one sentence, for classes that a data set does not have."""
    train = dataset.train
    labels = np.asarray(train["labels"]) if isinstance(train, dict) and "labels" in train else None
    if labels is None or labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"jobs cannot be about classes of {dataset.name}: its examples have none")
    known = set(np.unique(labels).tolist())
    unknown = sorted({int(one) for some in classes for one in some} - known)
    if unknown:
        raise ValueError(
            f"no training example of {dataset.name} is of class {unknown[0]}; there are "
            f"{', '.join(map(str, sorted(known)[:12]))}"
        )


def own_rows(labels: np.ndarray, rows: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Those rows of a seller that a job wants, or all if it wants none of them."""
    mine = rows[np.isin(labels[rows], wanted)]
    return mine if len(mine) else rows


def of_classes(batch: Batch, wants: Sequence[np.ndarray]) -> Batch:
    """The examples of each job's classes, [J, V, ...]; V is what the poorest job has.

    Raises:
        ValueError: a job has none.
    """
    labels = np.asarray(batch["labels"])
    found = [np.nonzero(np.isin(labels, some))[0] for some in wants]
    fewest = min(map(len, found))
    if not fewest and len(labels):
        raise ValueError("a job has no examples of its classes: raise num_validation")
    places = np.stack([rows[:fewest] for rows in found])
    picked: Batch = jax.tree.map(lambda leaf: jnp.asarray(leaf)[places], batch)
    return picked
