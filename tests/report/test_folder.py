"""The results folder of a run: its name, its configuration, and whom it refuses."""

import json
import os

import jax.numpy as jnp
import pytest

from d2m_jax import default_config, parse_config
from d2m_jax.core.files import HOST
from d2m_jax.report import (
    StorageError,
    config_tree,
    is_unfinished,
    open_results,
    results_name,
    tree_digest,
)
from d2m_jax.report import folder as folders

TREE = {"spec": {"model": "mlp", "num_rounds": 10}, "hparams": {"tau": 0.9}, "seed": 1}
OTHER = {**TREE, "spec": {"model": "mlp", "num_rounds": 20}}


def test_the_name_has_the_overrides_but_not_their_order():
    name = results_name("configs/digits.py", {}, 3)
    assert str(name) == "results/digits-seed3"
    a, b = {"hparams.tau": 0.8, "spec.num_rounds": 20}, {"spec.num_rounds": 20, "hparams.tau": 0.8}
    assert results_name("digits.py", a, 0) == results_name("digits.py", b, 0)
    assert results_name("digits.py", {**a, "seed": 7}, 7).name.endswith("-seed7")
    assert results_name("digits.py", {**a, "seed": 7}, 0) == results_name("digits.py", a, 0)
    names = {results_name("digits.py", {"hparams.tau": tau}, 0) for tau in (0.8, 0.81, 0.9)}
    assert len(names) == 3
    assert results_name("digits.py", {"seed": 2}, 2).name == "digits-seed2"


def test_the_configuration_is_written_first_and_whole(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    made = open_results("~/run", TREE)
    assert made == tmp_path / "run" and os.listdir(made) == ["config.json"]
    found = json.loads((made / "config.json").read_text())
    about = found.pop("provenance")
    assert found == TREE and {"d2m_jax", "jax", "device", "command"} <= set(about)


def test_whom_a_folder_refuses(tmp_path):
    open_results(tmp_path, TREE)
    for again in ({}, {"resume": True}, {"overwrite": True}):
        with pytest.raises(StorageError, match=r"another configuration \(spec.num_rounds is 10"):
            open_results(tmp_path, OTHER, **again)
    with pytest.raises(StorageError, match=r"of this configuration already: .* --resume goes on"):
        open_results(tmp_path, TREE)
    assert json.loads((tmp_path / "config.json").read_text())["spec"] == TREE["spec"]


def test_resume_keeps_and_overwrite_removes_only_what_a_run_leaves(tmp_path):
    open_results(tmp_path, TREE)
    for name in (
        "rounds.csv",
        "model.safetensors",
        "mine.csv",
        f"ledger.json.tmp-{HOST}-999999999-2",
    ):
        (tmp_path / name).write_text("")
    (tmp_path / "checkpoints" / "10").mkdir(parents=True)
    open_results(tmp_path, TREE, resume=True)
    kept = {"config.json", "rounds.csv", "model.safetensors", "mine.csv", "checkpoints"}
    assert set(os.listdir(tmp_path)) == kept
    open_results(tmp_path, TREE, overwrite=True)
    assert set(os.listdir(tmp_path)) == {"config.json", "mine.csv"}


def test_a_folder_of_the_user_loses_nothing(tmp_path):
    """Results may go to a folder that holds other things, whatever their names."""
    (tmp_path / "rounds.csv").write_text("mine")
    open_results(tmp_path, TREE)
    assert (tmp_path / "rounds.csv").read_text() == "mine"


def test_strange_folders_are_sentences(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "sweep.json").write_text("{}")
    with pytest.raises(StorageError, match="holds results of a sweep"):
        open_results(tmp_path / "a", TREE)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "ledger.json").write_text("{}")
    with pytest.raises(StorageError, match="results without a configuration"):
        open_results(tmp_path / "b", TREE)
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "config.json").write_text('{"spec": ')
    with pytest.raises(StorageError, match=r"config.json cannot be read .* move it away"):
        open_results(tmp_path / "c", TREE)
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"cannot be written: Not a directory"):
        open_results(tmp_path / "file" / "x", TREE)


def test_another_version_does_not_go_on(tmp_path, monkeypatch):
    open_results(tmp_path, TREE)
    real = folders.provenance()
    monkeypatch.setattr(folders, "provenance", lambda: {**real, "d2m_jax": "9.9"})
    with pytest.raises(StorageError, match=r"was made by d2m_jax .*, and this is 9\.9"):
        open_results(tmp_path, TREE, resume=True)
    with pytest.raises(StorageError, match="was made by d2m_jax"):
        open_results(tmp_path, TREE, overwrite=True)


def test_a_run_is_unfinished_until_its_ledger_is_written(tmp_path):
    assert not is_unfinished(tmp_path)
    open_results(tmp_path, TREE)
    assert is_unfinished(tmp_path)
    (tmp_path / "ledger.json").write_text("{}")
    assert not is_unfinished(tmp_path)


def test_the_configuration_says_what_the_ledger_uses():
    config = parse_config(default_config(spec={"num_rounds": 100}))
    tree = config_tree(config)
    assert tree["hparams"]["rules"]["num_rounds"] == 100  # those of the spec
    assert config.hparams.rules["num_rounds"] != 100  # what was given is left alone
    assert json.loads(json.dumps(tree)) == tree
    assert tree_digest(tree) == tree_digest(config_tree(config))
    other = config_tree(config._replace(seed=1))
    assert tree_digest(other) != tree_digest(tree)


def test_arrays_and_own_parts_are_written_as_values_and_digests(tmp_path):
    def rule(updates, strength=1.0):
        return updates

    tree = {"rule": rule, "tau": jnp.float32(0.5), "shape": (1, 2)}
    open_results(tmp_path, tree)
    found = folders.read_config(tmp_path)
    assert found["tau"] == 0.5 and found["shape"] == [1, 2]
    assert found["rule"].startswith("rule@")
    open_results(tmp_path, tree, resume=True)  # the same code is the same configuration
    with pytest.raises(StorageError, match=r"another configuration \(tau is 0.5 there and 0.25"):
        open_results(tmp_path, {**tree, "tau": 0.25}, resume=True)
