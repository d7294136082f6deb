"""Incentives: what work is worth, what is paid for it, whether honesty pays.

Registries, by name: `CONTRIBUTIONS` (per round), `PAYMENTS`; a function of your own does as well as
a name. Values of coalitions: `values.py` (exact: Shapley, Banzhaf, Beta Shapley), `sampled.py`,
`federated.py`; deviations: `best_response.py` (regret), `dynamics.py`. Read first:
`contribution.py`.
"""

from d2m_jax.incentives.best_response import Regret, break_even, regret, verdict
from d2m_jax.incentives.coalitions import Utility, all_coalitions, over_coalitions
from d2m_jax.incentives.contribution import (
    Contribution,
    Evidence,
    count,
    discounted,
    fresh,
    gain,
    leave_one_out,
    mass,
    own_work,
    path,
    quotient,
    reputation,
    round_shapley,
    similarity,
    to_weights,
    unique,
)
from d2m_jax.incentives.federated import multi_round, round_utility
from d2m_jax.incentives.payments import (
    EXECUTION_COST,
    PAYMENTS,
    TRAINING_COST,
    Payment,
    PaymentReport,
    PaymentView,
    asks_for_view,
    pay,
    payment_report,
)
from d2m_jax.incentives.sampled import (
    Estimate,
    banzhaf_msr,
    permutation_shapley,
    truncated_shapley,
)
from d2m_jax.incentives.values import banzhaf, beta_shapley, shapley

CONTRIBUTIONS: dict[str, Contribution] = {
    "gain": gain,
    "count": count,
    "mass": mass,
    "reputation": reputation,
    "similarity": similarity,
    "leave_one_out": leave_one_out,
    "round_shapley": round_shapley,
    "path": path,
    "fresh": fresh,
    "discounted": discounted,
    "quotient": quotient,
    "own_work": own_work,
    "unique": unique,
}

__all__ = [
    "CONTRIBUTIONS",
    "EXECUTION_COST",
    "PAYMENTS",
    "TRAINING_COST",
    "Contribution",
    "Estimate",
    "Evidence",
    "Payment",
    "PaymentReport",
    "PaymentView",
    "Regret",
    "Utility",
    "all_coalitions",
    "asks_for_view",
    "banzhaf",
    "banzhaf_msr",
    "beta_shapley",
    "break_even",
    "count",
    "gain",
    "mass",
    "multi_round",
    "over_coalitions",
    "pay",
    "payment_report",
    "permutation_shapley",
    "regret",
    "round_utility",
    "shapley",
    "to_weights",
    "truncated_shapley",
    "unique",
    "verdict",
]
