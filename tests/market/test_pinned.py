"""Same seeds, same numbers: what the first edition's markets came to, integer by integer.

`pinned/digits_ledger.json` is the final ledger of configs/digits.py, `pinned/quick_runs.csv` the
runs of configs/sweeps/quick.py; both were written before the house was rebuilt.
"""

import importlib
import json
import pathlib

import numpy as np
import pandas as pd
import pytest

from d2m_jax import parse_config, sweep
from d2m_jax.report.results import ledger_dict
from tests.worlds import play_config

HERE = pathlib.Path(__file__).parent / "pinned"
RENAMED = {  # columns since then
    "refused_updates": "num_refused",
    "excluded": "num_excluded",
    "test_accuracy": "test_metric",
    "best_accuracy": "best_metric",
}
TOLERANCE = 0.006  # of accuracies: two of the 355 test images


def test_digits_market_ends_with_the_same_ledger():
    config = parse_config(importlib.import_module("configs.digits").get_config())
    market, outcome = play_config(config)
    was = json.loads((HERE / "digits_ledger.json").read_text())
    assert json.loads(json.dumps(ledger_dict(outcome.ledger, market.layout))) == was
    assert float(outcome.test_metric) == pytest.approx(0.9493, abs=TOLERANCE)


def test_quick_sweep_ends_with_the_same_runs(tmp_path):
    module = importlib.import_module("configs.sweeps.quick")
    plan = sweep.make_plan(module.get_config().to_dict(), module.get_points(), module.CONSTRAINTS)
    sweep.run_plan(plan, tmp_path)
    was = pd.read_csv(HERE / "quick_runs.csv").rename(columns=RENAMED)
    axes = list(was.columns[:4])
    runs = sweep.load(tmp_path).runs.sort_values(["spec.aggregator", "spec.attack", *axes[:2]])
    was = was.sort_values(["spec.aggregator", "spec.attack", *axes[:2]])
    for name in was:
        got, old = runs[name].to_numpy(), was[name].to_numpy()
        if "metric" in name or name in ("test_loss", "byzantine_mass"):
            np.testing.assert_allclose(got, old, atol=TOLERANCE, err_msg=name)
        elif np.issubdtype(old.dtype, np.floating):
            np.testing.assert_allclose(got, old, rtol=1e-6, err_msg=name)
        else:
            assert got.tolist() == old.tolist(), name
