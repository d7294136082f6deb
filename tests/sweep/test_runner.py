"""Who runs what, what is missing, and too little memory while compiling; nothing is compiled."""

import io
from types import SimpleNamespace

import jax
import pytest
from rich.console import Console

import d2m_jax
from d2m_jax import sweep
from d2m_jax.sweep import Options, StorageError, lock, runner, store, tables
from tests.sweep.small import base, plan
from tests.sweep.test_store import rounds


@pytest.mark.few(1)
@pytest.mark.parametrize("widths", [(4, 4, 4), (4, 2, 1), (1, 8, 3)])
def test_processes_of_any_width_share_every_run_once(tmp_path, widths):
    (group,) = plan().groups
    seen = []
    for process, width in enumerate(widths):
        options = Options(devices=1, process=process, num_processes=3)
        session = runner.make_session(tmp_path, options)
        chunks = runner.my_chunks(session, SimpleNamespace(group=group), width)
        keys = [run.key for chunk in chunks for run in chunk.runs]
        assert keys and all(len(chunk.runs) <= width for chunk in chunks)
        assert sorted(keys) == sorted(run.key for run in runner.left(session, group.runs))
        assert sorted(keys) == sorted(runner.own_keys(plan(), options))  # what its bar counts
        seen += keys
    assert sorted(seen) == [run.key for run in group.runs]


def test_runs_without_a_row_are_reported(tmp_path):
    made, folder = plan(), store.open_folder(tmp_path)
    first, second, *rest = made.runs
    store.write_part(folder, tables.runs_table([first], None, "it broke"), None)
    store.write_part(folder, tables.runs_table([second], {"metric": [0.5]}), rounds(second.key))
    two = [Options(process=process, num_processes=2) for process in (0, 1)]
    ended = [runner.outcomes(made, folder, options) for options in two]
    absent = [facts["missing"] for facts in ended]
    assert sorted(absent[0] + absent[1]) == [run.key for run in rest] and all(absent)
    assert [sum(facts[what] for facts in ended) for what in ("done", "failed")] == [1, 1]


def test_the_summary_counts_every_run_of_the_plan_once(tmp_path):
    """One failed and then done in a part of another name, one failed, one of another sweep."""
    made, folder = plan(), store.open_folder(tmp_path)
    one, two, *rest = made.runs
    store.write_part(folder, tables.runs_table([one, two], None, "it broke"), None)
    store.write_part(folder, tables.runs_table([one], {"metric": [0.5]}), rounds(one.key))
    other = plan([{"seed": 77}]).runs
    store.write_part(folder, tables.runs_table(other, None, "of another sweep"), None)
    console = Console(file=io.StringIO(), width=120)
    facts = {"compile_seconds": 0.0, "programs": 1, "missing": [run.key for run in rest[1:]]}
    sweep.print_summary(console, made, folder, facts, 1.0)
    said = console.file.getvalue()
    assert "1 run is done, 1 failed" in said and "compiled 1 program." in said
    assert "1 failed: it broke" in said
    assert "34 have no row yet, 33 of them" in said and "another sweep" not in said


def test_brackets_are_no_markup(tmp_path):
    """Of a folder or a reason; rich would raise on a closing tag that opens nothing."""
    made, folder = plan(), store.open_folder(tmp_path / "[red]a[/b]")
    store.write_part(folder, tables.runs_table(made.runs[:1], None, "not [1, 2][/x]"), None)
    console = Console(file=io.StringIO(), width=400)
    sweep.print_plan(console, made, set(), folder)
    facts = {"compile_seconds": 0.0, "programs": 1, "missing": []}
    sweep.print_summary(console, made, folder, facts, 1.0)
    said = console.file.getvalue()
    assert said.count("[red]a[/b]/") == 2 and "1 failed: not [1, 2][/x]" in said
    assert "36 runs in 1 program ->" in said


def test_a_folder_in_use_is_refused_before_anything_runs(tmp_path):
    made = plan([{"spec.num_sampled": 50}])
    with lock.holding(store.open_folder(tmp_path)), pytest.raises(StorageError, match="writes to"):
        sweep.run_plan(made, tmp_path)
    assert not (tmp_path / "sweep.json").exists()
    facts = sweep.run_plan(made, tmp_path)  # refused: a row, nothing to compile
    assert (facts["done"], facts["failed"], facts["missing"]) == (0, 1, [])
    assert list(tmp_path.glob(".lock-*")) == []


def test_too_little_memory_while_compiling_is_like_while_running(tmp_path, monkeypatch):
    tried = []

    def compile_group(ready, width):
        tried.append(width)
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes")

    monkeypatch.setattr(runner, "compile_group", compile_group)
    facts = sweep.run_plan(plan(), tmp_path, options=Options(devices=1))
    rows = sweep.load(tmp_path).runs
    assert tried == [4, 2, 1] and facts["programs"] == 0 and facts["missing"] == []
    assert set(rows["reason"]) == {"a single world needs too much memory"} and len(rows) == 36


def test_a_folder_of_another_version_or_base_is_refused(tmp_path, monkeypatch):
    made, about = plan([{"spec.num_sampled": 50}]), {"base": base(), "file": "a.py"}
    two = [Options(process=process, num_processes=2) for process in (0, 1)]
    assert [sweep.own_keys(made, options) for options in two] == [made.keys, []]
    sweep.run_plan(made, tmp_path, about=about)  # refused: a row, and nothing to compile
    assert sweep.load(tmp_path).runs["version"].tolist() == [d2m_jax.__version__]
    sweep.run_plan(made, tmp_path, about={"base": base(), "file": "b.py"})
    with pytest.raises(StorageError, match="of another base configuration: choose another folder"):
        sweep.run_plan(made, tmp_path, about={"base": base(num_rounds=16)})
    monkeypatch.setattr(d2m_jax, "__version__", "9.9.9")
    with pytest.raises(StorageError, match=r"results of d2m_jax .*, and this is 9\.9\.9: choose"):
        sweep.run_plan(made, tmp_path, about=about)
    assert sweep.load(tmp_path).manifest["file"] == "b.py"  # what is refused changes nothing
