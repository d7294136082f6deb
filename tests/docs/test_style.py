"""The documents keep to their width."""

import pytest

from tests.docs.pages import CHECKED, FENCE, name

LONGEST = 120


@pytest.mark.parametrize("page", CHECKED, ids=name)
def test_lines_are_short(page):
    lines = FENCE.sub("", page.read_text()).splitlines()
    long = [line for line in lines if len(line) > LONGEST and not line.startswith(("|", "["))]
    assert long == []
