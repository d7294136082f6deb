"""What a finished run leaves: all files, whole, with the numbers of the outcome."""

import json
import os

import numpy as np
import pandas as pd
import pytest
from safetensors import safe_open

from d2m_jax.ledger import wealth
from d2m_jax.report import (
    StorageError,
    config_tree,
    load_model,
    money_table,
    nodes_table,
    open_results,
    plots,
    results,
    rounds_table,
    sellers_table,
    write_plots,
    write_results,
)
from d2m_jax.report.folder import LEFT_FILES
from tests.report.runs import config, outcome
from tests.worlds import digits

TABLES = ("rounds", "evaluations", "sellers", "nodes", "money", "auction")
PNG = b"\x89PNG"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = open_results(tmp_path_factory.mktemp("run") / "out", config_tree(config()))
    sizes = np.asarray(digits()[1].sizes)
    layout = outcome().ledger.layout
    params = {"params": {"kernel": outcome().theta}}
    found = write_results(made, config(), outcome(), layout, sizes, params)
    write_plots(made, config(), outcome(), found)
    return made


def test_every_file_is_there_and_known_to_the_folder(folder):
    wanted = {f"{name}.csv" for name in TABLES}
    wanted |= {"config.json", "ledger.json", "payments.json", "closing.json", "visibility.txt"}
    wanted |= {"model.safetensors", "work.parquet", "votes.parquet"}
    wanted |= {f"{name}.png" for name in ("quality", "sampling_mass", "income", "execution_sets")}
    assert set(os.listdir(folder)) == wanted
    assert wanted - {"config.json"} <= set(LEFT_FILES)  # so that `overwrite` removes them
    assert all((folder / name).stat().st_size for name in wanted)


def test_the_model_is_theta_bit_for_bit(folder):
    found = load_model(folder / "model.safetensors")["params"]["kernel"]
    assert found.tobytes() == np.asarray(outcome().theta).tobytes()
    with safe_open(folder / "model.safetensors", framework="np") as file:
        facts = file.metadata()
    assert facts["task"] == "logreg" and facts["data"] == "digits" and facts["seed"] == "0"
    assert float(facts["metric"]) == float(outcome().closing.metric)


def test_the_ledger_and_the_payments(folder):
    ledger = json.loads((folder / "ledger.json").read_text())
    money = sum(
        sum(ledger[role][what])
        for role in ("buyers", "sellers", "nodes")
        for what in ("balance", "stake")
    )
    assert money + ledger["treasury"] + ledger["burned"] == ledger["supply"]
    payments = json.loads((folder / "payments.json").read_text())
    assert payments["price"] == int(outcome().ledger.jobs.price[0])
    assert payments["neither_paid_nor_refunded"] == 0


def test_tables_read_back_are_the_tables(folder):
    rounds = pd.read_csv(folder / "rounds.csv")
    np.testing.assert_array_equal(rounds["executions"], outcome().rounds.executions)
    assert rounds["test_metric"].notna().sum() == 2
    sellers = pd.read_csv(folder / "sellers.csv")
    assert sellers["slashed"].dtype == bool and len(sellers) == 8


def test_tables_by_hand():
    result, layout = outcome(), outcome().ledger.layout
    sellers, nodes = sellers_table(result, layout), nodes_table(result, layout)
    change = np.asarray(wealth(result.ledger)) - np.asarray(wealth(result.opening))
    np.testing.assert_array_equal(sellers["change"].to_numpy(int), change[layout.sellers])
    np.testing.assert_array_equal(nodes["change"].to_numpy(int), change[layout.nodes])
    assert (sellers["role"] == "Byzantine").sum() == 2
    used = np.zeros(8, int)
    for who, accepted, digest in zip(
        result.rounds.sellers, result.rounds.accepted, result.rounds.accepted_digest
    ):
        if digest == 0:
            for seller, good in zip(who, accepted):
                used[seller] += good
    np.testing.assert_array_equal(sellers["accepted_rounds"].to_numpy(int), used)
    money = money_table(result, layout).set_index("group")
    assert money.loc["total", "change"] == 0
    assert money.loc["total", "before"] == int(result.opening.supply)
    rounds = rounds_table(result)
    bad = [
        sum(bool(result.roles.bad_seller[s]) and bool(here) for s, here in zip(who, present))
        for who, present in zip(result.rounds.sellers, result.rounds.present)
    ]
    assert rounds["bad_sampled"].tolist() == bad


def test_a_full_disk_at_the_end_keeps_what_came_before(tmp_path, monkeypatch):
    """The model and the ledger are written first, since nothing else can make them again."""
    made = open_results(tmp_path, config_tree(config()))
    real = results.write_table

    def full(path, table):
        if path.name == "sellers.csv":
            raise StorageError(f"{path} cannot be written: No space left on device")
        real(path, table)

    monkeypatch.setattr(results, "write_table", full)
    sizes, layout = np.asarray(digits()[1].sizes), outcome().ledger.layout
    with pytest.raises(StorageError, match=r"sellers\.csv cannot be written"):
        write_results(made, config(), outcome(), layout, sizes, {"w": outcome().theta})
    there = {"model.safetensors", "ledger.json", "payments.json", "rounds.csv", "evaluations.csv"}
    assert there <= set(os.listdir(tmp_path))


def test_plots_of_extreme_runs(tmp_path):
    """Nobody bad, everybody bad, one round, no wrong result: a picture each."""
    result, layout = outcome(), outcome().ledger.layout
    sellers = sellers_table(result, layout)
    for role in ("honest", "Byzantine"):
        path = plots.income(sellers.assign(role=role), tmp_path / f"{role}.png")
        assert path.read_bytes().startswith(PNG)
    rounds = rounds_table(result).head(1)
    for digest in (0, 1):
        path = plots.execution_sets(rounds.assign(accepted_digest=digest), tmp_path / "sets.png")
        assert path.read_bytes().startswith(PNG)
    path = plots.sampling_mass(rounds.assign(byzantine_mass=0.0), 0.0, tmp_path / "mass.png")
    assert path.read_bytes().startswith(PNG)
