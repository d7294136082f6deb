"""A jackpot and peer prediction for watchers beside one prize: closed forms and measured ones."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from d2m_jax.audit.games import watch_game
from d2m_jax.audit.watching import Terms, rest_of
from d2m_jax.incentives import regret
from d2m_jax.incentives.watching import (
    SHARES,
    deterring,
    dilemma,
    jackpot_share,
    peer_threshold,
    planted_rate,
    watching_of,
)

TERMS = Terms()
CROWD = 5


@functools.cache
def player(scheme, accounts=1):
    def one(own, others, planted, key):
        return watch_game(
            key, own, others, lying=0.0, planted=planted, prize=TERMS.prize, cost=TERMS.cost,
            gain=TERMS.gain, loss=TERMS.loss, watchers=CROWD, units=400, scheme=scheme,
            accounts=accounts,
        ).payoff  # fmt: skip

    run = jax.jit(jax.vmap(one, (None, None, None, 0)))
    keys = jax.random.split(jax.random.key(6), 600)
    return lambda own, others, planted: np.asarray(
        run(jnp.float32(own), jnp.float32(others), jnp.float32(planted), keys), np.float64
    )


def better(scheme, others, planted):
    """What always looking gains over never."""
    play = player(scheme)
    rows = [play(own, others, planted) for own in (0.0, 1.0)]
    return regret(np.stack(rows), confidence=0.999)


@pytest.mark.parametrize("scheme", ["first", "jackpot"])
def test_watchers_rest_where_looking_pays_its_cost(scheme):
    rest = rest_of(scheme, CROWD, TERMS)
    assert deterring(TERMS.gain, TERMS.loss, CROWD) < rest.watching < 0.95
    at = better(scheme, rest.watching, rest.planted)
    assert at.low <= 0 <= at.high and at.high - at.low < TERMS.cost
    assert better(scheme, 0.6 * rest.watching, rest.planted).low > 0
    assert better(scheme, min(1.6 * rest.watching, 1), rest.planted).high < 0
    # what the market pays is what looking costs
    assert rest.cost == pytest.approx(CROWD * rest.watching * TERMS.cost)


def test_the_jackpot_by_hand():
    wrong, worth = 0.02, 0.02 * TERMS.prize
    p = watching_of(wrong, TERMS.prize, TERMS.cost, CROWD, jackpot_share)
    assert p == pytest.approx(2 * (1 - (TERMS.cost / worth) ** (1 / (CROWD - 1))))
    draws = np.random.default_rng(0).binomial(CROWD - 1, 0.4, 400_000)
    assert jackpot_share(0.4, CROWD) == pytest.approx((0.5**draws).mean(), rel=0.005)
    both = [planted_rate(50_000, 20_000, 50_000, 300, 16, SHARES[name]) for name in SHARES]
    assert both[0] < both[1], "a jackpot pays less to finders in a crowd, so it plants more"
    assert dilemma(50_000, 20_000, 50_000, 300, 16, 1.2 * both[1], jackpot_share).lying == 0


def test_a_second_name_gains_where_one_finder_is_drawn_and_nothing_in_a_jackpot():
    for scheme, gains in (("first", True), ("jackpot", False)):
        rest = rest_of(scheme, CROWD, TERMS)
        rows = [player(scheme, n)(rest.watching, rest.watching, rest.planted) for n in (1, 2, 3)]
        two, three = regret(np.stack(rows[:2])), regret(np.stack([rows[0], rows[2]]))
        if gains:
            assert two.low > 0 and three.low > 0
        else:
            assert abs(two.value) < 1e-3 * TERMS.cost  # 2 / 2 of the same
            assert three.high < 0  # 3 / 4


def test_peers_make_watching_a_matter_of_what_others_do():
    rest = rest_of("peer", CROWD, TERMS)
    threshold = peer_threshold(rest.planted, TERMS.prize, TERMS.cost)
    assert 0 < threshold < 1 and rest.watching == 1
    assert better("peer", min(1.5 * threshold, 1), rest.planted).low > 0
    assert better("peer", 0.5 * threshold, rest.planted).high < 0
    at = better("peer", threshold, rest.planted)
    assert at.low <= 0 <= at.high
    blind = player("peer")(0.0, 1.0, rest.planted)
    np.testing.assert_allclose(blind, 0, atol=0.01)  # who does not look earns nothing


def test_an_unknown_scheme_is_refused():
    with pytest.raises(ValueError, match="scheme of pay"):
        watch_game(
            jax.random.key(0), 0.5, 0.5, lying=0, planted=0, prize=1, cost=1, gain=1, loss=1,
            watchers=2, units=2, scheme="none",
        )  # fmt: skip
