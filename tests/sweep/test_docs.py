"""The examples of docs/sweeps.md run as they stand, and parts of one's own can be swept."""

import re
import sys
import types

import jax.numpy as jnp
import pytest

from d2m_jax import sweep
from d2m_jax.attacks import Attack
from d2m_jax.sweep import Options, axis, make_plan, product
from tests.conftest import ROOT
from tests.sweep.small import base

BLOCKS = re.findall(r"```python( slow)?\n(.*?)```", (ROOT / "docs/sweeps.md").read_text(), re.S)
MARKS = [pytest.param(code, marks=pytest.mark.long if slow else ()) for slow, code in BLOCKS]


@pytest.mark.slow
@pytest.mark.parametrize("code", MARKS)
def test_the_examples_run(code, monkeypatch):
    module = types.ModuleType("example")
    monkeypatch.setitem(sys.modules, "example", module)  # where functions of a file live
    exec(compile(code, "docs/sweeps.md", "exec"), vars(module))
    if hasattr(module, "get_points"):
        config = module.get_config().to_dict() if hasattr(module, "get_config") else base()
        plan = make_plan(config, module.get_points(), getattr(module, "CONSTRAINTS", None))
        assert plan.groups and not plan.refused


def nothing(updates, f, *, mask=None):
    return jnp.zeros_like(updates[0])


def calm(key, updates, byzantine, *, context, strength=0.0):
    return updates * (1 - strength * byzantine[:, None])


@pytest.mark.slow
def test_parts_of_ones_own_are_swept_with_their_numbers(tmp_path):
    own = Attack(calm)
    points = [{"spec.aggregator": nothing, "spec.attack": own}]
    points += product(
        axis("spec.attack", [own, "sign_flip"]),
        axis("hparams.attack.calm.strength", [0.0, 40.0]),
        axis("hparams.population.num_byzantine", [3]),
    )
    plan = make_plan(base(num_rounds=4), points)
    assert len(plan.groups) == 1  # rule, attack and number are picked, not compiled
    assert len(plan.runs) == 4 and plan.repeated == 1  # no number of sign_flip: the same run
    sweep.run_plan(plan, tmp_path, options=Options(devices=1))
    results = sweep.load(tmp_path)
    runs = results.runs.set_index(["spec.attack", "spec.aggregator"]).sort_index()
    moved = results.rounds.groupby("key")["direction_norm"].max() > 0
    assert sorted(moved) == [False, True, True, True]
    assert not moved[runs.loc[("calm", "nothing"), "key"]].any()
    mine = results.runs[results.runs["hparams.attack.calm.strength"].notna()]
    mine = mine[mine["spec.attack"] == "calm"].set_index("hparams.attack.calm.strength")
    assert mine.loc[0.0, "test_metric"] > mine.loc[40.0, "test_metric"] + 0.1


def test_an_own_part_of_other_code_is_another_run():
    def made(scale):
        return lambda key, updates, byzantine, *, context: scale * updates

    keys = [make_plan(base(), [{"spec.attack": made(s)}]).runs[0].key for s in (1.0, 2.0, 1.0)]
    assert keys[0] == keys[2] != keys[1]
