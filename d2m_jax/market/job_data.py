"""The data of several jobs that want different classes: who holds what, and what each job sees.

Host side, numpy. Read next: `data/federated.py`; without this all jobs share one deal.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from d2m_jax import data
from d2m_jax.core.types import Batch
from d2m_jax.data import Dataset, FederatedData


def deal_jobs(
    dataset: Dataset,
    classes: Sequence[Sequence[int]],
    serves: np.ndarray,
    *,
    num_validation: int = 200,
    seed: int = 0,
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

    Returns:
        `FederatedData` with a leading axis of jobs on all but the pool and its moments.

    Raises:
        ValueError: a job has no examples, or no seller.
    """
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
    )
    labels = np.asarray(dealt.pool["labels"])
    parts = data.seller_rows(dealt)
    holdings = [[own_rows(labels, rows, some) for rows in parts] for some in wants]
    most = max(sum(map(len, held)) for held in holdings)
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
    if not fewest:
        raise ValueError("a job has no examples of its classes: raise num_validation")
    places = np.stack([rows[:fewest] for rows in found])
    picked: Batch = jax.tree.map(lambda leaf: jnp.asarray(leaf)[places], batch)
    return picked
