"""Whose updates are bought, and how fairly: the measures of gradient marketplaces. Host, NumPy.

All of W worlds at once. After Song, Galhotra and Mehnaz, arXiv 2509.05833 (cost, fairness and
selection of honest and bad sellers); the formulas are ours. Read next: `sweep/tables.py`.
"""

import numpy as np


def mean_over(values: np.ndarray, who: np.ndarray) -> np.ndarray:
    """Means over the chosen of every row of [W, K], [W]; NaN where there are none."""
    count = who.sum(1)
    total = np.where(who, values, 0).sum(1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def selection_rate(used: np.ndarray, offered: np.ndarray) -> np.ndarray:
    """[W] share of the updates that were offered that were used; NaN where none was.

    Args:
        used: [W, R, S] bool.
        offered: [W, R, S] bool, of the sellers in question.
    """
    count = len(used)
    return mean_over(used.reshape(count, -1).astype(float), offered.reshape(count, -1))


def never_used(
    sellers: np.ndarray, used: np.ndarray, offered: np.ndarray, who: np.ndarray
) -> np.ndarray:
    """[W] share of the chosen sellers that offered updates of which none was used; NaN for none.

    Args:
        sellers: [W, R, S] indices.
        used: [W, R, S] bool.
        offered: [W, R, S] bool.
        who: [W, N] bool.
    """
    worlds = np.broadcast_to(np.arange(len(who))[:, None, None], sellers.shape)
    asked, bought = np.zeros(who.shape, int), np.zeros(who.shape, int)
    np.add.at(asked, (worlds, sellers), offered)
    np.add.at(bought, (worlds, sellers), used & offered)
    return mean_over((bought == 0).astype(float), who & (asked > 0))


def jain(pay: np.ndarray, who: np.ndarray) -> np.ndarray:
    """[W] Jain's index (sum x)^2 / (n sum x^2) over the chosen; NaN where nobody is paid.

    1 is equal pay, 1 / n is one takes all. The same as `incentives.payment_report` says of a single
    payment.
    """
    paid = np.where(who, pay, 0).astype(float)
    square = np.maximum(who.sum(1), 1) * (paid**2).sum(1)
    return np.where(square > 0, paid.sum(1) ** 2 / np.where(square > 0, square, 1), np.nan)


def gini(pay: np.ndarray, who: np.ndarray) -> np.ndarray:
    """[W] Gini coefficient over the chosen, sum |x_i - x_j| / (2 n sum x); NaN with no pay."""
    paid, both = np.where(who, pay, 0).astype(float), who[:, :, None] & who[:, None, :]
    gaps = (np.abs(paid[:, :, None] - paid[:, None, :]) * both).sum((1, 2))
    total = 2 * np.maximum(who.sum(1), 1) * paid.sum(1)
    return np.where(total > 0, gaps / np.where(total > 0, total, 1), np.nan)


def bought_until(
    used: np.ndarray, rounds: np.ndarray, metric: np.ndarray, target: np.ndarray
) -> np.ndarray:
    """[W] updates used until a metric first reaches a target: the cost of convergence; NaN: never.

    Args:
        used: [W, R, S] bool.
        rounds: [W, E] rounds done at each evaluation, from 1.
        metric: [W, E].
        target: [W].
    """
    reached = metric >= target[:, None]
    first = np.take_along_axis(rounds, reached.argmax(1)[:, None], 1)[:, 0]
    so_far = np.cumsum(used.sum(2), 1)
    spent = np.take_along_axis(so_far, np.clip(first - 1, 0, None)[:, None], 1)[:, 0]
    return np.where(reached.any(1), spent, np.nan)
