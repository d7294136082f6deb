"""The exact probabilities on a page against whole votes counted by brute force."""

import itertools
import math

import pytest

from d2m_jax.reproduce.experiments import DIGITS, PARTS
from d2m_jax.reproduce.votes import at_least_once, vote_table
from d2m_jax.sweep.plan import configure


def test_without_cone_one_random_node_decides():
    """Its error is the share of bad nodes, exactly."""
    (case,) = [case for case in PARTS if case.labels["part"].startswith("without CONE")]
    config = configure(DIGITS, {**case.point, "spec.num_rounds": 1})
    base = {
        **DIGITS,
        "spec": {**DIGITS["spec"], **vars(config.spec)},
        "hparams": {**DIGITS["hparams"], "cone": {**DIGITS["hparams"]["cone"], "size": 1}},
    }
    table = vote_table(base, shares=(0.3,))
    assert table["bad nodes"].tolist() == ["19 of 64"]
    assert table["vote"][0] == pytest.approx(19 / 64, abs=1e-12)
    assert table["executions"][0] == pytest.approx(1)
    assert table["market"][0] == pytest.approx(1 - (45 / 64) ** 2)


def test_too_few_bad_nodes_for_the_lead_never_win_and_more_win_with_the_rounds():
    shares = (0.1, 0.3, 0.4, 0.45)
    few = vote_table(DIGITS, shares)
    more = vote_table({**DIGITS, "spec": {**DIGITS["spec"], "num_rounds": 600}}, shares)
    assert (few["vote"] == more["vote"]).all()
    assert (few["market"][:2] == 0).all() and (few["market"][2:] > 0).all()
    ratio = (more["market"] / few["market"])[2:]
    assert ratio.tolist() == pytest.approx([601 / 61] * 2, rel=1e-3)


@pytest.mark.parametrize("chance", [0.0, 1e-18, 0.25, 1.0])
def test_at_least_once(chance):
    brute = sum(
        math.prod(chance if bad else 1 - chance for bad in outcome)
        for outcome in itertools.product([True, False], repeat=3)
        if any(outcome)
    )
    assert at_least_once(chance, 3) == pytest.approx(brute, rel=1e-12)
