"""The examples of docs/tasks.md run as they stand, and the registry is in its table."""

import re

import pytest

from d2m_jax.tasks.measures import METRICS
from tests.conftest import ROOT

PAGE = (ROOT / "docs/tasks.md").read_text()
BLOCKS = re.findall(r"```python ?(\w*)\n(.*?)```", PAGE, re.S)


@pytest.mark.parametrize("library, code", BLOCKS)
def test_the_examples_run(library, code):
    if library:
        pytest.importorskip(library)
    exec(compile(code, "docs/tasks.md", "exec"), {"__name__": "example"})


def test_every_metric_is_in_the_table():
    assert len(BLOCKS) == 6
    assert set(re.findall(r"^\| `(\w+)` \| (?:classes|sets|numbers)", PAGE, re.M)) == set(METRICS)
