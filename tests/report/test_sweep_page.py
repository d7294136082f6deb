"""The page of a sweep, from made-up results: what it says, and that it stands alone."""

import base64
import json
import re

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from d2m_jax import default_config, parse_config
from d2m_jax.config.parsing import to_dict
from d2m_jax.report import sweep_plots
from d2m_jax.report.sweep_page import summary, write_report
from d2m_jax.sweep import StorageError, store

RULES = {"mean": 0.5, "krum": 0.8}


def rows():
    rng, table, rounds = np.random.default_rng(0), [], []
    for rule, quality in RULES.items():
        for attack, harm in {"alie": 0.1, "ipm": 0.3}.items():
            for count in (2, 4):
                for seed in (0, 1):
                    spec = {"sampler": "uniform", "aggregator": rule, "attack": attack}
                    config = parse_config(
                        default_config(
                            spec=spec, hparams={"population": {"num_byzantine": count}}, seed=seed
                        )
                    )
                    accuracy = quality - harm * count / 4 + 0.01 * rng.normal()
                    key = f"{rule}-{attack}-{count}-{seed}"
                    table.append(
                        {
                            "key": key,
                            "status": "done",
                            "reason": "",
                            "spec.aggregator": rule,
                            "hparams.learning.lr": 0.1 * (seed + 1),
                            "test_metric": accuracy,
                            "metric": accuracy,
                            "phase": "settled",
                            "bad_seller_income": -500.0 * harm * count,
                            "honest_seller_income": 100.0,
                            "slashed_honest": 0,
                            "wrong_rounds": 0,
                            "num_rounds": 100,
                            "executions": 3_000 + count,
                            "config": json.dumps(
                                {part: to_dict(v) for part, v in config._asdict().items()}
                            ),
                        }
                    )
                    for number in (10, 20):
                        rounds.append({"key": key, "round": number, "test_metric": accuracy})
    return pd.DataFrame(table), pd.DataFrame(rounds)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    runs, rounds = rows()
    made = store.open_folder(tmp_path_factory.mktemp("report") / "my <sweep>")
    failed = runs.head(1).assign(key="x", status="failed", reason="no <such> thing")
    runs = pd.concat([runs, failed])
    store.write_part(made, *(pa.Table.from_pandas(t, preserve_index=False) for t in (runs, rounds)))
    axes = {"spec.aggregator": list(RULES), "hparams.learning.lr": [0.1, 0.2]}
    about = {"command": "scripts/sweep.py --config=a.py", "jax": "0.10.2"}
    store.write_manifest(
        made, {"axes": axes, "provenance": about, "base": {"spec": {"model": "m"}}}
    )
    return made


def test_the_page_stands_alone_and_says_everything(folder):
    page = write_report(folder)
    text = page.read_text()
    assert "my &lt;sweep&gt;" in text and "my <sweep>" not in text
    for said in ("16 runs, 1 failed", "jax 0.10.2", "no &lt;such&gt; thing", "--config=a.py"):
        assert said in text
    assert "&quot;model&quot;: &quot;m&quot;" in text and "Chosen hyper-parameters" in text
    assert not re.findall(r'(?:src|href)="(?!data:)', text)
    images = re.findall(r'src="data:image/png;base64,([^"]+)"', text)
    assert len(images) == 7  # wrong rounds are 0 everywhere: a sentence instead of a plot
    assert all(base64.b64decode(image).startswith(b"\x89PNG") for image in images)
    assert "on average 0. (The same everywhere" in text
    assert len(list(page.parent.glob("*.png"))) == 7


def test_the_summary_by_hand():
    runs, _ = rows()
    table = summary(sweep_plots.with_labels(runs)).set_index("defence")
    assert table.index.tolist() == ["krum", "mean"]  # the best worst case first
    ipm = runs[runs["key"].str.startswith("krum-ipm")]["test_metric"]
    assert table.loc["krum", "worst case"] == pytest.approx(ipm.mean())
    assert table.loc["mean", "cheating gains"] == pytest.approx(-0.2 * 500 * 3 - 100)
    assert table.loc["mean", "settled"] == 1 and table.loc["mean", "runs"] == 8


def test_a_defence_of_which_all_runs_failed_is_on_the_page():
    runs, rounds = rows()
    runs.loc[runs["spec.aggregator"] == "krum", ["status", "test_metric"]] = "failed", np.nan
    runs = sweep_plots.with_labels(runs)
    table = summary(runs).set_index("defence")
    assert table.index.tolist() == ["mean", "krum"] and np.isnan(table.loc["krum", "worst case"])
    assert table.loc["krum", ["runs", "failed"]].tolist() == [0, 8] == [0, table["runs"]["mean"]]
    figures = sweep_plots.draw_all(runs, rounds)
    labels = [label.get_text() for label in figures["worst_case"][1].axes[0].get_yticklabels()]
    assert labels == ["mean", "krum"]
    for _, figure in figures.values():
        plt.close(figure)


def test_labels_of_defences():
    def label(**spec):
        config = to_dict(parse_config(default_config(spec=spec)).spec)
        return sweep_plots._defence(config)

    assert label() == "corrected_osmd"
    assert label(sampler="uniform") == "uniform"
    assert label(sampler="uniform", aggregator="krum", pre_aggregators=("nnm",)) == "nnm + krum"
    assert label(sampler="osmd", aggregator="median") == "osmd + median"


def test_no_results_are_one_sentence(tmp_path):
    with pytest.raises(StorageError, match="holds no results of a sweep"):
        write_report(tmp_path)
    store.open_folder(tmp_path)
    with pytest.raises(StorageError, match="holds no finished run yet"):
        write_report(tmp_path)
