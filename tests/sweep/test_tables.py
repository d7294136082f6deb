"""Columns of a sweep against a count by hand, run by run, round by round."""

import jax
import numpy as np
import pytest

from d2m_jax import parse_config, sweep
from d2m_jax.incentives import EXECUTION_COST, TRAINING_COST
from d2m_jax.ledger import Phase
from d2m_jax.report.tables import nodes_table, sellers_table
from d2m_jax.sweep import Options, tables
from d2m_jax.sweep.plan import Run
from tests.report.runs import outcome
from tests.sweep.small import base, plan, points


def worlds(**changes):
    """Two worlds with the outcome of a real market; the second one with changes."""
    one = jax.tree.map(np.asarray, outcome())
    two = one
    for name, (field, value) in changes.items():
        part = getattr(two, name)
        made = part._replace if hasattr(part, "_replace") else part.replace
        two = two._replace(**{name: made(**{field: value})})
    return jax.tree.map(lambda a, b: np.stack([a, b]), one, two)


def test_values_of_axes_stay_apart_in_a_column():
    """Classes of jobs are sequences of sequences."""
    values = [((0, 1), (2, 3)), ((0,), (1, 2, 3)), (), ("nnm", "arc")]
    config = parse_config(base())
    runs = [Run("key", 0, {"field": value}, config) for value in values]
    wanted = ["0+1|2+3", "0|1+2+3", "", "nnm+arc"]
    assert tables.runs_table(runs, None)["field"].to_pylist() == wanted


def test_updates_that_were_flagged_by_hand():
    flags = np.random.default_rng(0).random(outcome().rounds.flagged.shape) < 0.4
    both = worlds(rounds=("flagged", flags))
    found, blamed = tables.detection(both)
    counts = {True: [0, 0], False: [0, 0]}  # bad -> flagged, arrived
    rounds = outcome().rounds
    for r in range(len(rounds.round)):
        for place, seller in enumerate(rounds.sellers[r]):
            if rounds.present[r][place] and rounds.accepted_digest[r] == 0:
                bad = bool(outcome().roles.bad_seller[seller])
                counts[bad][0] += flags[r][place]
                counts[bad][1] += 1
    assert found[1] == pytest.approx(counts[True][0] / counts[True][1])
    assert blamed[1] == pytest.approx(counts[False][0] / counts[False][1])


def test_without_an_applied_round_there_is_no_rate():
    digest = np.ones_like(outcome().rounds.accepted_digest)
    found, blamed = tables.detection(worlds(rounds=("accepted_digest", digest)))
    assert np.isnan(found[1]) and np.isnan(blamed[1]) and not np.isnan(found[0])


@pytest.mark.parametrize(
    ("metric", "phase", "delivered"),
    [
        (0.6, Phase.SETTLED, True),  # tau is 0.6: reached in basis points
        (0.59996, Phase.SETTLED, True),
        (0.5999, Phase.SETTLED, False),  # settled on a false metric
        (0.9, Phase.REFUNDED, False),
    ],
)
def test_delivered_is_a_good_model_for_the_price(metric, phase, delivered):
    one = jax.tree.map(np.asarray, outcome())
    jobs = one.ledger.jobs.replace(
        tau_bps=np.array([6_000], np.int32), phase=np.array([phase], np.int32)
    )
    two = one._replace(
        ledger=one.ledger.replace(jobs=jobs),
        closing=one.closing._replace(metric=np.float32(metric)),
    )
    both = jax.tree.map(lambda a: np.stack([a, a]), two)
    assert tables.is_delivered(both).tolist() == [delivered] * 2


def test_a_slot_that_no_unit_fills_is_no_honest_seller_without_pay():
    roles = outcome().roles
    num = len(roles.bad_seller)
    owners = np.where(np.arange(num) < num - 2, np.arange(num) % 3, -1)
    weights = np.asarray(outcome().ledger.jobs.weights).copy()
    weights[:, num - 2 :] = 0
    one = jax.tree.map(np.asarray, outcome())
    jobs = one.ledger.jobs.replace(weights=weights)
    one = one._replace(ledger=one.ledger.replace(jobs=jobs))
    some = one._replace(roles=roles.replace(owners=owners))
    plain, filled = (jax.tree.map(lambda x: np.stack([x]), x) for x in (one, some))
    pay = weights[0, : num - 2][~np.asarray(roles.bad_seller | roles.stranger)[: num - 2]]
    found = tables.market_measures(filled)["honest_pay_jain"]
    assert found == pytest.approx(pay.sum() ** 2 / (len(pay) * (pay**2.0).sum()))
    assert found > tables.market_measures(plain)["honest_pay_jain"]
    gaps = abs(pay[:, None] - pay[None, :].astype(float)).sum()
    gini = tables.market_measures(filled)["honest_pay_gini"]
    assert gini == pytest.approx(gaps / (2 * len(pay) * pay.sum()))


def test_welfare_is_worth_less_the_cost_of_work():
    both, result = worlds(), outcome()
    values = np.array([[900_000, 700_000, 500_000], [9, 7, 5]])
    trained, executed = int(result.rounds.present.sum()), int(result.rounds.executions.sum())
    cost = TRAINING_COST * trained + EXECUTION_COST * executed
    winner = int(result.ledger.jobs.buyer[0])
    found = tables.welfare(both, np.array([True, False]), values)
    assert found.tolist() == [values[0, winner] - cost, -cost]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    chosen = [p for p in points() if p["spec.aggregator"] == "mean" and p["seed"] == 0][:3]
    made = tmp_path_factory.mktemp("parties") / "results"
    sweep.run_plan(plan(chosen), made, options=Options(devices=1, workers=1, parties=True))
    return made


@pytest.mark.slow
def test_tables_of_parties_add_up_to_the_runs(folder):
    runs = sweep.load(folder).runs.set_index("key")
    sellers, nodes = (sweep.load_parties(folder, name) for name in ("sellers", "nodes"))
    assert len(sellers) == 8 * len(runs) and len(nodes) == 24 * len(runs)
    bad = sellers[sellers["role"] == "Byzantine"].groupby("key")
    assert (bad.size() == runs["num_byzantine"]).all()
    np.testing.assert_allclose(bad["change"].mean(), runs["bad_seller_income"])
    honest = nodes[nodes["behaviour"] == "honest"].groupby("key")["change"].mean()
    np.testing.assert_allclose(honest, runs["honest_node_income"])


@pytest.mark.slow
def test_tables_of_parties_have_the_columns_of_a_single_run(folder):
    layout = outcome().ledger.layout
    for name, one in (("sellers", sellers_table), ("nodes", nodes_table)):
        table = sweep.load_parties(folder, name)
        alone = one(outcome(), layout)
        assert table.columns.tolist() == ["key", *alone.columns]
        assert table.dtypes[alone.columns].tolist() == alone.dtypes.tolist()


@pytest.mark.slow
def test_without_the_flag_there_is_no_table_and_no_complaint(tmp_path):
    assert len(sweep.load_parties(tmp_path, "nodes")) == 0
    with pytest.raises(ValueError, match="unknown table of parties 'buyers'"):
        sweep.load_parties(tmp_path, "buyers")
