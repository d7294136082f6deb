import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from d2m_jax import incentives
from d2m_jax.config.parsing import Config
from d2m_jax.config.spec import DataSpec
from d2m_jax.core.choices import numbers as numbers_of
from d2m_jax.core.money import split_pot
from d2m_jax.incentives.payments import PAYMENTS, payment_report
from d2m_jax.ledger import Phase, wealth
from d2m_jax.report.results import payments_dict
from tests.worlds import SPEC, market, numbers, play

SCORES = jnp.array([9.0, 1.0, 0.0, -2.0, jnp.nan])
SIZES = jnp.array([10, 30, 50, 10, 10], jnp.int32)
VIEW = incentives.PaymentView(SCORES, SIZES, SIZES, SIZES)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("proportional", [100, 11]),
        ("equal", [100, 100]),
        ("tempered", [100, 33]),
        ("capped", [100, 11]),
        ("sharp", [100, 1]),
        ("sized", [100, 33]),
    ],
)
def test_weights_by_hand(name, expected):
    weights = np.asarray(incentives.pay(name, SCORES, VIEW))
    np.testing.assert_array_equal(weights, [*expected, 0, 0, 0])


def test_nobody_counts_for_more_than_the_cap():
    scores = jnp.array([12.0] + [1.0] * 8)  # the mean is 20 / 9
    np.testing.assert_array_equal(PAYMENTS["proportional"](scores), [100] + [8] * 8)
    np.testing.assert_array_equal(PAYMENTS["capped"](scores), [100] + [15] * 8)


@pytest.mark.parametrize("name", PAYMENTS)
@pytest.mark.parametrize("pot", [0, 1, 999_983, 2**31 - 1])
def test_every_rule_splits_every_pot_exactly(name, pot):
    weights = incentives.pay(name, SCORES, VIEW)
    pay = split_pot(jnp.int32(pot), weights)
    report = payment_report(jnp.int32(pot), pay, jnp.int32(0), jnp.ones(5, bool))
    assert int(report.unbalanced) == 0
    assert not np.asarray(pay)[2:].any()


@pytest.mark.parametrize("name", PAYMENTS)
def test_nothing_scored_nothing_weighed(name):
    zeros = jnp.zeros(5)
    np.testing.assert_array_equal(incentives.pay(name, zeros, VIEW), np.zeros(5))


def test_a_payment_tells_its_numbers_and_takes_them():
    assert numbers_of(PAYMENTS["capped"]) == {"most": 3.0}
    scores = jnp.array([12.0, 1.0, 1.0, 2.0])  # the mean is 4
    run = jax.jit(lambda most: incentives.pay("capped", scores, most=most))
    np.testing.assert_array_equal(run(1.0), [100, 25, 25, 50])
    np.testing.assert_array_equal(run(1.5), [100, 17, 17, 33])
    np.testing.assert_array_equal(incentives.pay("capped", scores), PAYMENTS["capped"](scores))


def test_a_payment_of_ones_own_sees_what_it_asks_for():
    def by_attendance(scores, *, view, least=2):
        return jnp.where(view.rounds >= least, incentives.to_weights(scores), 0)

    scores, rounds = jnp.array([4.0, 2.0, 1.0]), jnp.array([1, 2, 3], jnp.int32)
    view = incentives.PaymentView(scores, rounds, rounds, rounds)
    np.testing.assert_array_equal(incentives.pay(by_attendance, scores, view), [0, 50, 25])
    found = incentives.pay(by_attendance, scores, view, least=3)
    np.testing.assert_array_equal(found, [0, 0, 25])
    # one that does not ask gets the scores only
    np.testing.assert_array_equal(incentives.pay("proportional", scores, view), [100, 50, 25])


@pytest.mark.parametrize(
    ("payment", "numbers", "sentence"),
    [
        ("caped", {}, "did you mean 'capped'"),
        ("capped", {"least": 1.0}, "'capped' has no number 'least'; it has: most"),
        ("equal", {"most": 1.0}, "it has: none"),
        (lambda scores, *, view: view.sizes, {}, "asks for a view of the job"),
        (lambda scores: scores, {}, "must give integers of shape .5,., not float32"),
        (lambda scores: jnp.ones(2, jnp.int32), {}, "of shape \\(2,\\)"),
    ],
)
def test_payments_are_refused_in_a_sentence(payment, numbers, sentence):
    with pytest.raises(ValueError, match=sentence):
        incentives.pay(payment, SCORES, **numbers)


def test_report_by_hand():
    pay = jnp.array([6, 2, 0, 0])
    took_part = jnp.array([True, True, True, False])
    report = payment_report(
        jnp.int32(10), pay, jnp.int32(1), took_part, cost=2.0, worth=jnp.array([3.0, 1, 0, 9])
    )
    assert int(report.unbalanced) == 1
    assert report.rational == pytest.approx(2 / 3)
    assert report.jain == pytest.approx(64 / (3 * 40))
    assert report.gini == pytest.approx((4 + 6 + 2) / (3 * 8))
    assert report.correlation == pytest.approx(1.0)
    assert report.misplaced == pytest.approx(0.0, abs=1e-6)
    even = payment_report(jnp.int32(8), pay, jnp.int32(0), took_part)
    assert even.misplaced == pytest.approx(6 / 8 - 1 / 3)


def test_every_run_reports_balance_rationality_and_fairness():
    """Eight honest sellers and a liar among the nodes, recomputed from the ledger by hand."""
    hparams = numbers(population={"num_lone_liars": 2}, tolerated_f=0)
    outcome = jax.device_get(play(hparams))
    config = Config(DataSpec(), SPEC, hparams, 0)
    layout = market().layout
    report = payments_dict(config, outcome, layout)
    job = jax.tree.map(lambda x: x[0], outcome.ledger.jobs)
    assert report["neither_paid_nor_refunded"] == 0
    gained = np.asarray(wealth(outcome.ledger) - wealth(outcome.opening))
    sellers = np.asarray(gained[layout.sellers])
    drawn = np.zeros(8)
    for who, here in zip(outcome.rounds.sellers, outcome.rounds.present):
        for seller in who[here]:
            drawn[seller] += 1
    assert report["sellers_rational"] == pytest.approx((sellers >= 100 * drawn).mean())
    assert report["honest_sellers_rational"] == report["sellers_rational"] > 0
    assert report["honest_nodes_rational"] == 1.0 > (gained[layout.nodes] >= 0).mean()
    assert report["winner_rational"] is True and report["honest_share"] == 1.0
    # a buyer that gives next to nothing for the model has paid too much for it
    poor = dataclasses.replace(hparams.money, buyer_values=(1, 1, 1))
    config = config._replace(hparams=dataclasses.replace(hparams, money=poor))
    assert payments_dict(config, outcome, layout)["winner_rational"] is False
    assert int(job.phase) == Phase.SETTLED
