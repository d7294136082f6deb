"""The verifier's dilemma: the closed form, and the best responses that are measured beside it."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from d2m_jax.audit.games import watch_game
from d2m_jax.incentives import regret
from d2m_jax.incentives.watching import (
    deterring,
    dilemma,
    planted_rate,
    prize_share,
    watching_of,
)

GAIN, LOSS, PRIZE, COST = 50_000.0, 20_000.0, 50_000.0, 300.0
WORLDS, UNITS = 1_000, 400


@functools.cache
def player(watchers):
    def one(own, key, numbers):
        return watch_game(key, own, **numbers, watchers=watchers, units=UNITS)

    run = jax.jit(jax.vmap(jax.vmap(one, (None, 0, None)), (0, None, None)))
    keys = jax.random.split(jax.random.key(3), WORLDS)
    usual = {"lying": 0.0, "planted": 0.0, "prize": PRIZE, "cost": COST, "gain": GAIN, "loss": LOSS}

    def play(owns, others, **change):
        numbers = {k: jnp.float32(v) for k, v in {**usual, **change, "others": others}.items()}
        return jax.device_get(run(jnp.asarray(owns, jnp.float32), keys, numbers))

    return play


def better(watchers, others, **world):
    """What watching always gains over watching never, with its interval."""
    payoff = player(watchers)([0.0, 1.0], others, **world).payoff
    return regret(payoff, confidence=0.999)


@pytest.mark.parametrize(("watchers", "planted"), [(1, 0.006), (4, 0.012), (16, 0.03)])
def test_watchers_watch_until_it_pays_no_more(watchers, planted):
    """At p they are indifferent; with fewer others it pays to watch, with more it does not."""
    p = watching_of(planted, PRIZE, COST, watchers)
    if watchers == 1:
        assert p in (0.0, 1.0)  # alone one is paid or not
        return
    assert 0.05 < p < 0.95
    at = better(watchers, p, planted=planted)
    assert at.low <= 0 <= at.high and at.high - at.low < 0.5 * COST
    assert better(watchers, 0.7 * p, planted=planted).low > 0
    assert better(watchers, min(1.3 * p, 1.0), planted=planted).high < 0


def test_if_nothing_is_wrong_nobody_watches_and_then_lying_pays():
    assert watching_of(0.0, PRIZE, COST, 4) == 0
    assert better(4, 0.0).high < 0 and better(4, 0.5).high < 0
    honest, lies = (player(4)([0.0], 0.0, lying=r).liar.mean() for r in (0.0, 0.1))
    assert honest == 0 < lies == pytest.approx(0.1 * GAIN, rel=0.05)


def test_without_planted_errors_some_lies_survive():
    """Both sides are indifferent at the rates of the closed form, measured."""
    end = dilemma(GAIN, LOSS, PRIZE, COST, 4)
    assert end.survival > 0 and 0 < end.lying < 0.05
    here = better(4, end.watching, lying=end.lying)
    assert here.low <= 0 <= here.high
    played = player(4)([end.watching], end.watching, lying=end.lying)
    liar, lives = played.liar[0], played.survival[0]
    error = 4 * liar.std() / WORLDS**0.5
    assert abs(liar.mean()) < error < 0.01 * GAIN
    assert abs(lives.mean() - end.survival) < 4 * lives.std() / WORLDS**0.5


def test_as_many_planted_errors_as_there_would_be_lies_stop_the_lies():
    need = planted_rate(GAIN, LOSS, PRIZE, COST, 4)
    assert need == pytest.approx(dilemma(GAIN, LOSS, PRIZE, COST, 4).lying)
    less, more = (dilemma(GAIN, LOSS, PRIZE, COST, 4, q * need) for q in (0.9, 1.2))
    assert less.survival > 0 == more.survival and more.lying == 0
    assert more.watching > deterring(GAIN, LOSS, 4) == pytest.approx(less.watching)
    # a liar that tries all the same loses, by measurement
    tried = player(4)([more.watching], more.watching, lying=0.05, planted=1.2 * need).liar[0]
    assert tried.mean() + 4 * tried.std() / WORLDS**0.5 < 0
    # the watchers break even: what the market pays is what watching costs
    played = player(4)([more.watching], more.watching, planted=1.2 * need).payoff[0]
    assert abs(played.mean()) < 4 * played.std() / WORLDS**0.5
    assert more.cost == pytest.approx(4 * more.watching * COST, rel=1e-6)


def test_the_share_of_a_prize_is_a_mean_over_the_others():
    draws = np.random.default_rng(0).binomial(6, 0.3, 400_000)
    assert prize_share(0.3, 7) == pytest.approx((1 / (1 + draws)).mean(), rel=0.005)
    assert prize_share(0.0, 7) == 1 and prize_share(1.0, 7) == pytest.approx(1 / 7)


def test_more_watchers_watch_less_each_and_a_dear_watch_is_none():
    few, many = (watching_of(0.02, PRIZE, COST, h) for h in (4, 64))
    assert many < few
    assert dilemma(GAIN, LOSS, 100.0, COST, 4).lying == 1  # the prize is below the cost
    assert dilemma(GAIN, LOSS, 100.0, COST, 4).survival == 1
    assert planted_rate(GAIN, LOSS, 100.0, COST, 4) > 1
