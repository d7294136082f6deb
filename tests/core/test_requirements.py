"""`make run` installs what a run needs and nothing more; versions stand in one file."""

import re
import subprocess
import sys
import tomllib

import pytest

from tests.conftest import ROOT

WITHOUT = ("tensorflow_datasets", "importlib_resources", "pytest", "evosax")


def names(text):
    """The packages of a file of requirements."""
    found = (re.match(r"[\w.-]+", line) for line in text.splitlines() if line[:1] not in "#-")
    return {match[0].lower().replace("_", "-") for match in found if match}


RUN = (ROOT / "requirements-run.txt").read_text()
ALL = (ROOT / "requirements.txt").read_text()


def test_a_run_takes_its_versions_from_the_whole_list():
    assert names(RUN) < names(ALL) and not re.search(r"^[^#]*[=<>]", RUN, re.M)
    assert all("==" in line for line in ALL.splitlines() if line[:1] != "#")
    left_out = {name.replace("_", "-") for name in WITHOUT} | {"chex"}  # comes with optax
    assert names(ALL) - names(RUN) == left_out


def test_the_package_asks_for_what_a_run_needs():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert names(RUN) <= names("\n".join(project["dependencies"]))


@pytest.mark.slow  # a market in a process of its own
def test_a_market_runs_without_the_other_packages(tmp_path):
    code = f"""
import sys
for name in {WITHOUT}:
    sys.modules[name] = None  # importing it is an ImportError
from d2m_jax.cli.run_market import main
raise SystemExit(main(["run", *sys.argv[1:]]))
"""
    small = {"num_rounds": 4, "eval_every": 4, "num_nodes": 16, "model": "logreg"}
    flags = [f"--config.spec.{name}={value}" for name, value in small.items()]
    people = ["--config.hparams.population.num_colluding=3"]
    command = [sys.executable, "-c", code, *flags, *people, f"--out={tmp_path / 'run'}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "ledger.json").is_file()
