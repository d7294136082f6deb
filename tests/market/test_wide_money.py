"""A whole market with a million times the money, in a program with 64 bits."""

import dataclasses

import jax
import numpy as np
import pytest

from d2m_jax import HParams, Spec, as_arrays, make_market
from d2m_jax.config.hparams import MARKET_RULES, MONEY_IN_UNITS, Money
from d2m_jax.config.population import Population
from d2m_jax.data import build, load
from d2m_jax.ledger import Phase, invariants

MILLION = 10**6
SPEC = Spec(
    model="logreg",
    num_sellers=6,
    num_sampled=4,
    num_rounds=2,
    eval_every=1,
    batch_size=8,
    num_nodes=8,
    num_blocks=2,
    attack="sign_flip",
)
PEOPLE = Population(num_byzantine=1, num_colluding=2)
IN_RULES = ("reserve", "seller_deposit", "node_stake")


def times(factor):
    """The default market with all of its money times that."""
    money = {name: getattr(Money(), name) for name in MONEY_IN_UNITS}
    money = jax.tree.map(lambda amount: factor * amount, money)
    rules = {**MARKET_RULES, **{name: factor * MARKET_RULES[name] for name in IN_RULES}}
    return HParams(money=Money().replace(**money), population=PEOPLE, rules=rules)


@pytest.fixture(scope="module")
def both():
    """The ledgers at the end, [2] of both markets, played side by side by one program."""
    digits = load("digits")
    market, data = make_market(SPEC, digits), build(digits, num_sellers=6)
    with jax.enable_x64(True):
        numbers = [market.numbers(times(factor)) for factor in (1, MILLION)]
        stacked = jax.tree.map(lambda *x: np.stack(x), *numbers)
        run = jax.jit(jax.vmap(lambda hparams: market.run(jax.random.key(0), hparams, data)))
        outcome = jax.device_get(run(stacked))
        facts = jax.device_get(jax.vmap(invariants)(outcome.ledger))
    return outcome, facts


@pytest.mark.slow  # compiles a market
def test_a_market_of_ten_million_million_units_runs(both):
    outcome, facts = both
    ledger = outcome.ledger
    assert ledger.supply.tolist() == [10_000_000, 10_000_000 * MILLION]
    assert all(fact.all() for fact in facts.values())
    assert (ledger.jobs.phase >= Phase.SETTLED).all() and ledger.balances.dtype == np.int64


@pytest.mark.slow  # compiles a market
def test_who_wins_learns_and_votes_is_the_same(both):
    outcome, _ = both
    jobs = outcome.ledger.jobs
    for field in (jobs.buyer, jobs.phase, jobs.matched, jobs.weights, jobs.results):
        np.testing.assert_array_equal(field[0], field[1])
    np.testing.assert_array_equal(outcome.theta[0], outcome.theta[1])
    np.testing.assert_array_equal(outcome.rounds.outcomes[0], outcome.rounds.outcomes[1])


@pytest.mark.slow  # compiles a market
def test_all_money_is_a_million_times_that_of_the_small_market(both):
    """What is no share of a share, exactly; else up to what the small market rounds.

    A unit of work rounds its money down, and each of C nodes its part of it: fewer than
    (R + 1) (C + 1) units. What sellers are paid and what is shared of slashes round once each.
    """
    ledger = both[0].ledger
    jobs = ledger.jobs
    for amount in (jobs.price, jobs.bids, jobs.offered, ledger.asks, ledger.supply):
        np.testing.assert_array_equal(MILLION * amount[0], amount[1])
    roundings = (SPEC.num_rounds + 1) * (SPEC.num_nodes + 1) + SPEC.num_sellers + SPEC.num_nodes
    paid = [getattr(jobs, name) for name in ("seller_paid", "compute_paid", "refunded")]
    for amount in (ledger.balances, ledger.stakes, ledger.burned, *paid):
        assert (amount[0] > 0).any()
        apart = np.abs(amount[1] - MILLION * amount[0])
        assert apart.max() < MILLION * roundings


def test_without_64_bits_it_is_refused_in_a_sentence():
    digits = load("digits")
    with jax.enable_x64(False), pytest.raises(ValueError, match="must fit into 32 bits"):
        make_market(SPEC, digits).numbers(times(MILLION))
    rich = dataclasses.replace(times(1), money=Money(buyer_funds=2_000_000_000))
    with jax.enable_x64(False), pytest.raises(ValueError) as refusal:
        make_market(SPEC, digits).numbers(rich)
    assert "set JAX_ENABLE_X64=1" in str(refusal.value) and "\n" not in str(refusal.value)


def test_a_number_is_wide_only_where_it_is_money():
    with jax.enable_x64(True):
        typed = as_arrays(times(MILLION))
        with pytest.raises(ValueError, match=r"money\.seller_max_tau_bps must fit into 32 bits"):
            as_arrays(HParams(money=Money(seller_max_tau_bps=2**40)))
    assert typed.rules["reserve"].dtype == typed.money.buyer_values[0].dtype == np.int64
    assert typed.rules["timeout"].dtype == typed.money.buyer_shading_bps[0].dtype == np.int32
