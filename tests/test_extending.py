"""docs/extending.md as it stands: fourteen parts of one's own, from outside, in one market."""

import re
import sys

import jax
import numpy as np
import pytest

from tests.conftest import ROOT

BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "docs/extending.md").read_text(), re.S)
PARTS = [
    *("own_task", "every_nth", "favourite", "midrange", "shrink", "opposite", "odd_rounds"),
    *("by_norm", "winner_takes_all", "one_bid_each", "by_threes", "first_eligible", "two_ahead"),
    "sharp_eyed",
]


def run_doc():
    """The names that the page leaves, and the functions that ran."""
    found, called = {"__name__": "a_users_file"}, set()

    def note(frame, event, _):
        if event == "call" and frame.f_code.co_filename == "extending.md":
            called.add(frame.f_code.co_name)

    sys.setprofile(note)
    try:
        for code in BLOCKS:
            exec(compile(code, "extending.md", "exec"), found)
    finally:
        sys.setprofile(None)
    return found, called


@pytest.mark.slow
def test_fourteen_parts_run_in_one_market():
    found, called = run_doc()
    assert len(PARTS) == 14 and set(PARTS) <= called
    outcome = found["outcome"]
    assert np.count_nonzero(outcome.closing.weights) == 1  # the payment is the page's
    assert int(outcome.auction.num_bids) == 4  # so is the auction
    assert np.isfinite(outcome.theta).all() and outcome.theta.shape == (640,)  # and the task
    held = found["data"].sizes
    assert int(held.max()) - int(held.min()) <= 1  # and the partition
    rules = found["numbers"].rules
    other = found["market"].numbers(found["HParams"](stop_rule={"margin": 9.0}, rules=rules))
    more = jax.jit(found["market"].run)(jax.random.key(0), other, found["data"])
    assert int(more.rounds.executions.sum()) > int(outcome.rounds.executions.sum())


def test_every_part_is_ten_lines_or_so():
    for code in BLOCKS:
        for part in PARTS:
            body = re.search(rf"^def {part}\(.*?(?=^\S|\Z)", code, re.S | re.M)
            if body:
                assert len(body[0].strip().splitlines()) <= 12, part
