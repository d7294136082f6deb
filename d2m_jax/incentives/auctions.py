"""What auction theory says of independent values that are uniform on [0, top]. Host only.

Not here: the auctions that are played (`audit/auctions.py`).
"""

import numpy as np


def expected_revenue(num: int, reserve: float, top: float) -> float:
    """Mean price of `num` buyers in every standard auction, 0 where nobody reaches the reserve.

    With r = reserve / top the mean of the winner's virtual value (Myerson 1981):
    top * integral from r to 1 of (2 x - 1) num x^(num - 1) = top * (2 num / (num + 1) *
    (1 - r^(num + 1)) - (1 - r^num)). With r = 0 it is top (num - 1) / (num + 1), the mean of the
    second highest value.
    """
    r = reserve / top
    return top * (2 * num / (num + 1) * (1 - r ** (num + 1)) - (1 - r**num))


def equilibrium_share(values: np.ndarray, num: int, reserve: float) -> np.ndarray:
    """Bid over value in the symmetric equilibrium of a sealed first-price auction.

    b(v) = v - v / num * (1 - (reserve / v)^num) for v at or above the reserve; below it 1.

    Args:
        values: [...] positive.
        num: of buyers.
        reserve: units.
    """
    values = np.asarray(values, np.float64)
    share = 1.0 - (1.0 - (reserve / values) ** num) / num
    return np.where(values < reserve, 1.0, share)
