"""Several jobs from the command line: a run that is stopped and goes on, its page, a sweep."""

import json

import pandas as pd
import pytest

from d2m_jax import sweep
from d2m_jax.cli import main, run_market
from tests.conftest import ROOT

FILE = """
from d2m_jax import default_config

def get_config():
    return default_config(
        data={"job_classes": ((0, 1, 2), (5, 6, 7))},
        spec={"model": "logreg", "num_jobs": 2, "num_sellers": 6, "num_sampled": 3,
              "num_rounds": 4, "eval_every": 2, "batch_size": 8, "num_buyers": 3, "num_nodes": 16},
        hparams={
            "population": {"breadth": 2},
            "money": {"buyer_values": (900_000, 700_000, 500_000),
                      "buyer_shading_bps": (10_000,) * 3,
                      "seller_stake": 140_000, "node_stake": 40_000},
            "requests": {"tau": (0.3, 0.99)},
        },
    )

def get_points():
    return [{"seed": 0}]
"""


def stop(chunk):
    """A reader that ends the run after the first rounds."""
    if chunk.done == 2:
        raise KeyboardInterrupt


def test_a_table_of_jobs_that_would_be_empty_is_told(tmp_path, capsys):
    (tmp_path / "two.py").write_text(FILE)
    for file, told in ((tmp_path / "two.py", False), (ROOT / "tests/sweep/tiny.py", True)):
        flags = [f"--config={file}", "--jobs", "--dry_run", f"--out={tmp_path / 'out'}"]
        assert main.main(["d2m", "sweep", *flags]) == 0
        assert ("--jobs writes nothing here" in capsys.readouterr().out) == told


@pytest.mark.slow
def test_a_run_goes_on_and_a_sweep_of_it_adds_up(tmp_path, monkeypatch, capsys):
    (tmp_path / "two.py").write_text(FILE)
    out, flags = tmp_path / "out", [f"--config={tmp_path}/two.py", "--checkpoint_every=0"]
    with monkeypatch.context() as during:
        lookers = run_market.lookers
        during.setattr(run_market, "lookers", lambda *args: [*lookers(*args), stop])
        with pytest.raises(SystemExit):
            main.main(["d2m", "run", *flags, f"--out={out}"])
    half = pd.read_csv(out / "rounds.csv")
    assert half["round"].tolist() == [1, 1, 2, 2] and half["job"].tolist() == [0, 1] * 2
    assert main.main(["d2m", "run", *flags, f"--out={out}"]) == 0
    said = capsys.readouterr().out
    assert "Going on after round 2" in said and "1 of 2 jobs deliver a good model" in said
    jobs, rounds = pd.read_csv(out / "jobs.csv"), pd.read_csv(out / "rounds.csv")
    assert jobs["phase"].tolist() == ["settled", "refunded"] and len(rounds) == 8
    pd.testing.assert_frame_equal(rounds[:4], half)
    assert (out / "model-job1.safetensors").exists() and (out / "jobs.png").exists()
    payments = json.loads((out / "payments.json").read_text())["jobs"]
    assert [one["neither_paid_nor_refunded"] for one in payments] == [0, 0]

    assert main.main(["d2m", "report", str(out)]) == 0
    page = (out / "report" / "index.html").read_text()
    assert 'href="job1/index.html"' in page
    assert "Every update" in (out / "report" / "job1" / "index.html").read_text()

    folder = tmp_path / "sweep"
    assert main.main(["d2m", "sweep", flags[0], "--jobs", "--parties", f"--out={folder}"]) == 0
    (row,) = sweep.load(folder).runs.to_dict("records")
    for name in ("price", "seller_paid", "compute_paid", "executions"):
        assert row[name] == jobs[name].sum(), name
    assert row["phase"] == "1 refunded, 1 settled" and row["num_delivered"] == 1
    each = sweep.load_parties(folder, "jobs")
    assert each["price"].tolist() == jobs["price"].tolist()
    assert sweep.load_parties(folder, "sellers")["paid"].sum() == jobs["seller_paid"].sum()
