"""`d2m reproduce` on six small markets: run, stop, go on, judge, and what it refuses."""

import re

import pandas as pd
import pytest

from d2m_jax import sweep
from d2m_jax.cli import reproduce
from d2m_jax.reproduce.bands import Verdict
from d2m_jax.reproduce.run import cells_of, plan_of, results_of
from tests.reproduce.small import APART, IMPOSSIBLE, experiment


def command(folder, *flags):
    return reproduce.main(["d2m reproduce", "--quick", f"--out={folder}", *map(str, flags)])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("reproduce")


@pytest.fixture
def grid(monkeypatch):
    def use(*experiments):
        monkeypatch.setattr(reproduce, "GRIDS", {"quick": list(experiments)})

    use(experiment())
    return use


@pytest.mark.slow  # compiles a sweep
def test_a_part_first_then_the_rest_then_bands(folder, grid, capsys):
    """The one world of no attack is kept; status 3 while cells lack, 0 when all bands hold."""
    assert command(folder, "--attacks=none", "--worlds=1") == 3
    first = results_of(experiment(), folder).query("status == 'done'")
    assert len(first) == 2 and set(first["attack"]) == {"none"} and set(first["world"]) == {0}
    said = capsys.readouterr().out
    assert "2 done, 0 failed, 0 left" in said and "not measured" in said
    page = (folder / "tables" / "small.md").read_text()
    assert "2 of 6 markets measured" in page and "1 of 2" in page
    assert re.search(r"\| ipm \| not measured \|", page)

    assert command(folder) == 0
    results = results_of(experiment(), folder)
    assert (results["status"] == "done").all() and len(results) == 6
    pd.testing.assert_frame_equal(results.loc[first.index], first, check_dtype=False)
    cells = cells_of(experiment(), results)
    runs = sweep.load(folder / "small").runs
    assert len(runs) == 6 and cells["votes"].tolist() == [18, 18, 18]
    assert cells["mean"].mean() == pytest.approx(runs["test_metric"].astype(float).mean())
    page = (folder / "tables" / "small.md").read_text()
    assert "held" in page and "missed" not in page and (folder / "tables/small.png").is_file()
    table = pd.read_csv(folder / "tables" / "small.csv")
    assert len(table) == 6 and (table["wrong_rounds"] == 0).all()


@pytest.mark.slow  # of the markets of the test before
def test_a_missed_band_is_one_sentence_and_status_1(folder, grid, capsys):
    grid(experiment(bands=(IMPOSSIBLE, APART)))
    assert command(folder, "--tables_only") == 1
    said = capsys.readouterr().out
    assert re.search(r"small: at least 100.5 %: missed, \d+\.\d+ %", said)
    assert re.search(r"calm before bad: by at least 0 points: held", said)
    assert "**missed**" in (folder / "tables" / "small.md").read_text()


def test_no_time_left_begins_nothing(tmp_path, grid, monkeypatch):
    class Now:
        def __init__(self, seconds, call):
            self.start, self.cancel = call, lambda: None

    monkeypatch.setattr(reproduce.threading, "Timer", Now)
    assert command(tmp_path, "--minutes=1") == 3
    assert (results_of(experiment(), tmp_path)["status"] == "not run").all()


def test_what_needs_data_says_so(tmp_path, grid, capsys):
    grid(experiment(needs_data=True))
    assert command(tmp_path) == 3
    assert "left out, it needs the archives of digits" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("found", "only", "status"),
    [
        ("held", "small", 0),
        ("held", "small,more", 3),  # what is left out is not measured, though all else holds
        ("not measured", "small", 3),
        ("missed", "small,more", 1),
    ],
)
def test_the_exit_status(found, only, status, tmp_path, grid, monkeypatch, capsys):
    grid(experiment(), experiment(name="more", needs_data=True))
    monkeypatch.setattr(reproduce, "run_one", lambda *_: 0)
    monkeypatch.setattr(reproduce, "write_page", lambda *_: [Verdict(APART, 1.0, found)])
    assert command(tmp_path, f"--only={only}") == status
    assert ("more: left out" in capsys.readouterr().out) == ("more" in only)


@pytest.mark.parametrize(
    "flags, sentence",
    [
        (["--only=smal"], "did you mean 'small'"),
        (["--attacks=imp"], "unknown attack of these experiments 'imp'"),
        (["--deals=clients"], "unknown deal 'clients'"),
        (["--full"], "name one grid"),
    ],
)
def test_wrong_flags_are_one_sentence(flags, sentence, tmp_path, grid, capsys):
    with pytest.raises(SystemExit):
        command(tmp_path, *flags)
    text = capsys.readouterr().err
    assert sentence in text and text.count("\n") == 1


def test_the_full_grid_without_data(capsys):
    with pytest.raises(SystemExit):
        reproduce.main(["d2m reproduce", "--full"])
    assert "needs the official archives" in capsys.readouterr().err


def test_a_refused_case_names_its_reason():
    case = experiment().cases[0]
    bad = case._replace(point={**case.point, "data.correction_share": 1.0})
    with pytest.raises(ValueError, match=r"experiment small.*correction_share must lie in"):
        plan_of(experiment(cases=[bad]))
