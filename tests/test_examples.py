"""The files that a researcher would copy run as they stand, for a few rounds."""

import importlib

import jax
import numpy as np
import pytest


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


@pytest.mark.parametrize(
    "name, options", [("texts", {"num_rounds": 20}), ("next_character", {"num_rounds": 2})]
)
def test_example_with_files(name, options, data_dir):
    folder = {"texts": "trec", "next_character": "shakespeare"}[name]
    if not (data_dir / folder).is_dir():
        pytest.skip(f"no {folder} beside the project")
    assert 0 < importlib.import_module(f"examples.{name}").main(str(data_dir), **options) <= 1
    jax.clear_caches()
