"""The Gram matrix that distance rules ask for: centred on a median, safe in float32.

Not here: products and distances themselves (`core/gram.py`), the rules that use them. Read next:
`distance.py`.
"""

import jax

from d2m_jax.aggregation.coordinate import median
from d2m_jax.aggregation.order_stats import fence
from d2m_jax.core.gram import Gram, gram_of
from d2m_jax.core.types import Count


def centred_gram(updates: jax.Array, mask: jax.Array | None = None, f: Count | None = None) -> Gram:
    """Inner products `[S, S]` after subtracting a coordinate-wise median.

    Uncentred, distances between nearby updates drown in rounding; centred on the mean, one huge
    update does the same harm. The median moves with the majority only: of all rows, or, when f is a
    Python int and there is no mask, of the first 2 f + 3, most of which are honest as well, were
    there one Byzantine row more than declared.

    Args:
        updates: `[S, D]`.
        mask: `[S]` bool; absent rows become rows of zeros, so their products are 0.
        f: rows that may be Byzantine; None where the rule does not ask. From two more than f huge
            rows among the first 2 f + 3 on, distances of close rows drown after all.

    Cost: one median and O(S^2 D) multiply-adds.
    """
    enough = 2 * f + 3 if mask is None and isinstance(f, int) else None
    return gram_of(updates, mask, fence(median(updates[:enough], mask=mask)))
