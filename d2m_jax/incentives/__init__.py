"""Incentives: contribution measures. Read next: `contribution.py`."""

from d2m_jax.incentives.contribution import Evidence, count, gain, mass, to_weights

CONTRIBUTIONS = {"gain": gain, "count": count, "mass": mass}

__all__ = ["CONTRIBUTIONS", "Evidence", "count", "gain", "mass", "to_weights"]
