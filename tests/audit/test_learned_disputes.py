"""What a learned buyer does about disputes and windows, where the answer is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from d2m_jax import cone
from d2m_jax.audit.learned import disputes
from d2m_jax.audit.learned.training import Effort, learn
from d2m_jax.config.hparams import MARKET_RULES
from d2m_jax.incentives import regret
from d2m_jax.ledger import make_rules

TOP = 1_000_000


EFFORT = Effort(generations=20, population=8, worlds=64, restarts=1)


def among(liars):
    """A buyer among nodes of which a small first set is easily wrong."""
    rules = make_rules(**{**MARKET_RULES, "num_rounds": 2})
    return disputes.dispute_game(
        rules, cone.ConeParams(size=3), num_nodes=24, liars=liars, num_rounds=1,
        options={"schedule": "fixed", "stop_rule": "majority_last"},
    )  # fmt: skip


def test_a_dispute_costs_a_bond_for_a_right_result_and_pays_for_a_wrong_one():
    game = among(liars=8)
    play, keys = jax.jit(game.payoff), jax.random.split(jax.random.key(8), 512)
    never, always = np.array([-12.0, -12.0], np.float32), np.array([12.0, 12.0], np.float32)
    silent, honest, rash = (
        np.asarray(play(policy, keys, ()), np.float64) for policy in (never, game.honest, always)
    )
    assert regret(np.stack([honest, rash])).high < 0  # a bond in every right world
    assert regret(np.stack([silent, honest])).low > 0


@pytest.mark.slow  # learns
def test_a_dispute_is_learnt_for_a_wrong_result_and_not_for_a_right_one():
    game = among(liars=8)
    found = learn(jax.random.key(7), game, EFFORT, judged_on=512)
    of_right, of_wrong = disputes.rates_of(found.policy)
    assert of_right < 0.05 and of_wrong > 0.95, game.tell(found.policy)
    assert regret(found.payoffs).high <= 0.02 * found.payoffs[0].mean()


@pytest.mark.slow
def test_against_a_captured_pool_no_dispute_pays():
    game = among(liars=20)
    found = learn(jax.random.key(7), game, EFFORT, judged_on=512)
    assert (disputes.rates_of(found.policy) < 0.1).all(), game.tell(found.policy)
    assert regret(found.payoffs).low > 0  # honesty would pay bonds to liars


def sealed():
    """A buyer that chooses its hours, and the rules of its auction."""
    rules = make_rules(**{**MARKET_RULES, "sealed": 1, "second_price": 1, "reserve": 1})
    return disputes.timing_game(rules, top=TOP), rules


def test_who_does_not_show_its_bid_loses_its_deposit_and_who_is_late_nothing():
    game, _ = sealed()
    keys = jax.random.split(jax.random.key(10), 512)
    play = jax.jit(game.payoff)
    silent = np.asarray(play(jnp.array([-12.0, 12.0]), keys, ()))
    refused = np.asarray(play(jnp.array([12.0, -12.0]), keys, ()))
    assert silent.mean() < -50_000 and (refused == 0).all()
    assert np.asarray(play(jnp.asarray(game.honest), keys, ())).mean() > 100_000


@pytest.mark.slow  # learns
def test_who_is_late_learns_to_come_in_time_and_within_the_windows_the_hour_is_nothing():
    game, rules = sealed()
    late = disputes.hours_of(jnp.asarray(game.start), rules)
    assert late[0] >= rules.auction_window and late[1] >= rules.reveal_window
    effort = Effort(generations=40, population=16, worlds=64, restarts=1)
    found = learn(jax.random.key(9), game, effort, judged_on=512)
    seal, shown = disputes.hours_of(jnp.asarray(found.policy), rules)
    assert seal < rules.auction_window and shown < rules.reveal_window, game.tell(found.policy)
    np.testing.assert_array_equal(*found.payoffs)  # as early as can be is no better
    assert found.payoffs[1].mean() > 100_000
