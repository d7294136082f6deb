"""Buyers against the formats of the auction: 1,000 worlds each, on the real ledger."""

import jax
import numpy as np
import pytest
from scipy.integrate import quad

from d2m_jax import ledger as books
from d2m_jax.audit import auctions
from d2m_jax.audit.auctions import ALONE, NUM_BLOCKS, Profile, earned, player
from d2m_jax.audit.games import auction_game
from d2m_jax.config.hparams import MARKET_RULES
from d2m_jax.incentives import best_response as br
from d2m_jax.incentives.auctions import equilibrium_share, expected_revenue
from d2m_jax.market.bidding import Bidding

TOP = 1_200_000  # values of four buyers are uniform up to here
KEYS = jax.random.split(jax.random.key(1), 1_000)
RULES = books.make_rules(**MARKET_RULES)
OF = {profile.label: profile for profile in ALONE}
HURRIED = ("jumps to its value", "jumps to all its cash", "snipes", "shill account")


def regret_of(play, labels, others=False):
    """Of the truthful player against its deviations in the same worlds."""
    profiles = [OF["truthful"], *(OF[label] for label in labels)]
    return br.regret(np.stack([earned(p, play(p, KEYS, others)) for p in profiles]))


@pytest.fixture(scope="module")
def default():
    return player("sealed", RULES, 4, TOP)


@pytest.mark.parametrize("others", [False, True])
def test_no_conduct_gains_in_the_default_auction(default, others):
    found = regret_of(default, [label for label in OF if label != "truthful"], others)
    assert found.high <= 0 and found.gains.max() <= 0
    hurried = regret_of(default, HURRIED, others)
    assert hurried.gains[[1, 3]].tolist() == [0, 0]  # when a seal is made says nothing
    assert hurried.gains[2] < -300_000 and hurried.gains[4] < -40_000


def test_a_ring_gains_what_the_reserve_leaves_it(default):
    """Against rings second prices have no defence but the reserve: all four pay it."""
    alone, ring = (default(p, KEYS, False) for p in (auctions.TOGETHER[0], auctions.TOGETHER[2]))
    sold = np.asarray(ring.winner) >= 0
    assert (ring.price[sold] == MARKET_RULES["reserve"]).all()
    np.testing.assert_array_equal(ring.winner, alone.winner)
    assert earned(auctions.TOGETHER[2], ring).mean() > 100_000


@pytest.mark.slow
def test_nobody_moves_the_price_of_an_ascending_auction():
    play = player("ascending", RULES, 4, TOP)
    for others in (False, True):
        found = regret_of(play, HURRIED, others)
        assert found.high < 0.005 * TOP


@pytest.mark.slow
def test_an_ascending_auction_needs_losers_that_speak():
    """Rivals that fall silent as soon as they cannot lead make a jump worth a sixth of a value."""

    def utility(code, rival):
        def one(key):
            values = jax.random.randint(key, (4,), 1, TOP)
            codes = np.full(4, rival, np.int32)
            codes[0] = code
            bids = np.full(4, 10_000)
            terms = {"auction": "ascending", "num_blocks": NUM_BLOCKS}
            return auction_game(key, values, bids, codes, RULES, **terms).utility[0]

        return np.asarray(jax.jit(jax.vmap(one))(KEYS))

    jump = utility(Bidding.JUMP, Bidding.QUIET)
    assert jump.mean() - utility(Bidding.QUIET, Bidding.QUIET).mean() > 100_000
    assert jump.mean() - utility(Bidding.JUMP, Bidding.TRUTHFUL).mean() > 100_000


def test_truthful_bidding_is_not_dominant_in_a_first_price_auction():
    play = player("first_price", books.make_rules(**{**MARKET_RULES, "reserve": 1}), 4, TOP)
    labels = [label for label in OF if label.endswith(" v")]
    found = regret_of(play, labels)
    assert found.low > 0 and labels[found.best - 1] == "bids 0.75 v"  # (n - 1) / n of four buyers
    # against truthful rivals U(b) = E[(v - b v) b^3 (v / TOP)^3] = (1 - b) b^3 TOP / 5, v uniform
    for label, gain, margin in zip(labels, found.gains[1:], found.margins[1:], strict=True):
        bid = OF[label].bid_bps / 10_000
        if bid < 1:
            assert abs(gain - (1 - bid) * bid**3 * TOP / 5) < 1.5 * margin
    assert br.shading(4) == 0.75 == equilibrium_share(np.array([TOP]), 4, 0)[0]


@pytest.mark.slow
def test_the_formats_come_to_what_theory_says():
    """Revenue equivalence; the highest value wins but for the increments of open bids."""
    table = auctions.formats(RULES, 4, TOP, KEYS).set_index("format")
    assert table.loc["second price", "efficiency"] == 1
    assert table.loc["sealed first price", "efficiency"] > 0.999
    assert table.loc["ascending", "efficiency"] > 0.95
    wrong = abs(table["revenue"] - table["theory"])
    assert (wrong < 1.5 * table["margin"] + np.array([0, 0.02 * TOP, 0])).all()


def test_theory_by_integration():
    """Mean of max(reserve, second highest of four), by the density of the two highest."""
    r = 1 / 6
    one = 4 * r**3 * (1 - r) * r  # one value above the reserve pays it
    two = quad(lambda y: y * 12 * y**2 * (1 - y), r, 1)[0]
    assert expected_revenue(4, 200_000, TOP) == pytest.approx(TOP * (one + two))
    assert expected_revenue(4, 0, 1.0) == pytest.approx(0.6)
    assert equilibrium_share(np.array([100.0, 200.0]), 4, 150)[0] == 1


def test_a_profile_without_a_second_account_leaves_it_silent(default):
    played = default(Profile("truthful"), KEYS, False)
    assert not np.isin(played.winner, [auctions.SECOND]).any()
    assert (np.asarray(played.utility)[:, auctions.SECOND] == 0).all()
