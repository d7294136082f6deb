"""The tables of a market of several jobs: those of one job with a column `job`, and two more.

    of_jobs(rounds_table, outcome)    any table of one job, job after job
    jobs_table(outcome, values)       one row per job: who bought it at which price, how it ended
    serves_table(sellers, outcome)    one row per job and seller that served it

Host only. Money of a party is what it has over all jobs; what one job paid stands in `paid`. Read
first: `tables.py`, `market/jobs.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from d2m_jax.config.hparams import MARKET_RULES
from d2m_jax.config.parsing import Config
from d2m_jax.core.money import BPS
from d2m_jax.ledger import Layout, Phase
from d2m_jax.market.jobs import job_of
from d2m_jax.market.state import MarketOutcome
from d2m_jax.report import tables
from d2m_jax.report.columns import typed

if TYPE_CHECKING:
    import pandas as pd


def of_jobs(
    make: Callable[..., pd.DataFrame], outcome: MarketOutcome, *args: Any, table: str
) -> pd.DataFrame:
    """A table of one job, `make(outcome, *args)`, of every job, with the column `job`.

    Args:
        make: of `tables.py` or `events.py`.
        outcome: of several jobs.
        *args: passed on.
        table: its name among `columns.TABLES`.
    """
    import pandas as pd

    frames = [
        make(job_of(outcome, job), *args).assign(job=job)
        for job in range(tables.count_jobs(outcome.ledger))
    ]
    return typed(pd.concat(frames, ignore_index=True), table)


def sellers_table(outcome: MarketOutcome, layout: Layout) -> pd.DataFrame:
    """One row per job and seller: its work in the job, what the job paid it, its wealth in all."""
    rows = of_jobs(tables.sellers_table, outcome, layout, table="sellers")
    at = rows["job"].to_numpy(int), rows["seller"].to_numpy(int)
    return typed(rows.assign(paid=paid_by_job(outcome)[at]), "sellers")


def whole_sellers(sellers: pd.DataFrame) -> pd.DataFrame:
    """One row per seller over all jobs: rounds and pay in sum, its mass in the mean, its wealth.

    Args:
        sellers: from `sellers_table`.
    """
    rules = {
        **dict.fromkeys(("owner", "role", "samples", "reputation"), "first"),
        **dict.fromkeys(("before", "after", "change"), "first"),
        **dict.fromkeys(("accepted_rounds", "flagged_rounds", "paid"), "sum"),
        **dict.fromkeys(("excluded", "found_out", "slashed"), "any"),
        "mass": "mean",
    }
    return typed(sellers.groupby("seller", as_index=False).agg(rules), "sellers")


def paid_by_job(outcome: MarketOutcome) -> np.ndarray:
    """[J, N] units: what each job paid to each seller, as the ledger splits its pool."""
    jobs = outcome.ledger.jobs
    took_part = np.asarray(jobs.matched) & ~np.asarray(jobs.excluded)
    weights = np.where(took_part, np.asarray(jobs.weights), 0)
    return np.stack([split(int(pot), own) for pot, own in zip(jobs.seller_paid, weights)])


def earned_by_job(outcome: MarketOutcome, rules: Mapping[str, Any]) -> np.ndarray:
    """[J, N] units: what each job paid to each seller, less what it slashed of its deposit.

    Args:
        outcome: of several jobs, on the host.
        rules: of the ledger, plain numbers.
    """
    terms = {**MARKET_RULES, **rules}
    loss = int(terms["seller_deposit"]) * int(terms["slash_harm_bps"]) // BPS
    return paid_by_job(outcome) - loss * np.asarray(outcome.closing.slashed, np.int64)


def split(pot: int, weights: np.ndarray) -> np.ndarray:
    """`core.money.split_pot` in whole numbers of any size."""
    so_far = np.cumsum(weights.astype(object))
    cut = [pot * int(part) // max(int(so_far[-1]), 1) for part in so_far]
    return np.diff(np.array([0, *cut], object)).astype(np.int64)


def jobs_table(outcome: MarketOutcome, values: Sequence[int]) -> pd.DataFrame:
    """One row per job: what was asked for, who bought it at which price, how it ended.

    Args:
        outcome: of several jobs, on the host.
        values: [U] what a good model is worth to each buyer.
    """
    import pandas as pd

    jobs, closing, rounds = outcome.ledger.jobs, outcome.closing, outcome.rounds
    matched, phase = np.asarray(jobs.matched), np.asarray(jobs.phase)
    buyer, tau = np.asarray(jobs.buyer), np.asarray(jobs.tau_bps)
    reached = np.floor(np.asarray(closing.metric, np.float64) * BPS + 0.5) >= tau
    delivered = (phase == Phase.SETTLED) & reached
    sold = np.asarray(jobs.price) > 0
    worth = np.where(delivered, np.asarray(values, np.int64)[np.maximum(buyer, 0)], 0)
    money = ("price", "seller_paid", "compute_paid", "fee_paid", "refunded")
    facts = {
        "job": np.arange(len(phase)),
        "tags": np.asarray(jobs.tags),
        "buyer": pd.array(np.where(sold, buyer, -1), dtype="Int64"),
        "tau": tau / BPS,
        "metric": closing.metric,
        "test_metric": np.asarray(outcome.test_metric),
        "phase": [Phase(int(one)).name.lower() for one in phase],
        "delivered": delivered,
        "sellers": matched.sum(1),
        "bad_sellers": (matched & np.asarray(outcome.roles.bad_seller)).sum(1),
        "value": worth,
        **{name: np.asarray(getattr(jobs, name)) for name in money},
        "executions": np.asarray(rounds.executions).sum(0),
        "wrong_rounds": (np.asarray(rounds.accepted_digest) > 0).sum(0),
        "disputed": np.asarray(closing.disputed),
        "upheld": np.asarray(closing.upheld),
    }
    table = typed(pd.DataFrame(facts), "jobs")
    table["buyer"] = table["buyer"].mask(~sold)
    return table


def serves_table(sellers: pd.DataFrame, outcome: MarketOutcome) -> pd.DataFrame:
    """One row per job and seller that served it.

    Args:
        sellers: from `sellers_table`.
        outcome: of several jobs.
    """
    matched = np.asarray(outcome.ledger.jobs.matched)
    there = matched[sellers["job"].to_numpy(int), sellers["seller"].to_numpy(int)]
    names = ["job", "seller", "role", "accepted_rounds", "flagged_rounds", "slashed", "paid"]
    return typed(sellers.loc[there, names].reset_index(drop=True), "serves")


def revenue(phases: Any, prices: Any) -> np.ndarray:
    """[...] units: the prices of the jobs that were settled, in sum.

    Args:
        phases: [J, ...] words, how each job ended.
        prices: [J, ...] units.
    """
    found: np.ndarray = np.where(np.asarray(phases) == "settled", np.asarray(prices), 0).sum(0)
    return found


def most_welfare(config: Config) -> int:
    """Units: what all jobs are worth if each goes to the buyer to which it is worth most."""
    spec = config.spec
    values = tuple(int(value) for value in config.hparams.money.buyer_values)
    wants = config.hparams.requests.wants or tuple(u % spec.num_jobs for u in range(len(values)))
    return sum(
        max((value for value, job in zip(values, wants) if job == own), default=0)
        for own in range(spec.num_jobs)
    )
