"""Stop rules, schedules and sortitions of the user's own, in every function that takes names."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from d2m_jax.cone import Behaviour, ConeParams, SetSchedule, StopRule, decide, exact_vote, validate
from d2m_jax.cone.exact_rules import LEAD, ExactForm
from d2m_jax.cone.params import ConeParams as Params
from d2m_jax.cone.reexecute import reexecute
from d2m_jax.cone.schedules import default_attempts, fixed
from d2m_jax.cone.sortition import by_node
from d2m_jax.cone.stop_rules import lead, majority_last, top_two
from d2m_jax.cone.study import Point, simulate, study_row

KEYS = jax.random.split(jax.random.key(1), 40)
BEHAVIOUR = jnp.where(jnp.arange(24) < 7, Behaviour.COLLUDE, Behaviour.HONEST).astype(jnp.int32)
ELIGIBLE = jnp.ones(24, bool)


def ahead(tally, params, *, votes=2):
    """Accepts who is so many votes ahead."""
    del params
    leader, first, second = top_two(tally.running(lambda x: x))
    return leader, first - second >= votes


def by_three(params, attempts, *, start=1):
    """Sets of start, start + 3, start + 6, .. seats."""
    del params
    i = jnp.arange(attempts)
    return jnp.cumsum(start + 3 * i)


def ahead_judge(counts, score, pool, params):
    del pool, params
    gap = counts.right - counts.wrong
    return (gap >= 2) * 1 - (gap <= -2) * 1, score


def many(**options):
    run = partial(decide, behaviour=BEHAVIOUR, eligible=ELIGIBLE, params=ConeParams(), **options)
    return jax.jit(jax.vmap(lambda key: run(key)))(KEYS)


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.slow
def test_a_part_by_its_name_its_function_and_its_record_is_one_part():
    named = many(schedule="fixed", stop_rule="lead", sortition="uniform")
    assert same(named, many(schedule=fixed, stop_rule=lead, sortition=by_node))
    assert same(named, many(schedule=SetSchedule(fixed), stop_rule=StopRule(lead)))
    # a function of the registry keeps its exact form
    pair = [exact_vote(30, 9, ConeParams(), stop_rule=rule) for rule in ("lead", lead)]
    assert pair[0].error == pair[1].error


def test_an_own_stop_rule_decides_by_its_own_number():
    low, high = (many(stop_rule=partial(ahead, votes=votes)) for votes in (1, 9))
    assert (np.asarray(low.lead)[np.asarray(low.accepted) >= 0] >= 1).all()
    open_end = np.asarray(high.executions) < 24
    assert (np.asarray(high.lead)[open_end] >= 9).all()
    assert low.attempts.mean() < high.attempts.mean()


@pytest.mark.parametrize("rule", [ahead, partial(ahead, votes=2), StopRule(ahead)])
def test_no_exact_number_of_another_rule_is_given_for_an_own_one(rule):
    with pytest.raises(ValueError, match="No exact probability is known for the stop rule 'ahead'"):
        exact_vote(30, 9, ConeParams(), stop_rule=rule)
    (warning,) = validate(ConeParams(), 100, stop_rule=rule)
    assert "No exact probability is known" in warning


@pytest.mark.few(1)
@pytest.mark.parametrize("adaptive", [False, True])
def test_an_own_exact_form_agrees_with_simulation(adaptive):
    rule = StopRule(partial(ahead, votes=2), ExactForm(ahead_judge))
    options = dict(schedule=by_three, stop_rule=rule, adaptive=adaptive)
    row = study_row(Point(24, 0.3, ConeParams(), **options), 2_000, jax.random.key(0))
    assert row["agrees"], row
    assert row["schedule"] == row["sets"] == "by_three"
    assert row["stop_rule"] == "ahead"
    assert validate(ConeParams(), 100, stop_rule=rule) == []
    with pytest.raises(ValueError, match="'ahead' for independent sets"):
        exact_vote(24, 7, ConeParams(), schedule="independent", stop_rule=rule)


def test_an_own_schedule_runs_until_the_pool_is_used_up():
    # 1 + 4 + 7 + 10 = 22 seats after four sets, 35 after five
    assert default_attempts(by_three, 24) == default_attempts(by_three, 35) == 5
    assert default_attempts(partial(by_three, start=30), 24) == 1
    assert default_attempts(lambda params, attempts: jnp.arange(1, attempts + 1), 1_000) == 32
    never = partial(ahead, votes=99)
    vote = many(schedule=by_three, stop_rule=never)
    assert (vote.attempts == 5).all() and (vote.executions == 24).all()
    # where its numbers are traced the result is the same, however many sets are laid out
    start = jax.jit(
        lambda start: decide(
            KEYS[0], BEHAVIOUR, ELIGIBLE, ConeParams(), stop_rule=never,
            schedule=partial(by_three, start=start),
        )
    )(1)  # fmt: skip
    assert same(start, jax.tree.map(lambda x: x[0], vote))
    exact = exact_vote(24, 7, ConeParams(), schedule=by_three)
    np.testing.assert_allclose(exact.by_attempt.sum(), 1)
    assert exact.seats.tolist() == [1, 5, 12, 22, 24]


def test_an_own_sortition_fills_the_seats():
    def by_index(key, eligible, stake, ends):
        """The first nodes sit first, whatever the key."""
        sets = by_node(key, eligible, stake, ends)
        seat = (jnp.arange(24)[None, :] >= jnp.minimum(ends, 24)[:, None]).sum(0, dtype=jnp.int32)
        return sets._replace(seat=seat[None])

    vote = many(sortition=by_index, schedule="fixed", stop_rule=majority_last)
    assert len(np.unique(np.asarray(vote.outcome), axis=0)) == 1
    with pytest.raises(ValueError, match="uniform sortition"):
        exact_vote(24, 7, ConeParams(), sortition=by_index)
    with pytest.raises(ValueError, match="a sortition of your own"):
        validate(ConeParams(), 24, schedule="independent", sortition=by_index)
    assert "by_index" in validate(ConeParams(), 24, sortition=by_index)[-1]


def test_the_literal_mode_takes_the_same_own_parts():
    options = dict(schedule=by_three, stop_rule=partial(ahead, votes=3))
    theta = np.ones((1, 3), np.float32)
    for key in KEYS[:2]:
        literal = reexecute(
            key, lambda node: theta, np.asarray(BEHAVIOUR), np.ones(24, bool), Params(), **options
        )
        model = decide(key, BEHAVIOUR, ELIGIBLE, ConeParams(), **options)
        assert literal.attempts == model.attempts
        assert literal.outcome.tolist() == model.outcome.tolist()


def test_simulation_takes_records_as_static_arguments():
    rule, sets = StopRule(ahead, ExactForm(ahead_judge)), SetSchedule(by_three)
    votes = simulate(KEYS, jnp.int32(7), ConeParams(), pool=24, schedule=sets, stop_rule=rule)
    assert votes.attempts.shape == (40,)
    assert hash(rule) == hash(StopRule(ahead, ExactForm(ahead_judge)))
    assert LEAD.walk is not None


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            dict(stop_rule=lambda tally, params: (tally.size, tally.size)),
            "integers of shape .*; booleans of",
        ),
        (dict(stop_rule=None), "stop rule must be a name or a function"),
        (dict(stop_rule=(1, 2)), "stop rule must be a name or a function"),
        (dict(schedule=lambda params, attempts: jnp.ones(attempts)), "integers of shape"),
        (dict(schedule=lambda params, attempts: jnp.int32([3])), "not int32 of shape"),
        (dict(schedule=lambda params, attempts: -jnp.arange(attempts)), "must not fall"),
        (dict(sortition=lambda key, eligible, stake, ends: ends), r"must give Sets\("),
    ],
)
def test_parts_that_give_something_else_are_refused(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        decide(KEYS[0], BEHAVIOUR, ELIGIBLE, ConeParams(), **options)


def test_an_own_schedule_is_checked_at_every_point_of_a_sweep():
    def half(params, attempts):
        return jnp.arange(1, attempts + 1) * (jnp.asarray(params.size, jnp.int32) // 2)

    params = ConeParams(size=np.array([4, 6]), beta=np.array([1e-3, 1e-9]))
    assert "64 seats" in validate(params, 100_000, schedule=half)[0]
    with pytest.raises(ValueError, match="must not fall and must reach one seat"):
        validate(ConeParams(size=np.array([4, 1])), 100, schedule=half)
