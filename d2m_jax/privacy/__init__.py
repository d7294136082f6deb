"""Privacy: who sees what, differential privacy at the seller, partial models, leak probes.

Read first: `visibility.py`; then `dp.py`, `noise.py` and `accountant.py`, which loads the package
dp-accounting when it is asked for an epsilon.
"""

from d2m_jax.privacy.accountant import (
    Epsilons,
    epsilons,
    epsilons_a_priori,
    gaussian_epsilon,
    participations_of,
    zcdp_epsilon,
)
from d2m_jax.privacy.dp import UNITS, private_sellers, private_update
from d2m_jax.privacy.noise import private_sum, sampling_delta
from d2m_jax.privacy.partial import aggregate_parts, draw_parts, exposure, spread_parts
from d2m_jax.privacy.secure import (
    BY_SELLER,
    GROUP_CONTRIBUTIONS,
    JUDGES,
    SUM_RULES,
    check_secure,
    group_means,
    masked_uploads,
)
from d2m_jax.privacy.visibility import VISIBILITY, Party, check_flows, release, table

__all__ = [
    "BY_SELLER",
    "GROUP_CONTRIBUTIONS",
    "JUDGES",
    "SUM_RULES",
    "UNITS",
    "VISIBILITY",
    "Epsilons",
    "Party",
    "aggregate_parts",
    "check_flows",
    "check_secure",
    "draw_parts",
    "epsilons",
    "epsilons_a_priori",
    "exposure",
    "gaussian_epsilon",
    "group_means",
    "masked_uploads",
    "participations_of",
    "private_sellers",
    "private_sum",
    "private_update",
    "release",
    "sampling_delta",
    "spread_parts",
    "table",
    "zcdp_epsilon",
]
