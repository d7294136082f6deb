"""Deviators that learn find what theory says they should, and nothing where there is nothing."""

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from d2m_jax import cone
from d2m_jax.audit.learned import buyers, nodes, rows, sellers
from d2m_jax.audit.learned.training import Effort, Game, learn
from d2m_jax.config.hparams import MARKET_RULES
from d2m_jax.incentives.best_response import regret, shading
from d2m_jax.ledger import make_rules

TOP = 1_000_000
HERE = np.zeros(2, np.float32)


def quadratic(keys_matter=True):
    """Income -(x - 2)^2 - (y + 1)^2 plus the luck of the world."""

    def one(policy, key, given):
        luck = 3.0 * jax.random.normal(key) if keys_matter else 0.0
        return luck - jnp.square(policy - jnp.array([2.0, -1.0])).sum()

    return Game("quadratic", HERE, jax.vmap(one, (None, 0, None)), str, HERE, 0.5)


def test_the_search_finds_an_optimum_through_the_luck_of_worlds():
    found = learn(jax.random.key(0), quadratic(), Effort(generations=60, restarts=2))
    np.testing.assert_allclose(found.policy, [2, -1], atol=0.02)
    assert found.curve.shape == (2, 60) and (found.curve[:, -5:] > found.curve[:, :1]).all()
    gain = np.diff(found.payoffs, axis=0)  # the same worlds: luck cancels
    np.testing.assert_allclose(gain, 5.0, atol=0.01)


def test_the_same_key_learns_the_same():
    effort = Effort(generations=5, restarts=1)
    one, two = (learn(jax.random.key(3), quadratic(), effort, judged_on=8) for _ in range(2))
    np.testing.assert_array_equal(one.policy, two.policy)
    np.testing.assert_array_equal(one.payoffs, two.payoffs)


def test_an_effort_that_is_none_is_refused():
    with pytest.raises(ValueError, match="at least 4 candidates"):
        learn(jax.random.key(0), quadratic(), Effort(population=2))


@pytest.mark.slow
@pytest.mark.parametrize("num_buyers", [2, 4])
def test_bids_of_n_minus_1_over_n_are_found_in_a_first_price_auction(num_buyers):
    rules = make_rules(reserve=1)
    game = buyers.buyer_game("first_price", rules, num_buyers=num_buyers, top=TOP)
    effort = Effort(generations=120, population=24, worlds=768, restarts=1)
    found = learn(jax.random.key(1), game, effort, judged_on=4096)
    high = float(buyers.limit_of(jnp.asarray(found.policy), jnp.float32(0.9)))
    assert abs(high / shading(num_buyers) - 1) < 0.02, game.tell(found.policy)
    assert regret(found.payoffs).low > 0


@pytest.mark.slow
def test_nothing_is_found_in_the_sealed_second_price_auction():
    game = buyers.buyer_game("sealed", make_rules(reserve=1), num_buyers=4, top=TOP)
    effort = Effort(generations=40, population=16, worlds=256, restarts=2)
    found = learn(jax.random.key(2), game, effort, judged_on=4096)
    gained = regret(found.payoffs)
    assert gained.high < 0.02 * found.payoffs[0].mean(), game.tell(found.policy)


def test_a_policy_that_starts_honest_is_honest():
    for game in (
        buyers.buyer_game("sealed", make_rules(), num_buyers=3, top=TOP),
        nodes.node_coalition(
            make_rules(), cone.ConeParams(), num_nodes=8, members=3, num_rounds=2, execution_cost=0
        ),
    ):
        assert any(word in game.tell(game.honest) for word in ("1.00, 1.00, 1.00", "100% honest"))


def test_members_follow_the_shares_of_the_policy():
    logits = jnp.log(jnp.array([0.5, 0.25, 1e-9, 0.25, 1e-9, 1e-9]))
    kinds, counts = np.unique(nodes.behaviours_of(logits, 8), return_counts=True)
    Behaviour = cone.Behaviour
    np.testing.assert_array_equal(kinds, sorted([Behaviour.HONEST, Behaviour.COLLUDE, 3]))
    assert counts.sum() == 8 and counts.max() == 4


class Context:
    previous = jnp.array([0.0, 2.0, 0.0])
    mask = jnp.array([True, True, True, True])
    round_index = jnp.int32(3)


UPDATES = jnp.array([[3.0, 4, 0], [1, 0, 0], [0, 0, 2], [0, 1, 1]])
BAD = jnp.array([True, False, False, False])


def sent(**numbers):
    """What the first seller sends under a policy given by name."""
    policy = dict(zip(sellers.NAMES, np.zeros(len(sellers.NAMES)))) | {"duty": 40.0, "first": -40.0}
    attack = sellers.bent(jnp.asarray([{**policy, **numbers}[n] for n in sellers.NAMES]), 10)
    return np.asarray(attack.forge(jax.random.key(0), UPDATES, BAD, context=Context()))


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ({"own": 1}, [3, 4, 0]),
        ({"own": -1, "length": np.log(2)}, [-6, -8, 0]),
        ({"last": 1}, [0, 5, 0]),
        ({"away": 1}, [5, 0, 0]),
        ({"own": 1, "duty": -40}, [3, 4, 0]),
        ({"others": -1}, -5 * np.array([1, 1, 3]) / np.sqrt(11)),
    ],
)
def test_what_a_seller_sends_by_hand(numbers, expected):
    result = sent(**numbers)
    np.testing.assert_allclose(result[0], expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(result[1:], UPDATES[1:])


def test_when_a_seller_acts():
    bend = sellers.Bend(*np.zeros(10, np.float32))._replace(first=4.0, duty=-4.0, turn=-40.0)
    on = [bool(sellers.is_on(bend, i, 10)) for i in range(10)]
    assert on == [False] * 5 + [True] * 5, "a turn of one round: on whenever it has begun"
    slow = bend._replace(first=-40.0, turn=0.0)  # turns of 8.5 rounds, on for half of each
    on = [bool(sellers.is_on(slow, i, 17)) for i in range(17)]
    assert on == [True] * 5 + [False] * 4 + [True] * 4 + [False] * 4


def pledge_game(is_locked, reward=10.0, deposit=30.0, detection=0.4, capacity=4):
    """A seller pledges one deposit to some jobs and works in a share of them; idle work is caught.

    With locks every job holds a deposit of its own, and only one can be had; without, one slash
    empties the deposit for all.
    """

    def one(policy, key, given):
        wanted = 1 + (capacity - 1) * jax.nn.sigmoid(policy[0])
        jobs = 1.0 if is_locked else jnp.round(wanted)
        idle = jax.nn.sigmoid(policy[1])
        idles, caught = jax.random.uniform(key, (2, capacity))
        there = jnp.arange(capacity) < jobs
        lazy = there & (idles < idle)
        slashed = (lazy & (caught < detection)).any() * deposit
        return reward * jobs - 5.0 * (there & ~lazy).sum() - slashed

    start = np.zeros(2, np.float32)
    honest = np.array([-9.0, -9.0], np.float32)
    return Game("pledges", honest, jax.vmap(one, (None, 0, None)), str, start, 1.5)


def test_double_pledging_is_found_where_nothing_is_locked():
    effort = Effort(generations=40, population=16, worlds=256, restarts=2)
    loose = learn(jax.random.key(5), pledge_game(False), effort)
    assert loose.policy[0] > 2, "one deposit for all jobs"
    gained = regret(loose.payoffs)
    assert gained.low > 14 and abs(gained.value - 15) < 1, "three more jobs at a margin of 5"
    locked = learn(jax.random.key(5), pledge_game(True), effort)
    assert regret(locked.payoffs).high < 0.3 and locked.policy[1] < -1, "honest work is best"


@pytest.mark.long
@pytest.mark.parametrize(("members", "pays"), [(6, False), (14, True)])
def test_coalitions_learn_to_collude_where_they_are_the_majority(members, pays):
    rules = make_rules(**{**MARKET_RULES, "num_rounds": 6})
    game = nodes.node_coalition(
        rules,
        cone.ConeParams(beta=1e-3),
        num_nodes=24,
        members=members,
        num_rounds=5,
        execution_cost=20.0,
    )
    effort = Effort(generations=30, population=16, worlds=16, restarts=2)
    found = learn(jax.random.key(0), game, effort, judged_on=200)
    gained = regret(found.payoffs)
    if pays:
        assert gained.low > found.payoffs[0].mean() and "100% collude" in game.tell(found.policy)
    else:
        assert gained.high <= 0.02 * found.payoffs[0].mean()


def test_curves_of_games_played_before_are_kept(tmp_path):
    found = learn(jax.random.key(0), quadratic(), Effort(generations=3, restarts=2), judged_on=8)
    path = tmp_path / "curves.csv"
    for name in ("one", "two", "one"):
        rows.keep_curve(path, rows.curve_rows(quadratic()._replace(name=name), found))
    table = pd.read_csv(path)
    assert table["game"].value_counts().to_dict() == {"one": 6, "two": 6}
    np.testing.assert_allclose(table["income"][:6], found.curve.reshape(-1), rtol=1e-5)
