"""One dictionary of columns: every table of a run and of a sweep obeys it."""

import pathlib

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from d2m_jax import sweep
from d2m_jax.report import columns, events, tables
from d2m_jax.sweep import store
from d2m_jax.sweep.tables import runs_columns
from d2m_jax.sweep.tables import runs_table as sweep_runs
from tests.conftest import ROOT
from tests.report.runs import outcome
from tests.sweep.small import plan


def test_the_page_is_up_to_date():
    page = pathlib.Path(ROOT / "docs" / "columns.md").read_text()
    assert page == columns.markdown(), "write it anew with the command in its docstring"


def test_every_column_is_said_once_with_a_nullable_type():
    for name, table in columns.TABLES.items():
        assert len({c.name for c in table}) == len(table), name
        for column in table:
            dtype = pd.api.types.pandas_dtype(column.dtype)
            assert isinstance(dtype, pd.api.extensions.ExtensionDtype), column
            assert column.meaning and len(column.meaning) < 80
            assert "|" not in column.meaning + column.unit


def test_the_same_name_is_the_same_thing():
    """A name that two tables share has one type, and one unit."""
    known = {}
    for name, table in columns.TABLES.items():
        for column in table:
            first, kind = known.setdefault(column.name, (name, (column.dtype, column.unit)))
            assert (column.dtype, column.unit) == kind, (column.name, first, name)


def test_every_table_of_a_run_has_the_columns_of_the_dictionary_in_their_order():
    layout = outcome().ledger.layout
    found = {
        "rounds": tables.rounds_table(outcome()),
        "evaluations": tables.evaluations_table(outcome()),
        "sellers": tables.sellers_table(outcome(), layout),
        "nodes": tables.nodes_table(outcome(), layout),
        "money": tables.money_table(outcome(), layout),
        "auction": events.auction_table(outcome(), layout),
        "work": events.work_table(outcome()),
        "votes": events.votes_table(outcome()),
    }
    for name, table in found.items():
        absent = {"key", "epsilon", "epsilon_ex_post", "job", "paid"}  # of sweeps, privacy, jobs
        absent -= {"paid"} if name == "auction" else set()
        wanted = [c for c in columns.TABLES[name] if c.name not in absent]
        assert table.columns.tolist() == [c.name for c in wanted], name
        assert {k: str(v) for k, v in table.dtypes.items()} == {c.name: c.dtype for c in wanted}


def stacked(count=2):
    import jax

    return jax.tree.map(lambda leaf: np.stack([np.asarray(leaf)] * count), outcome())


def test_a_sweep_has_the_columns_of_the_dictionary(tmp_path):
    runs, worlds = plan().runs[:2], stacked()
    folder = store.open_folder(tmp_path)
    values = np.full((2, 3), 700_000)
    results = runs_columns(worlds, outcome().ledger.layout, values)
    store.write_part(folder, sweep_runs(runs, results), sweep.tables.rounds_table(runs, worlds))
    failed = plan().runs[2:3]
    store.write_part(folder, sweep_runs(failed, None, "it broke"), None)
    found = sweep.load(folder)
    axes = list(runs[0].point)
    of_jobs = {"num_jobs", "num_delivered", "num_settled", "revenue"}
    wanted = [c.name for c in columns.RUNS if c.name not in of_jobs]
    assert [name for name in found.runs if name not in axes] == wanted
    for column in (c for c in columns.RUNS if c.name in wanted):  # one failed point changes no type
        assert str(found.runs[column.name].dtype) == column.dtype, column
        if column.name != "attack_success":  # without a backdoor it is empty
            assert found.runs[column.name].isna().any() == (column.name in results)
    assert str(found.runs["hparams.population.num_byzantine"].dtype) == "Int64"
    assert str(found.runs["hparams.attack.sign_flip.scale"].dtype) == "Float64"
    done = found.runs[found.runs["status"] == "done"]
    assert (~done["disputed"]).tolist() == [not x for x in done["disputed"]]
    assert found.runs["price"].sum() == 2 * int(outcome().ledger.jobs.price[0])

    one = tables.rounds_table(outcome())
    same = found.rounds[found.rounds["key"] == runs[0].key].reset_index(drop=True)
    pd.testing.assert_frame_equal(same.drop(columns="key"), one)


def test_only_failures_load_with_their_types(tmp_path):
    folder = store.open_folder(tmp_path)
    store.write_part(folder, sweep_runs(plan().runs[:1], None, "it broke"), None)
    runs, rounds, _ = sweep.load(folder)
    assert runs["status"].tolist() == ["failed"] and str(runs["reason"].dtype) == "string"
    assert len(rounds) == 0


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1, None], "Int64"),
        ([True, None], "boolean"),
        ([0.5, None], "Float64"),
        (["a", None], "string"),
        ([1.0, 2.0], "Float64"),  # whole numbers stay what they were
    ],
)
def test_an_axis_keeps_its_type_where_some_points_lack_it(tmp_path, values, kind):
    folder = store.open_folder(tmp_path)
    for index, value in enumerate(values):  # a part each
        facts = {"key": [str(index)], "status": ["done"], "reason": [""], "spec.x": [value]}
        rounds = pa.table({"key": [str(index)], "round": [1]})
        store.write_part(folder, pa.table(facts), rounds)
    found = sweep.load(folder).runs["spec.x"]
    assert str(found.dtype) == kind
    assert [None if pd.isna(x) else x for x in found] == values


def test_own_columns_are_typed_too():
    frame = pd.DataFrame(
        {"round": [1], "own": np.array([0.5], np.float32), "count": [3], "good": [True]}
    )
    kinds = columns.typed(frame, "evaluations").dtypes.astype(str).to_dict()
    assert kinds == {"round": "Int64", "own": "Float32", "count": "Int64", "good": "boolean"}
