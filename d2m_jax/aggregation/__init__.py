"""Robust aggregation rules: `rule(updates [S, D], f, *, mask=None, **hyper) -> aggregate [D]`."""

from d2m_jax.aggregation.coordinate import mean, median, trimmed_mean
from d2m_jax.aggregation.masks import finite_mask

AGGREGATORS = {
    "mean": mean,
    "median": median,
    "trimmed_mean": trimmed_mean,
}

__all__ = ["AGGREGATORS", "finite_mask", "mean", "median", "trimmed_mean"]
