"""Same seeds, same numbers: what the first edition's markets came to, integer by integer.

`pinned/digits_ledger.json` is the final ledger of configs/digits.py, `pinned/quick_runs.csv` the
runs of configs/sweeps/quick.py; both were written before the house was rebuilt.
"""

import importlib
import json
import pathlib

import jax
import numpy as np
import pandas as pd
import pytest

from d2m_jax import make_market, parse_config, sweep
from d2m_jax.market import load_world
from d2m_jax.report.results import ledger_dict
from tests.worlds import in_parts

HERE = pathlib.Path(__file__).parent / "pinned"
RENAMED = {  # columns since then
    "refused_updates": "num_refused",
    "excluded": "num_excluded",
    "test_accuracy": "test_metric",
    "best_accuracy": "best_metric",
}
TOLERANCE = 0.006  # of accuracies: two of the 355 test images


FIRST_DEFENCE = {"readmission": 100.0, "trust_floor": -100.0}  # trust moves as it did then


def test_digits_market_ends_with_the_same_ledger():
    config = parse_config(importlib.import_module("configs.digits").get_config())
    raw, data = load_world(config.data, config.spec.num_sellers)
    market = make_market(config.spec, raw)
    play, now = in_parts(market), config.hparams
    first = now.replace(defence=now.defence._replace(**FIRST_DEFENCE))
    outcomes = [
        play(jax.random.key(config.seed), market.numbers(hparams), data) for hparams in (first, now)
    ]
    was = json.loads((HERE / "digits_ledger.json").read_text())
    ledgers = [json.loads(json.dumps(ledger_dict(o.ledger, market.layout))) for o in outcomes]
    assert ledgers[0] == was
    assert float(outcomes[0].test_metric) == pytest.approx(0.9493, abs=TOLERANCE)
    assert float(outcomes[1].test_metric) == pytest.approx(0.9549, abs=TOLERANCE)
    bad, earned = outcomes[0].roles.bad_seller, [x["jobs"]["weights"][0] for x in ledgers]
    assert np.array(earned[0])[bad].sum() == 5  # an attacker that a lucky round let in again
    assert np.array(earned[1])[bad].sum() == 0


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
