"""One self-contained HTML page of a sweep: numbers, plots, configuration. Host only."""

import base64
import html
import json
import os
import pathlib
from typing import Any

import pandas as pd

from d2m_jax.core.files import StorageError, given_path, write_whole
from d2m_jax.report import sweep_plots
from d2m_jax.sweep.selection import choose, whole_mean, worst_case
from d2m_jax.sweep.store import load

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 62rem; margin: 2rem auto;
  padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: .2rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
p.note { color: #666; margin-top: 0; } figure { margin: 1.4rem 0; }
figure img { max-width: 100%; height: auto; } figcaption { color: #444; font-size: .9rem; }
table { border-collapse: collapse; font-size: .85rem; }
th, td { padding: .2rem .7rem; text-align: right; border-bottom: 1px solid #e5e5e5; }
th:first-child, td:first-child { text-align: left; } thead th { border-bottom: 2px solid #999; }
pre { background: #f6f6f6; padding: .8rem; overflow-x: auto; font-size: .78rem; }
summary { cursor: pointer; }
"""
FIXED = {"spec.aggregator", "spec.pre_aggregators", "spec.sampler", "spec.attack", "seed"}
FIXED |= {"data.seed", "hparams.population.num_byzantine"}


def write_report(folder: str | os.PathLike[str], out: str | os.PathLike[str] = "") -> pathlib.Path:
    """Draws the plots of a sweep and writes them, with tables and configuration, as one page.

    Args:
        folder: results of a sweep, finished or not.
        out: folder of the page; by default `report` in the results folder.

    Returns:
        The page.

    Raises:
        StorageError: no results are there, or they cannot be read or written.
    """
    folder = given_path(folder)
    results = load(folder)
    if not (results.runs["status"] == "done").any():
        raise StorageError(f"{folder} holds no finished run yet")
    runs = sweep_plots.with_labels(results.runs)
    target = given_path(out) if out else folder / "report"
    try:
        target.mkdir(parents=True, exist_ok=True)
        figures = sweep_plots.draw_all(runs, results.rounds)
        paths = sweep_plots.save(figures, target)
    except OSError as error:
        raise StorageError(f"the report cannot be written to {target}: {error.strerror}") from error
    captions = {name: caption for name, (caption, _) in figures.items()}
    page = render(folder.name, runs, results.manifest, captions, paths)
    write_whole(target / "index.html", page.encode())
    return target / "index.html"


def render(
    name: str,
    runs: pd.DataFrame,
    manifest: dict[str, Any],
    captions: dict[str, str],
    paths: dict[str, pathlib.Path],
) -> str:
    """The page as text.

    Args:
        name: of the sweep.
        runs: from `with_labels`.
        manifest: `sweep.json`.
        captions: by plot.
        paths: PNG files by plot.
    """
    provenance = manifest.get("provenance", {})
    made = ", ".join(f"{key} {value}" for key, value in provenance.items() if key != "command")
    failed = runs[runs["status"] == "failed"]
    sections = [
        f"<h1>{html.escape(name)}</h1>",
        f'<p class="note">{len(runs) - len(failed):,} runs, {len(failed):,} failed. '
        f"{html.escape(made)}</p>",
        _axes(manifest),
        "<h2>Defences, the best worst case first</h2>",
        _table(summary(runs)),
        _chosen(runs, list(manifest.get("axes", {}))),
        "<h2>Plots</h2>",
        *(_figure(paths.get(plot), caption) for plot, caption in captions.items()),
        _failures(failed),
        "<h2>Configuration</h2>",
        f"<pre>{html.escape(str(provenance.get('command', '')))}</pre>",
        f"<details><summary>The base configuration; the axes replace what is listed above"
        f"</summary><pre>{_json(manifest.get('base', {}))}</pre></details>",
        f"<details><summary>Programs</summary><pre>{_json(manifest.get('widths', {}))}</pre>"
        "</details>",
    ]
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(name)}'
        f"</title><style>{STYLE}</style></head><body>\n"
        + "\n".join(sections)
        + "\n</body></html>\n"
    )


def summary(runs: pd.DataFrame) -> pd.DataFrame:
    """One row per defence: accuracy, settled jobs, income, wrong results; empty if all failed."""
    worst = worst_case(runs, ["defence", "byzantine"], "attack")
    done = sweep_plots.finished(runs)
    facts = done.assign(
        settled=done["phase"] == "settled",
        gap=done["bad_seller_income"] - done["honest_seller_income"],
    )
    table = facts.groupby("defence").agg(
        accuracy=("test_metric", "mean"),
        settled=("settled", "mean"),
        cheating_gains=("gap", "mean"),
        honest_slashed=("slashed_honest", "mean"),
        wrong_rounds=("wrong_rounds", "sum"),
        executions=("executions", "mean"),
    )
    count = runs.groupby(["defence", "status"]).size().unstack(fill_value=0)
    count = count.reindex(columns=["done", "failed"], fill_value=0)
    count["worst_case"] = worst.groupby("defence")["mean"].agg(whole_mean)
    table = count.rename(columns={"done": "runs"}).join(table)
    table.columns = [column.replace("_", " ") for column in table.columns]
    return table.sort_values("worst case", ascending=False).reset_index()


def _chosen(runs: pd.DataFrame, axes: list[str]) -> str:
    among = [field for field in axes if field not in FIXED and field in runs]
    if not among:
        return ""
    table = choose(runs, ["defence", "byzantine"], among, over="attack")
    note = (
        "Chosen by the worst attack on the buyer's verdict examples; the accuracy is that on the "
        "test set under its worst attack."
    )
    return f"<h2>Chosen hyper-parameters</h2><p>{note}</p>{_table(table)}"


def _axes(manifest: dict[str, Any]) -> str:
    rows = "".join(
        f"<tr><td>{html.escape(field)}</td>"
        f'<td style="text-align:left">{html.escape(", ".join(map(str, values[:24])))}'
        f"{', ...' if len(values) > 24 else ''}</td></tr>"
        for field, values in manifest.get("axes", {}).items()
    )
    return f"<h2>What was varied</h2><table>{rows}</table>" if rows else ""


def _failures(failed: pd.DataFrame) -> str:
    if not len(failed):
        return ""
    counts = failed["reason"].value_counts().rename_axis("reason").reset_index(name="runs")
    return "<h2>Failed runs</h2>" + _table(counts)


def _figure(path: pathlib.Path | None, caption: str) -> str:
    text = html.escape(caption)
    if path is None:
        return f"<p>{text} (The same everywhere, so there is no plot.)</p>"
    image = base64.b64encode(path.read_bytes()).decode()
    return (
        f'<figure><img src="data:image/png;base64,{image}" alt="{text}">'
        f"<figcaption>{text}</figcaption></figure>"
    )


def _table(table: pd.DataFrame) -> str:
    return table.to_html(index=False, border=0, float_format=_number, na_rep="")


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _json(value: Any) -> str:
    return html.escape(json.dumps(value, indent=2))
