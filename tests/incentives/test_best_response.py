"""Regret and thresholds against closed forms, on the real auction, vote and ledger."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import hypergeom

from d2m_jax import cone
from d2m_jax import ledger as books
from d2m_jax.audit.deviations import random_others
from d2m_jax.audit.games import node_game
from d2m_jax.audit.strategies import seller_strategies
from d2m_jax.config.hparams import MARKET_RULES
from d2m_jax.incentives import best_response as br
from d2m_jax.report.audit import Audit, markdown
from d2m_jax.report.gains import plot_gains

KEYS = jax.vmap(jax.random.key)(jnp.arange(1500))


def vote_payoffs(stakes, num_bad, gain, cost):
    """Per world and stake: what a coalition gets by colluding and by honesty; sets of 3, 2 win."""
    reward = 1_000
    rules = books.make_rules(
        **{**MARKET_RULES, "num_rounds": 2, "node_stake": 1, "reward_cap": reward}
    )
    member = jnp.arange(24) < num_bad

    def one(behaviour, stake, key):
        game = node_game(
            key,
            jnp.where(member, behaviour, 0).astype(jnp.int32),
            cone.ConeParams(size=3),
            rules,
            stake,
            0.0,
            num_rounds=1,
            options={"schedule": "fixed", "stop_rule": "majority_last"},
        )
        worth = game.money - cost * game.executed + gain * game.wins
        return jnp.where(member, worth, 0).sum(), jnp.where(member, game.seats, 0).sum()

    codes = jnp.array([cone.Behaviour.HONEST, cone.Behaviour.COLLUDE], jnp.int32)
    run = jax.vmap(jax.vmap(jax.vmap(one, (None, None, 0)), (None, 0, None)), (0, None, None))
    worth, seats = jax.jit(run)(codes, jnp.asarray(stakes), KEYS)
    return np.asarray(worth), np.asarray(seats), reward


@pytest.mark.slow
def test_the_stake_that_deters_collusion_agrees_with_the_closed_form():
    gain, cost, num_bad = 20_000, 300, 6
    seats = hypergeom(24, num_bad, 3)
    drawn = np.arange(4)
    error = (drawn * seats.pmf(drawn) * (drawn >= 2)).sum() / seats.mean()
    closed = br.node_stake_bound(error, 1_000, gain, cost)
    worth, _, _ = vote_payoffs([1, 40_000, round(closed)], num_bad, gain, cost)
    honest, colluding = worth[0], worth[1]
    solved = br.break_even(colluding[0] - honest[0], colluding[1] - honest[1], 39_999)
    assert solved.low < closed - 1 < solved.high
    assert solved.high - solved.low < 0.5 * closed
    assert br.regret(np.stack([honest[0], colluding[0]])).low > 0  # without a stake it pays
    assert br.regret(np.stack([honest[1], colluding[1]])).high < 0
    repaired = br.regret(np.stack([honest[2], colluding[2]]))
    assert repaired.low < 0 < repaired.high


def node_player(params=None, options=None, **terms):
    """[C] behaviour, number of keys, vigilance -> payoffs of jobs of 4 units, stakes of 20,000."""
    rules = books.make_rules(**{**MARKET_RULES, "num_rounds": 5, **terms})

    @jax.jit
    def run(keys, behaviour, vigilance):
        def one(key):
            return node_game(
                key, behaviour, params or cone.ConeParams(), rules, 20_000, vigilance,
                num_rounds=4, options=options,
            )  # fmt: skip

        return jax.vmap(one)(keys)

    def play(behaviour, seeds, vigilance=1.0):
        return jax.device_get(run(KEYS[:seeds], behaviour.astype(np.int32), vigilance))

    return play


@pytest.mark.slow
def test_the_pool_that_voted_decides_the_dispute_as_well():
    run = node_player()
    for size, pays in ((26, False), (35, True)):
        member = np.arange(64) < size
        game = run(np.where(member, cone.Behaviour.COLLUDE, 0), 24)
        honest = run(np.zeros(64), 24)
        inside, outside = game.money[:, member].mean(), game.money[:, ~member].mean()
        if pays:  # the wrong result wins every vote and then the dispute: nobody is slashed for it
            assert (game.wins[:, member].sum(1) > 0).all()
            assert inside > 0 and inside > honest.money.mean() > outside
        else:
            assert inside < honest.money[:, member].mean() < outside


@pytest.mark.slow
def test_an_adaptive_liar_that_wins_is_guilty():
    params, options = cone.ConeParams(size=3), {"schedule": "fixed", "stop_rule": "majority_last"}
    adaptive = np.arange(24) < 8
    run = node_player(params, options, reward_cap=1_000)
    game = run(np.where(adaptive, cone.Behaviour.ADAPTIVE, 0), 1_600)
    assert not game.wins[:, ~adaptive].any()
    # the dispute is work too, done by 3 + 3 nodes and paid by who loses
    calm = run(np.where(adaptive, cone.Behaviour.ADAPTIVE, 0), 1_600, 0.0)
    np.testing.assert_array_equal(calm.executed, calm.seats)  # an adaptive node does the work
    np.testing.assert_array_equal(calm.wins, game.wins)
    again = game.executed - calm.executed
    np.testing.assert_array_equal(again.sum(1), 6 * game.disputed)  # every unit that is wrong
    np.testing.assert_array_equal(game.disputed > 0, (calm.wins > 0).any(1))
    settled = (game.money < 0).any(1) & (again[:, adaptive].sum(1) == 0)  # nobody to collude again
    settled &= game.disputed == 1
    assert settled.sum() > 10
    # who was outvoted is made whole, and who executed again is paid for it
    least = 1_000 * again[settled][:, ~adaptive]
    assert (game.money[settled][:, ~adaptive] >= least).all() and least.any()
    assert (calm.money[settled][:, ~adaptive] < 0).any()
    lied = game.disputed == 1
    won, slashed = game.wins[:, adaptive] > 0, game.money[:, adaptive] < 0
    won, slashed = won & lied[:, None], slashed & lied[:, None]
    assert lied.sum() > 100
    np.testing.assert_array_equal(slashed, won & slashed.any(1)[:, None])
    # the dispute is a vote of 3 + 3 nodes: it is upheld unless 4 of them, two thirds, are adaptive
    assert abs(slashed[lied].any(1).mean() - hypergeom(24, 8, 6).cdf(3)) < 0.05


def test_regret_by_hand():
    found = br.regret(np.array([[1.0, 3.0, 2.0], [2.0, 4.0, 3.0], [0.0, 2.0, 4.0]]))
    assert found.best == 1 and found.value == found.low == 1.0 < found.high
    np.testing.assert_allclose(found.gains, [0, 1, 0])
    assert found.margins[1] == 0  # the same gain in every world: no doubt about it


def test_intervals_of_the_regret_cover_the_truth():
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(400):
        common = rng.normal(size=40)
        payoffs = np.stack([common, common + 0.3 + rng.normal(size=40), common - 1])
        found = br.regret(payoffs)
        inside += found.low <= 0.3 <= found.high
    assert inside >= 370  # at least 95 % less sampling noise


@pytest.mark.parametrize("worlds", [4, 60])
def test_break_even_interval_covers_the_root(worlds):
    rng = np.random.default_rng(1)
    inside = 0
    for _ in range(400):
        start = 5 + rng.normal(size=worlds)
        slope = 2 + rng.normal(size=worlds)
        found = br.break_even(start, start - 10 * slope, 10.0)
        inside += found.low <= 2.5 <= found.high
    assert 365 <= inside <= 395
    flat = br.break_even(np.array([1.0, 2.0]), np.array([2.0, 1.0]), 1.0)
    assert np.isinf(flat.high)


def test_verdicts():
    def at(low, high):
        return br.Regret(1, (low + high) / 2, low, high, np.zeros(2), np.zeros(2))

    assert br.verdict(at(-2, -1), at(-2, -1)) == "dominant"
    assert br.verdict(at(-2, -1), at(1, 2)) == "Nash only"
    assert br.verdict(at(1, 2), at(-2, -1)) == "fails"
    assert br.verdict(at(-1, 1), at(-2, -1)) == "undecided"
    assert br.verdict(at(-1, 1), at(-2, -1), (1.5, 0.0)) == "dominant"
    assert br.verdict(at(-1, 1), at(1.6, 1.8), (1.5, 1.5)) == "Nash only"
    assert br.verdict(at(-1, 1), at(1.6, 1.8), (1.5, 2.0)) == "dominant"


def test_bounds_make_the_two_utilities_equal():
    deposit = br.seller_deposit_bound(0.6, 100.0, 40.0, 500.0, 10.0)
    assert 0.4 * (40 + 500) - 0.6 * deposit == pytest.approx(100 - 10)
    assert br.detection_bound(deposit, 100.0, 40.0, 500.0, 10.0) == pytest.approx(0.6)
    stake = br.node_stake_bound(0.2, 50.0, 300.0, 5.0)
    assert 0.2 * (50 + 300) - 0.8 * stake == pytest.approx(50 - 5)


def test_random_profiles_and_bad_input():
    codes = random_others(jax.random.key(0), 400, jnp.array([2, 5]), jnp.float32(0.25))
    assert set(np.unique(codes)) == {0, 2, 5} and 60 < int((codes != 0).sum()) < 140
    with pytest.raises(ValueError, match="two strategies in two worlds"):
        br.regret(np.zeros((1, 5)))
    with pytest.raises(ValueError, match="detection must lie in"):
        br.seller_deposit_bound(0.0, 1, 1, 1, 1)
    with pytest.raises(ValueError, match="error must lie in"):
        br.node_stake_bound(1.0, 1, 1, 1)
    with pytest.raises(ValueError, match="deposit must not be negative"):
        br.detection_bound(-1.0, 1, 1, 1, 1)
    with pytest.raises(ValueError, match="unknown seller strategy"):
        seller_strategies(("lazy",))
    with pytest.raises(ValueError, match="remembers or searches"):
        seller_strategies(("mimic_variance",))


def test_the_honest_utility_is_the_mean_and_ties_are_a_share_of_it():
    honest = np.array([-300.0, 100.0, -100.0])  # mean -100, mean of the sizes 167
    audit = Audit(0.95, 0.02)
    audit.add("tie", ["honest", "other"], {"honest": np.stack([honest, honest + 1.9])})
    audit.add("more", ["honest", "other"], {"honest": np.stack([honest, honest + 2.1])})
    table = audit.tables()["verdicts"]
    assert list(table["honest utility"]) == [-100, -100]
    assert list(table["honesty is"]) == ["Nash (random others not played)", "fails"]
    crowd = np.stack([10 * honest, 10 * honest + 19.0])  # more is earned there, more is a tie
    audit.add("both", ["honest", "other"], {"honest": np.stack([honest, honest]), "random": crowd})
    assert audit.verdicts[-1]["honesty is"] == "dominant"


def test_a_killed_audit_goes_on_where_it_was(tmp_path):
    table = {"honest": np.array([[5.0, 6.0, 7.0], [1.0, 2.0, 2.0], [6.0, 8.0, 8.0]])}

    def start(settings):
        return Audit(0.95, 0.02, tmp_path, "Made by hand.\n", settings)

    first = start({"worlds": 3, "sizes": (1, 2)})
    first.add("one", ["honest", "lie", "steal"], table)
    first.repair("one", "stake", br.Threshold(5.0, 4.0, 6.0), 4.5)
    first.keep()
    first.add("lost", ["honest", "lie", "steal"], table)  # killed before it is kept
    again = start({"worlds": 3, "sizes": (1, 2)})
    assert again.has("one") and not again.has("lost")
    assert again.best("one") == ["steal", "lie"] and again.pays("one") == []
    for name, rows in again.tables().items():
        want = first.tables()[name]
        assert rows.equals(want[want["game"] != "lost"])
    assert (tmp_path / "audit.md").read_text() == again.text()
    assert not start({"worlds": 4, "sizes": (1, 2)}).has("one")  # other settings: from the start
    again.finish()
    assert not start({"worlds": 3, "sizes": (1, 2)}).has("one")  # nothing was left to do
    plot_gains(again, tmp_path / "gains.png")
    assert (tmp_path / "gains.png").stat().st_size > 5_000


def test_what_was_not_played_is_not_called_dominant():
    table = np.array([[5.0, 6.0, 7.0], [1.0, 2.0, 2.0]])
    audit = Audit(0.95, 0.0)
    audit.add("both", ["honest", "lie"], {"honest": table, "random": table})
    audit.add("one", ["honest", "lie"], {"honest": table})
    audit.repair("both", "stake", br.Threshold(5.0, 4.0, 6.0), 4.5)
    tables = audit.tables()
    assert list(tables["verdicts"]["honesty is"]) == ["dominant", "Nash (random others not played)"]
    audit.repair("none", "stake", br.Threshold(5.0, -np.inf, np.inf), 4.5)
    audit.repair("other", "stake", br.Threshold(5.0, 4.0, 6.0), 6.5)
    assert list(audit.tables()["repairs"]["agrees"]) == ["yes", "undetermined", "no"]
    text = markdown(tables["strategies"])
    assert text.count("\n") == 2 + 4 and "| both | lie | 1.67 | -4.33 |" in text
