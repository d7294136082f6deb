"""Exact probabilities of the vote, by dynamic programming over vote counts, on the host.

For honest nodes against one coalition, in float64: errors of 1e-9 and below, which no simulation
reaches. Sets drawn without replacement are here, YODA's independent ones in
`exact_independent.py`; the rules for two digests are in `exact_rules.py`. Vote counts are exact;
real-valued scores ("miracle" here, "hypergeometric" with independent sets) are rounded to a grid,
and a finer one moved no error that we tried by more than 6e-4 of itself.
"""

import dataclasses
from typing import Any, NamedTuple

import numpy as np

from d2m_jax.cone.exact_independent import walk_independent
from d2m_jax.cone.exact_rules import Counts, Judge
from d2m_jax.cone.params import ConeParams
from d2m_jax.cone.schedules import Schedule, default_attempts, schedule_of, totals
from d2m_jax.cone.sortition import SORTITIONS, SortitionChoice, sortition_of
from d2m_jax.cone.stop_rules import StopChoice, stop_rule_of
from d2m_jax.core.choices import label

GRID = 5e-3  # nats, to which MiRACLE's running score is rounded after each set
NEGLIGIBLE = 1e-40  # states less likely than this are dropped; errors below 1e-30 are lost


@dataclasses.dataclass(frozen=True)
class ExactVote:
    """The distribution of one vote; probabilities in float64."""

    error: float  # a wrong digest is accepted
    undecided: float  # a tie when the pool is used up, or no attempts left
    by_attempt: np.ndarray  # [A], the vote ends with attempt i + 1, whatever the result
    seats: np.ndarray  # [A], seats given out by then (expected ones for independent sets)

    @property
    def mean_attempts(self) -> float:
        """Expected number of sets."""
        return float(self.by_attempt @ np.arange(1, len(self.by_attempt) + 1))

    @property
    def mean_executions(self) -> float:
        """Expected number of seats; by Wald's identity for independent sets too."""
        return float(self.by_attempt @ self.seats)


def exact_vote(
    pool: int,
    bad: int,
    params: ConeParams,
    *,
    schedule: Schedule = "exponential",
    stop_rule: StopChoice = "lead",
    sortition: SortitionChoice = "uniform",
    adaptive: bool = False,
    max_attempts: int | None = None,
) -> ExactVote:
    """The exact distribution of what `decide` returns; uniform sortition, everybody reveals.

    Args:
        pool: C, eligible nodes.
        bad: how many of them work together for one wrong digest.
        params: numbers, not arrays.
        schedule: a name of `SCHEDULES`, a record, or a function of your own.
        stop_rule: a name of `STOP_RULES`, or a `StopRule` of your own that brings an exact form.
        sortition: must be uniform; here so that the options of `decide` can be passed on.
        adaptive: the bad nodes are ADAPTIVE instead of COLLUDE; not for independent sets.
        max_attempts: as for `decide`.

    Returns:
        An `ExactVote`. Cost: 3 to 150 ms up to 100,000 nodes; "miracle" up to a second.

    Raises:
        ValueError: an unknown name, more bad nodes than nodes, or a vote of which no exact
            probability is known.
    """
    rule, sets = stop_rule_of(stop_rule), schedule_of(schedule)
    unknown = no_exact_form(schedule, stop_rule, sortition)
    if unknown:
        raise ValueError(unknown)
    assert rule.exact is not None
    if not 0 <= bad <= pool:
        raise ValueError(f"bad nodes must be between 0 and the pool of {pool}, got {bad}")
    attempts = max_attempts or default_attempts(schedule, pool, params)
    if sets.seats is None:
        if adaptive:
            raise ValueError("adaptive nodes have no exact form for independent sets")
        assert rule.exact.walk is not None
        return ExactVote(*walk_independent(pool, bad, params, rule.exact.walk, attempts))
    assert rule.exact.judge is not None
    ends = np.minimum(np.asarray(totals(schedule, params, attempts)), pool)
    return _walk(Vote(pool, params, rule.exact.judge), bad, ends, adaptive)


def no_exact_form(schedule: Schedule, stop_rule: StopChoice, sortition: SortitionChoice) -> str:
    """Why no exact probability of a vote is known, in one sentence; empty when one is."""
    exact = stop_rule_of(stop_rule).exact
    independent = schedule_of(schedule).seats is None
    if exact is None or (exact.walk if independent else exact.judge) is None:
        how = " for independent sets" if independent and exact is not None else ""
        return (
            f"No exact probability is known for the stop rule {label(stop_rule)!r}{how}: give a "
            "StopRule with an exact form, or measure its error with cone.study.simulate."
        )
    if sortition_of(sortition) != SORTITIONS["uniform"]:
        return (
            f"No exact probability is known for the sortition {label(sortition)!r}: exact votes "
            "are for uniform sortition."
        )
    return ""


def exact_error(pool: int, bad: int, params: ConeParams, **options: Any) -> float:
    """The probability that a wrong digest is accepted; arguments as for `exact_vote`."""
    return exact_vote(pool, bad, params, **options).error


def exact_attempts(pool: int, bad: int, params: ConeParams, **options: Any) -> np.ndarray:
    """`[A]` probabilities that the vote ends with attempt 1, 2, ..; as for `exact_vote`."""
    return exact_vote(pool, bad, params, **options).by_attempt


def exact_executions(
    pool: int, bad: int, params: ConeParams, **options: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Possible numbers of seats `[A]` and their probabilities `[A]`; as for `exact_vote`."""
    vote = exact_vote(pool, bad, params, **options)
    return vote.seats, vote.by_attempt


def capture_probability(pool: int, bad: int, size: int, share: float = 0.5) -> float:
    """The probability that bad nodes are more than `share` of one fixed set.

    Hypergeometric tail `P(X > share size)`. With 30 of 100 nodes bad, a set of 20 has a bad
    majority with probability 0.0085.

    Args:
        pool: number of nodes.
        bad: how many are bad.
        size: seats, drawn without replacement.
        share: 1/2 for a majority.
    """
    from scipy.stats import hypergeom  # takes long to load

    return float(hypergeom.sf(np.floor(share * size + 1e-9), pool, bad, size))


class Vote(NamedTuple):
    """What every step of a walk reads."""

    pool: int
    params: ConeParams
    judge: Judge


def _walk(vote: Vote, bad: int, ends: np.ndarray, adaptive: bool) -> ExactVote:
    """Set after set; a state is (bad nodes drawn, running score) of a vote not yet ended."""
    pool = vote.pool
    drawn, score, mass = np.zeros(1, np.int64), np.zeros(1), np.ones(1)
    error = tie = 0.0
    by_attempt = np.zeros(len(ends))
    starts = np.concatenate([[0], ends[:-1]])
    for i, (start, end) in enumerate(zip(starts.tolist(), ends.tolist())):
        new, chance = _draw(pool - start, bad - drawn, end - start)
        chance = chance * mass[:, None]
        if adaptive:  # so far all voted right; they lie if that wins with this set
            lying, _ = _play(vote, start, end, 0 * new, new, score)
            verdict, value = _play(vote, start, end, 0 * new, 0 * new, score)
            verdict = np.where(lying < 0, -1, verdict)
        else:
            verdict, value = _play(vote, start, end, drawn[:, None], new, score)
        over = (verdict != 0) | (end >= pool)
        error += chance[verdict < 0].sum()
        tie += chance[over & (verdict == 0)].sum()
        by_attempt[i] = chance[over].sum()
        total = drawn[:, None] + new
        drawn, score, mass = _merge(total[~over], value[~over], chance[~over])
        if not mass.size:
            break
    by_attempt[-1] += mass.sum()  # out of attempts
    return ExactVote(float(error), float(tie + mass.sum()), by_attempt, ends.astype(float))


def _play(
    vote: Vote, start: int, end: int, before: np.ndarray, lies: np.ndarray, score: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Verdict and score `[K, W]` of a set with `lies` wrong votes, after `before` wrong ones."""
    wrong = before + lies
    counts = Counts(end - wrong, wrong, end - start - lies, lies)
    verdict, value = vote.judge(counts, score[:, None], vote.pool, vote.params)
    verdict = np.broadcast_to(verdict, lies.shape)
    if end >= vote.pool:  # used up: the plurality
        verdict = np.where(verdict == 0, np.sign(end - 2 * wrong), verdict)
    return verdict, np.broadcast_to(value, lies.shape)


def _draw(left: int, bad: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """How many of `bad [K]` among `left` nodes get one of `size` seats: `[K, W]`, probability.

    Log-domain hypergeometric on a window of 14 standard deviations and 60 around the mean, outside
    of which the mass is below 1e-40 (Bernstein).
    """
    mean = size * bad / max(left, 1)
    spread = np.sqrt(mean * (1 - bad / max(left, 1)) * (left - size) / max(left - 1, 1))
    low = np.maximum(np.maximum(size - (left - bad), 0), np.floor(mean - 14 * spread - 60))
    high = np.minimum(np.minimum(size, bad), np.ceil(mean + 14 * spread + 60))
    new = low[:, None].astype(np.int64) + np.arange(int((high - low).max()) + 1)
    inside = new <= high[:, None]
    new, bad = np.minimum(new, high[:, None].astype(np.int64)), bad[:, None]
    log = _choose(bad, new) + _choose(left - bad, size - new) - _choose(left, size)
    return new, np.where(inside, np.exp(log), 0.0)


def _choose(n: Any, k: Any) -> np.ndarray:
    from scipy.special import gammaln  # takes long to load

    return gammaln(np.add(n, 1)) - gammaln(np.add(k, 1)) - gammaln(np.subtract(n, k) + 1)


def _merge(
    drawn: np.ndarray, score: np.ndarray, mass: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Adds the mass of equal states; scores are equal when they agree to GRID."""
    keep = mass > NEGLIGIBLE
    drawn, mass, cell = drawn[keep], mass[keep], np.rint(score[keep] / GRID).astype(np.int64)
    if not mass.size:
        return drawn, cell * GRID, mass
    low, width = cell.min(), int(cell.max() - cell.min()) + 1
    label, where = np.unique(drawn * width + (cell - low), return_inverse=True)
    return label // width, (label % width + low) * GRID, np.bincount(where, weights=mass)
