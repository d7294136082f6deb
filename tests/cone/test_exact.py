"""Exact probabilities against enumeration, published numbers, closed forms and simulation."""

import itertools
import math
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import binomtest, hypergeom

from d2m_jax.cone import ConeParams, decide
from d2m_jax.cone.exact import (
    capture_probability,
    exact_attempts,
    exact_error,
    exact_executions,
    exact_vote,
)
from tests.cone.referee import referee

RULES = ("lead", "hypergeometric", "miracle", "majority_last")


@pytest.mark.few(5)
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(("schedule", "kind"), [("exponential", 1), ("fixed", 1), ("fixed", 5)])
def test_exact_equals_enumeration_of_all_draw_orders(rule, schedule, kind):
    # 9 nodes, 4 bad: all 126 places that bad nodes can have in the draw order, equally likely
    pool, bad = 9, 4
    params = ConeParams(base=1, size=3, f_max=0.3, beta=0.23)
    ends = {"exponential": [2, 5, 9], "fixed": [3, 6, 9]}[schedule]
    sets = [list(range(a, b)) for a, b in zip([0, *ends], ends)]
    numbers = {"f_max": 0.3, "beta": 0.23, "q": 0.0}
    count, error, undecided, attempts = 0, 0, 0, np.zeros(3)
    for places in itertools.combinations(range(pool), bad):
        behaviour = [kind if node in places else 0 for node in range(pool)]
        accepted, used, *_ = referee(
            sets, behaviour, [1] * pool, pool, numbers, rule, rice=True, redrawn=False
        )
        count, error, undecided = count + 1, error + (accepted == 1), undecided + (accepted == -1)
        attempts[used - 1] += 1
    vote = exact_vote(
        pool, bad, params, schedule=schedule, stop_rule=rule, adaptive=kind == 5, max_attempts=3
    )
    assert count == math.comb(pool, bad)
    np.testing.assert_allclose(vote.error, error / count, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(vote.undecided, undecided / count, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(vote.by_attempt, attempts / count, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("rule", RULES)
def test_exact_equals_enumeration_of_all_independent_sets(rule):
    # 5 nodes, 2 bad, two attempts: all 4^5 memberships, weighted
    params = ConeParams(q=0.4, f_max=0.3, beta=0.23)
    numbers, q, grid = {"f_max": 0.3, "beta": 0.23, "q": 0.4}, 0.4, range(2**5)
    error = undecided = 0.0
    attempts = np.zeros(2)
    for first, second in itertools.product(grid, grid):
        sets = [[n for n in range(5) if word >> n & 1] for word in (first, second)]
        seated = sum(map(len, sets))
        chance = q**seated * (1 - q) ** (10 - seated)
        accepted, used, *_ = referee(
            sets, [1, 1, 0, 0, 0], [1] * 5, 5, numbers, rule, rice=True, redrawn=True
        )
        error += chance * (accepted == 1)
        undecided += chance * (accepted == -1)
        attempts[used - 1] += chance
    vote = exact_vote(5, 2, params, schedule="independent", stop_rule=rule, max_attempts=2)
    np.testing.assert_allclose(vote.error, error, rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(vote.undecided, undecided, rtol=1e-9)
    np.testing.assert_allclose(vote.by_attempt, attempts, rtol=1e-9)


def error_in_fractions(bad, rule, f_max, beta, pool=100, base=4):
    """Another dynamic program, in exact fractions: P(wrong digest accepted), exponential sets."""
    odds = (1 - beta) / beta
    lead = next(d for d in range(pool) if ((1 - f_max) / f_max) ** d >= odds)
    most = math.floor(f_max * pool)

    def wins(a, b):
        """The digest with a votes beats the one with b."""
        if rule == "lead":
            return a - b >= lead
        if a > most or b > most:
            return b <= most  # proven
        ways = math.comb(pool - most, a) * math.comb(most, b)
        return ways >= odds * math.comb(pool - most, b) * math.comb(most, a)

    left, states, error = pool, {0: Fraction(1)}, Fraction(0)
    for attempt in itertools.count():
        size, after = min(base + 2**attempt, left), {}
        for wrong, chance in states.items():
            for new in range(max(0, size - (left - bad + wrong)), min(size, bad - wrong) + 1):
                ways = math.comb(bad - wrong, new) * math.comb(left - bad + wrong, size - new)
                mass, lies = chance * Fraction(ways, math.comb(left, size)), wrong + new
                truths = pool - left + size - lies
                if wins(lies, truths) or (left == size and lies > truths):
                    error += mass
                elif not wins(truths, lies):
                    after[lies] = after.get(lies, 0) + mass
        left, states = left - size, after
        if not left or not states:
            return error


@pytest.mark.parametrize("rule", ["lead", "hypergeometric"])
def test_errors_far_below_simulation_equal_exact_fractions(rule):
    third, seen = Fraction(1, 3), []
    for bad in (10, 15, 20, 25, 30, 33, 40):
        for exponent in (3, 6, 9, 15, 20):
            exact = error_in_fractions(bad, rule, third, Fraction(1, 10**exponent))
            params = ConeParams(base=4, f_max=1 / 3, beta=10.0**-exponent)
            error = exact_error(100, bad, params, stop_rule=rule)
            np.testing.assert_allclose(error, float(exact), rtol=1e-9, atol=0)
            seen.append(float(exact))
    assert sum(0 < error < 1e-20 for error in seen) >= 1
    assert sum(0 < error < 1e-10 for error in seen) >= 5


# Mean attempts and executions, lead rule, f_max = 1/3 (reference notes 4.3): C, beta, base, bad.
LEAD = [
    (100, 1e-3, 4, 30, 4.01, 33.5, 2e-5),
    (100, 1e-3, 4, 40, 5.20, 62.6, 5e-4),
    (100, 1e-3, 8, 30, 3.04, 32.9, 2e-5),
    (100, 1e-3, 8, 40, 4.41, 59.9, 5e-4),
    (256, 1e-6, 4, 26, 4.08, 32.5, 1e-6),
    (256, 1e-6, 4, 51, 4.63, 44.0, 1e-6),
    (256, 1e-6, 4, 77, 5.44, 68.2, 1e-6),
    (256, 1e-6, 8, 77, 4.64, 64.3, 1e-6),
]


@pytest.mark.parametrize(("pool", "beta", "base", "bad", "attempts", "executions", "bound"), LEAD)
def test_lead_rule_matches_the_oracle_table(pool, beta, base, bad, attempts, executions, bound):
    vote = exact_vote(pool, bad, ConeParams(base=base, beta=beta))
    assert abs(vote.mean_attempts - attempts) < 0.01
    assert abs(vote.mean_executions - executions) < 0.2
    assert 0 < vote.error < bound
    np.testing.assert_allclose(vote.by_attempt.sum(), 1, rtol=1e-9)


# MiRACLE with independent sets, N = 1600, 20 seats expected (reference notes 9):
# f_max, beta, Byzantine share, mean sets, 95th percentile.
MIRACLE = [
    (0.30, 1e-3, 0.0, 1.02, 1),
    (0.30, 1e-3, 0.3, 1.56, 3),
    (0.35, 1e-3, 0.35, 2.45, 5),
    (0.40, 1e-3, 0.4, 4.92, 10),
    (0.30, 1e-10, 0.3, 3.57, 6),
    (0.40, 1e-10, 0.2, 4.98, 7),
]


@pytest.mark.parametrize(("f_max", "beta", "share", "sets", "percentile"), MIRACLE)
def test_miracle_matches_the_table_of_yoda_sets(f_max, beta, share, sets, percentile):
    params = ConeParams(f_max=f_max, beta=beta, q=20 / 1600)
    options = dict(schedule="independent", stop_rule="miracle", max_attempts=60)
    vote = exact_vote(1600, round(1600 * share), params, **options)
    assert abs(vote.mean_attempts - sets) < 0.03
    assert int((vote.by_attempt.cumsum() < 0.95).sum()) + 1 == percentile
    np.testing.assert_allclose(vote.by_attempt.sum(), 1, rtol=1e-9)
    if share == f_max and beta == 1e-3:
        assert 3e-4 < vote.error < 1e-3  # 4e-4, 5e-4 and 3.5e-4 in the notes, by simulation


def test_hypergeometric_rule_matches_the_oracle_numbers():
    params = dict(f_max=0.33, beta=1e-3)
    for options, attempts, executions in [
        (dict(base=4), 3.50, 25.9),
        (dict(base=8), 2.57, 26.1),
        (dict(size=5), 4.49, 22.4),
        (dict(size=10), 2.48, 24.8),
        (dict(size=20), 1.39, 27.8),
    ]:
        schedule = "fixed" if "size" in options else "exponential"
        vote = exact_vote(
            100, 30, ConeParams(**options, **params), schedule=schedule, stop_rule="hypergeometric"
        )
        assert abs(vote.mean_attempts - attempts) < 0.015
        assert abs(vote.mean_executions - executions) < 0.1


def test_two_thirds_of_the_last_set_is_unsafe_at_thirty_percent():
    error = exact_error(100, 30, ConeParams(base=4), stop_rule="majority_last")
    assert abs(error - 0.054) < 0.001
    assert abs(1 - (1 - error) ** 20 - 0.67) < 0.01  # over 20 rounds
    for rule in ("lead", "hypergeometric"):
        assert exact_error(100, 30, ConeParams(base=4), stop_rule=rule) < 1e-6


@pytest.mark.parametrize("pool", [32, 100, 1000, 100_000])
@pytest.mark.parametrize("beta", [1e-3, 1e-6, 1e-9])
def test_sequential_tests_keep_their_promise_up_to_the_bound(pool, beta):
    bad = pool // 3
    for base in (2, 8):
        params = ConeParams(base=base, beta=beta)
        assert exact_error(pool, bad, params) <= beta
        assert exact_error(pool, bad, params, stop_rule="hypergeometric") <= beta


def test_all_attempts_at_once_is_one_hypergeometric_draw():
    # a fixed set of 20 that ends the vote: majority_last, one attempt
    params = ConeParams(size=20)
    vote = exact_vote(100, 40, params, schedule="fixed", stop_rule="majority_last", max_attempts=1)
    np.testing.assert_allclose(vote.error, hypergeom.sf(13, 100, 40, 20), rtol=1e-9)
    np.testing.assert_allclose(vote.undecided, hypergeom.pmf(range(7, 14), 100, 40, 20).sum())
    assert vote.by_attempt.tolist() == pytest.approx([1.0])
    np.testing.assert_allclose(capture_probability(100, 40, 20, 2 / 3), vote.error)


def test_capture_probability_is_the_sum_of_binomials():
    ways = [math.comb(30, x) * math.comb(70, 20 - x) for x in range(11, 21)]
    np.testing.assert_allclose(capture_probability(100, 30, 20), sum(ways) / math.comb(100, 20))
    assert capture_probability(100, 0, 20) == 0
    assert capture_probability(100, 100, 20) == 1


def test_wald_walk_has_the_gamblers_ruin_probability():
    # huge pool, one vote per attempt: error -> 1 / (1 + ((1-f)/f)^d*)
    params = ConeParams(size=1, f_max=0.4, beta=0.05)  # d* = 8
    vote = exact_vote(10**6, 400_000, params, schedule="fixed", max_attempts=400)
    np.testing.assert_allclose(vote.error, 1 / (1 + 1.5**8), rtol=1e-3)


def test_attempts_and_executions_are_distributions():
    params = ConeParams(beta=1e-3)
    attempts = exact_attempts(64, 20, params)
    seats, chance = exact_executions(64, 20, params)
    np.testing.assert_allclose(attempts.sum(), 1)
    assert seats.tolist() == [5, 11, 19, 31, 51, 64]
    np.testing.assert_array_equal(chance, attempts)


SIMULATED = [
    ("exponential", "lead", 1, {}),
    ("exponential", "hypergeometric", 1, {}),
    ("exponential", "miracle", 1, {}),
    ("exponential", "majority_last", 1, {}),
    ("fixed", "miracle", 5, dict(adaptive=True)),
    ("independent", "lead", 1, {}),
    ("independent", "hypergeometric", 1, {}),
    ("independent", "miracle", 1, {}),
]


@pytest.mark.few(2)
@pytest.mark.parametrize(("schedule", "rule", "kind", "options"), SIMULATED)
def test_simulation_agrees_with_the_exact_error(schedule, rule, kind, options):
    # 50 nodes, 20 bad, beta = 5 %: errors of a few percent; 99.9 % Clopper-Pearson interval
    params = ConeParams(base=3, size=7, q=0.15, f_max=0.4, beta=0.05)
    names = dict(schedule=schedule, stop_rule=rule)
    exact = exact_vote(50, 20, params, max_attempts=8, **names, **options)
    runs = 6000

    @jax.jit
    @jax.vmap
    def run(key):
        behaviour = jnp.where(jnp.arange(50) < 20, kind, 0)
        return decide(key, behaviour, jnp.ones(50, bool), params, max_attempts=8, **names)[:3]

    accepted, attempts, executions = map(
        np.asarray, run(jax.random.split(jax.random.key(11), runs))
    )
    for hits, chance in (
        ((accepted > 0).sum(), exact.error),
        ((accepted < 0).sum(), exact.undecided),
    ):
        low, high = binomtest(int(hits), runs).proportion_ci(0.999, "exact")
        assert low <= chance <= high
    assert abs(attempts.mean() - exact.mean_attempts) < 4 * attempts.std() / np.sqrt(runs) + 1e-6
    sem = executions.std() / np.sqrt(runs)
    assert abs(executions.mean() - exact.mean_executions) < 4 * sem + 1e-6


def test_bad_numbers_are_refused():
    with pytest.raises(ValueError, match="between 0 and the pool"):
        exact_vote(10, 11, ConeParams())
    with pytest.raises(ValueError, match="valid names"):
        exact_vote(10, 1, ConeParams(), stop_rule="lede")
    with pytest.raises(ValueError, match="adaptive"):
        exact_vote(10, 1, ConeParams(), schedule="independent", adaptive=True)
