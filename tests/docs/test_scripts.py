"""The pages that are scripts run as they stand, and say what is true."""

import re

import jax
import matplotlib
import numpy as np
import pytest

from tests.docs.pages import DOCS, SCRIPTS, name

LONGEST = 120


def run(script, monkeypatch):
    """The names that a script leaves."""
    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    monkeypatch.setattr(plt, "show", plt.close)
    names = {"__name__": "a_page"}
    exec(compile(script.read_text(), name(script), "exec"), names)
    return names


@pytest.mark.slow
def test_the_tour(monkeypatch, capsys):
    names = run(DOCS / "tour.py", monkeypatch)
    said = capsys.readouterr().out
    assert "buyer 0 wins and pays 700,000" in said
    assert names["vote"].executions == int(names["info"].executions[0])  # literal and by codes
    sellers = names["sellers"]
    assert "settled with" in said and names["metric"] >= 0.8
    assert (sellers[sellers.role == "honest"].change > 0).all()
    assert (sellers[sellers.role == "Byzantine"].change < 0).all()
    assert names["money"].change.iloc[-1] == 0
    assert int(names["wrong"].sum()) == names["spec"].num_rounds  # of the captured market
    jax.clear_caches()


@pytest.mark.long  # 90 s
def test_the_first_experiment(monkeypatch):
    names = run(DOCS / "first_experiment.py", monkeypatch)
    broken, safe = names["broken"], names["broken"].index < 12
    assert (broken[["lead", "miracle"]][safe] == 0).all(axis=None) and (broken.loc[14] > 0.8).all()
    assert (broken["majority_last"] >= broken["lead"])[safe].all()
    assert broken["majority_last"][10] > 0.05
    incomes = names["incomes"]
    assert incomes["proportional"].is_monotonic_decreasing
    assert incomes["proportional"].iloc[0] > 4 * incomes["proportional"].iloc[-1]
    assert np.ptp(incomes["equal"]) == 0
    np.testing.assert_allclose(incomes.sum(), names["pool"], rtol=1e-5)
    table = names["deterred"].set_index(["attack", "deposit"])
    for attack in ("sign flip", "label flip"):
        rows = table.loc[attack]
        slope = (rows["cheating costs"][420_000] - rows["cheating costs"][0]) / 420_000
        assert slope == pytest.approx(rows["slashed"].mean(), abs=0.01)  # pi, as the page says
    assert table.loc[("sign flip", 70_000), "slashed"] > 0.8
    assert table.loc[("label flip", 70_000), "slashed"] < 0.2
    jax.clear_caches()


def test_scripts_are_notebooks():
    for script in SCRIPTS:
        text = script.read_text()
        assert text.startswith("# ---\n# jupyter:") and "# %% [markdown]\n# # " in text
        assert max(map(len, text.splitlines())) <= LONGEST
        assert not re.search(r"^# %%(?! \[markdown\]$).+", text, re.M)
