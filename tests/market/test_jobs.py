"""Several jobs on one ledger: who serves whom, and that each is trained as if it were alone."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from d2m_jax import ledger as books
from d2m_jax.audit.literal import literal_round
from d2m_jax.config.spec import DataSpec
from d2m_jax.ledger import Phase, wealth
from d2m_jax.market import draw_roles, job_of, validate
from d2m_jax.market.jobs import SHARED
from d2m_jax.market.requests import asked_tags, asked_taus, money_for, wanted_jobs
from d2m_jax.market.roles import REQUEST_TAGS
from d2m_jax.market.state import MarketState
from d2m_jax.market.validation import check_one_job, supply_warnings
from d2m_jax.report.tables import money_table, rounds_table, sellers_table
from tests.market.several import JOBS, LAYOUT, SPEC, numbers_of_jobs, play_jobs
from tests.worlds import digits, market


def assert_sound(outcome):
    facts = books.invariants(outcome.ledger)
    assert all(facts.values()), facts
    assert int(outcome.ledger.supply) == int(outcome.opening.supply)


def test_three_jobs_are_sold_trained_and_paid_on_one_ledger():
    outcome = play_jobs()
    assert_sound(outcome)
    jobs = outcome.ledger.jobs
    assert (outcome.phase == Phase.SETTLED).all() and outcome.test_metric.shape == (JOBS,)
    assert jobs.buyer.tolist() == [0, 1, 2]  # the highest value of those that want it
    assert jobs.price.tolist() == [600_000, 580_000, 560_000]  # the second value
    holds = np.asarray(outcome.roles.holds)
    fits = (jobs.tags[:, None] & ~holds) == 0
    np.testing.assert_array_equal(jobs.matched, fits)  # everybody can afford both of its jobs
    assert (fits.sum(axis=0) == 2).all()
    assert (outcome.rounds.accepted_digest == 0).all()
    gained = np.asarray(wealth(outcome.ledger) - wealth(outcome.opening))
    assert gained.sum() == 0 and (gained[LAYOUT.sellers] > 0).any()
    assert (gained[3:6] == 0).all()  # losing bidders end with what they had


def test_a_seller_serves_as_many_jobs_as_it_has_deposits():
    outcome = play_jobs(numbers_of_jobs(money={"seller_stake": 100_000}))
    assert_sound(outcome)
    served = outcome.ledger.jobs.matched.sum(axis=0)
    assert served.max() == 1  # though the data of each fits two
    fits = (outcome.ledger.jobs.tags[:, None] & ~outcome.roles.holds) == 0
    short = outcome.phase == Phase.ABORTED
    assert (fits[short].sum(axis=0) >= (served == 0)).all()  # idle: the job had too few


def test_another_seed_sells_to_the_same_buyers_in_another_order():
    orders = {
        tuple(play_jobs(numbers_of_jobs(money={"seller_stake": 100_000}), seed=seed)
              .ledger.jobs.matched.sum(axis=1).tolist())
        for seed in range(4)
    }  # fmt: skip
    assert len(orders) > 1  # who closes first chooses first, and that is drawn


def alone(state, job):
    """The state of one of the jobs as that of a market of one job."""
    own = {
        name: jax.tree.map(lambda x: x[job], getattr(state, name))
        for name in MarketState._fields
        if name not in SHARED
    }

    def slot(ledger):
        rows = jax.tree.map(lambda x: x[job : job + 1], ledger.jobs)
        return dataclasses.replace(ledger, jobs=rows)

    return state._replace(ledger=slot(state.ledger), opening=slot(state.opening), **own)


@pytest.fixture(scope="module")
def first_rounds():
    """Three jobs before and after their first rounds, with liars among sellers and nodes."""
    made, data = market(SPEC), digits()[1]
    hparams = numbers_of_jobs(population={"num_byzantine": 2, "num_colluding": 5})
    hparams = made.numbers(hparams)
    before = jax.jit(made.init)(jax.random.key(3), hparams, data)
    after, (info, evaluations) = jax.jit(made.rounds)(before, hparams, data)
    return hparams, before, after, info, evaluations


@pytest.mark.slow
def test_a_job_learns_and_votes_as_it_would_alone(first_rounds):
    hparams, before, after, info, evaluations = first_rounds
    single = market(dataclasses.replace(SPEC, num_jobs=1))
    rounds = jax.jit(single.rounds)
    for job in (0, 2):
        state, (mine, measured) = rounds(alone(before, job), hparams, digits()[1])
        np.testing.assert_allclose(
            state.learning.theta, after.learning.theta[job], rtol=1e-4, atol=1e-6
        )
        for name in ("sellers", "accepted", "accepted_digest", "attempts", "executions"):
            np.testing.assert_array_equal(getattr(mine, name), getattr(info, name)[:, job], name)
        np.testing.assert_allclose(measured.test_metric, evaluations.test_metric[job], atol=0.004)


@pytest.mark.slow
def test_votes_that_share_nodes_take_longer_and_the_clock_waits_for_the_last(first_rounds):
    hparams, before, after, info, _ = first_rounds
    step = float(hparams.cone.t_exec + 2 * hparams.cone.t_block)
    ends = np.asarray(info.latency) / step
    attempts = np.asarray(info.attempts)
    assert (ends >= attempts).all() and (ends > attempts).any()
    assert (ends.max(axis=1) <= attempts.sum(axis=1)).all()
    took = int(after.ledger.block - before.ledger.block)
    assert took == 2 * ends.max(axis=1).sum()


def test_job_of_reads_one_of_them_and_the_tables_take_it():
    outcome = play_jobs()
    one = job_of(outcome, 1)
    assert int(one.phase) == outcome.phase[1] and float(one.test_metric) == outcome.test_metric[1]
    assert len(rounds_table(one)) == SPEC.num_rounds
    layout = one.ledger.layout
    assert layout == LAYOUT._replace(num_jobs=1)
    table = sellers_table(one, layout)
    assert table.accepted_rounds.sum() == outcome.rounds.accepted[:, 1].sum()
    assert len(money_table(one, layout)) > 0


def test_liars_claim_all_tags_and_strangers_serve_nobody():
    who = {"num_strangers": 2, "num_tag_liars": 1}
    outcome = play_jobs(
        numbers_of_jobs(population=who, money={"seller_stake": 200_000, "seller_funds": 250_000})
    )
    matched = outcome.ledger.jobs.matched
    assert not matched[:, outcome.roles.stranger].any()
    assert matched[:, outcome.roles.tag_liar].sum() == 2  # two deposits of 70,000 are free


def test_holdings_are_dealt_evenly_over_the_jobs():
    hparams = market(SPEC).numbers(numbers_of_jobs())
    spec = dataclasses.replace(SPEC, num_sellers=60)
    tags = asked_tags(SPEC, hparams)
    for breadth in (1, 2, 3):
        who = hparams.population.replace(breadth=jnp.int32(breadth))
        holds = np.asarray(draw_roles(jax.random.key(0), who, spec, tags).holds)
        serves = (np.asarray(tags)[:, None] & ~holds) == 0
        assert serves.sum(axis=1).tolist() == [20 * breadth] * JOBS


def test_what_is_not_said_follows_from_the_spec():
    silent = numbers_of_jobs(requests={"tags": (), "tau": (), "wants": ()})
    assert asked_tags(SPEC, silent).tolist() == [1, 2, 4]
    np.testing.assert_allclose(asked_taus(SPEC, silent.replace(tau=0.25)), [0.25] * 3)
    assert wanted_jobs(SPEC, silent).tolist() == [0, 1, 2, 0, 1, 2]
    one = dataclasses.replace(SPEC, num_jobs=1)
    assert asked_tags(one, silent).tolist() == [REQUEST_TAGS]
    assert money_for(one, silent, 0) is silent.money


def test_too_few_stakes_or_sellers_are_warned_of():
    assert supply_warnings(SPEC, numbers_of_jobs()) == []
    poor = numbers_of_jobs(money={"node_stake": 20_000})
    assert "pledged to 1 of the 3 jobs" in supply_warnings(SPEC, poor)[0]
    by_stake = dataclasses.replace(SPEC, sortition="stake")
    assert "to the job that closes first" in supply_warnings(by_stake, numbers_of_jobs())[0]
    once = numbers_of_jobs(money={"seller_stake": 139_999})
    assert "fits 2 jobs and has deposits for 1, so" in supply_warnings(SPEC, once)[0]
    few = numbers_of_jobs(population={"breadth": 1}, rules={"min_sellers": 3})
    assert supply_warnings(SPEC, few) == ["Only 2 sellers fit each job, so jobs will be aborted."]


CLASSES = ((0, 1, 2, 3), (4, 5, 6), (7, 8, 9))
BAD_CLASSES = {
    "one job": ({"num_jobs": 1}, {}, "spec.num_jobs is 1"),
    "too few": ({}, {"job_classes": CLASSES[:2]}, "the classes of 2 jobs, and spec.num_jobs is 3"),
    "none": ({}, {"job_classes": ((0,), (1,), ())}, "must hold the classes of every job"),
    "a word": ({}, {"job_classes": ((0,), (1,), "ab")}, "must hold the classes of every job"),
    "a partition": ({}, {"partition": "iid"}, "data.partition does nothing with data.job_classes"),
    "units": ({"selling": "units"}, {}, "set spec.selling to accounts"),
}


@pytest.mark.parametrize("case", BAD_CLASSES)
def test_classes_of_jobs_that_make_no_sense_are_refused(case):
    spec, data, sentence = BAD_CLASSES[case]
    asked = DataSpec(**{"job_classes": CLASSES, **data})
    with pytest.raises(ValueError) as caught:
        validate(dataclasses.replace(SPEC, **spec), numbers_of_jobs(), asked)
    assert sentence in str(caught.value)


def test_what_runs_one_job_says_so():
    with pytest.raises(ValueError, match="the audit plays markets of one job"):
        check_one_job(SPEC, "the audit")
    with pytest.raises(ValueError, match="literal rounds are of one job"):
        literal_round(market(SPEC))


REFUSED = {
    "no job": ({"num_jobs": 0}, {}, "num_jobs must be at least 1"),
    "more jobs than buyers": ({"num_jobs": 7}, {}, "more than the num_buyers = 6"),
    "few tags": ({}, {"requests": {"tags": (1, 2)}}, "requests.tags has 2 entries, and 3"),
    "equal tags": ({}, {"requests": {"tags": (1, 2, 2)}}, "different bitmasks"),
    "tau": ({}, {"requests": {"tau": (0.5, 0.5, 1.5)}}, "must lie in (0, 1]"),
    "no such job": ({}, {"requests": {"wants": (0, 1, 2, 3, 0, 0)}}, "jobs from 0 to 2"),
    "breadth": ({}, {"population": {"breadth": 4}}, "population.breadth = 4"),
    "one job": ({"num_jobs": 1}, {"requests": {"tau": (0.5,)}}, "spec.num_jobs is 1"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_makes_no_sense_is_refused_in_a_sentence(case):
    spec, changes, sentence = REFUSED[case]
    silent = {"tags": (), "tau": (), "wants": ()}
    hparams = numbers_of_jobs(population={"breadth": 1}, requests=silent)
    for group, fields in changes.items():
        hparams = hparams.replace(**{group: getattr(hparams, group).replace(**fields)})
    with pytest.raises(ValueError) as caught:
        market(dataclasses.replace(SPEC, **spec)).numbers(hparams)
    assert sentence in str(caught.value)
