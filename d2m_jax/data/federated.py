"""A data set dealt to a market: sellers' rows, the buyer's validation, root data and test.

Validation and root data leave the training pool *before* sellers are served, and the test set is
passed through as it is; both are asserted. Arrays are JAX arrays on the default device: pass
`FederatedData` to jitted functions as an argument, never as a closure.
Not here: who gets which rows (`partition.py`), who holds what (`holdings.py`).
"""

import inspect
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import jax
import numpy as np
from flax import struct

from d2m_jax.core.choices import label
from d2m_jax.core.counts import check_count, check_switch
from d2m_jax.core.dataset import Dataset
from d2m_jax.core.types import Batch, PyTree
from d2m_jax.data.dealing import Partition, checked_parts
from d2m_jax.data.overlap import shared_in
from d2m_jax.data.partition import Deal, as_partition
from d2m_jax.data.splits import assert_disjoint, take

_MAX_SHARED = 0.01  # of the test examples may also train; the official sets have none
_FROM_BUILD = ("min_samples", "clients", "rows")  # keywords that `build` gives, if asked for


class Units(struct.PyTreeNode):
    """Who bonded which unit, where the listings of a market are units and not accounts."""

    owners: jax.Array  # [N] int32, accounts; -1 for an empty slot
    commitments: jax.Array  # [N] int32, the first 31 bits of the Merkle root of each
    num_owners: jax.Array  # [] int32, accounts, those that list no unit too


class FederatedData(struct.PyTreeNode):
    """All data of one market; a pytree of arrays.

    Batches are pytrees of arrays with a leading axis of examples. Memory: the pool, the buyer's
    examples and the test set as they are, and 4 R bytes for who holds what, where R is what all
    sellers hold together: a seller costs what it holds, not what the largest one does.
    """

    pool: Batch  # [T, ...], the sellers' examples
    rows: jax.Array  # [R] int32, rows of the pool, seller after seller
    starts: jax.Array  # [N] int32, where each seller's begin among `rows`
    sizes: jax.Array  # [N] int32, how many they are: draw places with randint(0, sizes[m])
    stats: PyTree  # of the training set, for `Task.prepare`
    correction: Batch  # [V, ...], the buyer's, given to CONE for defence and contributions
    verdict: Batch  # the buyer's, only for the metric that is held against tau
    root: Batch  # the buyer's root data (FLTrust); may be empty
    test: Batch  # the official test set, only for reports
    units: Units | None = None  # None: every listing is an account

    def examples_of(self, seller: jax.Array, places: jax.Array) -> Batch:
        """Returns the examples at these places [B] among the seller's own, [B, ...]."""
        rows = self.rows[self.starts[seller] + places]
        return jax.tree.map(lambda leaf: leaf[rows], self.pool)


def seller_rows(data: FederatedData) -> Partition:
    """Returns the rows of the pool that each seller holds (host); of units, every account's."""
    rows = np.asarray(data.rows)
    held = [rows[a : a + n] for a, n in zip(np.asarray(data.starts), np.asarray(data.sizes))]
    if data.units is None:
        return held
    owners = np.asarray(data.units.owners)
    nothing = np.empty(0, rows.dtype)
    return [
        np.concatenate([nothing, *(held[i] for i in np.flatnonzero(owners == owner))])
        for owner in range(int(data.units.num_owners))
    ]


def build(
    dataset: Dataset,
    *,
    num_sellers: int,
    partition: str | Deal = "dirichlet",
    num_validation: int = 200,
    correction_share: float = 0.5,
    num_root: int = 0,
    seed: int = 0,
    min_samples: int = 1,
    max_train: int | None = None,
    whole_pool: bool = False,
    **options: Any,
) -> FederatedData:
    """Deals a data set to a buyer and N sellers.

    In this order, each draw stratified by `dataset.strata` and without replacement: keep
    `max_train` examples of the training set; take correction, verdict and root; partition what is
    left among the sellers.

    Args:
        dataset: from `load`, `from_arrays`, `from_frame` or `from_file`; not changed.
        num_sellers: N.
        partition: a name in `PARTITIONS`, a function with the same arguments, or a list of N arrays
            of rows of the training set. Rows that it deals to nobody stay in the pool, unused.
        num_validation: examples of the buyer, cut into correction and verdict; 0 for none.
        correction_share: of them, in [0, 1), rounded down, are for the correction.
        num_root: examples of root data; 0 for none.
        seed: decides which examples the buyer gets, and the partition.
        min_samples: examples that every seller gets at least, >= 1.
        max_train: use only so many training examples, all by default.
        whole_pool: keep all training examples in the pool, though `rows` names only those that the
            sellers were dealt: then worlds of all seeds share one pool.
        **options: of the partition, such as `alpha`, `classes_per_seller`, `gamma`, `sigma`.

    Returns:
        `FederatedData` on the default device.

    Raises:
        ValueError: an argument is out of range or unknown, or more than 1 % of the test examples
            are also training examples; one sentence.
    """
    deal = _dealer(partition, options)  # names, before any work
    check_count("num_sellers", num_sellers, 1)
    check_count("seed", seed)
    check_switch("whole_pool", whole_pool)
    if not 0 <= correction_share < 1:
        raise ValueError(f"correction_share must lie in [0, 1), not {correction_share}")
    _check_counts(dataset.num_train, num_validation, num_root, max_train, min_samples)
    shared = shared_in(dataset)
    if shared > _MAX_SHARED * dataset.num_test:
        raise ValueError(
            f"{dataset.name}: {shared} of {dataset.num_test} test examples are also training "
            "examples; the test set must be kept apart"
        )
    strata = _strata(dataset)
    rng = np.random.default_rng((seed, 1))  # not the stream of the partition
    rows = np.arange(dataset.num_train)
    if max_train is not None:
        rows, _ = take(rng, strata, rows, max_train)
    num_correction = int(
        Fraction(repr(float(correction_share))) * num_validation
    )  # 0.29 as written
    correction, rows = take(rng, strata, rows, num_correction)
    verdict, rows = take(rng, strata, rows, num_validation - num_correction)
    root, rows = take(rng, strata, rows, num_root)
    assert_disjoint({"correction": correction, "verdict": verdict, "root": root, "pool": rows})
    clients = None if dataset.clients is None else np.asarray(dataset.clients)[rows]
    given = {"min_samples": min_samples, "clients": clients, "rows": rows}
    parts = deal_rows(deal, seed, strata[rows], num_sellers, {**options, **given})
    held = np.concatenate(parts)
    sizes = np.array([len(part) for part in parts], np.int32)
    pool = np.arange(dataset.num_train) if whole_pool else rows

    def examples(of: np.ndarray) -> Batch:
        return jax.tree.map(lambda leaf: leaf[of], dataset.train)

    made = dict(
        pool=examples(pool),
        rows=(rows[held] if whole_pool else held).astype(np.int32),
        starts=(np.cumsum(sizes) - sizes).astype(np.int32),
        sizes=sizes,
        stats=dataset.stats,
        correction=examples(correction),
        verdict=examples(verdict),
        root=examples(root),
        test=dataset.test,
    )
    return FederatedData(**jax.device_put(made))


def deal_rows(
    deal: Deal,
    seed: int,
    strata: np.ndarray,
    num_sellers: int,
    options: Mapping[str, Any],
) -> Partition:
    """Partitions rows 0 .. len(strata) - 1; any partition, a user's too, is held to its promise.

    Every seller gets rows, and none twice; sharing a row and leaving rows out is allowed.

    Args:
        deal: `(seed, strata, num_sellers, **options) -> N arrays`.
        seed: of the partition.
        strata: [T].
        num_sellers: N.
        options: of which it is given those that it names.

    Raises:
        ValueError: see `checked_parts`.
    """
    known = inspect.signature(deal).parameters
    takes_all = any(p.kind is p.VAR_KEYWORD for p in known.values())
    mine = {name: value for name, value in options.items() if takes_all or name in known}
    return checked_parts(deal(seed, strata, num_sellers, **mine), num_sellers, len(strata))


def _dealer(partition: str | Deal | Partition, options: Mapping[str, Any]) -> Deal:
    """The partition as a function, with the names of its options checked."""
    deal = as_partition(partition)
    parameters = inspect.signature(deal).parameters.values()
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return deal
    valid = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.name not in _FROM_BUILD]
    for option in options:
        if option not in valid:
            raise ValueError(
                f"partition {label(partition)!r} has no option {option!r}; "
                f"valid options: {', '.join(valid) or 'none'}"
            )
    return deal


def _strata(dataset: Dataset) -> np.ndarray:
    if dataset.strata is None:
        return np.zeros(dataset.num_train, np.int32)
    strata = np.asarray(dataset.strata)
    if strata.shape != (dataset.num_train,):
        raise ValueError(
            f"{dataset.name}: strata have shape {strata.shape}, there are {dataset.num_train} "
            "training examples"
        )
    return strata


def _check_counts(
    num_train: int, num_validation: int, num_root: int, max_train: int | None, min_samples: int
) -> None:
    check_count("num_validation", num_validation)
    check_count("num_root", num_root)
    check_count("min_samples", min_samples, 1)
    if num_validation == 1:
        raise ValueError("num_validation must be 0 or at least 2: it is cut into two halves")
    if max_train is not None:
        check_count("max_train", max_train)
    if max_train is not None and not 1 <= max_train <= num_train:
        raise ValueError(f"max_train must be between 1 and {num_train}, not {max_train}")
    pool = num_train if max_train is None else max_train
    if num_validation + num_root >= pool:
        raise ValueError(
            f"num_validation={num_validation} and num_root={num_root} leave nothing of "
            f"{pool} training examples for the sellers"
        )
