"""Does a unilateral deviation pay? Statistics of payoffs, and what it takes to deter it.

Pure functions of tables of payoffs (strategies by seeds, common random numbers), and the closed
conditions of section 6 of our reference. Not here: the games that give the payoffs
(`audit/games.py`).
"""

from typing import Literal, NamedTuple, TypeAlias

import numpy as np

Standing: TypeAlias = Literal["dominant", "Nash only", "fails", "undecided"]


class Regret(NamedTuple):
    """max over strategies of U(s) - U(honest), with a simultaneous confidence interval."""

    best: int  # index of the best deviation
    value: float
    low: float
    high: float
    gains: np.ndarray  # [P] mean of U(s) - U(honest); 0 for honest itself
    margins: np.ndarray  # [P] half widths of the simultaneous intervals


def regret(payoffs: np.ndarray, honest: int = 0, confidence: float = 0.95) -> Regret:
    """The regret of honesty from paired payoffs.

    Differences are taken seed by seed (common random numbers), so that luck cancels. The intervals
    of all deviations hold together (Bonferroni), hence also for the largest: [max low, max high].

    Args:
        payoffs: [P, K] of P strategies in the same K worlds.
        honest: row of the honest strategy.
        confidence: of all intervals together.

    Raises:
        ValueError: fewer than two strategies or worlds, or a confidence outside (0, 1).
    """
    payoffs = np.asarray(payoffs, np.float64)
    from scipy.stats import t as student  # takes long to load

    if payoffs.ndim != 2 or min(payoffs.shape) < 2:
        raise ValueError(
            f"a regret needs at least two strategies in two worlds, got shape {payoffs.shape}"
        )
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, got {confidence}")
    num, worlds = payoffs.shape
    difference = payoffs - payoffs[honest]
    gains = difference.mean(1)
    spread = difference.std(1, ddof=1) / np.sqrt(worlds)
    margins = spread * student.ppf(1 - (1 - confidence) / 2 / (num - 1), worlds - 1)
    others = np.delete(np.arange(num), honest)
    best = int(others[np.argmax(gains[others])])
    low = float((gains - margins)[others].max())
    high = float((gains + margins)[others].max())
    return Regret(best, float(gains[best]), low, high, gains, margins)


def verdict(
    given_honest: Regret, given_random: Regret, tolerance: tuple[float, float] = (0.0, 0.0)
) -> Standing:
    """Where honesty stands, up to `tolerance` units of utility given honest and random others.

    "dominant": no deviation pays against honest nor against random others. "Nash only": none pays
    against honest others, one does against random ones. "fails": one pays against honest others.
    "undecided": an interval reaches across the tolerance.
    """
    if given_honest.low > tolerance[0]:
        return "fails"
    if given_honest.high > tolerance[0]:
        return "undecided"
    if given_random.low > tolerance[1]:
        return "Nash only"
    return "dominant" if given_random.high <= tolerance[1] else "undecided"


class Threshold(NamedTuple):
    """Value of a parameter at which a deviation stops to pay."""

    value: float
    low: float
    high: float


def break_even(
    at_zero: np.ndarray, at_one: np.ndarray, scale: float, confidence: float = 0.95
) -> Threshold:
    """Root of a payoff difference that is linear in a parameter, with Fieller's interval.

    diff(x) = A + (B - A) x / scale per world, A at x = 0 and B at x = scale. The root of the means
    is -scale mean(A) / mean(B - A); Student's t with K - 1 degrees. Source: Fieller 1954.

    Args:
        at_zero: [K] U(deviation) - U(honest) with the parameter at 0.
        at_one: [K] the same worlds with the parameter at `scale`.
        scale: where `at_one` was measured.
        confidence: of the interval.

    Returns:
        `Threshold`; infinite ends when the slope is not clearly different from 0.

    Raises:
        ValueError: not the same number of worlds, or fewer than two.
    """
    from scipy.stats import t as student  # takes long to load

    a = np.asarray(at_zero, np.float64)
    b = np.asarray(at_one, np.float64) - a
    if a.shape != b.shape or a.ndim != 1 or len(a) < 2:
        raise ValueError(f"break_even needs two equal columns of worlds, got {a.shape}, {b.shape}")
    top, bottom, worlds = -a.mean(), b.mean(), len(a)
    if bottom == 0:
        return Threshold(float("nan"), -float("inf"), float("inf"))
    quantile = student.ppf(0.5 + confidence / 2, worlds - 1)
    covariance = np.cov(-a, b) / worlds
    square = bottom**2 - quantile**2 * covariance[1, 1]
    middle = top * bottom - quantile**2 * covariance[0, 1]
    inside = middle**2 - square * (top**2 - quantile**2 * covariance[0, 0])
    value = scale * top / bottom
    if square <= 0 or inside < 0:
        return Threshold(value, -float("inf"), float("inf"))
    ends = (middle + np.array([-1, 1]) * np.sqrt(inside)) / square * scale
    return Threshold(value, float(ends.min()), float(ends.max()))


def seller_deposit_bound(
    detection: float, pay: float, pay_caught: float, gain: float, cost: float
) -> float:
    """Smallest deposit that deters a seller: D >= [(1 - pi)(w_d + G) - w + c] / pi.

    Args:
        detection: pi in (0, 1], probability that the deviator is slashed.
        pay: w, expected pay of an honest seller.
        pay_caught: w_d, expected pay of a deviator that is not caught.
        gain: G, what the deviation is worth outside the market.
        cost: c, cost of honest training that the deviation saves.

    Raises:
        ValueError: detection outside (0, 1].
    """
    if not 0 < detection <= 1:
        raise ValueError(f"detection must lie in (0, 1], got {detection}")
    return ((1 - detection) * (pay_caught + gain) - pay + cost) / detection


def detection_bound(
    deposit: float, pay: float, pay_caught: float, gain: float, cost: float
) -> float:
    """Smallest detection rate that deters a seller: pi >= (w_d + G - w + c) / (D + w_d + G).

    The same inequality solved for pi, clipped to [0, 1]; above 1 no detection suffices.
    """
    if deposit < 0:
        raise ValueError(f"deposit must not be negative, got {deposit}")
    least = (pay_caught + gain - pay + cost) / max(deposit + pay_caught + gain, 1e-12)
    return max(least, 0.0)


def node_stake_bound(error: float, reward: float, gain: float, cost: float) -> float:
    """Smallest stake that deters a colluding node: D >= [c + eps (r + G) - r] / (1 - eps).

    Per execution: honest r - c, colluding eps (r + G) - (1 - eps) D.

    Args:
        error: eps in [0, 1), probability that a colluder's vote ends accepted.
        reward: r of an execution that matches.
        gain: G, what an accepted wrong result is worth to each colluder.
        cost: c of an execution, which a colluder saves.

    Raises:
        ValueError: error outside [0, 1).
    """
    if not 0 <= error < 1:
        raise ValueError(f"error must lie in [0, 1), got {error}")
    return (cost + error * (reward + gain) - reward) / (1 - error)


def shading(num_buyers: int) -> float:
    """Equilibrium bid over value in a first-price auction, values uniform from 0: (n - 1) / n.

    Against truthful rivals the best response is the same: max over b of (v - b) b^(n-1). Source:
    Vickrey 1961.
    """
    if num_buyers < 2:
        raise ValueError(f"an auction needs at least 2 buyers, got {num_buyers}")
    return (num_buyers - 1) / num_buyers
