"""What a sweep computes: the same as every run alone, in any company, after any interruption."""

import json
import random
import threading

import jax
import numpy as np
import pandas as pd
import pytest

from d2m_jax import make_market, sweep
from d2m_jax.data import load
from d2m_jax.ledger import Phase, wealth
from d2m_jax.market.world import deal
from d2m_jax.report.tables import rounds_table
from d2m_jax.sweep import Options, make_plan
from tests.sweep.small import base, plan, points

ONE = Options(devices=1, workers=2)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweep") / "results"
    facts = sweep.run_plan(plan(), folder, options=ONE)
    assert facts["programs"] == 1 and list(facts["widths"].values()) == [4]
    return sweep.load(folder)


def assert_same(one, two):
    """The same tables, bit for bit."""
    pd.testing.assert_frame_equal(one.runs, two.runs, check_exact=True)
    pd.testing.assert_frame_equal(one.rounds, two.rounds, check_exact=True)


def test_every_run_is_there_once_with_all_its_rounds(undisturbed):
    runs, rounds = undisturbed.runs, undisturbed.rounds
    assert (runs["status"] == "done").all()
    assert runs["key"].tolist() == [run.key for run in plan().runs]
    assert (rounds.groupby("key").size() == 8).all() and rounds["key"].nunique() == 36
    assert rounds["test_metric"].notna().sum() == 2 * 36
    last = rounds[rounds["round"] == 8].set_index("key")["test_metric"]
    assert (runs.set_index("key")["test_metric"] == last).all()
    by_key = {run.key: run for run in plan().runs}
    for row in runs.to_dict("records"):
        point = by_key[row["key"]].point
        assert {field: row[field] for field in point} == point
        assert json.loads(row["config"])["spec"]["aggregator"] == point["spec.aggregator"]
        assert row["num_byzantine"] == point["hparams.population.num_byzantine"]
        assert row["num_bad_nodes"] == 4


def alone(run):
    """The run by itself, as `scripts/run_market.py` does it."""
    config, digits = run.config, load("digits")
    data = deal(digits, config.data, config.spec.num_sellers)
    market = make_market(config.spec, digits)
    key = jax.random.key(config.seed)
    return jax.jit(market.run)(key, market.numbers(config.hparams), data), market.layout


@pytest.mark.slow
def test_a_run_in_a_sweep_is_the_run_alone(undisturbed):
    """Integers equal; accuracies to one test image, since XLA fuses the floats otherwise."""
    run = sorted(plan().runs, key=lambda run: run.place)[17]  # krum, mimic_variance, 1, seeds 1
    outcome, layout = alone(run)
    row = undisturbed.runs.set_index("key").loc[run.key]
    assert abs(row["test_metric"] - float(outcome.test_metric)) < 1.01 / 355
    assert row["phase"] == Phase(int(outcome.phase)).name.lower()
    gained = np.asarray(wealth(outcome.ledger) - wealth(outcome.opening))
    honest = ~np.asarray(outcome.roles.bad_seller)
    assert row["honest_seller_income"] == gained[layout.sellers][honest].mean()
    assert row["bad_seller_income"] == gained[layout.sellers][~honest].mean()
    assert row["buyer_change"] == gained[layout.buyers].sum()
    assert row["executions"] == np.asarray(outcome.rounds.executions).sum()
    want = rounds_table(outcome)
    mine = undisturbed.rounds[undisturbed.rounds["key"] == run.key].reset_index(drop=True)
    shared = want.columns.intersection(mine.columns)
    assert len(shared) >= 14
    for column in shared:
        if want[column].dtype.kind in "iu":
            np.testing.assert_array_equal(mine[column], want[column], column)
        else:
            np.testing.assert_allclose(mine[column], want[column], rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_any_order_any_company_and_a_resume_give_the_same_bits(undisturbed, tmp_path):
    shuffled = points()
    random.Random(1).shuffle(shuffled)
    stop = threading.Event()

    def progress(count, what):
        if count:
            stop.set()  # after the first chunks

    sweep.run_plan(plan(shuffled), tmp_path, options=ONE, progress=progress, stop=stop)
    some = len(sweep.load(tmp_path).runs)
    assert 0 < some < 36
    seen = []
    sweep.run_plan(
        plan(points()[::-1]), tmp_path, options=ONE, progress=lambda n, what: seen.append(n)
    )
    assert sum(seen) == 36 - some
    assert_same(sweep.load(tmp_path), undisturbed)
    assert sweep.run_plan(plan(), tmp_path, options=ONE)["programs"] == 0  # nothing is left


@pytest.mark.slow
def test_two_devices_give_the_same_bits(undisturbed, tmp_path):
    if jax.local_device_count() < 2:
        pytest.skip("one device only")
    sweep.run_plan(plan(), tmp_path, options=Options(devices=2))
    assert_same(sweep.load(tmp_path), undisturbed)


@pytest.mark.slow
def test_points_that_cannot_run_are_rows_with_their_reason(tmp_path):
    """Refused by `validate`; no such partition; a rule that its program refuses while traced; a
    model that does not fit the data, or a choice that does not fit the model."""
    refused = {"spec.num_sampled": 50}
    undealt = {"data.min_samples": 1_000}
    losses = {"spec.aggregator": "foolsgold", "spec.pre_aggregators": ("bucketing",)}
    unfit = [{"spec.model": "mnist_cnn"}, {"spec.partial": True}]  # of 8 x 8; of logreg
    made = make_plan(base(), [refused, undealt, losses, *unfit, {"seed": 7}])
    sweep.run_plan(made, tmp_path, options=ONE)
    rows = sweep.load(tmp_path).runs.set_index("key")
    reasons = {}
    for run in made.runs + [run for run, _ in made.refused]:
        (field,) = list(run.point)[:1]
        reasons[field] = rows.loc[run.key, "reason"]
    assert rows["status"].value_counts().to_dict() == {"failed": 5, "done": 1}
    assert "cannot be drawn" in reasons["spec.num_sampled"]
    assert "1000" in reasons["data.min_samples"].replace(",", "")
    assert "bucketing mixes sellers" in reasons["spec.aggregator"]
    assert "mnist_cnn needs images of at least 16 x 16" in reasons["spec.model"]
    assert "hidden units, and 'logreg' does not say" in reasons["spec.partial"]
    assert reasons["seed"] == ""


@pytest.mark.long
def test_out_of_memory_goes_on_with_narrower_chunks(undisturbed, tmp_path, monkeypatch):
    """And another width changes no integer."""
    from d2m_jax.sweep import runner

    real = runner.run_worlds

    def small(program, *args):
        if program.shape.width > 2:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory")
        return real(program, *args)

    monkeypatch.setattr(runner, "run_worlds", small)
    facts = sweep.run_plan(plan(), tmp_path, options=ONE)
    assert list(facts["widths"].values()) == [2] and facts["programs"] == 2
    rows, want = sweep.load(tmp_path).runs, undisturbed.runs
    for column in rows.columns:
        if rows[column].dtype.kind == "f":
            np.testing.assert_allclose(rows[column], want[column], rtol=0.02, err_msg=column)
        else:
            assert rows[column].tolist() == want[column].tolist(), column


def test_numbers_of_an_attack_are_swept(undisturbed):
    rows = undisturbed.runs.query("`spec.attack` == 'sign_flip' and `spec.aggregator` == 'mean'")
    accuracy = rows.groupby("hparams.attack.sign_flip.scale")["test_metric"].mean()
    assert accuracy[0.5] > accuracy[50.0] + 0.2
