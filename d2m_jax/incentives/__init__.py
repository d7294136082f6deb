"""Incentives: contribution measures. Read next: `contribution.py`."""

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

__all__ = ["CONTRIBUTIONS", "Evidence", "count", "gain", "mass", "to_weights"]
