"""A training round as work that is exact in whole numbers: committed updates in, model out.

A step per coordinate of the aggregate and one per coordinate of the server's step, in fixed point.
Read first: `steps.py`. What is not exact is said in docs/cone.md.
"""

import numpy as np

from d2m_jax.court.steps import MAX_READS, ONE, Op, Step, Work, clip


def fixed(values: np.ndarray) -> list[int]:
    """Floats as whole multiples of 2^-16, clipped to 32 bits."""
    return [clip(int(x)) for x in np.rint(np.asarray(values, np.float64) * ONE).ravel()]


def floats(values: list[int]) -> np.ndarray:
    """Multiples of 2^-16 as float32."""
    return (np.asarray(values, np.float64) / ONE).astype(np.float32)


def round_work(theta: np.ndarray, updates: np.ndarray, rate: float, trim: int = 0) -> Work:
    """theta_j <- theta_j - rate * (mean of u_sj without the `trim` smallest and largest).

    The memory holds S D updates, D parameters, D entries of the aggregate; step 2 j writes the
    aggregate's coordinate j and step 2 j + 1 the model's. The median is `trim = (S - 1) // 2`.
    Against the same in float32 a parameter is off by at most 2^-16 (1/2 + rate) and rounding.

    Args:
        theta: [D] model before.
        updates: [S, D] of the sellers whose rows are used, S at most 64.
        rate: the server's.
        trim: rows left out at each end.

    Raises:
        ValueError: more rows than a step may read, or none left.
    """
    num, size = updates.shape
    if not 2 * trim < num <= MAX_READS:
        raise ValueError(f"a step reads 1 to {MAX_READS} updates; {num} with trim {trim} are not")
    model, mean = num * size, (num + 1) * size
    factor = -round(rate * ONE)
    program = []
    for j in range(size):
        program += [
            Step(Op.TRIMMED_MEAN, mean + j, start=j, stride=size, size=num, a=trim),
            Step(Op.AXPY, model + j, start=mean + j, size=1, a=ONE, b=factor),
        ]
    return Work((*fixed(updates), *fixed(theta), *[0] * size), tuple(program))


def model_of(memory: list[int], num: int, size: int) -> np.ndarray:
    """[D] float32: the model in the memory of `round_work`, of `num` updates of `size` entries."""
    return floats(memory[num * size : (num + 1) * size])
