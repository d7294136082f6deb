"""A user's own file: what is wrong in it is told with its place, whatever it raises."""

import pytest

from d2m_jax.cli import sweep

GOOD = """
from d2m_jax import default_config
from d2m_jax.sweep import axis
import {helper}

def get_config():
    return default_config()

def get_points():
    return axis("seed", [0, 1])
"""


def refuse(capsys, path):
    with pytest.raises(SystemExit) as ended:
        sweep.main(["sweep.py", f"--config={path}", f"--out={path.parent / 'out'}", "--dry_run"])
    said = capsys.readouterr().err.strip()
    assert ended.value.code == 1 and "\n" not in said and said.startswith("error: "), said
    return said.removeprefix("error: ")


def line_of(text, what):
    return 1 + next(i for i, line in enumerate(text.splitlines()) if what in line)


@pytest.mark.parametrize(
    ("change", "at", "sentence"),
    [
        (("return axis(", "return {}['sign_flip'] or axis("), "sign_flip", "KeyError: 'sign_flip'"),
        (
            ("import math", "import not_there"),
            "not_there",
            "ModuleNotFoundError: No module named 'not_there'",
        ),
        (
            ("default_config()", "default_config(spec={'modl': 'mlp'})"),
            "modl",
            "unknown field spec.modl; valid fields:",
        ),
        (("default_config()", "default_config().spec.modl"), "modl", "AttributeError: "),
        (("default_config()", "1 / 0"), "1 / 0", "ZeroDivisionError: division by zero"),
        (("[0, 1]", "None"), "None", "TypeError: 'NoneType' object is not iterable"),
    ],
)
def test_an_error_in_the_file_is_told_with_its_line(capsys, tmp_path, change, at, sentence):
    text = GOOD.format(helper="math").replace(*change)
    path = tmp_path / "own.py"
    path.write_text(text)
    said = refuse(capsys, path)
    assert said.startswith(f"{path}, line {line_of(text, at)}: {sentence}"), said


def test_an_error_in_a_constraint_is_told_with_its_line(capsys, tmp_path):
    text = GOOD.format(helper="math") + "\ndef holds(config):\n    return {}['colluding']\n"
    path = tmp_path / "own.py"
    path.write_text(text + "CONSTRAINTS = {'never': holds}\n")
    assert (
        refuse(capsys, path) == f"{path}, line {line_of(text, 'colluding')}: KeyError: 'colluding'"
    )


def test_an_error_beside_the_file_is_told_there(capsys, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    helper = tmp_path / "helper_of_the_test.py"
    helper.write_text("x = 1\nraise LookupError('nothing here')\n")
    path = tmp_path / "own.py"
    path.write_text(GOOD.format(helper="helper_of_the_test"))
    assert refuse(capsys, path) == f"{helper}, line 2: LookupError: nothing here"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("x = (\n", "the configuration cannot be read as Python: '(' was never closed (own.py"),
        ("", "{path} has no function get_config()"),
        ("def get_config(): pass", "get_config() of {path} must return a ConfigDict, not NoneType"),
        ("get_config = 3", "{path} has no function get_config()"),
        (
            "def get_config(): return {{}}",
            "{path} has no function get_points(): it is no sweep file",
        ),
        (
            "def get_config(): return {{}}\ndef get_points(): return 3",
            "get_points() of {path} must return a list of points, not 3",
        ),
        (
            "def get_config(): return {{}}\ndef get_points(): return [3]",
            "a point of get_points() of {path} must be a dictionary: 3",
        ),
        (
            "def get_config(): return {{}}\ndef get_points(): return []",
            "get_points() of {path} returns no point",
        ),
        (
            "def get_config(): return {{}}\ndef get_points(): return [{{}}]\nCONSTRAINTS = [1]",
            "CONSTRAINTS of {path} must be a dictionary of functions",
        ),
    ],
)
def test_what_a_file_must_have(capsys, tmp_path, text, sentence):
    path = tmp_path / "own.py"
    path.write_text(text.format())
    assert refuse(capsys, path).startswith(sentence.format(path=path))


def test_nothing_to_run_is_no_success(capsys, tmp_path):
    path = tmp_path / "own.py"
    path.write_text(GOOD.format(helper="math") + "CONSTRAINTS = {'odd': lambda config: False}\n")
    assert refuse(capsys, path) == "nothing to run: every point is skipped"
    assert not (tmp_path / "out").exists()
