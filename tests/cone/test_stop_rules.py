"""Stop rules against tables, closed forms and SciPy in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import gammaln

from d2m_jax.cone.exact_rules import lead_needed as lead_needed_float64
from d2m_jax.cone.params import ConeParams
from d2m_jax.cone.stop_rules import STOP_RULES, Tally, lead_needed, log_rising, running_sum, top_two

BETAS = (1e-2, 1e-3, 1e-4, 1e-6, 1e-9)
LEADS = {  # reference notes 4.3
    0.25: (5, 7, 9, 13, 19),
    0.30: (6, 9, 11, 17, 25),
    1 / 3: (7, 10, 14, 20, 30),
    0.40: (12, 18, 23, 35, 52),
    0.45: (23, 35, 46, 69, 104),
}


@pytest.mark.parametrize("f_max", LEADS)
def test_lead_needed_is_the_published_table(f_max):
    assert [int(lead_needed(f_max, beta)) for beta in BETAS] == list(LEADS[f_max])
    host = [lead_needed_float64(ConeParams(f_max=f_max, beta=beta)) for beta in BETAS]
    assert host == list(LEADS[f_max])


def test_lead_needed_has_no_rounding_up_at_exact_integers():
    # odds 2, beta = 1 / (1 + 2^10): the quotient is exactly 10
    assert int(lead_needed(1 / 3, 1 / 1025)) == 10
    assert lead_needed_float64(ConeParams(f_max=1 / 3, beta=1 / 1025)) == 10


def test_log_rising_keeps_its_digits_in_large_pools():
    rng = np.random.default_rng(0)
    start = np.concatenate([np.arange(1, 60), rng.integers(60, 100_000, 300)])
    steps = rng.integers(0, 40, start.shape)
    want = gammaln(start + steps) - gammaln(start)
    got = np.asarray(log_rising(jnp.asarray(start, jnp.float32), jnp.asarray(steps, jnp.float32)))
    np.testing.assert_allclose(got, want, rtol=3e-6, atol=3e-5)


def tally(votes, pool, redrawn=False, lone=None):
    votes = jnp.asarray(votes, jnp.int32)
    lone = jnp.zeros(len(votes), jnp.int32) if lone is None else jnp.asarray(lone, jnp.int32)
    size = votes.sum(axis=-1) + lone
    share = size / jnp.float32(pool)
    return Tally(votes, votes, lone, size, share, jnp.int32(pool), redrawn)


def test_hypergeometric_rule_against_a_literal_likelihood_ratio():
    from math import comb, log

    params = ConeParams(f_max=0.33, beta=1e-3)
    accepts = jax.jit(lambda v: STOP_RULES["hypergeometric"].fn(tally(v, 100), params)[1])
    right, wrong = np.meshgrid(np.arange(40), np.arange(40))
    pairs = np.stack([right.ravel(), wrong.ravel()], -1)
    got = np.asarray(jax.vmap(accepts)(pairs[:, None, :]))[:, 0]
    for (x1, x2), accepted in zip(pairs.tolist(), got):
        x1, x2 = max(x1, x2), min(x1, x2)
        ways_right, ways_wrong = comb(67, x1) * comb(33, x2), comb(67, x2) * comb(33, x1)
        if ways_right == 0 or ways_wrong == 0:
            want = ways_right > 0
        else:
            want = log(ways_right) - log(ways_wrong) >= log(999)
        assert bool(accepted) == want, (x1, x2)


def test_miracle_on_a_sum_of_squares_by_hand():
    # N = 1600, q = 1/80: bound ln(999) 2 q (1-q) N f (1-f) / (1-2f) = 143.25 at f = 0.3
    params = ConeParams(f_max=0.3, beta=1e-3)

    @jax.jit
    def verdict(votes):
        share = jnp.full(2, 1 / 80, jnp.float32)
        return STOP_RULES["miracle"].fn(tally(votes, 1600)._replace(share=share), params)

    cases = [([[12, 1], [0, 0]], False), ([[12, 0], [0, 0]], True), ([[13, 5], [3, 3]], True)]
    for votes, accepted in cases:
        leader, accept = verdict(jnp.asarray(votes))
        assert bool(accept[-1]) == accepted
        assert int(leader[-1]) == 0


def test_two_thirds_counts_seats_not_votes_and_only_the_last_set():
    _, accept = STOP_RULES["majority_last"].fn(tally([[4, 1], [3, 3], [4, 2]], 100), ConeParams())
    assert np.asarray(accept).tolist() == [True, False, True]
    silent = tally([[3, 0]], 100)._replace(size=jnp.asarray([5], jnp.int32))
    assert not STOP_RULES["majority_last"].fn(silent, ConeParams())[1][0]


def test_many_lone_liars_share_beta_and_never_lead():
    # d* for beta: 10; with 50 rivals beta/50 asks for 16
    params = ConeParams(beta=1e-3)
    few, many = tally([[12, 0]], 200), tally([[12, 0]], 200, lone=[50])
    assert STOP_RULES["lead"].fn(few, params)[1][0]
    assert not STOP_RULES["lead"].fn(many, params)[1][0]
    assert STOP_RULES["lead"].fn(tally([[17, 0]], 200, lone=[50]), params)[1][0]  # 17 - 1 = 16


def test_helpers_against_numpy():
    rng = np.random.default_rng(1)
    table = rng.integers(0, 9, (7, 4))
    np.testing.assert_array_equal(running_sum(jnp.asarray(table)), table.cumsum(0))
    before = np.vstack([np.zeros((1, 4), int), table.cumsum(0)[:-1]])
    np.testing.assert_array_equal(running_sum(jnp.asarray(table), before=True), before)
    leader, first, second = top_two(jnp.asarray(table))
    np.testing.assert_array_equal(leader, table.argmax(1))
    np.testing.assert_array_equal(first, np.sort(table)[:, -1])
    np.testing.assert_array_equal(second, np.sort(table)[:, -2])
