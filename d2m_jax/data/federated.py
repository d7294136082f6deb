"""A data set dealt to a market: sellers' rows, the buyer's validation, root data and test.

Validation and root data leave the training pool *before* sellers are served, and the test set is
passed through as it is; `assert_disjoint` checks it on row numbers. Arrays are JAX arrays on the
default device: pass `FederatedData` to jitted functions as an argument, never as a closure.
Not here: who gets which rows (`partition.py`), who holds what (`holdings.py`).
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from d2m_jax.data.partition import PARTITIONS, Partition
from d2m_jax.data.raw import RawDataset, check
from d2m_jax.names import lookup

_MAX_INDEX_BYTES = 1 << 31


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
    sizes: jax.Array  # [N] int32, how many of them are distinct: draw columns below sizes[m]
    mean: jax.Array  # [Ch] float32, of the raw uint8 values
    std: jax.Array  # [Ch] float32
    correction: Examples  # the buyer's, given to CONE for defence and contributions
    verdict: Examples  # the buyer's, only for the metric that is held against tau
    root: Examples  # the buyer's root data (FLTrust); may be empty
    test: Examples  # official test set, only for reports


def normalize(data: FederatedData, images: jax.Array) -> jax.Array:
    """Returns (images - mean) / std per channel.

    Args:
        data: whose `mean` and `std` are used.
        images: [..., H, W, Ch] uint8.

    Returns:
        [..., H, W, Ch] float32.
    """
    per_channel = (1,) * (images.ndim - 1) + (-1,)
    scaled = images.astype(jnp.float32) - data.mean.reshape(per_channel)
    return scaled / data.std.reshape(per_channel)


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
    partition_seed: int | None = None,
    min_samples: int = 1,
    max_train: int | None = None,
    width: int | None = None,
    **options: Any,
) -> FederatedData:
    """Deals a data set to a buyer and N sellers.

    In this order, each step class-stratified and without replacement: keep `max_train` images of
    the training set; take correction, verdict and root; partition what is left among the sellers.

    Args:
        raw: from `load` or `from_arrays`; not changed.
        num_sellers: N.
        partition: a name in `PARTITIONS` or a function with the same arguments.
        num_validation: images of the buyer, halved into correction and verdict (verdict has the
            odd one); 0 for none.
        num_root: images of root data; 0 for none.
        seed: decides which images the buyer gets and, by default, the partition.
        partition_seed: decides the partition alone, so that the buyer's images can stay the same.
        min_samples: images that every seller gets at least.
        max_train: use only so many training images, all by default.
        width: M, the width of `index`; the largest seller's size by default. Worlds of equal
            width can be stacked.
        **options: of the partition, such as `alpha`, `classes_per_seller`, `gamma`, `sigma`.

    Returns:
        `FederatedData` on the default device. `mean` and `std` are of the whole training set
        (our choice: constants of the data set, the same for every seed).

    Raises:
        ValueError: an argument is out of range or unknown; one sentence.
    """
    check(raw)
    deal = _partition(partition, options)
    num_train = len(raw.train_labels)
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

    rng = np.random.default_rng(seed)
    rows = np.arange(num_train)
    if max_train is not None:
        rows, _ = _take(rng, raw.train_labels, rows, max_train)
    correction, rows = _take(rng, raw.train_labels, rows, num_validation // 2)
    verdict, rows = _take(rng, raw.train_labels, rows, num_validation - num_validation // 2)
    root, rows = _take(rng, raw.train_labels, rows, num_root)
    labels = raw.train_labels[rows]
    parts = deal(
        seed if partition_seed is None else partition_seed,
        labels,
        num_sellers,
        min_samples=min_samples,
        **options,
    )
    assert_disjoint(
        {
            "correction": correction,
            "verdict": verdict,
            "root": root,
            **{f"seller {seller}": rows[part] for seller, part in enumerate(parts)},
        }
    )
    index, sizes = _table(parts, width)
    mean, std = _moments(raw.train_images)

    def examples(chosen: np.ndarray) -> Examples:
        return Examples(raw.train_images[chosen], raw.train_labels[chosen])  # type: ignore[arg-type]

    host = FederatedData(
        images=raw.train_images[rows],  # type: ignore[arg-type]  # put on the device below
        labels=labels,  # type: ignore[arg-type]
        index=index,  # type: ignore[arg-type]
        sizes=sizes,  # type: ignore[arg-type]
        mean=mean,  # type: ignore[arg-type]
        std=std,  # type: ignore[arg-type]
        correction=examples(correction),
        verdict=examples(verdict),
        root=examples(root),
        test=Examples(raw.test_images, raw.test_labels),  # type: ignore[arg-type]
    )
    return jax.tree.map(jnp.asarray, host)


def assert_disjoint(parts: Mapping[str, np.ndarray]) -> None:
    """Raises ValueError when a row number occurs twice, within one part or in two (host).

    Args:
        parts: name -> row numbers of one and the same array.
    """
    names = list(parts)
    rows = np.concatenate([np.asarray(parts[name], np.int64) for name in names])
    owner = np.repeat(np.arange(len(names)), [len(parts[name]) for name in names])
    order = np.argsort(rows, kind="stable")
    rows, owner = rows[order], owner[order]
    twice = np.flatnonzero(rows[1:] == rows[:-1])
    if len(twice):
        first, second = (names[owner[twice[0] + i]] for i in (0, 1))
        where = f"twice in {first}" if first == second else f"in {first} and in {second}"
        raise ValueError(f"row {rows[twice[0]]} is {where} ({len(twice)} such rows)")


# ------------------------------------------------------------------------------------ helpers


def _partition(
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
                f"unknown option {option!r} of partition {partition!r}; "
                f"valid options: {', '.join(valid) or 'none'}"
            )
    return deal


def _take(
    rng: np.random.Generator, labels: np.ndarray, rows: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Draws `count` of `rows` with the class shares of `rows`; returns (taken, left), sorted.

    Stratified systematic draw: rows are shuffled, sorted by class, and every (len / count)-th is
    taken from a random start, so each class gets its share rounded down or up, without bias.
    """
    shuffled = rng.permutation(rows)
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    steps = (np.arange(count) + rng.random()) * (len(rows) / max(count, 1))
    chosen = np.zeros(len(rows), bool)
    chosen[np.minimum(steps.astype(np.int64), len(rows) - 1)] = True
    return np.sort(by_class[chosen]), np.sort(by_class[~chosen])


def _table(parts: Partition, width: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Returns index [N, M] int32 (each row repeats its own seller's rows) and sizes [N] int32."""
    sizes = np.array([len(part) for part in parts], np.int32)
    if sizes.min() < 1:
        raise ValueError("every seller needs at least one sample: min_samples must be positive")
    if width is None:
        width = int(sizes.max())
    if width < sizes.max():
        raise ValueError(f"width={width} is below the size of the largest seller, {sizes.max()}")
    if 4 * len(parts) * width > _MAX_INDEX_BYTES:
        raise ValueError(
            f"the index table of {len(parts)} sellers x {width} samples would take over 2 GiB; "
            "use fewer sellers or a partition with more even sizes"
        )
    index = np.stack([np.resize(part, width).astype(np.int32) for part in parts])
    return index, sizes


def _moments(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns mean and standard deviation [Ch] float32 per channel, exact from histograms.

    A channel that never varies gets standard deviation 1.
    """
    levels = np.arange(256, dtype=np.float64)
    mean, std = [], []
    for channel in range(images.shape[-1]):
        counts = np.zeros(256)
        for start in range(0, len(images), 4096):  # bincount copies to int64
            block = images[start : start + 4096, ..., channel]
            counts += np.bincount(block.ravel(), minlength=256)
        share = counts / counts.sum()
        mean.append(share @ levels)
        std.append(np.sqrt(share @ (levels - mean[-1]) ** 2) or 1.0)
    return np.array(mean, np.float32), np.array(std, np.float32)
