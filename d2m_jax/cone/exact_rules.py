"""The stop rules for two digests, right and wrong, in float64 NumPy: what `exact.py` walks on.

Written apart from `stop_rules.py` on purpose: the two check each other. A verdict is +1 (accept the
right digest), -1 (accept the wrong one) or 0 (draw another set).
"""

import numpy as np
from jax.typing import ArrayLike
from scipy.special import gammaln

from d2m_jax.cone.params import ConeParams


def number(value: ArrayLike) -> float:
    """One of `ConeParams`' numbers as a Python float."""
    return float(np.asarray(value, np.float64))


def threshold(params: ConeParams) -> float:
    """Wald's bound `ln((1-beta)/beta)` in nats."""
    beta = number(params.beta)
    return float(np.log1p(-beta) - np.log(beta))


def lead_needed(params: ConeParams) -> int:
    """d* = ceil(ln((1-beta)/beta) / ln((1-f_max)/f_max))."""
    f_max = number(params.f_max)
    return int(np.ceil(threshold(params) / (np.log1p(-f_max) - np.log(f_max)) - 1e-5))


def honest_bad(pool: int, params: ConeParams) -> tuple[int, int]:
    """H and B of the hypergeometric rule: B = floor(f_max pool)."""
    bad = int(np.floor(number(params.f_max) * pool + 1e-3))
    return pool - bad, bad


def log_weight(votes: np.ndarray, pool: int, params: ConeParams) -> np.ndarray:
    """`ln C(H, x) - ln C(B, x)` of x votes for a digest; infinite when x > B."""
    good, bad = honest_bad(pool, params)
    inside = np.minimum(votes, bad)
    value = gammaln(good + 1) - gammaln(good - inside + 1) - gammaln(bad + 1)
    return np.where(votes > bad, np.inf, value + gammaln(bad - inside + 1))


def square_weight(share: float, pool: int, params: ConeParams) -> float:
    """The weight of `x1^2 - x2^2` of one set with a share q of the pool, in MiRACLE."""
    f_max = number(params.f_max)
    spread = pool * share * max(1 - share, 1 / pool)
    return (1 - 2 * f_max) / (2 * f_max * (1 - f_max)) / spread


def by_lead(right: np.ndarray, wrong: np.ndarray, params: ConeParams) -> np.ndarray:
    """Verdict of "lead" on the votes of all sets."""
    need = lead_needed(params)
    return (right - wrong >= need) * 1 - (wrong - right >= need) * 1


def by_likelihood(
    right: np.ndarray, wrong: np.ndarray, pool: int, params: ConeParams
) -> np.ndarray:
    """Verdict of "hypergeometric" on the votes of all sets drawn without replacement."""
    a, b = log_weight(right, pool, params), log_weight(wrong, pool, params)
    finite = np.where(np.isinf(a), 0.0, a) - np.where(np.isinf(b), 0.0, b)
    ratio = np.where(np.isinf(a), np.where(np.isinf(b), 0.0, np.inf), finite)
    ratio = np.where(np.isinf(b) & ~np.isinf(a), -np.inf, ratio)
    return by_score(ratio, params)


def by_score(score: np.ndarray, params: ConeParams) -> np.ndarray:
    """Verdict on a log-likelihood ratio, right over wrong."""
    need = threshold(params)
    return (score >= need) * 1 - (score <= -need) * 1


def by_majority(right: np.ndarray, wrong: np.ndarray) -> np.ndarray:
    """Verdict of "majority_last" on the votes of the last set, all of which are revealed."""
    size = right + wrong
    return ((3 * right >= 2 * size) * 1 - (3 * wrong >= 2 * size) * 1) * (size > 0)
