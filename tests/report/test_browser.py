"""The pages in a headless Chromium, from disk, offline: what a person sees and does.

Its statistics are checked against those of `sweep.selection`, which have other code.
"""

import json

import numpy as np
import pytest
from scipy import stats

from d2m_jax.report.page import write_report
from d2m_jax.report.page.axes import View
from d2m_jax.report.page.rows import figure_rows
from d2m_jax.report.page.sweep import read_sweep
from tests.report.browser import browser
from tests.report.sweeps import rows, write
from tests.report.test_market_page import finished_run
from tests.report.test_sweep_page import AXES, NOTHING, metric

pytestmark = pytest.mark.slow

COUNT = "hparams.population.num_byzantine"


@pytest.fixture(scope="module")
def chromium():
    with browser() as made:
        yield made


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    worth = {"welfare": lambda p: 1e5 * metric(p) + p["seed"], "test_loss": lambda p: 1 - metric(p)}
    tables = rows(AXES, metric, wrong_rounds=lambda p: p["seed"], **worth)
    return write(tmp_path_factory.mktemp("page") / "a <sweep>", *tables, AXES)


@pytest.fixture(scope="module")
def page(chromium, folder):
    return chromium.open(write_report(folder).page)


@pytest.fixture(scope="module")
def market(chromium, tmp_path_factory):
    return chromium.open(write_report(finished_run(tmp_path_factory.mktemp("run"))).page)


def test_nothing_is_wrong_and_nothing_leaves_the_page(page):
    page.wait("document.querySelector('#figure svg') !== null")
    page.run("window.scrollTo(0, document.body.scrollHeight)")
    page.run("document.querySelectorAll('#gallery figure').forEach((f) => f.drawNow())")
    page.wait(
        "[...document.querySelectorAll('#gallery figure')].every((f) => f.querySelector('svg'))"
    )
    assert page.run("document.querySelectorAll('#gallery figure').length") == 6
    assert page.complaints() == []
    label = page.run("document.querySelector('#figure svg[role=img]').getAttribute('aria-label')")
    assert label.startswith("Test metric: metric of the last model")


def test_student_t_is_that_of_scipy(page):
    pairs = [(p, n) for p in (0.95, 0.975, 0.9999) for n in (1, 2, 3, 4, 9, 30, 101)]
    found = page.run(f"{json.dumps(pairs)}.map(([p, n]) => tQuantile(p, n))")
    np.testing.assert_allclose(found, [stats.t.ppf(p, n) for p, n in pairs], rtol=1e-9)


@pytest.mark.parametrize(
    "view",
    [
        View(COUNT, "test_metric", "spec.aggregator", "spec.attack"),
        View("spec.attack", "welfare", COUNT),
        View(COUNT, "test_loss", "spec.aggregator", "", "spec.attack"),
        View("spec.aggregator", "wrong_rate"),
        View("spec.attack", "price", "spec.aggregator"),
    ],
)
def test_the_rows_of_the_page_are_those_of_python(page, folder, view):
    sweep = read_sweep(folder, NOTHING, "auto")
    want = figure_rows(sweep.runs, view, sweep.measure(view.y), sweep.axes)
    found = page.run(f"figureRows({json.dumps(view._asdict())}, {{}})")
    places = ("x", "by", "panel")
    order = lambda row: tuple(str(row[name]) for name in places)
    assert len(found) == len(want) > 0
    for mine, theirs in zip(sorted(found, key=order), sorted(want, key=order)):
        for name in (*places, "count", "noise", "setting"):
            assert mine[name] == theirs[name], (view, mine, theirs)
        for name in ("mean", "low", "high"):
            assert mine[name] == pytest.approx(theirs[name], rel=1e-4, abs=1e-4), (view, name)


def test_points_that_lack_an_axis_are_drawn_and_not_compared(chromium, tmp_path):
    runs, rounds = rows(
        {"spec.attack": ["a", "b", "c"], "seed": [0, 1, 2]}, lambda p: 0.1 * p["seed"]
    )
    runs["hparams.attack.a.z"] = [1.5, 1.5, 1.5, 2.5, 2.5, 2.5, None, None, None]
    runs.loc[3:5, "test_metric"] += 0.5
    folder = write(tmp_path / "z", runs.drop(columns="spec.attack"), rounds)
    sweep = read_sweep(folder, NOTHING, "auto")
    view = View("", "test_metric", "hparams.attack.a.z")
    page = chromium.open(write_report(folder).page)
    said = lambda made: sorted((row["by"], row["noise"]) for row in made)
    want = said(figure_rows(sweep.runs, view, sweep.measure("test_metric"), sweep.axes))
    assert said(page.run(f"figureRows({json.dumps(view._asdict())}, {{}})")) == want
    assert want[-1] == ("not set", "not compared") and want[0][0] == "1.5"
    assert page.complaints() == []


def test_numbers_are_written_as_in_python(page):
    from d2m_jax.report.page.figures import short

    styles = ("~s", "+.3~s", ",.0f", "+,.0f", ".2f", ".3f", ",.3~f")
    values = (0, 1, -1, 0.12345, -0.00098765, 12.4, 999.4, 12_345.678, -98_765_432.1)
    pairs = [(style, value) for style in styles for value in values]
    found = page.run(f"{json.dumps(pairs)}.map(([s, v]) => number(s, v))")
    for text, (style, value) in zip(found, pairs):
        assert text == short(value, style), (style, value)


def test_a_click_sorts_and_what_is_typed_filters(page):
    head = "#runs thead th:nth-child(4)"
    assert "num byzantine" in page.run("document.querySelector('#runs thead').textContent")
    column = page.run(
        "[...document.querySelectorAll('#runs thead th')].findIndex("
        "(th) => th.querySelector('button').textContent === 'test metric') + 1"
    )
    head = f"#runs thead th:nth-child({column})"
    shown = f"[...document.querySelectorAll('#runs tbody tr td:nth-child({column})')]"
    shown += ".map((td) => td.textContent).filter((t) => t !== '-').map(Number)"
    page.click(f"{head} button")
    assert page.run(f"document.querySelector({head!r}).getAttribute('aria-sort')") == "descending"
    values = page.run(shown)
    assert values == sorted(values, reverse=True) and len(set(values)) > 5
    page.click(f"{head} button")
    assert page.run(shown) == sorted(page.run(shown))

    page.click(f"{head} input")
    for letter in ">0.7":
        page.press(letter, text=letter)
    assert min(page.run(shown)) > 0.7
    said = page.run("document.querySelector('#runs [role=status]').textContent")
    assert said.startswith(f"{sum((metric_of(p) or 0) > 0.7 for p in points())} of 60 rows")
    page.click("#runs .bar button")
    assert page.run("document.querySelector('#runs [role=status]').textContent").startswith("60 of")


def points():
    import itertools

    return [dict(zip(AXES, chosen)) for chosen in itertools.product(*AXES.values())]


def metric_of(point):
    found = metric(point)
    return None if found is None else float(f"{found:.6g}")


def test_a_row_opens_the_whole_configuration_by_mouse_and_by_key(page):
    page.click("#runs tbody tr:nth-child(2) td:nth-child(2)")
    text = page.run("document.querySelector('#run[open]').textContent")
    assert "spec.aggregator" in text and "test_metric" in text and "The whole configuration" in text
    page.press("Escape", 27)
    page.wait("document.querySelector('#run[open]') === null")
    page.run("document.querySelector('#runs tbody .open').focus()")
    page.press("Enter", 13, "\r")
    page.wait("document.querySelector('#run[open]') !== null")
    page.press("Escape", 27)


def test_another_figure_is_a_choice_away_and_has_an_address(page):
    page.run("""(() => { const box = [...document.querySelectorAll('#controls select')][1];
        box.value = 'spec.attack'; box.dispatchEvent(new Event('change')); })()""")
    page.wait("document.getElementById('caption').textContent.includes('over attack')")
    assert "x=spec.attack" in page.run("location.hash")
    page.wait("document.querySelector('#figure svg').textContent.includes('alie')")
    assert page.run("state.view.panel") == ""  # the axis stood there before
    assert "within noise" in page.run("document.getElementById('noise').textContent")


def test_an_address_shows_the_same_figure(chromium, folder):
    anchor = "#x=spec.attack&y=welfare&by=spec.aggregator&kind=heat&%3Dseed=1"
    page = chromium.open(folder / "report" / "index.html", anchor)
    page.wait("document.querySelector('#figure svg') !== null")
    assert page.run("[state.view.x, state.view.y, state.kind, state.filters.seed]") == [
        "spec.attack", "welfare", "heat", 1,
    ]  # fmt: skip
    assert page.complaints() == []


def test_hovering_shows_the_configuration(page):
    page.run("document.getElementById('explore').scrollIntoView()")
    place = page.run("""(() => { const r = [...document.querySelectorAll(
        '#figure svg .mark-symbol.role-mark path')].at(-1).getBoundingClientRect();
        return [r.x + r.width / 2, r.y + r.height / 2]; })()""")
    page.hover(place[0] - 2, place[1])
    page.hover(*place)
    page.wait("document.querySelector('#vg-tooltip-element.visible') !== null")
    text = page.run("document.getElementById('vg-tooltip-element').textContent")
    assert "against the best here" in text and "repeats 0, 1, 2, 3, 4" in text


def test_the_market_page_draws_every_vote(market):
    assert market.run("document.querySelectorAll('main svg').length") == 6
    marks = "document.querySelectorAll('#vote-figure .mark-symbol.role-mark path').length"
    first = market.run("PAGE.votes.first")
    drawn = market.run(f"PAGE.votes.round.filter((r) => r === {first}).length")
    assert market.run(marks) == drawn > 0
    market.run("document.getElementById('round').focus()")
    market.press("ArrowRight", 39)
    market.wait(f"document.getElementById('vote-figure').dataset.round == {first + 1}")
    drawn = market.run(f"PAGE.votes.round.filter((r) => r === {first + 1}).length")
    assert market.run(marks) == drawn
    assert f"Round {first + 1}:" in market.run("document.getElementById('vote-said').textContent")
    assert market.complaints() == []


def test_the_tables_of_the_market_filter(market):
    market.run("""(() => { const box = document.querySelector(
        '#table-sellers thead th:nth-child(2) input'); box.value = 'byz';
        box.dispatchEvent(new Event('input')); })()""")
    said = market.run("document.querySelector('#table-sellers [role=status]').textContent")
    assert said == "2 of 8 rows."
