"""Games whose values are known in closed form, and a slow exact Shapley in float64."""

import itertools
import math

import jax.numpy as jnp
import numpy as np

from d2m_jax.incentives.coalitions import all_coalitions, over_coalitions


def table(one, num):
    """v [2^S] of a utility of one mask."""
    return over_coalitions(one)(all_coalitions(num))


def glove(mask):
    """Two left gloves and one right one; a pair is worth 1."""
    return jnp.minimum(mask[:2].sum(), mask[2:].sum()).astype(jnp.float32)


def airport(costs):
    """The runway that a set of aeroplanes needs costs as much as the dearest one's."""
    return lambda mask: jnp.where(mask, jnp.asarray(costs), 0.0).max()


def voting(weights, quota):
    """A motion passes when the weights of its voters reach the quota."""
    return lambda mask: (jnp.where(mask, jnp.asarray(weights), 0).sum() >= quota).astype(
        jnp.float32
    )


def additive(worth):
    return lambda mask: jnp.where(mask, jnp.asarray(worth), 0.0).sum()


# utility, sellers, Shapley value
CLOSED_FORMS = {
    "glove": (glove, 3, [1 / 6, 1 / 6, 4 / 6]),
    "airport": (airport([1.0, 2.0, 4.0]), 3, [1 / 3, 1 / 3 + 1 / 2, 1 / 3 + 1 / 2 + 2]),
    "voting": (voting([3, 2, 1, 1], 4), 4, [1 / 2, 1 / 6, 1 / 6, 1 / 6]),
    "additive": (additive([0.5, -1.0, 2.0, 0.0]), 4, [0.5, -1.0, 2.0, 0.0]),
}


def slow_shapley(v):
    """Mean over all S! orders, float64."""
    v = np.asarray(v, np.float64)
    num = int(math.log2(len(v)))
    total = np.zeros(num)
    for order in itertools.permutations(range(num)):
        code = 0
        for i in order:
            total[i] += v[code | 1 << i] - v[code]
            code |= 1 << i
    return total / math.factorial(num)
