"""Which of several outcomes nobody can better in one respect without loss in another. Host."""

import numpy as np


def best_tradeoffs(values: np.ndarray) -> np.ndarray:
    """[P] bool: the points of the Pareto front.

    A point is beaten by another that is nowhere worse and somewhere better; equal points stay.

    Args:
        values: [P, M], of which more is better in every column.

    Raises:
        ValueError: no table, or a value that is not finite.
    """
    values = np.asarray(values, np.float64)
    if values.ndim != 2 or not np.isfinite(values).all():
        raise ValueError(f"a front needs a table [P, M] of finite values, got {values.shape}")
    no_worse = (values[:, None] >= values[None]).all(2)
    better = (values[:, None] > values[None]).any(2)
    return np.asarray(~(no_worse & better).any(0))
