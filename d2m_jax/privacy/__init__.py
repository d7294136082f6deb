"""Privacy: who sees what, differential privacy at the seller, partial models, leak probes.

Read first: `visibility.py`; then `dp.py` and `accountant.py`. `accountant` needs the package
dp-accounting and is imported on its own.
"""

from d2m_jax.privacy.dp import UNITS, private_sellers, private_update
from d2m_jax.privacy.partial import dense_groups, draw_parts, spread_parts
from d2m_jax.privacy.secure import (
    BY_SELLER,
    GROUP_CONTRIBUTIONS,
    SUM_RULES,
    check_secure,
    group_means,
    masked_uploads,
)
from d2m_jax.privacy.visibility import VISIBILITY, Party, check_flows, release, table

__all__ = [
    "BY_SELLER",
    "GROUP_CONTRIBUTIONS",
    "SUM_RULES",
    "UNITS",
    "VISIBILITY",
    "Party",
    "check_flows",
    "check_secure",
    "dense_groups",
    "draw_parts",
    "group_means",
    "masked_uploads",
    "private_sellers",
    "private_update",
    "release",
    "spread_parts",
    "table",
]
