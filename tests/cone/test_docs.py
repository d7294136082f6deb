"""The examples of docs/cone.md run as they stand, one after the other."""

import re

import pytest

from tests.conftest import ROOT

BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "docs/cone.md").read_text(), re.S)


@pytest.mark.long
def test_the_examples_run():
    names = {"__name__": "example"}
    assert len(BLOCKS) == 4
    for code in BLOCKS:
        exec(compile(code, "docs/cone.md", "exec"), names)
    assert names["literal"].caught.sum() == 1
