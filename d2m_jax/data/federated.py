"""A data set dealt to a market: sellers' rows, the buyer's validation, root data and test.

Validation and root data leave the training pool *before* sellers are served, and the test set is
passed through as it is; both are asserted. Arrays are JAX arrays on the default device: pass
`FederatedData` to jitted functions as an argument, never as a closure.
Not here: who gets which rows (`partition.py`), who holds what (`holdings.py`).
"""

import dataclasses
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from d2m_jax.core.choices import lookup
from d2m_jax.data.dealing import Partition
from d2m_jax.data.partition import PARTITIONS
from d2m_jax.data.raw import RawDataset, check
from d2m_jax.data.splits import assert_disjoint, moments, shared_images, take

_MAX_INDEX_BYTES = 1 << 31
_MAX_SHARED = 0.01  # of the test images may also be training images; the official sets have none


@struct.dataclass
class Examples:
    """Labelled images of one purpose."""

    images: jax.Array  # [V, H, W, Ch] uint8
    labels: jax.Array  # [V] int32


@struct.dataclass
class FederatedData:
    """All data of one market; a pytree of arrays.

    Memory: T H W Ch bytes for the pool (MNIST 47 MB, CIFAR-10 154 MB), the test set, and 4 N M
    bytes for `index`, where M is the size of the largest seller.
    """

    images: jax.Array  # [T, H, W, Ch] uint8, the sellers' pool
    labels: jax.Array  # [T] int32
    index: jax.Array  # [N, M] int32, rows of the pool; a seller's own rows, repeated to width M
    sizes: jax.Array  # [N] int32, how many are distinct: draw columns with randint(0, sizes[m])
    mean: jax.Array  # [Ch] float32, of the raw uint8 values
    std: jax.Array  # [Ch] float32
    correction: Examples  # the buyer's, given to CONE for defence and contributions
    verdict: Examples  # the buyer's, only for the metric that is held against tau
    root: Examples  # the buyer's root data (FLTrust); may be empty
    test: Examples  # the official test set, only for reports


def normalize(data: FederatedData, images: jax.Array) -> jax.Array:
    """Returns (images - mean) / std per channel.

    Args:
        data: whose `mean` and `std` are used.
        images: [..., H, W, Ch] uint8.

    Returns:
        [..., H, W, Ch] float32.
    """
    per_channel = (1,) * (images.ndim - 1) + (-1,)
    centred = images.astype(jnp.float32) - data.mean.reshape(per_channel)
    return centred / data.std.reshape(per_channel)


def seller_rows(data: FederatedData) -> Partition:
    """Returns the rows of the pool that each seller holds, without the padding (host)."""
    index, sizes = np.asarray(data.index), np.asarray(data.sizes)
    return [row[:size] for row, size in zip(index, sizes)]


def build(
    raw: RawDataset,
    *,
    num_sellers: int,
    partition: str | Callable[..., Partition] = "dirichlet",
    num_validation: int = 200,
    num_root: int = 0,
    seed: int = 0,
    min_samples: int = 1,
    max_train: int | None = None,
    width: int | None = None,
    whole_pool: bool = False,
    **options: Any,
) -> FederatedData:
    """Deals a data set to a buyer and N sellers.

    In this order, each draw class-stratified and without replacement: keep `max_train` images of
    the training set; take correction, verdict and root; partition what is left among the sellers.

    Args:
        raw: from `load` or `from_arrays`; not changed.
        num_sellers: N.
        partition: a name in `PARTITIONS` or a function with the same arguments.
        num_validation: images of the buyer, halved into correction and verdict (verdict has the
            odd one); 0 for none.
        num_root: images of root data; 0 for none.
        seed: decides which images the buyer gets, and the partition.
        min_samples: images that every seller gets at least, >= 1.
        max_train: use only so many training images, all by default.
        width: M, the width of `index`; by default the size of the largest seller. Programs are
            compiled anew for another M.
        whole_pool: keep all training images in the pool, though `index` names only rows that the
            sellers were dealt: then worlds of all seeds share one pool (not for `repartition`).
        **options: of the partition, such as `alpha`, `classes_per_seller`, `gamma`, `sigma`.

    Returns:
        `FederatedData` on the default device. `mean` and `std` are of the whole training set
        (our choice: constants of the data set, the same for every seed).

    Raises:
        ValueError: an argument is out of range or unknown, or more than 1 % of the test images
            are also training images; one sentence.
    """
    check(raw)
    _deal(partition, options)  # names, before any work
    _check_counts(len(raw.train_labels), num_validation, num_root, max_train)
    shared = shared_images(raw.train_images, raw.test_images)
    if shared > _MAX_SHARED * len(raw.test_labels):
        raise ValueError(
            f"{raw.name}: {shared} of {len(raw.test_labels)} test images are also training "
            "images; the test set must be kept apart"
        )

    rng = np.random.default_rng((seed, 1))  # not the stream of the partition
    labels = raw.train_labels
    rows = np.arange(len(labels))
    if max_train is not None:
        rows, _ = take(rng, labels, rows, max_train)
    correction, rows = take(rng, labels, rows, num_validation // 2)
    verdict, rows = take(rng, labels, rows, num_validation - num_validation // 2)
    root, rows = take(rng, labels, rows, num_root)
    assert_disjoint({"correction": correction, "verdict": verdict, "root": root, "pool": rows})
    index, sizes = _table(labels[rows], num_sellers, partition, seed, min_samples, width, options)
    if whole_pool:
        index, rows = jnp.asarray(rows, jnp.int32)[index], np.arange(len(labels))
    mean, std = moments(raw.train_images)

    def examples(images: np.ndarray, labels: np.ndarray) -> Examples:
        return Examples(jnp.asarray(images), jnp.asarray(labels, jnp.int32))

    pool = examples(raw.train_images[rows], labels[rows])
    return FederatedData(
        images=pool.images,
        labels=pool.labels,
        index=index,
        sizes=sizes,
        mean=jnp.asarray(mean),
        std=jnp.asarray(std),
        correction=examples(raw.train_images[correction], labels[correction]),
        verdict=examples(raw.train_images[verdict], labels[verdict]),
        root=examples(raw.train_images[root], labels[root]),
        test=examples(raw.test_images, raw.test_labels),
    )


def repartition(
    data: FederatedData,
    *,
    num_sellers: int,
    partition: str | Callable[..., Partition] = "dirichlet",
    seed: int = 0,
    min_samples: int = 1,
    width: int | None = None,
    **options: Any,
) -> FederatedData:
    """Deals the same pool anew; the buyer's images, the pool and the test set are shared.

    For sweeps over heterogeneity, number of sellers or partition seeds. Arguments as in `build`,
    which it equals for the same seed.
    """
    labels = np.asarray(data.labels)
    index, sizes = _table(labels, num_sellers, partition, seed, min_samples, width, options)
    return dataclasses.replace(data, index=index, sizes=sizes)


def stack_partitions(worlds: Sequence[FederatedData]) -> tuple[FederatedData, FederatedData]:
    """Stacks worlds that differ only in who holds what, for `vmap` over heterogeneity.

    Args:
        worlds: P of them with the same number of sellers, made by `repartition` from one `build`.

    Returns:
        (data, axes): `index` [P, N, M] with the largest M and `sizes` [P, N], all else as in the
        first world; `axes` has 0 there and None elsewhere, for `in_axes`.

    Raises:
        ValueError: the worlds have different pools or numbers of sellers.
    """
    first = worlds[0]
    for world in worlds[1:]:
        if world.images is not first.images:
            raise ValueError("worlds to be stacked must share their pool: use `repartition`")
        if world.sizes.shape != first.sizes.shape:
            raise ValueError("worlds to be stacked must have the same number of sellers")
    width = max(world.index.shape[1] for world in worlds)
    index = np.stack([_padded(seller_rows(world), width) for world in worlds])
    sizes = jnp.stack([world.sizes for world in worlds])
    data = dataclasses.replace(first, index=jnp.asarray(index), sizes=sizes)
    axes = dataclasses.replace(jax.tree.map(lambda _: None, first), index=0, sizes=0)
    return data, axes


# ------------------------------------------------------------------------------------ helpers


def _check_counts(
    num_train: int, num_validation: int, num_root: int, max_train: int | None
) -> None:
    for what, count in (("num_validation", num_validation), ("num_root", num_root)):
        if count < 0:
            raise ValueError(f"{what} must not be negative, not {count}")
    if num_validation == 1:
        raise ValueError("num_validation must be 0 or at least 2: it is cut into two halves")
    if max_train is not None and not 1 <= max_train <= num_train:
        raise ValueError(f"max_train must be between 1 and {num_train}, not {max_train}")
    pool = num_train if max_train is None else max_train
    if num_validation + num_root >= pool:
        raise ValueError(
            f"num_validation={num_validation} and num_root={num_root} leave nothing of "
            f"{pool} training images for the sellers"
        )


def _deal(
    partition: str | Callable[..., Partition], options: Mapping[str, Any]
) -> Callable[..., Partition]:
    """Looks the partition up and checks the names of its options."""
    deal = lookup(PARTITIONS, partition, "partition") if isinstance(partition, str) else partition
    parameters = inspect.signature(deal).parameters.values()
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return deal
    valid = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.name != "min_samples"]
    for option in options:
        if option not in valid:
            raise ValueError(
                f"partition {partition!r} has no option {option!r}; "
                f"valid options: {', '.join(valid) or 'none'}"
            )
    return deal


def _table(
    labels: np.ndarray,
    num_sellers: int,
    partition: str | Callable[..., Partition],
    seed: int,
    min_samples: int,
    width: int | None,
    options: Mapping[str, Any],
) -> tuple[jax.Array, jax.Array]:
    """Partitions, asserts disjointness, returns index [N, M] int32 and sizes [N] int32."""
    if min_samples < 1:
        raise ValueError(f"min_samples must be at least 1, not {min_samples}")
    deal = _deal(partition, options)
    dealt = deal(seed, labels, num_sellers, min_samples=min_samples, **options)
    parts = [np.asarray(part, np.int64) for part in dealt]
    _check_parts(parts, num_sellers, len(labels))
    largest = max(len(part) for part in parts)
    if width is None:
        width = largest
    if width < largest:
        raise ValueError(f"width={width} is below the size of the largest seller, {largest}")
    if 4 * num_sellers * width > _MAX_INDEX_BYTES:
        raise ValueError(
            f"the index table of {num_sellers} sellers x {width} samples would take over 2 GiB; "
            "use fewer sellers or a partition with more even sizes"
        )
    sizes = np.array([len(part) for part in parts], np.int32)
    return jnp.asarray(_padded(parts, width)), jnp.asarray(sizes)


def _check_parts(parts: Partition, num_sellers: int, num_rows: int) -> None:
    """Holds any partition, a user's too, to what `index` needs."""
    if len(parts) != num_sellers:
        raise ValueError(f"the partition served {len(parts)} sellers instead of {num_sellers}")
    for seller, part in enumerate(parts):
        if len(part) == 0:
            raise ValueError(f"the partition left seller {seller} without samples")
        if part.min() < 0 or part.max() >= num_rows:
            raise ValueError(f"the partition gave seller {seller} rows outside 0 to {num_rows - 1}")
    assert_disjoint({f"seller {seller}": part for seller, part in enumerate(parts)})


def _padded(parts: Partition, width: int) -> np.ndarray:
    """Returns [N, width] int32: each seller's rows, repeated from the start to fill the width."""
    return np.stack([np.resize(part, width) for part in parts]).astype(np.int32)
