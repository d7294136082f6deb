"""The robustness coefficient: how far a rule is from the honest mean, in honest variances.

Here: the ratio for given updates, the worst over honest sets, what theorems promise. Not here: the
search for bad updates (`benchmarks/robustness.py`).
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from d2m_jax.core.types import Number

Coefficient = Callable[[float, float], float]


def deviation_ratio(aggregate: jax.Array, updates: jax.Array, honest: jax.Array) -> jax.Array:
    """||R(x) - mean_H||^2 / (1/|H| sum_(i in H) ||x_i - mean_H||^2), [].

    A rule is (f, kappa)-robust when this is at most kappa for every set H of n - f rows and
    whatever the others are. 0 / 0 is 0; x / 0 is inf. Source: Allouah et al., AISTATS 2023,
    definition 2.

    Args:
        aggregate: `[D]`, what the rule makes of all rows.
        updates: `[S, D]`.
        honest: `[S]` bool, H.
    """
    weights = honest.astype(updates.dtype) / jnp.maximum(honest.sum(), 1).astype(updates.dtype)
    mean = jnp.matmul(weights[None], jnp.where(honest[:, None], updates, 0), precision="highest")
    squares = jnp.where(honest[:, None], jnp.square(updates - mean), 0).sum(axis=1)
    error, spread = jnp.sum(jnp.square(aggregate[None] - mean)), jnp.sum(weights * squares)
    ratio = error / jnp.where(spread > 0, spread, 1)
    return jnp.where(spread > 0, ratio, jnp.where(error > 0, jnp.inf, 0))


def least_coefficient(n: Number, f: Number) -> Number:
    """f / (n - 2 f): no rule has a smaller one (Allouah et al., AISTATS 2023, proposition 6)."""
    return f / (n - 2 * f)


def _trimmed(n: float, f: float) -> float:
    return 6 * f / (n - 2 * f) * (1 + f / (n - 2 * f))


def _krum(n: float, f: float) -> float:
    return 6 * (1 + f / (n - 2 * f))


def _medians(n: float, f: float) -> float:
    return 4 * (1 + f / (n - 2 * f)) ** 2


COEFFICIENTS: dict[str, Coefficient] = {
    "trimmed_mean": _trimmed,
    "krum": _krum,
    "geometric_median": _medians,
    "median": _medians,
}


def promised(rule: str, n: int, f: int, mixed: bool = False) -> float | None:
    """The coefficient that a theorem promises, None where we know of none.

    Args:
        rule: a name in `AGGREGATORS`.
        n: rows.
        f: of them Byzantine, 2 f < n.
        mixed: nearest-neighbour mixing before the rule: kappa' = 8 f / (n - f) (kappa + 1).

    Source: Allouah et al., AISTATS 2023, table 1 and lemma 5.
    """
    if rule not in COEFFICIENTS:
        return None
    kappa = COEFFICIENTS[rule](n, f)
    return 8 * f / (n - f) * (kappa + 1) if mixed else kappa
