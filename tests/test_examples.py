"""The files that a researcher would copy run as they stand, for a few rounds."""

import importlib

import jax
import numpy as np
import pytest


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, options",
    [
        ("images", {"num_rounds": 4, "worlds": 2}),
        ("tables", {"num_rounds": 10}),
        ("numbers", {"num_rounds": 20}),
        ("own_task", {"num_rounds": 20}),
    ],
)
def test_example(name, options, capsys):
    found = importlib.import_module(f"examples.{name}").main(**options)
    quality = np.asarray(getattr(found, "test_metric", found))
    assert ((quality > 0) & (quality <= 1)).all()
    assert capsys.readouterr().out


@pytest.mark.slow
def test_several_jobs(tmp_path, capsys):
    plot = tmp_path / "plot.png"
    small = {"num_jobs": 2, "num_sellers": 16, "num_nodes": 32, "num_rounds": 4, "num_epochs": 2}
    epochs = importlib.import_module("examples.several_jobs").main(**small, plot=str(plot))
    assert epochs.phase.shape == (2, 2) and (epochs.buyer[0] >= 0).any()
    assert "Figures" in capsys.readouterr().out and 0 < plot.stat().st_size < 300_000


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, options", [("texts", {"num_rounds": 20}), ("next_character", {"num_rounds": 2})]
)
def test_example_with_files(name, options, data_dir):
    folder = {"texts": "trec", "next_character": "shakespeare"}[name]
    if not (data_dir / folder).is_dir():
        pytest.skip(f"no {folder} beside the project")
    assert 0 < importlib.import_module(f"examples.{name}").main(str(data_dir), **options) <= 1
    jax.clear_caches()
