"""Impossible numbers are refused in one sentence; surprising ones are pointed out."""

import jax.numpy as jnp
import numpy as np
import pytest

from d2m_jax.cone import ConeParams, validate
from d2m_jax.cone.exact import exact_vote


def test_sensible_worlds_pass_without_a_word():
    assert validate(ConeParams(), 100) == []
    assert validate(ConeParams(base=8, beta=1e-3), 32) == []
    assert validate(ConeParams(beta=jnp.asarray([1e-3, 1e-4])), 64) == []
    assert validate(ConeParams(q=0.2), 100, schedule="independent", stop_rule="lead") == []


@pytest.mark.parametrize(
    ("numbers", "options", "sentence"),
    [
        (dict(base=0), {}, "cone.base must lie between 1 and 1,048,576 seats, got 0"),
        (dict(base=1e9), {}, "cone.base .* got 1e\\+09"),
        (dict(f_max=0.5), {}, "f_max .* between 0 and 0.5, got 0.5"),
        (dict(f_max=0.0), {}, "f_max"),
        (dict(f_max=float("nan")), {}, "f_max .* got nan"),
        (dict(beta=0.0), {}, "beta"),
        (dict(beta=np.array([1e-3, 0.7])), {}, "beta .* got 0.7"),
        (dict(size=0), dict(schedule="fixed"), "cone.size"),
        (dict(q=1.5), dict(schedule="independent"), "cone.q"),
        (dict(t_block=-1.0), {}, "t_block"),
        ({}, dict(pool=0), "at least one compute node"),
        ({}, dict(pool=2**21), "at most 1,048,576 nodes"),
        ({}, dict(pool=2**19, sortition="stake"), "at most 262,144 nodes"),
        ({}, dict(max_attempts=0), "max_attempts"),
        ({}, dict(stop_rule="leed"), "valid names: .*lead"),
        ({}, dict(schedule="linear"), "valid names: exponential"),
        ({}, dict(sortition="steak"), "did you mean 'stake'"),
    ],
)
def test_impossible_numbers_are_refused(numbers, options, sentence):
    options = {"pool": 100, **options}
    with pytest.raises(ValueError, match=sentence):
        validate(ConeParams(**numbers), **options)


def test_a_pool_too_small_for_the_lead_is_pointed_out_and_really_is():
    params = ConeParams(f_max=0.4, beta=1e-6)  # lead 35, but 64 (1 - 0.8) = 12.8
    (warning,) = validate(params, 64)
    assert "lead of 35" in warning
    assert "12.8" in warning
    # all but a thousandth of the votes end with the whole pool
    assert exact_vote(64, 25, params).by_attempt[-1] > 0.999


def test_unsafe_rules_and_too_few_attempts_are_pointed_out():
    assert "unsafe" in validate(ConeParams(), 100, stop_rule="majority_last")[0]
    assert "Gaussian" in validate(ConeParams(), 100, stop_rule="miracle")[0]
    (warning,) = validate(ConeParams(size=2), 1000, schedule="fixed", max_attempts=4)
    assert "8 seats" in warning
    vote = exact_vote(1000, 300, ConeParams(size=2), schedule="fixed", max_attempts=4)
    assert vote.undecided == pytest.approx(1)


def test_the_warning_about_miracle_is_true():
    # 80 times its beta of 1e-10, at the bound it was built for
    params = ConeParams(f_max=0.3, beta=1e-10, q=20 / 1600)
    vote = exact_vote(1600, 480, params, schedule="independent", stop_rule="miracle")
    assert vote.error > 50 * 1e-10
