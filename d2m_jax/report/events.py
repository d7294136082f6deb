"""What happened in a market step by step: bids, work, votes, the end. Host only.

Written by every run (`results.py`); the page of a market reads it (`page/market.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from d2m_jax.config.parsing import Config
from d2m_jax.core.outcomes import Outcome
from d2m_jax.ledger import Layout
from d2m_jax.market.auction import format_of
from d2m_jax.market.state import JOB, MarketOutcome
from d2m_jax.report.columns import typed
from d2m_jax.report.tables import phase_name

if TYPE_CHECKING:
    import pandas as pd

VOTES = {
    Outcome.NOT_DRAWN: "no result",
    Outcome.MATCHED: "accepted",
    Outcome.WRONG: "another",
    Outcome.SILENT: "silent",
}


def auction_table(outcome: MarketOutcome, layout: Layout) -> pd.DataFrame:
    """One row per buyer: how far it goes, what it bid, what it paid."""
    import pandas as pd

    buyers, job = np.arange(layout.num_buyers), outcome.ledger.jobs
    won = (buyers == int(job.buyer[JOB])) & (int(job.price[JOB]) > 0)
    table = pd.DataFrame(
        {
            "buyer": buyers,
            "limit": np.asarray(outcome.auction.limits),
            "bid": np.asarray(outcome.auction.highest),
            "won": won,
            "paid": np.where(won, int(job.price[JOB]), 0),
        }
    )
    return typed(table, "auction")


def work_table(outcome: MarketOutcome) -> pd.DataFrame:
    """One row per update that arrived: who sent it in which round, and what became of it."""
    import pandas as pd

    rounds = outcome.rounds
    at, place = np.nonzero(np.asarray(rounds.present))
    sellers = np.asarray(rounds.sellers)[at, place]
    table = pd.DataFrame(
        {
            "round": np.asarray(rounds.round)[at],
            "seller": sellers,
            "used": np.asarray(rounds.accepted)[at, place],
            "flagged": np.asarray(rounds.flagged)[at, place],
            "credit": np.asarray(rounds.credited)[at, sellers],
        }
    )
    return typed(table, "work")


def votes_table(outcome: MarketOutcome) -> pd.DataFrame:
    """One row per node that was drawn in a round: its set and how its vote ended."""
    import pandas as pd

    seats = np.asarray(outcome.rounds.seats)
    at, nodes = np.nonzero(seats >= 0)
    codes = np.asarray(outcome.rounds.outcomes)[at, nodes]
    table = pd.DataFrame(
        {
            "round": np.asarray(outcome.rounds.round)[at],
            "node": nodes,
            "set": seats[at, nodes] + 1,
            "vote": [VOTES[Outcome(int(code))] for code in codes],
        }
    )
    return typed(table.sort_values(["round", "set", "node"]), "votes")


def closing_dict(
    config: Config, outcome: MarketOutcome, layout: Layout, metric: str
) -> dict[str, Any]:
    """How the job ended, and the terms that decided it, as plain values.

    Args:
        config: of the run.
        outcome: on the host.
        layout: accounts.
        metric: what the quality of the model is called.
    """
    closing, job = outcome.closing, outcome.ledger.jobs
    success = float(outcome.attack_success)
    facts = {name: np.asarray(value).tolist() for name, value in closing._asdict().items()}
    money = ("price", "seller_paid", "compute_paid", "fee_paid", "refunded", "compensation")
    terms = {**config.hparams.rules, **format_of(config.spec.auction)}
    return {
        **facts,
        "quality": metric,
        "phase": phase_name(outcome),
        "tau": int(job.tau_bps[JOB]) / 10_000,
        "attack_success": None if success < 0 else success,
        "buyer": int(job.buyer[JOB]),
        "disputer": _party(int(job.disputer[JOB]), layout),
        "num_bids": int(outcome.auction.num_bids),
        "matched": np.flatnonzero(np.asarray(job.matched[JOB])).tolist(),
        "second_price": bool(terms["second_price"]),
        **{name: int(getattr(job, name)[JOB]) for name in money},
    }


def _party(account: int, layout: Layout) -> str:
    """Whose account it is: "seller 3"; empty for nobody."""
    if account < 0:
        return ""
    spans = {"buyer": layout.buyers, "seller": layout.sellers, "node": layout.nodes}
    for role, span in spans.items():
        if span.start <= account < span.stop:
            return f"{role} {account - span.start}"
    return "treasury"
