"""Disputes by bisection in thousands of worlds: one honest party that watches is enough."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import binomtest

from d2m_jax import Spec, as_arrays, make_market
from d2m_jax import ledger as books
from d2m_jax.audit.games import node_game
from d2m_jax.cone import Behaviour, ConeParams
from d2m_jax.config.hparams import MARKET_RULES
from d2m_jax.core.choices import bound
from d2m_jax.court.tournament import probability_heard, survival
from d2m_jax.ledger import DEFAULT_RULES, make_rules
from d2m_jax.market import DISPUTES, validate
from d2m_jax.market.closing import close_job, settle_or_refund
from d2m_jax.market.jobs import in_turn
from tests.market import test_closing as closing_tests
from tests.worlds import SPEC, digits, numbers

pytestmark = pytest.mark.slow

WORLDS, NODES, ROUNDS, STAKE, SAVINGS = 2_048, 64, 2, 20_000, 80_000
UNITS, BOND = ROUNDS + 1, 50_000


@functools.cache
def captured(way, options=()):
    """63 of 64 nodes collude: the games of 2,048 worlds, a function of the dispute's numbers."""
    behaviour = jnp.full(NODES, int(Behaviour.COLLUDE), jnp.int32).at[7].set(Behaviour.HONEST)
    rules = make_rules(**MARKET_RULES)

    def one(key, given, savings):
        dispute = bound(DISPUTES[way], given)
        return node_game(
            key, behaviour, ConeParams(), rules, STAKE, 1.0, num_rounds=ROUNDS, dispute=dispute,
            savings=savings,
        )  # fmt: skip

    run = jax.jit(jax.vmap(one, (0, None, None)))
    keys = jax.random.split(jax.random.key(11), WORLDS)
    usual = dict.fromkeys(options, 0.0)

    def play(savings=SAVINGS, **given):
        given = {k: np.float32(v) for k, v in {**usual, **given}.items()}
        return jax.device_get(run(keys, given, np.int32(savings)))

    return play


ALL = ("watchers", "watching", "censorship", "budget", "inexact")
USUAL = {"watchers": 1, "watching": 1, "censorship": 0, "budget": 40, "inexact": 0}


def bisected(savings=SAVINGS, **change):
    return captured("bisection", ALL)(savings, **{**USUAL, **change})


HONEST = np.arange(NODES) == 7


def test_one_honest_node_that_watches_beats_63_that_collude_in_all_worlds():
    game = bisected()
    assert (game.wins[:, ~HONEST].sum(1) > 0).all()  # the wrong result had been accepted
    assert (game.disputed == UNITS).all() and (game.upheld == UNITS).all()
    assert (game.money[:, HONEST] >= 0).all()  # it has lost its stake in the votes, and has more
    guilty = game.wins > 0
    assert (game.money[guilty] < 0).all() and guilty.sum(1).min() >= 20
    assert (game.buyer >= 0).all()


def test_the_buyer_has_all_that_it_paid():
    """The sellers are paid by the guilty, and the fee comes back; without disputes it pays both."""
    game = bisected()
    paid = 1_000_000 * (DEFAULT_RULES["seller_bps"] + DEFAULT_RULES["fee_bps"]) // 10_000
    assert game.buyer.min() >= paid


def test_challenger_and_liars_who_are_one_lose():
    """All 64 nodes in one hand: prize and rewards are less than what is slashed."""
    game = bisected()
    slashed = (game.wins > 0).sum(1) * STAKE
    assert (game.money.sum(1) < -slashed / 4).all()


def test_with_a_new_vote_they_win_again_and_without_watchers_too():
    again = captured("revote")()
    assert (again.disputed == UNITS).all() and not again.upheld.any()
    assert (again.buyer == -UNITS * BOND).all()
    blind = bisected(watching=0)
    assert not blind.disputed.any() and not blind.upheld.any()


@pytest.mark.parametrize(("watching", "watchers"), [(0.1, 1), (0.3, 2), (0.5, 5), (0.05, 30)])
def test_a_wrong_result_survives_if_nobody_watches(watching, watchers):
    """(1 - p)^h, within its interval; who recomputes a job finds all that is wrong in it."""
    game = bisected(watching=watching, watchers=watchers)
    assert set(game.upheld.tolist()) == {0, UNITS}
    lives = int((game.upheld == 0).sum())
    found = binomtest(lives, WORLDS).proportion_ci(0.999)
    assert found.low <= survival(watching, watchers) <= found.high
    assert 0 < lives < WORLDS


def test_censorship_is_a_matter_of_the_clock():
    for budget in (20, 80):
        game = bisected(censorship=0.8, budget=budget)
        heard = probability_heard(
            sybils=1, steps=4_096, censorship=0.8, window=50, budget=budget, judging=60
        )
        lives = (UNITS - game.upheld).sum()  # each unit is a case of its own
        found = binomtest(int(lives), UNITS * WORLDS).proportion_ci(0.999)
        assert found.low <= survival(1.0, 1, heard) <= found.high
    assert heard > 0.99


def test_on_a_step_that_is_not_exact_the_pool_decides():
    """Whoever owns the pool puts its lie there: then bisection is no better than a new vote."""
    game = bisected(inexact=1.0)
    assert (game.disputed == UNITS).all() and not game.upheld.any()
    some = bisected(inexact=0.5)  # one exact step in three units, and the liars are banned
    found = binomtest(int((some.upheld == 0).sum()), WORLDS).proportion_ci(0.999)
    assert found.low <= 0.5**UNITS <= found.high


def test_who_is_right_but_poor_leaves_it_to_the_buyer():
    """No savings, no bond: the buyer pays it and has the prize; the truth is upheld."""
    game = bisected(savings=0)
    assert (game.upheld == UNITS).all()
    rich = bisected()
    assert (game.money[:, HONEST] < rich.money[:, HONEST]).all()
    assert (game.buyer > rich.buyer).all()


def test_a_dispute_is_a_name_or_a_function_of_ones_own():
    def own(key, matter, *, mercy=0.5):
        del mercy
        return DISPUTES["revote"](key, matter)

    dataset, _ = digits()
    for choice in ("bisection", own):
        make_market(Spec(**{**vars(SPEC), "dispute": choice}), dataset)
    market = make_market(Spec(**{**vars(SPEC), "dispute": own}), dataset)
    market.numbers(numbers(dispute={"mercy": 0.1}))
    for spec, given in ((own, {"watchers": 2.0}), ("revote", {"watchers": 2.0})):
        market = make_market(Spec(**{**vars(SPEC), "dispute": spec}), dataset)
        with pytest.raises(ValueError, match="number of dispute"):
            market.numbers(numbers(dispute=given))
    with pytest.raises(ValueError, match=r"unknown dispute 'bisect'.*'bisection'"):
        make_market(Spec(**{**vars(SPEC), "dispute": "bisect"}), dataset)
    bisecting = Spec(**{**vars(SPEC), "dispute": "bisection"})
    market = make_market(bisecting, dataset)
    warned = [len(validate(bisecting, numbers(dispute={"sybils": k}))) for k in (1.0, 3.0)]
    assert warned[1] == warned[0] + 1  # three may keep the court busy beyond rules.timeout
    with pytest.raises(ValueError, match=r"dispute.watching must lie in \[0, 1\]"):
        market.numbers(numbers(dispute={"watching": 1.5}))


@functools.cache
def closer():
    """`close_job` by bisection where five nodes accept digest `first` as the metric."""
    layout = closing_tests.LAYOUT
    voters = jnp.arange(layout.num_nodes) < 5

    @jax.jit
    def close(state, metric, first, false_dispute, given):
        conduct = {"false_dispute": false_dispute, "false_metric": 1.0}
        hparams = as_arrays(numbers(tau=0.6, conduct=conduct))

        def vote(key, state, hparams):
            del key, state, hparams
            return closing_tests.voted(first, voters)

        rules = make_rules(**{**hparams.rules, "num_rounds": 1})
        dispute = functools.partial(DISPUTES["bisection"], **given)
        key = jax.random.key(1)
        told = close_job(key, state, hparams, rules, metric, vote=vote, job=0, dispute=dispute)
        return settle_or_refund(told[0], rules, functools.partial(in_turn, 1)), told[1]

    def end(metric, first, false_dispute=0.0, **given):
        given = {k: np.float32(v) for k, v in {"censorship": 0.0, "inexact": 0.0, **given}.items()}
        state = closing_tests.start()
        args = np.float32(metric), np.int32(first), np.float32(false_dispute), given
        ledger, closing = jax.device_get(close(state, *args))
        facts = books.invariants(ledger)
        assert all(facts.values()), facts
        return ledger, closing, np.asarray(books.wealth(ledger) - books.wealth(state.opening))

    return end


def test_a_false_metric_is_corrected_by_the_court():
    """The model misses tau and the liars say that it reaches it: the buyer gets its price back."""
    fair, quiet, honest = closer()(0.3, 0)
    ledger, closing, gained = closer()(0.3, 1)
    assert not quiet.disputed and closing.disputed and closing.upheld and closing.corrected
    assert int(ledger.jobs.metric_bps[0]) == 3_000
    assert ledger.jobs.phase[0] == fair.jobs.phase[0] == books.Phase.REFUNDED
    nodes, sellers = closing_tests.LAYOUT.nodes, closing_tests.LAYOUT.sellers
    assert (gained[nodes][:5] == -20_000).all()  # stake and what they had earned
    assert (gained[sellers] >= honest[sellers]).all() and gained[0] > honest[0]
    others = gained[nodes][5:].tolist()  # the first that did not lie has the prize
    assert others == [closing_tests.bond_of(ledger), *[0] * (len(others) - 1)]
    assert closing.messages == 2 * 2 + 14 + 2 and closing.gas > 1_000_000
    assert ledger.block >= fair.block + closing.delay > fair.block


def test_a_right_result_that_is_disputed_stands_and_costs_the_bond():
    ledger, closing, gained = closer()(0.8, 0, false_dispute=1.0)
    _, _, fair = closer()(0.8, 0)
    assert closing.disputed and not closing.was_true and not closing.upheld
    assert ledger.jobs.phase[0] == books.Phase.SETTLED
    buyer = int(ledger.jobs.buyer[0])
    assert gained[buyer] == fair[buyer] - closing_tests.bond_of(ledger)
    nodes = closing_tests.LAYOUT.nodes
    assert (gained[nodes] == fair[nodes]).all()  # nobody executed again: the bond is burned


def test_censored_for_good_the_lie_stands_and_the_challenger_pays():
    ledger, closing, _ = closer()(0.3, 1, censorship=0.999)
    assert closing.disputed and not closing.upheld
    assert ledger.jobs.phase[0] == books.Phase.SETTLED and ledger.burned > 0
