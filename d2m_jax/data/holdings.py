"""Who holds what: a table and a short text about a partition, for people.

Not here: making partitions (`partition.py`).
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from d2m_jax.data.dealing import Partition

_BARS = "·▁▂▃▄▅▆▇█"


def report(
    partition: Partition, labels: np.ndarray, class_names: Sequence[str] | None = None
) -> pd.DataFrame:
    """Returns one row per seller: what it holds and how far that is from the whole.

    Columns: `size`; `share` of all rows dealt; one count per class, `class_<name>`;
    `num_classes` held; `entropy` of its labels in bits (0: one class; log2 L: all alike);
    `tv`, the total-variation distance of its label shares from those of all sellers together,
    sum over classes of |p - q| / 2 (0: the same mix; 1: no class in common).

    Args:
        partition: N arrays of row numbers.
        labels: [T] integers in 0 .. L-1, a label per row.
        class_names: L names; by default 0 .. largest label.
    """
    labels = np.asarray(labels)
    if class_names is None:
        class_names = [str(label) for label in range(int(labels.max(initial=0)) + 1)]
    counts = np.stack([np.bincount(labels[part], minlength=len(class_names)) for part in partition])
    size = counts.sum(1)
    mix = counts / np.maximum(size, 1)[:, None]
    whole = counts.sum(0) / max(counts.sum(), 1)
    logarithms = np.log2(mix, where=mix > 0, out=np.zeros_like(mix))
    table = pd.DataFrame({"size": size, "share": size / max(size.sum(), 1)})
    table = table.join(
        pd.DataFrame(counts, columns=[f"class_{class_name}" for class_name in class_names])
    )
    table["num_classes"] = (counts > 0).sum(1)
    table["entropy"] = np.abs(mix * logarithms).sum(1)
    table["tv"] = np.where(size > 0, np.abs(mix - whole).sum(1) / 2, np.nan)
    table.index.name = "seller"
    return table


def describe(table: pd.DataFrame, max_sellers: int = 12) -> str:
    """Returns a few lines about a `report`: a summary, then a bar picture of each seller.

    A bar is a class; its height is the seller's share of that class among its own images,
    relative to the largest share in the table; a dot is an absent class.

    Args:
        table: from `report`.
        max_sellers: at most so many sellers are drawn.
    """
    lines = [
        f"{len(table)} sellers hold {table['size'].sum():,} images, "
        f"{_range(table['size'], ',.0f')} each",
        f"classes per seller {_range(table['num_classes'], '.0f')}; distance of a seller's "
        f"label mix from the whole (total variation) {_range(table['tv'], '.2f')}",
    ]
    counts = table.filter(regex="^class_").to_numpy()
    mix = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    heights = np.ceil(mix / max(mix.max(), 1e-12) * (len(_BARS) - 1)).astype(int)
    for seller in range(min(len(table), max_sellers)):
        bars = "".join(_BARS[height] for height in heights[seller])
        lines.append(f"  seller {seller:<4} {bars}  {table['size'].iloc[seller]:>7,} images")
    if len(table) > max_sellers:
        lines.append(f"  ... and {len(table) - max_sellers} more")
    return "\n".join(lines)


def _range(column: pd.Series, form: str) -> str:
    low, middle, high = column.min(), column.median(), column.max()
    if low == high:
        return f"{low:{form}}"
    return f"{low:{form}} to {high:{form}} (median {middle:{form}})"
