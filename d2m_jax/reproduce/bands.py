"""Acceptance bands: what must hold of a table, one sentence each, and whether it does.

A band reads the cells of an experiment: a frame with a row per case, its labels as columns, and
`mean` (of the test metric over worlds), `worlds`, `wanted`, `wrong`. Pure functions; host only.
"""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numpy as np
import pandas as pd

NOBODY = "0%"  # the label of a case without bad parties
Measure: TypeAlias = Callable[[pd.DataFrame], float]


class Band(NamedTuple):
    """One sentence that a table must bear out: `low <= measure(cells) <= high`."""

    claim: str
    where: dict[str, str]  # labels of the cells that it speaks of; all of them must be measured
    measure: Measure  # of these cells
    low: float = -np.inf
    high: float = np.inf
    unit: str = "%"


class Verdict(NamedTuple):
    """What became of a band."""

    band: Band
    value: float  # NaN where no cell of it was measured
    status: str  # "held", "missed" or "not measured"

    @property
    def sentence(self) -> str:
        """The claim and what was found."""
        if np.isnan(self.value):
            return f"{self.band.claim}: not measured"
        found = f"{self.value:.2f} {self.band.unit}" if self.band.unit else f"{self.value:g}"
        partly = " in the part that is measured" if self.status == "not measured" else ""
        return f"{self.band.claim}: {self.status}, {found}{partly}"


def judge(band: Band, cells: pd.DataFrame) -> Verdict:
    """Holds a band to the cells of an experiment.

    A band of which some cell lacks a world is not measured, whatever the others say.

    Raises:
        ValueError: the band speaks of no cell at all.
    """
    chosen = select(cells, band.where)
    if not len(chosen):
        raise ValueError(f"the band {band.claim!r} speaks of no case of the experiment")
    measured = chosen[chosen["worlds"] > 0]
    value = float(band.measure(measured)) if len(measured) else np.nan
    if np.isnan(value) or (chosen["worlds"] < chosen["wanted"]).any():
        return Verdict(band, value, "not measured")
    return Verdict(band, value, "held" if band.low <= value <= band.high else "missed")


def select(cells: pd.DataFrame, where: dict[str, str]) -> pd.DataFrame:
    """The cells with these labels; several values of one label are divided by `|`."""
    for column, value in where.items():
        cells = cells[cells[column].isin(value.split("|"))]
    return cells


def accuracy(what: str, least: float, **where: str) -> Band:
    """The mean test metric of the worst of the chosen cells, in %, is at least so much."""
    claim = f"{what}: at least {least:g} %"
    return Band(claim, where, lambda cells: 100 * cells["mean"].min(), low=least)


def loss(what: str, most: float, bad: str, **where: str) -> Band:
    """Points lost against nobody bad, under the worst attack, are at most so many.

    Compared where the other labels are the same; the largest loss of them counts.
    """
    claim = f"{what}: at most {most:g} points lost with {bad} bad sellers and nodes"
    return Band(claim, {**where, "bad": f"{NOBODY}|{bad}"}, largest_loss, high=most, unit="points")


def largest_loss(cells: pd.DataFrame) -> float:
    """The largest fall of the mean from nobody bad to the worst attack, points of per cent."""
    falls = []
    for _, part in cells.groupby("data"):
        calm, bad = part["bad"] == NOBODY, part["bad"] != NOBODY
        falls.append(100 * (part.loc[calm, "mean"].max() - part.loc[bad, "mean"].min()))
    return float(np.max(falls))


def none_wrong(what: str, **where: str) -> Band:
    """No vote of the chosen cells accepts a wrong result."""
    claim = f"{what}: no wrong result accepted"
    return Band(claim, where, lambda cells: float(cells["wrong"].sum()), high=0, unit="")


def none_sold(what: str, **where: str) -> Band:
    """No buyer of the chosen cells pays for a model that a wrong verdict passed."""
    claim = f"{what}: no wrong model sold"
    return Band(claim, where, lambda cells: float(cells["sold_wrong"].sum()), high=0, unit="")


def ahead(what: str, least: float, of: dict[str, str], behind: dict[str, str]) -> Band:
    """The worst of some cells is so many points before the worst of others."""

    def measure(cells: pd.DataFrame) -> float:
        first, second = (select(cells, labels)["mean"].min() for labels in (of, behind))
        return 100 * float(first - second)

    both = {column: f"{of[column]}|{behind[column]}" for column in of}
    return Band(f"{what}: by at least {least:g} points", both, measure, low=least, unit="points")
