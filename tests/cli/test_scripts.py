"""The scripts as processes of their own: other folders, poor terminals, no device, no home."""

import os
import subprocess
import sys

import pytest

from d2m_jax.cli import sweep
from tests.conftest import ROOT

POINTS = """
from d2m_jax import default_config

def get_config():
    return default_config()

def get_points():
    return [{"spec.num_sampled": 50}, {"spec.num_sampled": 60}]
"""


def start(cwd, script, *flags, module=False, **changes):
    """Runs a script; a variable that is None is not there."""
    env = {**os.environ, **changes}
    env = {name: value for name, value in env.items() if value is not None}
    how = ["-m", f"scripts.{script}"] if module else [str(ROOT / "scripts" / f"{script}.py")]
    command = [sys.executable, *how, *map(str, flags)]
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=300)


@pytest.fixture
def foreign(tmp_path):
    """A folder with a package `scripts` of its own."""
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "__init__.py").write_text("")
    return tmp_path


@pytest.mark.slow
def test_elsewhere_in_ascii_and_without_home(foreign):
    """Another working folder, a package `scripts` on the path, brackets, no HOME."""
    env = {"PYTHONPATH": str(foreign), "PYTHONIOENCODING": "ascii", "HOME": None, "COLUMNS": "60"}
    done = start(foreign, "gas_report", "--out=a[red]b[/x]", "--num_rounds=3", **env)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    assert (foreign / "a[red]b[/x]" / "gas.png").exists()
    assert "Tables and plots: a[red]b[/x]/" in done.stdout


@pytest.mark.slow
def test_without_the_device_that_was_asked_for(foreign):
    done = start(foreign, "sweep", "--dry_run", JAX_PLATFORMS="cuda", PYTHONPATH=str(foreign))
    assert done.returncode == 1
    if "finds no device" not in done.stderr:
        pytest.skip("there is a GPU")
    assert done.stderr.count("\n") == 1 and "JAX_PLATFORMS=cuda" in done.stderr


@pytest.mark.slow
def test_as_a_module_with_nothing_in_the_log(tmp_path):
    done = start(ROOT, "cone_study", "--pools=abc", module=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: --pools must be whole numbers, got abc\n"


@pytest.mark.slow
def test_all_runs_failed_is_status_1(tmp_path, monkeypatch, capsys):
    """Two points that are refused; in the home folder, under a name with brackets."""
    (tmp_path / "own.py").write_text(POINTS)
    monkeypatch.setenv("HOME", str(tmp_path))
    flags = [f"--config={tmp_path}/own.py", "--out=~/[a]"]
    assert sweep.main(["sweep.py", *flags]) == 1
    said = capsys.readouterr().out
    assert "0 runs are done, 2 failed" in said and f"{tmp_path}/[a]/" in said.replace("\n", "")
    assert (tmp_path / "[a]" / "sweep.json").exists() and not (tmp_path / "~").exists()


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--num_processes=2", "--process_id=1"], "go together: --coordinator is missing"),
        (["--coordinator=host:1234"], "go together: --num_processes is missing"),
        (["--coordinator=h:1", "--num_processes=2", "--process_id=2"], "must lie between 0 and 1"),
        (["--coordinator=h", "--num_processes=2", "--process_id=1"], "must be host:port"),
        (["--distributed", "--process_id=1"], "by itself: leave out --process_id"),
    ],
)
def test_the_flags_of_several_processes_come_together(capsys, flags, sentence):
    with pytest.raises(SystemExit) as ended:
        sweep.main(["sweep.py", *flags])
    assert ended.value.code == 1 and sentence in capsys.readouterr().err
