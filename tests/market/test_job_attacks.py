"""Attacks across the jobs of one market, over seeds: what they cost and whom they harm."""

import numpy as np
import pytest

from d2m_jax.ledger import Phase, wealth
from tests.market.several import LAYOUT, numbers_of_jobs, play_jobs

pytestmark = pytest.mark.slow

SEEDS = range(10)
ATTACKER, RIVAL = 0, 1  # jobs, and the buyers that win them; nobody wants the third job
WANTS = (0, 1, 1, 1, 1, 1)
CAPACITY = {"one": 100_000, "two": 140_000}  # of 70,000 each


def gained(outcome):
    """[A] units that every account gained."""
    return np.asarray(wealth(outcome.ledger) - wealth(outcome.opening))


def starving(capacity="one", tau=1.0, **money):
    """A buyer without rivals buys, at the reserve, a model that it does not want."""
    asked = {"wants": WANTS, "tau": (tau, 0.3, 0.3)}
    money = {"seller_stake": CAPACITY[capacity], "seller_ask": 0, **money}
    hparams = numbers_of_jobs(population={"breadth": 3}, requests=asked, money=money)
    return [play_jobs(hparams, seed) for seed in SEEDS]


def test_whoever_closes_first_starves_a_rival_of_sellers_without_terms_and_pays_the_work():
    outcomes = starving()
    starved = np.array([int(o.phase[RIVAL]) == Phase.ABORTED for o in outcomes])
    assert 0 < starved.sum() < len(SEEDS)  # the order is drawn: it works in some worlds
    for outcome, worked in zip(outcomes, starved):
        cost, jobs = -gained(outcome)[ATTACKER], outcome.ledger.jobs
        assert jobs.price[ATTACKER] in (0, 200_000)
        if worked:
            assert outcome.phase[ATTACKER] == Phase.REFUNDED  # tau is out of reach
            assert cost == jobs.compute_paid[ATTACKER] + jobs.seller_paid[ATTACKER] > 0
            assert gained(outcome)[RIVAL] == 0  # it loses time and no money
        else:
            assert outcome.phase[ATTACKER] == Phase.ABORTED and cost == 0
            assert outcome.phase[RIVAL] == Phase.SETTLED


@pytest.mark.parametrize(
    "terms",
    [
        {"capacity": "two"},
        {"seller_ask": 140_001},  # more than the seller pool of a job at the reserve
        {"seller_max_tau_bps": 9_999},
    ],
)
def test_sellers_with_money_for_two_jobs_or_with_terms_end_it(terms):
    for outcome in starving(**terms):
        assert outcome.phase[RIVAL] == Phase.SETTLED
        assert outcome.ledger.jobs.matched[RIVAL].all()


def test_a_buyer_whose_seller_spoils_a_rivals_job_gains_nothing():
    """Owner of the first buyer and of those sellers of the second job that attack it."""
    honest, attacked = numbers_of_jobs(), numbers_of_jobs(population={"num_byzantine": 1})
    for seed in SEEDS:
        before, after = play_jobs(honest, seed), play_jobs(attacked, seed)
        bad = LAYOUT.seller(int(np.argmax(after.roles.byzantine)))
        owner = [gained(outcome)[[ATTACKER, bad]].sum() for outcome in (before, after)]
        if after.ledger.jobs.matched[RIVAL, bad - LAYOUT.num_buyers]:
            assert owner[1] < owner[0]


def test_a_jobs_liars_take_nothing_from_the_other_jobs():
    """Nodes captured in the votes of all jobs, and byzantine sellers: no job's pools mix."""
    outcome = play_jobs(numbers_of_jobs(population={"num_colluding": 40, "num_byzantine": 2}))
    jobs = outcome.ledger.jobs
    paid = jobs.seller_paid + jobs.fee_paid + jobs.compute_paid + jobs.refunded
    np.testing.assert_array_equal(paid, jobs.price + jobs.compensation)
