"""Who holds what: a table and a short text about a partition, for people.

Not here: making partitions (`partition.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from d2m_jax.data.dealing import Partition

if TYPE_CHECKING:
    import pandas as pd

_BARS = "·▁▂▃▄▅▆▇█"
_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def report(
    partition: Partition,
    labels: np.ndarray | None = None,
    class_names: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Returns one row per seller: what it holds and how far that is from the whole.

    Columns: `size`; `share` of all rows dealt. With classes also one count per class,
    `class_<name>`; `num_classes` held; `entropy` of its labels in bits (0: one class; log2 L: all
    alike); `tv`, the total-variation distance of its label shares from those of all sellers
    together, sum over classes of |p - q| / 2 (0: the same mix; 1: no class in common). With
    numbers `label_<q>`, quantiles of its labels, and `ks`, the largest distance of the
    distribution of its labels from that of all sellers together (Kolmogorov and Smirnov).

    Args:
        partition: N arrays of row numbers.
        labels: [T] integers in 0 .. L-1 (classes or strata), or floats; anything else, such as
            None or [T, S], has no further columns. T is how many rows there were to deal.
        class_names: L names; by default 0 .. largest label.
    """
    import pandas as pd

    size = np.array([len(part) for part in partition])
    table = pd.DataFrame({"size": size, "share": size / max(size.sum(), 1)})
    table.index.name = "seller"
    labels = None if labels is None else np.asarray(labels)
    if labels is not None and size.any():
        table.attrs["dealt"] = len(np.unique(np.concatenate(partition)))
        table.attrs["rows"] = len(labels)
    if labels is None or labels.ndim != 1:
        return table
    if labels.dtype.kind == "f":
        return _beside(table, _of_numbers(partition, labels))
    return _beside(table, _of_classes(partition, labels, class_names or ()))


def describe(table: pd.DataFrame, max_sellers: int = 12, what: str = "examples") -> str:
    """Returns a few lines about a `report`: a summary, then a bar picture of each seller.

    Rows that a partition of a user's own left out are named.

    A bar is a class; its height is the seller's share of that class among its own examples,
    relative to the largest share in the table; a dot is an absent class. Numbers are shown by
    their quantiles.

    Args:
        table: from `report`.
        max_sellers: at most so many sellers are drawn.
        what: the word for examples, such as "images".
    """
    lines = [
        f"{len(table)} sellers hold {table['size'].sum():,} {what}, "
        f"{_range(table['size'], ',.0f')} each"
    ]
    if table.attrs.get("dealt", 0) < table.attrs.get("rows", 0):
        dealt, rows = table.attrs["dealt"], table.attrs["rows"]
        lines.append(f"the partition dealt {dealt:,} of {rows:,} rows; the others nobody has")
    pictures = [""] * len(table)
    if "tv" in table:
        lines.append(
            f"classes per seller {_range(table['num_classes'], '.0f')}; distance of a seller's "
            f"label mix from the whole (total variation) {_range(table['tv'], '.2f')}"
        )
        pictures = _bars(table)
    elif "ks" in table:
        lines.append(
            "distance of a seller's labels from the whole (largest of their distribution) "
            f"{_range(table['ks'], '.2f')}"
        )
        quantiles = table.filter(regex="^label_").to_numpy()
        pictures = [f"labels {q[0]:.3g} to {q[-1]:.3g}, half below {q[2]:.3g} " for q in quantiles]
    for seller in range(min(len(table), max_sellers)):
        picture = f"{pictures[seller]} " if pictures[seller] else ""
        lines.append(f"  seller {seller:<4} {picture} {table['size'].iloc[seller]:>7,} {what}")
    if len(table) > max_sellers:
        lines.append(f"  ... and {len(table) - max_sellers} more")
    return "\n".join(lines)


def _beside(table: pd.DataFrame, more: pd.DataFrame) -> pd.DataFrame:
    """Both tables; what is known of the whole stays with the first."""
    joined = table.join(more)
    joined.attrs = dict(table.attrs)
    return joined


def _of_classes(
    partition: Partition, labels: np.ndarray, class_names: Sequence[str]
) -> pd.DataFrame:
    import pandas as pd

    held = int(labels.max(initial=0)) + 1
    names = [*class_names, *(str(label) for label in range(len(class_names), held))]
    counts = np.stack([np.bincount(labels[part], minlength=len(names)) for part in partition])
    size = counts.sum(1)
    mix = counts / np.maximum(size, 1)[:, None]
    whole = counts.sum(0) / max(counts.sum(), 1)
    logarithms = np.log2(mix, where=mix > 0, out=np.zeros_like(mix))
    table = pd.DataFrame(counts, columns=[f"class_{class_name}" for class_name in names])
    table["num_classes"] = (counts > 0).sum(1)
    table["entropy"] = np.abs(mix * logarithms).sum(1)
    table["tv"] = np.where(size > 0, np.abs(mix - whole).sum(1) / 2, np.nan)
    return table


def _of_numbers(partition: Partition, labels: np.ndarray) -> pd.DataFrame:
    import pandas as pd

    whole = np.sort(np.concatenate([labels[part] for part in partition]))
    points, last = np.unique(whole, return_counts=True)
    whole_below = np.cumsum(last) / len(whole)
    rows = []
    for part in partition:
        own = np.sort(labels[part])
        if len(own) == 0:
            rows.append([np.nan] * (len(_QUANTILES) + 1))
            continue
        below = np.searchsorted(own, points, side="right") / len(own)
        rows.append([*np.quantile(own, _QUANTILES), np.abs(below - whole_below).max()])
    return pd.DataFrame(rows, columns=[*(f"label_{q:g}" for q in _QUANTILES), "ks"])


def _bars(table: pd.DataFrame) -> list[str]:
    counts = table.filter(regex="^class_").to_numpy()
    mix = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    heights = np.ceil(mix / max(mix.max(), 1e-12) * (len(_BARS) - 1)).astype(int)
    return ["".join(_BARS[height] for height in row) for row in heights]


def _range(column: pd.Series, form: str) -> str:
    low, middle, high = column.min(), column.median(), column.max()
    if low == high:
        return f"{low:{form}}"
    return f"{low:{form}} to {high:{form}} (median {middle:{form}})"
