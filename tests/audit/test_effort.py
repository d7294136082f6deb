"""Sellers that work less: what they send, what they save, and what would find them out."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from d2m_jax import as_arrays, sellers
from d2m_jax.attacks import AttackContext
from d2m_jax.attacks.switched import switched_attack
from d2m_jax.audit import effort_rows
from d2m_jax.audit.effort import ways_to_slack
from d2m_jax.incentives.effort import check_rate, gradient_price, price_that_deters
from d2m_jax.privacy import Party, check_flows
from tests.worlds import SPEC, digits, market, numbers

N, B = 8, 16
WAYS = ways_to_slack(N, B, local_steps=4)
UPDATES = jnp.asarray(np.random.default_rng(0).normal(size=(4, 5)), jnp.float32)
IDS, BAD = jnp.array([3, 0, 6, 1]), jnp.array([True, False, False, False])


def sent_by(name, rounds):
    """What the bad seller 3 sends in rounds in which its place, update and presence are given."""
    attack = WAYS[name].attack
    state = attack.init_state(5) if attack.init_state else None
    sent = []
    for index, (updates, mask) in enumerate(rounds):
        view = AttackContext(
            ids=IDS, mask=mask, previous=jnp.full(5, 7.0), round_index=index, state=state
        )
        if attack.observe:
            state = attack.observe(state, updates, BAD, context=view)
        forged = attack.forge(jax.random.key(0), updates, BAD, context=view._replace(state=state))
        np.testing.assert_array_equal(forged[1:], updates[1:])
        sent.append(np.asarray(forged[0]))
    return np.stack(sent)


HERE, AWAY = jnp.ones(4, bool), jnp.arange(4) > 0
ROUNDS = [(k * UPDATES, AWAY if k == 3 else HERE) for k in range(1, 7)]


def test_who_is_stale_sends_what_it_computed_when_it_last_worked():
    twice = sent_by("every gradient twice", ROUNDS) / np.asarray(UPDATES[0])
    np.testing.assert_allclose(twice[:, 0], [1, 1, 3, 4, 4, 6], rtol=1e-6)  # 3: it was away
    four = sent_by("every gradient four times", ROUNDS) / np.asarray(UPDATES[0])
    np.testing.assert_allclose(four[:, 0], [1, 1, 3, 1, 1, 6], rtol=1e-6)
    work = WAYS["every gradient twice"].work(np.array([0, 1, 5, 6]))
    np.testing.assert_array_equal(work, [0, 1, 3, 3])


def test_copies_are_of_others():
    late = sent_by("another's last update", ROUNDS)
    want = [0 * UPDATES[1], UPDATES[1], None, 3 * UPDATES[1], 4 * UPDATES[1], 5 * UPDATES[1]]
    for got, one in zip(late, want):
        if one is not None:
            np.testing.assert_allclose(got, one, rtol=1e-6)
    mean = sent_by("the mean of the others", ROUNDS[:1])[0]
    np.testing.assert_allclose(mean, UPDATES[1:].mean(0), rtol=1e-5)
    np.testing.assert_array_equal(sent_by("the last aggregate", ROUNDS[:1])[0], np.full(5, 7))
    copied = sent_by("another's update", ROUNDS[:1])[0]
    assert any(np.array_equal(copied, row) for row in UPDATES[1:])


def test_fewer_steps_are_taken_by_who_is_bad_alone():
    attacks = [way.attack for way in WAYS.values()]
    steps = jnp.array([4, 4, 1, 4])
    few = switched_attack(attacks, jnp.int32(list(WAYS).index("half of the local steps")))
    np.testing.assert_array_equal(few.shorten(steps, BAD), [2, 4, 1, 4])
    none = switched_attack(attacks, jnp.int32(0))
    np.testing.assert_array_equal(none.shorten(steps, BAD), steps)
    assert switched_attack(attacks[:1], jnp.int32(0)).shorten is None
    assert WAYS["half of the local steps"].work(np.array([6.0])) == 3


def test_recomputing_the_batch_finds_less_work_and_never_honest_work():
    """From the round's key, the seller's number and its examples follows what it must send."""
    _, data = digits()
    model, key, who = market().model, jax.random.key(4), jnp.array([5, 2])
    theta = model.init(jax.random.key(1))

    def trained(name=None):
        def tamper(key, seller, batch):
            pair = batch["inputs"], batch["labels"]
            bad = WAYS[name].attack.poison(key, *pair, 10, seller=seller)
            return {"inputs": bad[0], "labels": bad[1]}

        return sellers.train_sellers(
            model, key, theta, data, who, batch_size=B, tamper=tamper if name else None
        )

    batches = sellers.assigned_batches(model, key, data, who, batch_size=B)
    again = model.gradients(theta, batches, jax.random.split(key))
    np.testing.assert_array_equal(again, trained())
    for name in ("half of the batch", "an eighth of the batch"):
        gap = jnp.linalg.norm(again - trained(name), axis=1) / jnp.linalg.norm(again, axis=1)
        assert (gap > 0.1).all()


def test_the_rate_of_checks_is_where_less_work_breaks_even():
    pay, slack, saved, deposit, rounds = 35_000.0, 34_000.0, 2_400.0, 70_000.0, 50
    q = check_rate(pay, slack, saved, deposit, rounds)
    draws = np.random.default_rng(1).random((200_000, rounds)) < q
    found = draws.any(1)
    income = np.where(found, -deposit, slack) + saved
    assert abs(income.mean() - pay) < 4 * income.std() / len(income) ** 0.5
    assert check_rate(pay, 30_000.0, saved, deposit, rounds) == 0
    assert check_rate(10.0, 10.0, 50.0, 0.0, 5) == 1  # nothing to lose
    assert check_rate(10.0, 0.0, 50.0, 0.0, 5) == check_rate(-5.0, -3.0, 50.0, 2.0, 5) == 1
    assert check_rate(0.0, 0.0, 0.0, 0.0, 5) == 0  # and nothing to gain
    with pytest.raises(ValueError, match="rounds and a deposit"):
        check_rate(pay, slack, saved, deposit, 0)


def test_prices():
    assert gradient_price(100.0, 32, 1) == 3.125 and gradient_price(100.0, 32, 4) == 0.78125
    assert price_that_deters(500.0, 1_000.0) == 0.5 and price_that_deters(5.0, 0) == np.inf
    with pytest.raises(ValueError, match="a round has examples"):
        gradient_price(100.0, 0, 1)


def test_rows_are_what_was_paid_and_saved():
    ways = {"half of the batch": WAYS["half of the batch"]}
    honest = effort_rows.Played(np.array([[1_000.0, 1_200.0]]), np.array([10.0, 10.0]))
    slack = effort_rows.Played(np.array([[900.0, 1_000.0]]), np.array([10.0, 8.0]))
    row = next(
        effort_rows.effort_rows(
            "gain", ["equal"], honest, {"half of the batch": slack}, ways, 2.0, 16, 5_000.0
        )
    )
    # work: 10 rounds of 16 honest; 5 and 4 rounds of them when half of the batch is done
    assert row["net gain"] == np.mean([900 - 1_000 + 5 * 32, 1_000 - 1_200 + 6 * 32])
    assert row["gradients saved"] == 16 * 5.5 and row["work saved"] == 176
    assert row["deterred up to"] == 150 / 88
    found = 1 - 0.999 ** np.array([10.0, 8.0])
    want = np.mean([60 - found[0] * 5_900, -8 - found[1] * 6_000])
    assert row["net gain, checked"] == pytest.approx(want)


MEASURES = ("similarity", "unique")


@functools.cache
def runner():
    """Honest work and the mean of the others in the small market, as one program."""
    name = "the mean of the others"
    game = effort_rows.effort_game(market(), {name: WAYS[name]}, MEASURES, ("proportional",))
    return jax.jit(jax.vmap(game, (0, 0, None, None, None, None)))


def played(measure):
    """[worlds] pay of honest work, and of the mean of the others."""
    terms = effort_rows.Terms(jnp.int32(0), jnp.int32(MEASURES.index(measure)))
    keys, me = jax.random.split(jax.random.key(2), 12), jnp.arange(12) % SPEC.num_sellers
    hparams, data = as_arrays(numbers(tolerated_f=1)), digits()[1]
    return [
        np.asarray(runner()(keys, me, jnp.bool(slacks), terms, hparams, data).pay)[:, 0]
        for slacks in (False, True)
    ]


def test_who_values_work_by_the_batch_has_been_shown_it():
    """The trace of the market: batches reach the nodes as opened ones, and nobody else."""
    from tests.privacy.test_visibility import market_flows

    seen = market_flows(contribution="unique")
    check_flows(seen.ledger, Party.CHAIN)
    check_flows(seen.theta, Party.BUYER)
    assert "opened batch" not in seen.scores and "contributions" in seen.ledger.balances


@pytest.mark.slow
def test_unique_work_does_not_pay_the_mean_of_the_others_and_agreement_does():
    honest, mean = played("unique")
    assert mean.mean() < 0.35 * honest.mean()
    honest, mean = played("similarity")
    assert mean.mean() > honest.mean()
