"""What a person reads, and the numbers and names in it."""

import io

import numpy as np
import pytest
from rich.console import Console

from d2m_jax.ledger import Phase
from d2m_jax.report import phase_name, print_account, print_header
from d2m_jax.report.account import apart
from tests.report.runs import config, outcome
from tests.worlds import market


@pytest.mark.parametrize(
    ("value", "threshold", "said"),
    [
        (0.8996, 0.9, ("89.96%", "90%")),
        (0.89999, 0.9, ("89.999%", "90%")),
        (0.5, 0.9, ("50.0%", "90%")),
        (0.8996, 0.8997, ("89.96%", "89.97%")),  # not 90.0%
        (0.8949999, 0.895, ("89.49999%", "89.5%")),
        (0.0, 0.9, ("0.0%", "90%")),
    ],
)
def test_what_misses_a_threshold_is_shown_below_it(value, threshold, said):
    assert apart(value, threshold, False) == said


@pytest.mark.parametrize(
    ("value", "threshold", "said"),
    [
        (0.90004, 0.9, ("90.0%", "90%")),
        (0.9004, 0.9003, ("90.04%", "90.03%")),  # not 90.0%
        (1.0, 0.99999, ("100.0%", "99.999%")),
        (0.875, 0.87504, ("87.50%", "87.504%")),  # both are 8750 basis points
    ],
)
def test_what_reaches_a_threshold_is_not_shown_below_it(value, threshold, said):
    assert apart(value, threshold, True) == said


def printed(*changes, result=None):
    result = result or outcome()
    console = Console(file=io.StringIO(), width=100, highlight=False)
    made = config()
    print_header(console, made, market(made.spec))
    print_account(console, made, result, result.ledger.layout)
    return console.file.getvalue()


def near_miss(metric):
    """The outcome with a metric, as if it had been measured."""
    closing = outcome().closing._replace(metric=np.float32(metric))
    return outcome()._replace(closing=closing)


def test_the_account_by_hand():
    text = printed()
    result = outcome()
    job = result.ledger.jobs
    assert "8 sellers (2 Byzantine (sign_flip)), 6 sampled a round" in text
    assert "24 compute nodes (3 colluding)" in text
    assert f"wins and pays {int(job.price[0]):,} (second price)" in text
    assert f"{int(result.rounds.executions.sum()):,} executions in 12 rounds" in text
    assert f"{float(result.test_metric):.1%} on the test set" in text
    assert "Ending: " + {"settled": "settled: sellers", "refunded": "refunded: the buyer"}[
        phase_name(result)
    ] in text  # fmt: skip
    assert "Traceback" not in text and "<NA>" not in text and "nan" not in text


def test_a_near_miss_does_not_look_like_the_threshold():
    assert "accuracy 59.996% on the buyer's examples reaches tau = 60%" not in printed()
    text = printed(result=near_miss(0.5998))
    assert "accuracy 59.98% on the buyer's examples misses tau = 60%" in text
    assert "accuracy nan% on the buyer's examples misses" in printed(result=near_miss(np.nan))


def test_the_phase_has_a_name():
    result = outcome()
    assert phase_name(result) == Phase(int(result.phase)).name.lower()
    assert isinstance(phase_name(result), str)
    jobs = result.ledger.jobs.replace(phase=np.array([[7], [8], [9], [0]]))
    many = result._replace(ledger=result.ledger.replace(jobs=jobs))
    assert phase_name(many).tolist() == ["settled", "refunded", "aborted", "idle"]
