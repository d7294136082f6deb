"""Exact votes when every set is drawn from the whole pool again (YODA). Read first: `exact.py`.

Sets are then alike and independent, so a running score is a random walk: its distribution is
convolved set by set, cut off at the two thresholds.
"""

import numpy as np

from d2m_jax.cone.exact_rules import Walk, number
from d2m_jax.cone.params import ConeParams


def walk_independent(
    pool: int, bad: int, params: ConeParams, walk: Walk, attempts: int
) -> tuple[float, float, np.ndarray, np.ndarray]:
    """Error, undecided, by_attempt and seats of `exact.ExactVote` for independent sets.

    Right and wrong votes of a set are Binomial(pool - bad, q) and Binomial(bad, q). In units of a
    grid every rule is a walk with integer steps that ends at +-bound: votes for "lead", squares
    for "miracle", nats for "hypergeometric". Cost: attempts x bound x steps.
    """
    right, p_right = _counts(pool - bad, number(params.q))
    wrong, p_wrong = _counts(bad, number(params.q))
    chance = p_right[:, None] * p_wrong[None, :]
    step, bound = walk(right[:, None], wrong[None, :], pool, params)
    ends = np.isnan(np.broadcast_to(step, chance.shape))  # nothing can be accepted any more
    stuck_now, chance = float(chance[ends].sum()), np.where(ends, 0.0, chance)
    step = np.where(ends, 0, step)
    # Steps wider than the open interval end the walk from wherever it is: all alike.
    step = np.clip(step, -2 * bound, 2 * bound).astype(np.int64)
    jump = np.bincount((step + 2 * bound).ravel(), weights=chance.ravel(), minlength=4 * bound + 1)

    state = np.zeros(2 * bound - 1)  # open scores -bound+1 .. bound-1
    state[bound - 1] = 1.0
    error = stuck = 0.0
    by_attempt = np.zeros(attempts)
    used = np.flatnonzero(jump)
    for i in range(attempts):
        after = np.zeros(6 * bound - 1)  # scores -3 bound+1 .. 3 bound-1
        for shift in used:
            after[shift : shift + 2 * bound - 1] += jump[shift] * state
        stuck += stuck_now * state.sum()
        below, state, above = np.split(after, [2 * bound, 4 * bound - 1])
        error += below.sum()
        by_attempt[i] = below.sum() + above.sum()
    by_attempt[-1] += state.sum() + stuck
    seats = np.arange(1, attempts + 1) * number(params.q) * pool
    return float(error), float(state.sum() + stuck), by_attempt, seats


def _counts(nodes: int, q: float) -> tuple[np.ndarray, np.ndarray]:
    """The likely numbers of seats of a group, and their probabilities."""
    from scipy.stats import binom  # takes long to load

    votes = np.arange(nodes + 1)
    chance = binom.pmf(votes, nodes, q)
    keep = chance > 1e-40
    return votes[keep], chance[keep]
