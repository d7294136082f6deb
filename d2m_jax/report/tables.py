"""The outcome of a market as tidy pandas tables. Host only; read next: `account.py`."""

import numpy as np
import pandas as pd

from d2m_jax.cone import Behaviour
from d2m_jax.ledger import Layout, Ledger, gas_of_round, wealth
from d2m_jax.ledger.gas import FIRST_ROUND
from d2m_jax.market.engine import MarketOutcome
from d2m_jax.market.state import JOB


def rounds_table(outcome: MarketOutcome) -> pd.DataFrame:
    """One row per round: every scalar of `RoundInfo`, who was sampled and accepted, and the gas."""
    info = {name: np.asarray(value) for name, value in outcome.rounds._asdict().items()}
    table = pd.DataFrame({name: value for name, value in info.items() if value.ndim == 1})
    bad = np.asarray(outcome.roles.bad_seller)[info["sellers"]] & info["present"]
    table["num_accepted"] = info["accepted"].sum(1)
    table["num_flagged"] = info["flagged"].sum(1)
    table["bad_sampled"] = bad.sum(1)
    table["bad_accepted"] = (info["accepted"] & bad).sum(1)
    table["gas"] = gas_of_rounds(outcome)
    return table


def gas_of_rounds(outcome: MarketOutcome) -> np.ndarray:
    """[R] int: what booking each round costs on the EVM (`ledger.gas`); 0 with nobody matched."""
    matched, layout = np.asarray(outcome.ledger.jobs.matched[JOB]), outcome.ledger.layout
    gas = np.array(
        gas_of_round(
            num_sellers=layout.num_sellers,
            num_matched=int(matched.sum()),
            num_nodes=layout.num_nodes,
            num_drawn=outcome.rounds.executions,
        )
    )
    gas[0] += FIRST_ROUND
    return gas * matched.any()


def evaluations_table(outcome: MarketOutcome) -> pd.DataFrame:
    """One row per evaluation: round, test accuracy, test loss."""
    return pd.DataFrame({k: np.asarray(v) for k, v in outcome.evaluations._asdict().items()})


def sellers_table(outcome: MarketOutcome, layout: Layout) -> pd.DataFrame:
    """One row per seller: role, work, standing and money."""
    info, num_sellers = outcome.rounds, layout.num_sellers
    sampled = np.asarray(info.sellers)
    counted = (np.asarray(info.accepted_digest) == 0)[:, None]  # other rounds were not applied
    accepted = np.asarray(info.accepted) & counted
    flagged = np.asarray(info.flagged) & counted
    roles = outcome.roles
    role = np.select(
        [np.asarray(roles.byzantine), np.asarray(roles.tag_liar), np.asarray(roles.stranger)],
        ["Byzantine", "tag liar", "not matched"],
        "honest",
    )
    ends = outcome.opening, outcome.ledger
    before, after = (np.asarray(wealth(books))[layout.sellers] for books in ends)
    return pd.DataFrame(
        {
            "seller": np.arange(num_sellers),
            "role": role,
            "samples": np.asarray(outcome.ledger.sizes),
            "accepted": np.bincount(sampled[accepted], minlength=num_sellers),
            "flagged": np.bincount(sampled[flagged], minlength=num_sellers),
            "mass": np.asarray(outcome.defence.p),
            "reputation": np.asarray(outcome.ledger.reputation_bps) / 10_000,
            "excluded": ~np.asarray(outcome.defence.active),
            "slashed": np.asarray(outcome.closing.slashed),
            "before": before,
            "after": after,
            "change": after - before,
        }
    )


def nodes_table(outcome: MarketOutcome, layout: Layout) -> pd.DataFrame:
    """One row per compute node: behaviour and money."""
    names = {int(kind): kind.name.lower().replace("_", " ") for kind in Behaviour}
    ends = outcome.opening, outcome.ledger
    before, after = (np.asarray(wealth(books))[layout.nodes] for books in ends)
    return pd.DataFrame(
        {
            "node": np.arange(layout.num_nodes),
            "behaviour": [names[int(code)] for code in outcome.roles.behaviour],
            "before": before,
            "after": after,
            "change": after - before,
        }
    )


def money_table(outcome: MarketOutcome, layout: Layout) -> pd.DataFrame:
    """Money before and after by group of parties; the last row is the constant total."""
    sellers, nodes = sellers_table(outcome, layout), nodes_table(outcome, layout)
    old, new = np.asarray(wealth(outcome.opening)), np.asarray(wealth(outcome.ledger))
    winner = int(outcome.ledger.jobs.buyer[0])
    buyers = np.arange(layout.num_buyers)
    groups: list[tuple[str, int, int, int]] = []

    def add(name: str, before: np.ndarray, after: np.ndarray) -> None:
        if len(before):
            groups.append((name, len(before), int(before.sum()), int(after.sum())))

    add("winning buyer", old[buyers[buyers == winner]], new[buyers[buyers == winner]])
    add("other buyers", old[buyers[buyers != winner]], new[buyers[buyers != winner]])
    for role in ("honest", "Byzantine", "tag liar", "not matched"):
        rows = sellers[sellers["role"] == role]
        add(f"sellers, {role}", rows["before"].to_numpy(), rows["after"].to_numpy())
    for behaviour, rows in nodes.groupby("behaviour", sort=False):
        add(f"nodes, {behaviour}", rows["before"].to_numpy(), rows["after"].to_numpy())
    treasury = [layout.treasury]
    add("treasury", old[treasury], new[treasury])
    held = [_held(outcome.opening), _held(outcome.ledger)]
    add("held in jobs", np.array([held[0]]), np.array([held[1]]))
    burned = [np.array([int(books.burned)]) for books in (outcome.opening, outcome.ledger)]
    add("burned", *burned)
    table = pd.DataFrame(groups, columns=["group", "parties", "before", "after"])
    groups.append(("total", 0, int(table["before"].sum()), int(table["after"].sum())))
    table = pd.DataFrame(groups, columns=["group", "parties", "before", "after"])
    table["change"] = table["after"] - table["before"]
    return table


def _held(ledger: Ledger) -> int:
    """Money that jobs hold: escrow, pools, bonds, locked deposits."""
    jobs = ledger.jobs
    parts = (
        jobs.escrow,
        jobs.seller_pool,
        jobs.compute_pool,
        jobs.fee_pool,
        jobs.bond,
        jobs.locked,
    )
    return sum(int(np.asarray(part, np.int64).sum()) for part in parts)
