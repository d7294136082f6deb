"""Tables, account and columns of a market of several jobs, against its parts."""

import io

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from d2m_jax.config.hparams import MARKET_RULES
from d2m_jax.config.parsing import Config
from d2m_jax.config.spec import DataSpec
from d2m_jax.core.money import split_pot
from d2m_jax.incentives import EXECUTION_COST, TRAINING_COST
from d2m_jax.ledger import Phase, make_rules, wealth
from d2m_jax.ledger.settlement import punish
from d2m_jax.market import job_of
from d2m_jax.report import columns, events, job_tables, print_jobs, tables
from d2m_jax.report.job_results import payments_of_jobs
from d2m_jax.report.job_tables import most_welfare, whole_sellers
from d2m_jax.sweep import job_tables as sweep_jobs
from d2m_jax.sweep import tables as sweep_tables
from tests.market.several import JOBS, LAYOUT, SPEC, numbers_of_jobs, play_jobs

VALUES = (900_000, 880_000, 860_000, 600_000, 580_000, 560_000)
HPARAMS = numbers_of_jobs(
    population={"num_byzantine": 2, "num_colluding": 5}, requests={"tau": (0.3, 0.3, 0.99)}
)
CONFIG = Config(DataSpec(), SPEC, HPARAMS, 0)


@pytest.fixture(scope="module")
def outcome():
    """Three jobs with liars among sellers and nodes, one of which asks for too much."""
    return play_jobs(HPARAMS)


def test_what_a_job_paid_is_how_the_ledger_splits_its_pool(outcome):
    jobs, paid = outcome.ledger.jobs, job_tables.paid_by_job(outcome)
    assert (paid.sum(1) == jobs.seller_paid).all() and (paid[~jobs.matched] == 0).all()
    weights = jnp.where(jobs.matched & ~jobs.excluded, jobs.weights, 0)
    np.testing.assert_array_equal(paid, jax.vmap(split_pot)(jobs.seller_paid, weights))
    gained = whole_sellers(job_tables.sellers_table(outcome, LAYOUT))
    never = ~gained["slashed"].to_numpy(bool)
    assert (gained["change"] == gained["paid"])[never].all()
    assert gained["paid"].sum() == jobs.seller_paid.sum()


def test_who_is_rational_in_a_job_is_told_by_its_own_pay(outcome):
    """What all jobs paid is what a seller gained, recomputed by hand for each of them."""
    earned = job_tables.earned_by_job(outcome, HPARAMS.rules)
    gained = np.asarray(wealth(outcome.ledger)) - np.asarray(wealth(outcome.opening))
    np.testing.assert_array_equal(earned.sum(0), gained[LAYOUT.sellers])
    found = payments_of_jobs(CONFIG, outcome, LAYOUT)
    for job, one in enumerate(found["jobs"]):
        drawn = np.zeros(SPEC.num_sellers, int)
        rounds = outcome.rounds
        np.add.at(drawn, rounds.sellers[:, job][rounds.present[:, job]], 1)
        covered = earned[job] >= TRAINING_COST * drawn
        matched = np.asarray(outcome.ledger.jobs.matched[job])
        assert one["sellers_rational"] == pytest.approx(covered[matched].mean())
        assert "honest_nodes_rational" not in one
    assert found["honest_nodes_rational"] == 1.0


def test_what_a_job_slashed_is_what_the_ledger_takes_of_a_deposit(outcome):
    rules = {**MARKET_RULES, "slash_harm_bps": 3_333}
    guilty = np.zeros((JOBS, SPEC.num_sellers), bool)
    guilty[1, 2] = True
    row = jax.tree.map(lambda leaf: leaf[1], outcome.ledger.jobs)
    pledged = jnp.full(SPEC.num_sellers, MARKET_RULES["seller_deposit"], jnp.int32)
    row = row.replace(excluded=jnp.asarray(guilty[1]), locked=pledged, spoilt=jnp.array(False))
    _, left = jax.jit(punish)(outcome.ledger, make_rules(**rules), row)
    closed = outcome._replace(closing=outcome.closing._replace(slashed=guilty))
    taken = job_tables.paid_by_job(closed) - job_tables.earned_by_job(closed, rules)
    np.testing.assert_array_equal(taken[1], pledged - left.locked)
    assert taken.sum() == taken[1, 2] > 0


def test_one_row_per_job_and_one_per_job_and_seller(outcome):
    found = job_tables.jobs_table(outcome, VALUES)
    for job, row in enumerate(found.itertuples()):
        own = job_of(outcome, job)
        assert row.phase == tables.phase_name(own) and row.test_metric == own.test_metric
        assert row.delivered == (own.phase == Phase.SETTLED)
        assert row.value == (VALUES[row.buyer] if row.delivered else 0)
        assert row.executions == own.rounds.executions.sum()
    assert found["phase"].tolist() == ["settled", "settled", "refunded"]
    serves = job_tables.serves_table(job_tables.sellers_table(outcome, LAYOUT), outcome)
    assert serves.groupby("job").size().tolist() == found["sellers"].tolist()
    for name, table in (("jobs", found), ("serves", serves)):
        wanted = [c.name for c in columns.TABLES[name] if c.name != "key"]
        assert table.columns.tolist() == wanted
        kinds = {c.name: c.dtype for c in columns.TABLES[name]}
        assert {k: str(v) for k, v in table.dtypes.items()} == {k: kinds[k] for k in wanted}


def test_tables_of_all_jobs_are_those_of_each(outcome):
    rounds = tables.round_frame(outcome.rounds, outcome.evaluations, outcome.roles, outcome.ledger)
    measured = tables.evaluation_frame(outcome.evaluations)
    auction = job_tables.of_jobs(events.auction_table, outcome, LAYOUT, table="auction")
    for job in range(JOBS):
        own = job_of(outcome, job)
        for found, one in (
            (rounds, tables.rounds_table(own)),
            (measured, tables.evaluations_table(own)),
            (auction, events.auction_table(own, LAYOUT)),
        ):
            mine = found[found["job"] == job].drop(columns="job").reset_index(drop=True)
            pd.testing.assert_frame_equal(mine, one)


def test_the_money_of_all_is_kept(outcome):
    money = tables.money_table(outcome, LAYOUT).set_index("group")
    assert money.loc["total", "change"] == 0
    assert money.loc["winning buyers", "parties"] == 3
    prices = outcome.ledger.jobs.price.sum() - outcome.ledger.jobs.refunded.sum()
    assert money.loc["winning buyers", "change"] == -prices


def account_of(outcome, jobs):
    """What a person reads, with this table of jobs."""
    found = {
        "jobs": jobs,
        "sellers": job_tables.sellers_table(outcome, LAYOUT),
        "rounds": tables.round_frame(
            outcome.rounds, outcome.evaluations, outcome.roles, outcome.ledger
        ),
        "money": tables.money_table(outcome, LAYOUT),
    }
    console = Console(file=io.StringIO(), width=120)
    print_jobs(console, CONFIG, outcome, LAYOUT, found)
    return console.file.getvalue()


def test_the_account_by_hand(outcome):
    said = account_of(outcome, job_tables.jobs_table(outcome, VALUES))
    assert "2 of 3 jobs deliver a good model (2 settled, 1 refunded)" in said
    revenue = int(outcome.ledger.jobs.price[:2].sum())
    assert f"Revenue {revenue:,}" in said and "serves jobs" in said
    assert most_welfare(CONFIG) == sum(VALUES[:3])


def test_a_model_that_is_not_finite_has_a_line(outcome):
    """Metrics that are no number are missing values of the table."""
    unknown = np.full(JOBS, np.nan, np.float32)
    closing = outcome.closing._replace(metric=unknown)
    lost = outcome._replace(closing=closing)
    jobs = job_tables.jobs_table(lost, VALUES).assign(test_metric=pd.NA)
    (line,) = [line for line in account_of(lost, jobs).splitlines() if "buyer 2" in line]
    assert line.split()[-4:] == ["-", "99%", "-", "refunded"]


def stacked(outcome):
    """Two worlds: the outcome twice, without what a sweep leaves out."""
    bare = outcome._replace(theta=(), defence=outcome.defence._replace(memory=()))
    return jax.tree.map(lambda leaf: np.stack([np.asarray(leaf)] * 2), bare)


def test_a_sweep_adds_up_the_jobs(outcome):
    worlds, values = stacked(outcome), np.array([VALUES] * 2)
    found = sweep_jobs.runs_columns(worlds, LAYOUT, values)
    rounds, jobs = outcome.rounds, outcome.ledger.jobs
    assert found["price"].tolist() == [jobs.price.sum()] * 2
    assert found["num_delivered"].tolist() == [2, 2] and found["num_jobs"].tolist() == [3, 3]
    assert found["revenue"].tolist() == [jobs.price[:2].sum()] * 2
    assert found["delivered"].tolist() == [False] * 2
    assert found["phase"].tolist() == ["1 refunded, 2 settled"] * 2
    work = TRAINING_COST * rounds.present.sum() + EXECUTION_COST * rounds.executions.sum()
    assert found["welfare"].tolist() == [VALUES[0] + VALUES[1] - work] * 2
    np.testing.assert_allclose(found["test_metric"], [outcome.test_metric.mean()] * 2, rtol=1e-6)
    np.testing.assert_allclose(found["latency"], [rounds.latency.max(1).sum()] * 2, rtol=1e-6)
    known = {column.name for column in columns.RUNS}
    assert set(found) == known - {"key", "status", "reason", "version", "config"}
    paid = np.asarray(jobs.seller_paid, np.float64)
    one = [sweep_tables.runs_columns(job_of(worlds, job, worlds=True), LAYOUT, values)
           for job in range(JOBS)]  # fmt: skip
    shares = np.array([own["bad_pay_share"][0] for own in one])
    assert found["bad_pay_share"][0] == pytest.approx((shares * paid).sum() / paid.sum())
