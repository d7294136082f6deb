"""Every block of Python in the documents runs as it stands, one after the other."""

import flax.linen as nn
import jax
import numpy as np
import pytest

from d2m_jax import default_config, parse_config, report
from tests.conftest import ROOT
from tests.docs.pages import CHECKED, DOCS, blocks, name

ALONE = {"docs/tasks.md", "docs/data.md", "docs/extending.md"}  # have tests of their own
PIECES = {"docs/results.md": 2}  # blocks that take up what a user has


def run(page, tmp_path, monkeypatch):
    """The names that a page leaves, run in an empty folder."""
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "a_page"}
    for code in blocks(page, "python"):
        exec(compile(code, name(page), "exec"), names)
    return names


@pytest.mark.long  # 40 s
def test_the_cookbook(tmp_path, monkeypatch, capsys):
    names = run(DOCS / "cookbook.md", tmp_path, monkeypatch)
    assert len(names["plan"].runs) == len(names["runs"]) == 4
    assert (names["by_hospital"].sizes.sum(), names["straight"].class_names) == (180, ())
    assert int(names["data"].sizes.sum()) == 1242
    weights = np.asarray(names["outcome"].closing.weights)
    assert weights.shape == (6,) and (tmp_path / "model.safetensors").is_file()
    np.testing.assert_allclose(names["shapley"](names["worth"]), [1 / 6, 1 / 6, 2 / 3], atol=1e-6)
    assert len(names["seen"]) == 2 and (tmp_path / "results/one/rounds.csv").is_file()
    assert "3 different runs" in capsys.readouterr().out


@pytest.mark.long  # 20 s each
@pytest.mark.parametrize("page", ["README.md", "docs/first_markets.md"])
def test_the_first_program(page, tmp_path, monkeypatch):
    worlds = run(ROOT / page, tmp_path, monkeypatch)["worlds"]
    assert worlds.test_metric.shape == (16,) and 0.7 < float(worlds.test_metric.mean()) < 1


def test_bonded_units(tmp_path, monkeypatch, capsys):
    names = run(DOCS / "incentives.md", tmp_path, monkeypatch)
    assert names["data"].sizes.shape == (64,)
    assert capsys.readouterr().out.split()[-2:] == ["64", "0.91"]


@pytest.mark.long  # 40 s
def test_a_queue_of_jobs(tmp_path, monkeypatch, capsys):
    (code,) = [code for code in blocks(DOCS / "jobs.md", "python") if "serve(" in code]
    names = {"__name__": "a_page"}
    exec(compile(code, "docs/jobs.md", "exec"), names)
    served = np.asarray(names["epochs"].buyer) >= 0
    assert served.any(axis=1).all() and "Figures(revenue=" in capsys.readouterr().out


def test_the_names_on_the_door(tmp_path, monkeypatch):
    assert run(DOCS / "api/index.md", tmp_path, monkeypatch)["make_market"]


def test_the_trace_of_late_sellers(tmp_path, monkeypatch):
    assert run(DOCS / "late_sellers.md", tmp_path, monkeypatch)["spec"].availability


def test_the_pieces_of_results(tmp_path, monkeypatch):
    """With what a user of them has: a module, a configuration, what a run is made of."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    elsewhere, python = blocks(DOCS / "results.md", "python")
    module, x = nn.Dense(3), np.ones((2, 4), np.float32)
    report.save_model("model.safetensors", module.init(jax.random.key(0), x))
    names = {"module": module, "x": x}
    exec(elsewhere, names)
    assert names["outputs"].shape == (2, 3)
    monkeypatch.setattr(report, "wandb_logger", lambda project, folder: lambda chunk: None)
    names = {"config": parse_config(default_config()), "like_state": x, "like_piece": x}
    exec(python, names)
    assert names["saved"] is None and len(names["loggers"]) == 4
    assert (tmp_path / "results/mine/config.json").is_file()


def test_no_block_is_forgotten():
    tested = {"docs/cookbook.md", "README.md", "docs/first_markets.md", "docs/api/index.md"}
    tested |= {"docs/incentives.md", "docs/late_sellers.md"}
    found = {name(page): len(blocks(page, "python")) for page in CHECKED}
    others = {page: count for page, count in found.items() if count and page not in tested | ALONE}
    assert others == PIECES
