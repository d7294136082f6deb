"""The page of a sweep: it stands alone, finds the axes, and says what is noise."""

import json
import re

import numpy as np
import pandas as pd
import pytest

from d2m_jax.cli.report import main
from d2m_jax.report.page import write_report
from d2m_jax.report.page.axes import View, axes_of
from d2m_jax.report.page.charts import fill, templates
from d2m_jax.report.page.figures import short
from d2m_jax.report.page.measures import KNOWN, measures_of, with_derived
from d2m_jax.report.page.rows import figure_rows
from d2m_jax.report.page.shell import library
from d2m_jax.report.page.summary import sentences
from d2m_jax.report.page.sweep import figures, in_short, read_sweep, render
from d2m_jax.report.page.sweep_data import thinned
from d2m_jax.sweep import StorageError, store
from tests.report.sweeps import rows, write

AXES = {
    "spec.aggregator": ["krum", "mean", "median"],
    "spec.attack": ["alie", "ipm"],
    "hparams.population.num_byzantine": [2, 4],
    "seed": [0, 1, 2, 3, 4],
}
MEANS = {"krum": 0.80, "mean": 0.5, "median": 0.79}
NOTHING = dict.fromkeys(("x", "y", "by", "panel", "worst"))


def metric(point):
    """Krum and median differ by less than their noise, the mean is far below."""
    if (point["spec.aggregator"], point["spec.attack"], point["seed"]) == ("mean", "ipm", 2):
        return None
    wave = 0.02 * np.sin(10 * point["seed"] + sum(map(ord, point["spec.aggregator"])))
    harm = 0.05 * point["hparams.population.num_byzantine"] * (point["spec.attack"] == "ipm")
    return float(MEANS[point["spec.aggregator"]] + wave - harm)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write(tmp_path_factory.mktemp("report") / "my <sweep>", *rows(AXES, metric), AXES)


@pytest.fixture(scope="module")
def report(folder):
    return write_report(folder)


def data_of(text):
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)
    return json.loads(found[1])


def test_the_page_stands_alone_and_says_everything(report):
    text = report.page.read_text()
    assert "<title>my &lt;sweep&gt;</title>" in text
    for said in ("58 runs, 2 failed", "jax 0.10.2", "no &lt;such&gt; thing", "--config=a.py"):
        assert said in text
    own = text.replace(library(), "")  # which speaks of elements that it could make
    assert not re.findall(r"<(?:script|link|img|iframe)[^>]*(?:src|href)=", own)
    assert "default-src 'none'" in own and len(text) < 1.5e6


def test_figures_are_files_too(report):
    names = {path.name for path in report.figures}
    stems = ("test_metric", "test_metric-heat", "test_metric-worst-attack", "test_metric-rounds")
    assert names == {f"{stem}.{kind}" for stem in stems for kind in ("svg", "pdf")}
    for path in report.figures:
        start = path.read_bytes()[:5]
        assert start == (b"%PDF-" if path.suffix == ".pdf" else b"<svg ")
    svg = next(p for p in report.figures if p.name == "test_metric.svg").read_text()
    for word in ("krum", "median", "num byzantine", "alie", "aggregator"):
        assert word in svg


def test_the_data_of_the_page_are_those_of_the_sweep(folder, report):
    data, runs = data_of(report.page.read_text()), store.load(folder).runs
    assert data["source"]["count"] == len(runs) == 60
    axes = {axis["field"]: axis for axis in data["axes"]}
    for field in AXES:
        codes = data["source"]["codes"][field]
        assert [axes[field]["values"][code] for code in codes] == runs[field].tolist()
    told = pd.Series(data["source"]["numbers"]["test_metric"], dtype=float)
    np.testing.assert_allclose(told, runs["test_metric"].astype(float), rtol=1e-5)
    assert data["rounds"]["count"] == 116 and data["base"] == {"spec": {"model": "m"}}
    assert [data["keys"][row] for row in data["rounds"]["run"][:2]] == ["run000"] * 2


def test_rows_of_a_figure_by_hand(folder):
    sweep = read_sweep(folder, NOTHING, "auto")
    view = View("hparams.population.num_byzantine", "test_metric", "spec.aggregator", "spec.attack")
    assert sweep.view == view
    made = figure_rows(sweep.runs, view, sweep.measure("test_metric"), sweep.axes)
    one = next(r for r in made if (r["x"], r["by"], r["panel"]) == (4, "krum", "ipm"))
    values = [metric({"spec.aggregator": "krum", "spec.attack": "ipm", "seed": s,
                      "hparams.population.num_byzantine": 4}) for s in range(5)]  # fmt: skip
    half = 2.7764451051977987 * np.std(values, ddof=1) / np.sqrt(5)  # t of 0.975, 4 degrees
    assert one["mean"] == pytest.approx(np.mean(values)) and one["count"] == 5
    assert one["low"] == pytest.approx(np.mean(values) - half)
    assert one["noise"] == "the best one" and one["setting"] == "seed: repeats 0, 1, 2, 3, 4"
    mean = next(r for r in made if (r["x"], r["by"], r["panel"]) == (2, "mean", "alie"))
    assert mean["noise"] == "worse, beyond noise"


def test_intervals_stay_where_a_share_can_be():
    runs, _ = rows({"seed": [0, 1], "spec.attack": ["a"]}, lambda p: 0.99 if p["seed"] else 0.6)
    axes, (measure, *_) = axes_of(runs), measures_of(with_derived(runs))
    (row,) = figure_rows(runs, View("spec.attack", "test_metric"), measure, axes)
    assert (row["low"], row["high"]) == (0.0, 1.0)


def test_the_worst_case_of_what_should_be_small_is_the_largest(folder):
    sweep = read_sweep(folder, {**NOTHING, "worst": "attack"}, "auto")
    view = View("hparams.population.num_byzantine", "test_metric", "spec.aggregator", "",
                "spec.attack")  # fmt: skip
    assert sweep.view == view
    runs = sweep.runs.assign(test_loss=1 - sweep.runs["test_metric"])
    loss = figure_rows(runs, view, sweep.measure("test_loss"), sweep.axes)
    gain = figure_rows(sweep.runs, view, sweep.measure("test_metric"), sweep.axes)
    assert [row["mean"] for row in loss] == pytest.approx([1 - row["mean"] for row in gain])
    assert "attack = ipm (the worst)" in gain[0]["setting"]


def test_sentences_tell_noise(folder):
    sweep = read_sweep(folder, NOTHING, "auto")
    said = dict(in_short(sweep))
    assert re.match(
        r"best with aggregator = krum: 0\.\d+ \(0\.\d+ to 0\.\d+\); within noise of it: median; "
        r"beyond noise: mean \(by 0\.\d+ \u00b1 0\.\d+\)\. Beyond noise at num_byzantine = 2, 4\.",
        said["test metric"],
    )
    assert said["wrong rate"] == "0 in every run."


@pytest.mark.parametrize(
    ("seeds", "metric", "said"),
    [
        ([0], lambda p: 0.5 + 0.1 * (p["spec.attack"] == "a"),
         "0.500 to 0.600, best a; too few repetitions to tell noise."),
        ([0, 1], lambda p: 0.5 + 0.1 * (p["spec.attack"] == "a"),
         "0.500 to 0.600, best a; too few repetitions to tell noise."),
        (range(9), lambda p: 0.5 + 0.1 * (p["spec.attack"] == "a"),
         "best with attack = a: 0.600 (0.600 to 0.600); beyond noise: b (by 0.100 \u00b1 0.000)."),
        ([0, 1, 2], lambda p: 0.5 + 0.1 * (p["seed"] == 1) * (p["spec.attack"] == "a"),
         "within noise for all values of attack: 0.500 to 0.533."),
        ([0, 1, 2], lambda p: 0.5 + 0.1 * p["seed"], "0.600 for every value of attack."),
    ],
)  # fmt: skip
def test_what_few_repetitions_can_say(seeds, metric, said):
    runs, _ = rows({"spec.attack": ["a", "b"], "seed": seeds}, metric)
    runs = with_derived(runs)
    axis = next(axis for axis in axes_of(runs) if axis.field == "spec.attack")
    assert dict(sentences(runs, measures_of(runs), axis, None))["test metric"] == said


def test_any_sweep_has_a_page(tmp_path):
    """No axis, one axis, only words, only failures but one, a rule of which all runs failed."""
    for number, (axes, metric) in enumerate(
        [
            ({"seed": [0]}, lambda p: 0.5),
            ({}, lambda p: 0.5),
            ({"hparams.tau": [0.1, 0.2]}, lambda p: 0.5),
            ({"spec.attack": ["a", "b"]}, lambda p: 0.5 if p["spec.attack"] == "a" else None),
            ({"data.alpha": np.geomspace(0.01, 100, 60).tolist(), "seed": [0, 1]}, lambda p: 0.5),
        ]
    ):
        sweep = read_sweep(write(tmp_path / str(number), *rows(axes, metric)), NOTHING, "auto")
        assert "</html>" in render(sweep)
        assert list(figures(sweep))


def test_the_first_figure_can_be_chosen(folder):
    wanted = {**NOTHING, "x": "attack", "y": "welfare", "by": "num_byzantine", "panel": "none"}
    sweep = read_sweep(folder, wanted, "heat")
    assert sweep.view == View("spec.attack", "welfare", "hparams.population.num_byzantine")
    assert next(iter(figures(sweep))).name == "welfare-heat"
    assert read_sweep(folder, {**NOTHING, "x": "round"}, "auto").view.x == "round"


@pytest.mark.parametrize(
    ("wanted", "complaint"),
    [
        ({"x": "colluders"}, "unknown axis for x 'colluders'"),
        ({"y": "tast_metric"}, r"unknown measure for y 'tast_metric' \(did you mean 'test_metric'"),
        ({"x": "attack", "by": "attack"}, "an axis can stand in one place only"),
        ({"x": "round", "y": "welfare"}, "y=welfare is not measured in every round"),
        ({"by": "seed"}, "unknown axis for by 'seed'"),
    ],
)
def test_a_wrong_choice_is_one_sentence(folder, wanted, complaint):
    with pytest.raises(ValueError, match=complaint):
        read_sweep(folder, {**NOTHING, **wanted}, "auto")


def test_no_results_are_one_sentence(tmp_path):
    with pytest.raises(StorageError, match="holds no results of a sweep or of a market"):
        write_report(tmp_path)
    store.open_folder(tmp_path)
    with pytest.raises(StorageError, match="holds no finished run yet"):
        write_report(tmp_path)


def test_chosen_hyper_parameters_are_those_of_selection(tmp_path):
    axes = {**AXES, "hparams.learning.lr": [0.1, 0.2]}

    def rate(point):
        return 0.5 + point["hparams.learning.lr"]

    folder = write(tmp_path / "lr", *rows(axes, rate, metric=rate))
    text = render(read_sweep(folder, NOTHING, "auto"))
    assert "Chosen hyper-parameters" in text and "<td>0.2</td>" in text


def test_every_template_can_be_filled():
    facts = {
        "rows": [],
        "width": 10,
        "height": 10,
        "columns": 2,
        "description": "",
        "by.domain": [""],
    }
    for name, template in templates().items():
        text = json.dumps(fill(template, facts))
        assert '"@' not in text, name
    assert fill({"a": "@x", "b": ["@y", 1], "c": "@z"}, {"x": 0, "z": None}) == {
        "a": 0, "b": [1], "c": None,
    }  # fmt: skip


def test_numbers_as_they_are_written():
    pairs = [(1234567, "~s"), (-20_000, "+.3~s"), (12345, "+,.0f"), (0.5, ".2f")]
    pairs += [(1234.5678, ",.3~f"), (0.00012345, ",.3~f"), (None, ".2f")]
    said = [short(value, style) for value, style in pairs]
    assert said == ["1.23M", "-20k", "+12,345", "0.50", "1,235", "0.000123", "-"]


def test_measures_are_columns_or_follow_from_some():
    runs, _ = rows({"seed": [0]}, lambda p: 0.5)
    found = {m.name: m for m in measures_of(with_derived(runs))}
    assert (
        {"settled", "cheating_gain", "wrong_rate", "executions_a_round"} <= set(found) <= set(KNOWN)
    )
    done = with_derived(runs)
    assert done["cheating_gain"].iloc[0] == -150 and done["executions_a_round"].iloc[0] == 30
    assert found["delivered"].is_fact and found["delivered"].high == 1.0
    assert found["test_loss"].low == 0.0 and found["cheating_gain"].low is None


def test_many_rounds_are_thinned_and_keep_the_last():
    rounds = pd.DataFrame({"round": np.tile(np.arange(1, 101), 2_000), "test_metric": 0.5})
    kept = thinned(rounds, 4)
    assert len(kept) * 4 <= 400_000 and kept["round"].max() == 100
    assert kept["round"].nunique() == 50


def test_the_command_says_what_the_page_says(folder, tmp_path, capsys):
    assert main(["report.py", str(folder), f"--out={tmp_path / 'page'}", "--y=welfare"]) == 0
    said = capsys.readouterr().out
    assert "test metric: best with aggregator = krum" in said and "open it in a browser" in said
    assert (tmp_path / "page" / "figures" / "welfare.svg").exists()


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (["--x=colluders"], "error: unknown axis for x 'colluders'; valid names: aggregator"),
        (["--ex=attack"], "error: unknown flag --ex (did you mean --x?)"),
    ],
)
def test_the_command_complains_in_one_sentence(folder, capsys, flags, complaint):
    with pytest.raises(SystemExit) as end:
        main(["report.py", str(folder), *flags])
    said = capsys.readouterr().err
    assert said.startswith(complaint) and said.count("\n") == 1 and end.value.code in (1, 2)
