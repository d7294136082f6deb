"""Exact votes when every set is drawn from the whole pool again (YODA). Read first: `exact.py`.

Sets are then alike and independent, so a running score is a random walk: its distribution is
convolved set by set, cut off at the two thresholds.
"""

import numpy as np
from scipy.stats import binom

from d2m_jax.cone import exact_rules as rules
from d2m_jax.cone.params import ConeParams

GRID = 2e-3  # nats, to which the real-valued step of the hypergeometric rule is rounded


def walk_independent(
    pool: int, bad: int, params: ConeParams, rule: str, attempts: int
) -> tuple[float, float, np.ndarray, np.ndarray]:
    """Error, undecided, by_attempt and seats of `exact.ExactVote` for independent sets.

    Right and wrong votes of a set are Binomial(pool - bad, q) and Binomial(bad, q). In units of a
    grid every rule is a walk with integer steps that ends at +-bound: votes for "lead", squares
    for "miracle", nats for "hypergeometric" (rounded to 2e-3 per set, so exact to about
    6e-4 of the error), and for "majority_last" the verdict itself with bound 1, where an open set
    steps by 0. Cost: attempts x bound x steps.
    """
    right, p_right = _counts(pool - bad, rules.number(params.q))
    wrong, p_wrong = _counts(bad, rules.number(params.q))
    chance = p_right[:, None] * p_wrong[None, :]
    step, bound = _steps(rule, right[:, None], wrong[None, :], pool, params)
    stuck_now = 0.0
    if rule == "hypergeometric":  # two digests with more than B votes: nothing can be accepted
        limit = rules.honest_bad(pool, params)[1]
        both = (right[:, None] > limit) & (wrong[None, :] > limit)
        stuck_now, chance = float(chance[both].sum()), np.where(both, 0.0, chance)
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
    seats = np.arange(1, attempts + 1) * rules.number(params.q) * pool
    return float(error), float(state.sum() + stuck), by_attempt, seats


def _counts(nodes: int, q: float) -> tuple[np.ndarray, np.ndarray]:
    """The likely numbers of seats of a group, and their probabilities."""
    votes = np.arange(nodes + 1)
    chance = binom.pmf(votes, nodes, q)
    keep = chance > 1e-40
    return votes[keep], chance[keep]


def _steps(
    rule: str, right: np.ndarray, wrong: np.ndarray, pool: int, params: ConeParams
) -> tuple[np.ndarray, int]:
    """The step of the walk for every pair of counts, and the bound, in units of the grid."""
    if rule == "lead":
        return right - wrong, rules.lead_needed(params)
    if rule == "majority_last":
        return rules.by_majority(right, wrong), 1
    need = rules.threshold(params)
    if rule == "miracle":
        weight = rules.square_weight(rules.number(params.q), pool, params)
        return right**2 - wrong**2, int(np.ceil(need / weight))
    a, b = (rules.log_weight(x, pool, params) for x in (right, wrong))
    a, b = np.minimum(a, 1e6), np.minimum(b, 1e6)  # one digest proven: a step over everything
    return np.rint((a - b) / GRID), int(np.ceil(need / GRID))
