"""What a page can show of a sweep: measures, by what they tell. Host only.

A measure is a column of `runs`, or follows from some. Names, units and meanings of columns are
those of `columns.py`. Read next: `axes.py`.
"""

from collections.abc import Callable
from typing import NamedTuple

import pandas as pd

from d2m_jax.report.columns import TABLES

MORE, LESS, NEITHER = 1, -1, 0  # which is better
WHOLE, SHARE, DECIMAL, SIGNED = ",.0f", ".3f", ",.3~f", "+,.0f"  # how d3 writes it


class Measure(NamedTuple):
    """One number of a run."""

    name: str  # of the column
    group: str
    unit: str
    meaning: str
    better: int  # MORE, LESS or NEITHER
    style: str  # of d3-format
    low: float | None = None  # no value lies below
    high: float | None = None  # no value lies above

    @property
    def label(self) -> str:
        """As it stands in a figure."""
        return self.name.replace("_", " ")

    @property
    def is_fact(self) -> bool:
        """Whether it is yes or no in one run; its mean is a share."""
        return not self.unit


# name -> (group, better, style); the order is that of the page
KNOWN = {
    "test_metric": ("Quality", MORE, SHARE),
    "delivered": ("Quality", MORE, SHARE),
    "num_delivered": ("Quality", MORE, DECIMAL),
    "best_metric": ("Quality", MORE, SHARE),
    "metric": ("Quality", MORE, SHARE),
    "test_loss": ("Quality", LESS, DECIMAL),
    "detection_rate": ("Defence", MORE, SHARE),
    "false_positive_rate": ("Defence", LESS, SHARE),
    "attack_success": ("Defence", LESS, SHARE),
    "byzantine_mass": ("Defence", LESS, SHARE),
    "bad_pay_share": ("Defence", LESS, SHARE),
    "num_excluded": ("Defence", NEITHER, DECIMAL),
    "num_refused": ("Defence", NEITHER, DECIMAL),
    "slashed_bad": ("Defence", NEITHER, DECIMAL),
    "slashed_honest": ("Defence", LESS, DECIMAL),
    "honest_selection_rate": ("Selection", MORE, SHARE),
    "bad_selection_rate": ("Selection", LESS, SHARE),
    "honest_never_used": ("Selection", LESS, SHARE),
    "bought_until_target": ("Selection", LESS, WHOLE),
    "honest_pay_jain": ("Selection", MORE, SHARE),
    "honest_pay_gini": ("Selection", LESS, SHARE),
    "cheating_gain": ("Money", LESS, SIGNED),
    "honest_seller_income": ("Money", MORE, SIGNED),
    "bad_seller_income": ("Money", LESS, SIGNED),
    "honest_node_income": ("Money", MORE, SIGNED),
    "bad_node_income": ("Money", LESS, SIGNED),
    "buyer_change": ("Money", NEITHER, SIGNED),
    "price": ("Money", NEITHER, WHOLE),
    "revenue": ("Money", MORE, WHOLE),
    "seller_paid": ("Money", NEITHER, WHOLE),
    "treasury_change": ("Money", NEITHER, SIGNED),
    "burned": ("Money", LESS, WHOLE),
    "wrong_rate": ("Consensus", LESS, DECIMAL),
    "undecided_rate": ("Consensus", LESS, DECIMAL),
    "wrong_verdict": ("Consensus", LESS, SHARE),
    "disputed": ("Consensus", NEITHER, SHARE),
    "upheld": ("Consensus", NEITHER, SHARE),
    "welfare": ("Efficiency", MORE, WHOLE),
    "settled": ("Efficiency", NEITHER, SHARE),
    "num_settled": ("Efficiency", NEITHER, DECIMAL),
    "sets_a_round": ("Efficiency", LESS, DECIMAL),
    "executions_a_round": ("Cost", LESS, DECIMAL),
    "seconds_a_round": ("Cost", LESS, DECIMAL),
    "compute_paid": ("Cost", LESS, WHOLE),
    "dispute_messages": ("Cost", LESS, DECIMAL),
    "dispute_delay": ("Cost", LESS, DECIMAL),
    "dispute_gas": ("Cost", LESS, WHOLE),
}
GROUPS = tuple(dict.fromkeys(group for group, _, _ in KNOWN.values()))
HEADLINES = ("test_metric", "delivered", "welfare", "cheating_gain", "wrong_rate")

DERIVED = {  # name -> (unit, meaning)
    "settled": ("", "the job (every job of several) ended with the price paid, good model or not"),
    "cheating_gain": ("money units", "mean income of a bad seller minus that of an honest one"),
    "wrong_rate": ("of 1,000 rounds", "in which CONE accepted a wrong result"),
    "undecided_rate": ("of 1,000 rounds", "in which CONE accepted none"),
    "executions_a_round": ("executions", "by compute nodes per round of training"),
    "sets_a_round": ("sets", "execution sets drawn per round of training"),
    "seconds_a_round": ("s", "simulated time of the consensus per round of training"),
}
BOUNDED = ("0 to 1", "share", "")  # units of numbers from 0 to 1; facts have none


def with_derived(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs with the measures that follow from their columns, where those are."""
    ways = {
        "settled": (("phase",), lambda r: r["phase"] == "settled"),
        "cheating_gain": (
            ("bad_seller_income", "honest_seller_income"),
            lambda r: r["bad_seller_income"] - r["honest_seller_income"],
        ),
        **{
            name: ((column, "num_rounds"), _per_round(column, times))
            for name, column, times in (
                ("wrong_rate", "wrong_rounds", 1000),
                ("undecided_rate", "undecided_rounds", 1000),
                ("executions_a_round", "executions", 1),
                ("sets_a_round", "attempts", 1),
                ("seconds_a_round", "latency", 1),
            )
        },
    }
    done = runs["status"] == "done"
    there = {
        name: make(runs).where(done)
        for name, (needed, make) in ways.items()
        if all(column in runs for column in needed)
    }
    return runs.assign(**there)


def _per_round(column: str, times: int) -> Callable[[pd.DataFrame], pd.Series]:
    return lambda runs: times * runs[column] / runs["num_rounds"]


def measures_of(runs: pd.DataFrame) -> list[Measure]:
    """The measures that these runs have a number for, in the order of the page.

    Args:
        runs: from `with_derived`.
    """
    known = {column.name: (column.unit, column.meaning) for column in TABLES["runs"]} | DERIVED
    found = []
    for name, (group, better, style) in KNOWN.items():
        if name in runs and runs[name].notna().any():
            unit, meaning = known[name]
            low = None if style == SIGNED or name == "welfare" else 0.0
            high = 1.0 if unit in BOUNDED else None
            found.append(Measure(name, group, unit, meaning, better, style, low, high))
    return found
