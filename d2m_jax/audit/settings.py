"""What a best-response audit is asked for, apart from the configuration. No game in here."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
from rich.progress import Progress

from d2m_jax.report.audit import Audit


class Settings(NamedTuple):
    """With the configuration all that the rows of an audit depend on."""

    data_dir: str | None  # folder of the official archives
    strategies: list[str]  # of a seller: half_effort, attacks; of units: ways to hold data
    crowd: list[str]  # what the random others do
    coalitions: list[int]  # sizes of coalitions of sellers
    worlds: int  # seeds of whole markets
    more_worlds: int  # the same where a threshold or a close call is decided
    votes: int  # seeds of auctions and votes
    batch: int  # markets side by side
    confidence: float  # of all intervals of a table row together
    tolerance: float  # ties: this share of what honesty earns there
    training_cost: float  # units per round that honest training costs
    execution_cost: float  # units that an execution costs a node
    outside_gain: float  # units that spoiling is worth outside
    learned: bool  # deviators of every role are trained, too
    generations: int  # of their training
    candidates: int  # of a generation
    restarts: int  # of the training
    measures: Sequence[str] = ()  # of work, in the audit of effort


class Stage(NamedTuple):
    """What every game of an audit is played on."""

    audit: Audit
    progress: Progress
    settings: Settings


def keys_of(count: int, salt: int) -> jax.Array:
    """[count] keys; another salt gives others."""
    return jax.random.split(jax.random.key(salt), count)
