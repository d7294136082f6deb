"""The three levels of tests: which cells of a grid are quick, and that no mechanism is without."""

import pytest

from tests import times
from tests.conftest import ROOT
from tests.levels import diagonal, spread


@pytest.mark.parametrize("count, number, want", [
    (10, 3, {0, 3, 6}), (2, 3, {0, 1}), (5, 1, {0}), (7, 7, set(range(7))), (0, 2, set()),
])  # fmt: skip
def test_places_are_spread_evenly(count, number, want):
    assert spread(count, number) == want


def test_every_row_and_every_column_of_a_grid_has_a_quick_cell():
    rows = [f"row {place // 4}" for place in range(40)]
    quick = diagonal(rows, 1)
    assert [place // 4 for place in sorted(quick)] == list(range(10))
    assert {place % 4 for place in quick} == set(range(4))
    by_column = [f"row {place % 10}" for place in range(40)]  # the other axis varies faster
    quick = diagonal(by_column, 2)
    assert len(quick) == 20 and {place // 10 for place in quick} == set(range(4))
    assert diagonal(["only"], 3) == {0}


def test_seconds_are_summed_by_folder_and_held_against_the_budgets():
    tests = times.read(
        "1.5 tests/a/test_x.py::test[1 2]\n0.5 tests/a/test_y.py::t\n3 tests/t.py::t"
    )
    assert tests[0] == ("tests/a/test_x.py::test[1 2]", 1.5)
    assert times.by_folder(tests) == {"a": 2.0, "tests": 3.0}
    said = list(times.report(tests, {"a": 1, "tests": 4}, slowest=1))
    assert [("OVER" in line) for line in said] == [True, False, False, False]
    assert said[-1].endswith("tests/t.py::t") and said[-2].split() == ["together", "5.0", "of", "5"]


def test_every_folder_has_a_budget_within_four_minutes_of_two_cores():
    here = ROOT / "tests"
    found = times.budgets((here / "README.md").read_text())
    folders = {path.parent.name for path in here.glob("*/test_*.py")}
    assert set(found) == folders | {"tests"}
    assert sum(found.values()) + 2 * 15 <= 2 * 240  # each of two workers collects for 15 s
