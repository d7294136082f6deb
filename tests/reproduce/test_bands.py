"""Bands against tables written by hand: at the edge, just past it, and with a world missing."""

import numpy as np
import pandas as pd
import pytest

from d2m_jax.reproduce.bands import NOBODY, accuracy, ahead, judge, loss, none_sold, none_wrong

ROWS = [  # data, bad, attack, mean, worlds, wrong
    ("iid", NOBODY, "none", 0.990, 3, 0),
    ("iid", "30%", "ipm", 0.981, 3, 0),
    ("iid", "30%", "alie", 0.985, 3, 0),
    ("iid", "40%", "ipm", 0.5, 3, 7),
    ("skewed", NOBODY, "none", 0.985, 3, 0),
    ("skewed", "30%", "ipm", 0.970, 3, 0),
    ("skewed", "30%", "alie", 0.984, 3, 0),
]


@pytest.fixture
def cells():
    names = ["data", "bad", "attack", "mean", "worlds", "wrong"]
    return pd.DataFrame(ROWS, columns=names).assign(wanted=3)


def test_accuracy_is_that_of_the_worst_cell(cells):
    held, missed = (judge(accuracy("it", least, bad=NOBODY), cells) for least in (98.5, 98.6))
    assert (held.status, missed.status) == ("held", "missed")
    assert held.value == pytest.approx(98.5)
    assert missed.sentence == "it: at least 98.6 %: missed, 98.50 %"


def test_loss_is_within_one_deal_and_under_the_worst_attack(cells):
    """iid 0.9, skewed 1.5; not 2.0, from the best calm cell to the worst of another deal."""
    assert judge(loss("it", 1.5001, "30%"), cells).status == "held"
    verdict = judge(loss("it", 1.49, "30%"), cells)
    assert verdict.status == "missed" and verdict.value == pytest.approx(1.5)
    assert judge(loss("it", 1, "30%", data="iid"), cells).value == pytest.approx(0.9)
    assert judge(loss("it", 1, "40%", data="iid"), cells).value == pytest.approx(49)


def test_a_single_wrong_result_misses(cells):
    assert judge(none_wrong("it", bad="30%"), cells).status == "held"
    assert judge(none_wrong("it", bad="40%"), cells).status == "missed"


def test_a_wrong_model_that_was_paid_for_misses(cells):
    cells["sold_wrong"] = (cells["bad"] == "40%").astype(int)
    assert judge(none_sold("it", bad="30%"), cells).status == "held"
    assert judge(none_sold("it", bad="40%"), cells).sentence.endswith("sold: missed, 1")


def test_ahead_compares_the_worst_of_two(cells):
    band = ahead("it", 1.0, {"data": "iid", "bad": "30%"}, {"data": "skewed", "bad": "30%"})
    verdict = judge(band, cells)
    assert (verdict.status, round(verdict.value, 6)) == ("held", 1.1)


@pytest.mark.parametrize("worlds, value", [(2, 1.5), (0, 0.9)])
def test_a_cell_without_all_its_worlds_is_not_judged(cells, worlds, value):
    """Even where the part that is there would hold, or miss."""
    cells.loc[5, "worlds"] = worlds
    if not worlds:
        cells.loc[5, "mean"] = np.nan
    for most in (0.1, 9):
        verdict = judge(loss("it", most, "30%"), cells)
        assert verdict.status == "not measured" and verdict.value == pytest.approx(value)
    assert "in the part that is measured" in verdict.sentence


def test_nothing_measured_and_nothing_there(cells):
    cells[["worlds", "mean"]] = 0, np.nan
    for band in (accuracy("it", 1, bad=NOBODY), loss("it", 1, "30%"), none_wrong("it", bad="30%")):
        assert judge(band, cells).sentence == f"{band.claim}: not measured"
    with pytest.raises(ValueError, match="speaks of no case"):
        judge(accuracy("it", 1, bad="55%"), cells)
