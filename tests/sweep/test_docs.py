"""The examples of docs/sweeps.md run as they stand, and a name of one's own can be swept."""

import re

import jax.numpy as jnp
import pytest

from d2m_jax import sweep
from d2m_jax.aggregation import AGGREGATORS, Rule
from d2m_jax.attacks import ATTACKS, Attack
from d2m_jax.sweep import Options, make_plan
from tests.conftest import ROOT
from tests.sweep.small import base

BLOCKS = re.findall(r"```python( slow)?\n(.*?)```", (ROOT / "docs/sweeps.md").read_text(), re.S)
MARKS = [pytest.param(code, marks=pytest.mark.slow if slow else ()) for slow, code in BLOCKS]


@pytest.fixture
def tables():
    """The registries as they were, afterwards."""
    kept = dict(AGGREGATORS), dict(ATTACKS)
    yield
    for table, old in zip((AGGREGATORS, ATTACKS), kept):
        table.clear()
        table.update(old)


@pytest.mark.parametrize("code", MARKS)
def test_the_examples_run(code, tables):
    exec(compile(code, "docs/sweeps.md", "exec"), {})


def test_a_name_of_ones_own_is_swept(tables, tmp_path):
    def nothing(updates, f, *, mask=None):
        return jnp.zeros_like(updates[0])

    def calm(key, updates, byzantine, *, context, strength=0.0):
        return updates * (1 - strength * byzantine[:, None])

    AGGREGATORS["nothing"], ATTACKS["calm"] = Rule(nothing), Attack(calm)
    own = {"spec.aggregator": "nothing", "spec.attack": "calm"}
    plan = make_plan(base(num_rounds=4), [own, {"seed": 1}])
    sweep.run_plan(plan, tmp_path, options=Options(devices=1))
    runs = sweep.load(tmp_path).runs.set_index("seed")
    assert runs.loc[1.0, "test_accuracy"] > 0.4  # the mean without attackers
    rounds = sweep.load(tmp_path).rounds.groupby("key")["direction_norm"].max()
    assert sorted(rounds > 0) == [False, True]
