"""Votes under JAX's flags: see `tests/under_flags.py`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from d2m_jax import cone
from d2m_jax.cone import ConeParams
from d2m_jax.cone.reexecute import reexecute
from d2m_jax.cone.stop_rules import STOP_RULES, Tally, lead_needed
from tests.under_flags import FLAGS, WORDS, assert_same, under

KEY = jax.random.key(3)
KINDS = jnp.array([0, 1, 0, 0, 2, 3, 4, 5, 0, 1, 0, 0], jnp.int32)
ELIGIBLE = jnp.arange(12) != 2
STAKE = jnp.arange(1, 13, dtype=jnp.int32)
VOTES = jnp.array([[3, 1], [9, 9], [6, 0]], jnp.int32)


def decide(**options):
    """Adaptive and copying nodes, and all numbers traced."""

    def run(key, kinds, stake, f_max):
        params = ConeParams(base=2, beta=1e-2, q=0.4, size=3, f_max=f_max)
        return cone.decide(key, kinds, ELIGIBLE, params, stake=stake, max_attempts=4, **options)

    return run


def judge(rule, redrawn):
    def run(votes, pool):
        size = votes.sum(axis=1, dtype=jnp.int32)
        share = size.astype(jnp.float32) / 20
        lone = jnp.array([0, 2, 0], jnp.int32)
        tally = Tally(votes, votes, lone, size, share, pool, redrawn)
        return cone.stop_rules.apply_rule(rule, tally, ConeParams(beta=1e-2))

    return run


TYPED = jax.tree.map(
    lambda x: jnp.asarray(x, jnp.int32 if isinstance(x, int) else jnp.float32), ConeParams()
)
NUMBERS = KEY, KINDS, STAKE, jnp.float32(0.3)
CALLS = {
    "exponential": (decide(), *NUMBERS),
    "legacy key": (decide(), WORDS, *NUMBERS[1:]),
    "fixed by stake": (decide(schedule="fixed", sortition="stake", rice=False), *NUMBERS),
    "independent": (decide(schedule="independent", stop_rule="miracle"), *NUMBERS),
    "groups": (
        decide(stop_rule="hypergeometric", group=KINDS + 1, num_groups=2, sortition="stake"),
        *NUMBERS,
    ),
    **{
        f"{rule}, redrawn {redrawn}": (judge(rule, redrawn), VOTES, jnp.int32(12))
        for rule in STOP_RULES
        for redrawn in (False, True)
    },
    "larger": (lambda params, by: cone.larger(params, by, 12), TYPED, jnp.int32(3)),
    "lead": (lambda rivals: lead_needed(0.3, 1e-3, rivals), jnp.array([1, 2, 5])),
}


@pytest.mark.few(1, each="call", rest="long")
@pytest.mark.parametrize("flag", FLAGS[1:])
@pytest.mark.parametrize("call", CALLS)
def test_a_flag_changes_nothing(call, flag):
    fn, *args = CALLS[call]
    assert_same(flag, fn, *args)


@pytest.mark.few(1)
@pytest.mark.parametrize("flag", ["x64", "strict", "eager", "nans"])
def test_the_literal_mode_and_the_host_work_under_flags(flag):
    kinds, theta = np.array([0, 1, 0, 5], np.int32), np.ones((2, 3), np.float32)
    params = ConeParams(base=2, beta=1e-2)
    plain = cone.decide(WORDS, jnp.asarray(kinds), jnp.ones(4, bool), params, max_attempts=2)
    with under(flag):
        literal = reexecute(
            WORDS, lambda node: theta, kinds, np.ones(4, bool), params, max_attempts=2
        )
        assert cone.validate(params, 64) == []
        assert 0 < cone.exact_error(60, 20, params) < 1e-2
    assert literal.outcome.tolist() == plain.outcome.tolist()
