"""The study's rows and its script, end to end on a small world."""

import json
import pathlib
import subprocess
import sys

import jax
import pandas as pd
import pytest

from d2m_jax.cone import ConeParams
from d2m_jax.cone.study import Point, compare_rules, compare_sets, study_row

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_a_row_holds_the_exact_numbers_and_their_simulation():
    point = Point(100, 0.4, ConeParams(base=4, beta=1e-3), stop_rule="majority_last")
    row = study_row(point, 4000, jax.random.key(0))
    assert (row["bad"], row["sets"]) == (40, "base 4")
    assert row["error"] == pytest.approx(0.188, abs=0.001)  # the notes' 0.187 by simulation
    assert row["low"] <= row["simulated_error"] <= row["high"]
    assert row["agrees"]
    assert row["simulated_attempts"] == pytest.approx(row["attempts"], abs=0.08)
    assert row["latency"] == pytest.approx(row["attempts"] * 84)
    assert study_row(point)["runs"] == 0


def test_the_grids_name_every_world_once():
    sets = list(compare_sets((0.0, 0.3), (2, 4), (5,), (32, 100), 1 / 3, 1e-6))
    assert len({(p.pool, p.asked, p.sets) for p in sets}) == len(sets) == 12
    rules = list(compare_rules((0.3,), (1e-2, 1e-6), 1 / 3))
    assert len({(p.sets, p.stop_rule, float(p.params.beta)) for p in rules}) == len(rules) == 24


def run_script(*flags):
    command = [sys.executable, "-m", "scripts.cone_study", *flags]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)


@pytest.mark.slow
def test_the_script_leaves_tables_plots_and_settings(tmp_path):
    flags = ["--pools=32,100", "--shares=0,0.3", "--bases=4", "--sizes=20", "--runs=0"]
    done = run_script(f"--out={tmp_path}", *flags)
    assert done.returncode == 0, done.stderr
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {
        "sets.csv", "sets.parquet", "rules.csv", "rules.parquet", "rules.md", "settings.json",
        "share.png", "pool.png", "base.png",
    }  # fmt: skip
    table = pd.read_parquet(tmp_path / "sets.parquet")
    assert len(table) == 2 * 2 * 2
    point = table[(table["pool"] == 100) & (table["asked"] == 0.3) & (table["sets"] == "base 4")]
    assert point["executions"].item() == pytest.approx(67.05, abs=0.01)
    assert json.loads((tmp_path / "settings.json").read_text())["runs"] == 0
    assert "majority_last" in (tmp_path / "rules.md").read_text()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flag", "sentence"),
    [("--shares=0.3,2", "between 0 and 1"), ("--bases=0", "base must lie between 1")],
)
def test_the_script_refuses_bad_numbers_in_a_sentence(tmp_path, flag, sentence):
    done = run_script(f"--out={tmp_path / 'x'}", flag)
    assert done.returncode != 0
    assert sentence in done.stderr + done.stdout
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "x").exists()
