"""Every command of the documents: its files and flags exist, and it says how long it takes."""

import importlib.util
import re
import shlex
from pathlib import Path

import pytest

from d2m_jax.cli import main
from d2m_jax.cli.main import COMMANDS
from d2m_jax.config.fields import fields
from tests.conftest import ROOT
from tests.docs.pages import CHECKED, commands, name

LENGTH = re.compile(
    r"#.*(\d+ (s|min|minutes|h|runs)\b|minutes$|quarter of an hour|as long as the sweep)"
)
AT_ONCE = re.compile(r"(d2m (list|show)|pip install|make (help|clean))\b")  # no length needed
ALL = [(name(page), line) for page in CHECKED for line in commands(page)]


@pytest.mark.parametrize("page, line", ALL)
def test_a_command_says_how_long_it_takes(page, line):
    assert AT_ONCE.match(line) or LENGTH.search(line), f"{page}: {line}"


@pytest.mark.parametrize("page, line", ALL)
def test_what_a_command_names_exists(page, line):
    words = shlex.split(line, comments=True)
    if words[0] == "python" and words[1] == "-m":
        found = importlib.util.find_spec(words[2])
        assert found and found.origin, line
        flags = [word[2:].split("=")[0] for word in words[3:] if word.startswith("--")]
        assert all(flag in Path(found.origin).read_text() for flag in flags), line
    elif words[0] == "python":
        assert words[1] == "-c" or (ROOT / words[1]).is_file(), line
    elif words[0] == "make":
        targets = (ROOT / "Makefile").read_text()
        assert all(re.search(rf"^{word}:", targets, re.M) for word in words[1:]), line
    for path in re.findall(r"--config=(\S+\.py)", line):
        assert (ROOT / path).is_file(), line


@pytest.fixture(scope="module")
def known_flags():
    """Of each command of d2m, from its full help."""
    return {}


@pytest.mark.parametrize("page, line", [(p, c) for p, c in ALL if re.match("d2m |srun d2m ", c)])
def test_the_flags_of_a_command_exist(page, line, known_flags, capsys):
    words = shlex.split(line, comments=True)
    command = words[words.index("d2m") + 1]
    assert command in COMMANDS
    if command not in known_flags:
        assert main.main(["d2m", command, "--helpfull"]) == 0
        known_flags[command] = set(re.findall(r"--(?:\[no\])?(\w+)", capsys.readouterr().out))
    paths = {field.path for field in fields()}
    for flag in re.findall(r" --([\w.]+)", line.split(" #")[0]):
        if flag.startswith("config."):
            assert flag.removeprefix("config.") in paths, line
        else:
            flag = flag.removeprefix("no") if flag.startswith("noresume") else flag
            assert flag in known_flags[command], line


@pytest.mark.parametrize(
    "line", sorted({c.split(" #")[0].strip() for _, c in ALL if re.match(r"d2m (list|show)\b", c)})
)
def test_what_needs_no_time_runs(line, capsys):
    assert main.main(shlex.split(line)) == 0 and capsys.readouterr().out
