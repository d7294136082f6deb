"""The examples of docs/data.md run as they stand, one after the other."""

import re

from tests.conftest import ROOT

BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "docs/data.md").read_text(), re.S)


def test_the_examples_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for code in BLOCKS:
        exec(compile(code, "docs/data.md", "exec"), names)
    assert len(BLOCKS) == 4 and (tmp_path / "patients.csv").is_file()
