"""The tables of a page, line by line, from the cells of an experiment. Read next: `pages.py`."""

from typing import Any

import numpy as np
import pandas as pd

from d2m_jax.reproduce.bands import NOBODY, Verdict
from d2m_jax.reproduce.cases import Experiment
from d2m_jax.reproduce.votes import vote_table

MISSING = "not measured"
LAST = ["worst", "wrong votes", "sold wrong", "delivered"]  # columns of an ablation
MARKS = {"held": "held", "missed": "**missed**", "not measured": MISSING}


def bands_table(verdicts: list[Verdict]) -> list[str]:
    """Every band with what was found."""
    lines = ["| must hold | found | |", "|---|---|---|"]
    for verdict in verdicts:
        found = "" if np.isnan(verdict.value) else f"{verdict.value:.2f} {verdict.band.unit}"
        lines.append(f"| {verdict.band.claim} | {found.strip()} | {MARKS[verdict.status]} |")
    return lines


def percent(cell: Any) -> str:
    """Mean and least of a cell in per cent, and of how many worlds where that is not all."""
    if not cell["worlds"]:
        return MISSING
    few = "" if cell["worlds"] == cell["wanted"] else f", {cell['worlds']} of {cell['wanted']}"
    return f"{100 * cell['mean']:.1f} ({100 * cell['least']:.1f}{few})"


def by_attack(cells: pd.DataFrame) -> list[str]:
    """A row per attack, worst first; a column per deal and share of bad parties."""
    columns = cells[["data", "bad"]].drop_duplicates().to_dict("records")
    columns = [column for column in columns if column["bad"] != NOBODY]
    heads = [f"{column['data']}, {column['bad']}" for column in columns]
    calm = cells[cells["bad"] == NOBODY].set_index("data")
    lines = [
        "Test accuracy in %, mean (least) of the worlds; the columns name how the data are dealt",
        "and the share of bad sellers and of bad nodes.",
        "",
        f"| attack | {' | '.join(heads)} |",
        "|---|" + "---|" * len(heads),
        "| nobody bad | "
        + " | ".join(percent(calm.loc[column["data"]]) for column in columns)
        + " |",
    ]
    bad = cells[cells["bad"] != NOBODY]
    order = bad.groupby("attack")["mean"].min().sort_values(na_position="last").index
    for attack in order:
        found = []
        for column in columns:
            match = bad[
                (bad["attack"] == attack)
                & (bad["data"] == column["data"])
                & (bad["bad"] == column["bad"])
            ]
            found.append(percent(match.iloc[0]))
        lines.append(f"| {attack.replace('_', ' ')} | {' | '.join(found)} |")
    return lines


def spoken(attack: str) -> str:
    """An attack as the head of a column."""
    return "nobody bad" if attack == "none" else attack.replace("_", " ")


def by_part(cells: pd.DataFrame) -> list[str]:
    """A row per part; a column per attack, the worst of them, and what the nodes did."""
    attacks = list(dict.fromkeys(cells["attack"]))
    lines = [
        "Test accuracy in %, mean (least) of the worlds, with 30 % bad sellers and nodes but in",
        "the column of nobody bad; votes that accepted a wrong result; markets whose buyer paid",
        "for a model that a wrong verdict passed; the share of those whose buyer got a model that",
        "reaches its threshold.",
        "",
        f"| part | {' | '.join([*map(spoken, attacks), *LAST])} |",
        "|---|" + "---|" * (len(attacks) + len(LAST)),
    ]
    for part in dict.fromkeys(cells["part"]):
        mine = cells[cells["part"] == part].set_index("attack")
        shown = [percent(mine.loc[a]) if a in mine.index else "" for a in attacks]
        bad = mine[mine["bad"] != NOBODY]
        measured = bad[bad["worlds"] > 0]
        if len(measured):
            wrong, votes = measured["wrong"].sum(), measured["votes"].sum()
            worlds = measured["worlds"].sum()
            rest = [
                f"{100 * measured['mean'].min():.1f}",
                f"{wrong:,} of {votes:,}",
                f"{measured['sold_wrong'].sum():,} of {worlds:,}",
                f"{100 * measured['delivered'].sum() / worlds:.0f} %",
            ]
        else:
            rest = [MISSING, "", "", ""]
        lines.append(f"| {part} | {' | '.join([*shown, *rest])} |")
    return lines


def chance(probability: float) -> str:
    """A probability; 0 is exact: so few nodes can never have the lead."""
    return f"{probability:.1e}" if probability else "0"


def votes_part(experiment: Experiment, cells: pd.DataFrame) -> list[str]:
    """What the nodes did, seen and exact."""
    lines = [
        "## Wrong results",
        "",
        "| bad nodes | one vote, exact | adaptive, exact | in a market, at most | executions |",
        "|---|---|---|---|---|",
    ]
    for _, row in vote_table(experiment.base).iterrows():
        lines.append(
            f"| {row['bad nodes']} | {chance(row['vote'])} | {chance(row['adaptive'])} | "
            f"{chance(row['market'])} | {row['executions']:.1f} |"
        )
    whole = cells if "part" not in cells else cells[cells["part"] == cells["part"].iloc[0]]
    for bad, part in whole.groupby("bad", sort=True):
        wrong, votes = part["wrong"].sum(), part["votes"].sum()
        if bad != NOBODY and votes:
            seen = f"With {bad!s} bad nodes {wrong:,} of {votes:,} votes accepted a wrong result."
            lines += ["", seen]
    return lines
