"""The stop rules for two digests, right and wrong, in float64 NumPy: what `exact.py` walks on.

Written apart from `stop_rules.py` on purpose: the two check each other. A verdict is +1 (accept the
right digest), -1 (accept the wrong one) or 0 (draw another set). An `ExactForm` says how a rule
judges sets drawn without replacement and, if it can, how it walks over independent ones.
"""

from typing import NamedTuple, Protocol

import numpy as np
from jax.typing import ArrayLike

from d2m_jax.cone.params import ConeParams

GRID = 2e-3  # nats, to which the real-valued step of the hypergeometric walk is rounded


class Counts(NamedTuple):
    """Votes for the right and the wrong digest; arrays of one shape, or that broadcast."""

    right: np.ndarray  # over all sets, this one included
    wrong: np.ndarray
    right_now: np.ndarray  # in this set, all of whose seats reveal
    wrong_now: np.ndarray


class Judge(Protocol):
    """`(counts, score, pool, params) -> (verdict, score)`; the score is what it remembers."""

    def __call__(
        self, counts: Counts, score: np.ndarray, pool: int, params: ConeParams, /
    ) -> tuple[np.ndarray, np.ndarray]:
        """Verdict after this set, and the score after it; a score starts at 0."""


class Walk(Protocol):
    """`(right, wrong, pool, params) -> (step, bound)` of the votes of one independent set.

    The score is the sum of whole steps; +bound accepts the right digest, -bound the wrong one, and
    a step of NaN means that nothing can be accepted any more.
    """

    def __call__(
        self, right: np.ndarray, wrong: np.ndarray, pool: int, params: ConeParams, /
    ) -> tuple[np.ndarray, int]:
        """The step of every pair of counts, and the bound."""


class ExactForm(NamedTuple):
    """What exact probabilities are made of."""

    judge: Judge | None  # sets drawn without replacement
    walk: Walk | None = None  # sets drawn from the whole pool again


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
    from scipy.special import gammaln  # takes long to load

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


def _judge_lead(
    counts: Counts, score: np.ndarray, pool: int, params: ConeParams
) -> tuple[np.ndarray, np.ndarray]:
    del pool
    return by_lead(counts.right, counts.wrong, params), score


def _judge_hypergeometric(
    counts: Counts, score: np.ndarray, pool: int, params: ConeParams
) -> tuple[np.ndarray, np.ndarray]:
    return by_likelihood(counts.right, counts.wrong, pool, params), score


def _judge_miracle(
    counts: Counts, score: np.ndarray, pool: int, params: ConeParams
) -> tuple[np.ndarray, np.ndarray]:
    size = counts.right_now + counts.wrong_now
    weight = square_weight(float(size.flat[0]) / pool, pool, params)
    score = score + weight * size * (counts.right_now - counts.wrong_now)  # x1^2 - x2^2
    return by_score(score, params), score


def _judge_majority_last(
    counts: Counts, score: np.ndarray, pool: int, params: ConeParams
) -> tuple[np.ndarray, np.ndarray]:
    del pool, params
    return by_majority(counts.right_now, counts.wrong_now), score


def _walk_lead(
    right: np.ndarray, wrong: np.ndarray, pool: int, params: ConeParams
) -> tuple[np.ndarray, int]:
    del pool
    return right - wrong, lead_needed(params)


def _walk_hypergeometric(
    right: np.ndarray, wrong: np.ndarray, pool: int, params: ConeParams
) -> tuple[np.ndarray, int]:
    """In steps of `GRID`, so exact to about 6e-4 of the error; a proven digest steps over all."""
    a, b = (log_weight(x, pool, params) for x in (right, wrong))
    step = np.rint((np.minimum(a, 1e6) - np.minimum(b, 1e6)) / GRID)
    step = np.where(np.isinf(a) & np.isinf(b), np.nan, step)  # two digests with more than B votes
    return step, int(np.ceil(threshold(params) / GRID))


def _walk_miracle(
    right: np.ndarray, wrong: np.ndarray, pool: int, params: ConeParams
) -> tuple[np.ndarray, int]:
    weight = square_weight(number(params.q), pool, params)
    return right**2 - wrong**2, int(np.ceil(threshold(params) / weight))


def _walk_majority_last(
    right: np.ndarray, wrong: np.ndarray, pool: int, params: ConeParams
) -> tuple[np.ndarray, int]:
    """The verdict itself with bound 1: an open set steps by 0."""
    del pool, params
    return by_majority(right, wrong), 1


LEAD = ExactForm(_judge_lead, _walk_lead)
HYPERGEOMETRIC = ExactForm(_judge_hypergeometric, _walk_hypergeometric)
MIRACLE = ExactForm(_judge_miracle, _walk_miracle)
MAJORITY_LAST = ExactForm(_judge_majority_last, _walk_majority_last)
