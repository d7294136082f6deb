"""Incentives: what work is worth, what is paid for it, whether honesty pays.

Registries, by name: `CONTRIBUTIONS` (per round), `PAYMENTS`. Values of coalitions: `values.py`,
`sampled.py`, `federated.py`; deviations: `best_response.py`, `dynamics.py`. Read first:
`contribution.py`.
"""

from d2m_jax.incentives.contribution import (
    Evidence,
    count,
    fresh,
    gain,
    leave_one_out,
    mass,
    path,
    reputation,
    round_shapley,
    similarity,
    to_weights,
)
from d2m_jax.incentives.payments import (
    EXECUTION_COST,
    PAYMENTS,
    TRAINING_COST,
    PaymentReport,
    payment_report,
)

CONTRIBUTIONS = {
    "gain": gain,
    "count": count,
    "mass": mass,
    "reputation": reputation,
    "similarity": similarity,
    "leave_one_out": leave_one_out,
    "round_shapley": round_shapley,
    "path": path,
    "fresh": fresh,
}

__all__ = [
    "CONTRIBUTIONS",
    "EXECUTION_COST",
    "PAYMENTS",
    "TRAINING_COST",
    "Evidence",
    "PaymentReport",
    "count",
    "gain",
    "mass",
    "payment_report",
    "to_weights",
]
