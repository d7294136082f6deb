"""The outcome of a market as tidy pandas tables. Host only; read next: `account.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from d2m_jax.cone import Behaviour
from d2m_jax.ledger import Layout, Ledger, Phase, wealth
from d2m_jax.ledger.gas import NEW_NODE, ROUND
from d2m_jax.market.roles import Roles
from d2m_jax.market.state import JOB, Evaluation, MarketOutcome, RoundInfo
from d2m_jax.report.columns import typed

if TYPE_CHECKING:
    import pandas as pd

RENAMED = {"refused": "num_refused", "excluded": "num_excluded"}  # counts, fields of RoundInfo


def rounds_table(outcome: MarketOutcome) -> pd.DataFrame:
    """One row per round: scalars of `RoundInfo`, counts of sellers, gas, quality where measured."""
    import pandas as pd

    facts = round_columns(outcome.rounds, outcome.evaluations, outcome.roles, outcome.ledger)
    return typed(pd.DataFrame(facts), "rounds")


def round_columns(
    info: RoundInfo, evaluations: Evaluation, roles: Roles, ledger: Ledger
) -> dict[str, np.ndarray]:
    """What happened in some rounds, of one world or of W: the columns of every table of rounds.

    Args:
        info: [R, ...], or [W, R, ...] of W worlds.
        evaluations: [E] or [W, E], made after some of these rounds.
        roles: [N] or [W, N].
        ledger: after these rounds, of one world or of W.

    Returns:
        Columns [R] or [W, R]; quality is NaN in rounds without an evaluation.
    """
    fields = {RENAMED.get(k, k): np.asarray(v) for k, v in info._asdict().items()}
    rounds = fields["round"]
    facts = {name: value for name, value in fields.items() if value.ndim == rounds.ndim}
    accepted, flagged, present = fields["accepted"], fields["flagged"], fields["present"]
    bad_seller = jax.device_get(roles).bad_seller
    if rounds.ndim == 1:
        bad = bad_seller[fields["sellers"]] & present
    else:
        bad = bad_seller[np.arange(len(rounds))[:, None, None], fields["sellers"]] & present
    facts["num_accepted"] = accepted.sum(-1)
    facts["num_flagged"] = flagged.sum(-1)
    facts["bad_sampled"] = bad.sum(-1)
    facts["bad_accepted"] = (bad & accepted).sum(-1)
    facts["gas"] = gas_of_rounds(fields["executions"], ledger)
    measured = {name: np.asarray(value) for name, value in evaluations._asdict().items()}
    place = measured.pop("round") - rounds[..., :1]
    for name, value in measured.items():
        facts[name] = np.full(rounds.shape, np.nan, value.dtype)
        np.put_along_axis(facts[name], place, value, -1)
    return facts


def round_frame(
    info: RoundInfo, evaluations: Evaluation, roles: Roles, ledger: Ledger
) -> pd.DataFrame:
    """The rows of some rounds, `round_columns`, of one job or of all by round and job."""
    import pandas as pd

    if count_jobs(ledger) == 1:
        facts = round_columns(info, evaluations, roles, ledger)
        return typed(pd.DataFrame(facts), "rounds")
    frames = []
    for job in range(count_jobs(ledger)):
        own, slot = one_of(job, info, evaluations), slot_of(ledger, job)
        frames.append(pd.DataFrame(round_columns(*own, roles, slot)).assign(job=job))
    rows = pd.concat(frames).sort_values(["round", "job"], ignore_index=True)
    return typed(rows, "rounds")


def evaluation_frame(evaluations: Evaluation) -> pd.DataFrame:
    """The rows of some evaluations, of one job or of all by round and job."""
    import pandas as pd

    facts = {name: np.asarray(value) for name, value in evaluations._asdict().items()}
    if facts["round"].ndim > 1:
        jobs = np.broadcast_to(np.arange(facts["round"].shape[1]), facts["round"].shape)
        facts = {name: value.ravel() for name, value in {"job": jobs, **facts}.items()}
    return typed(pd.DataFrame(facts), "evaluations")


def count_jobs(ledger: Ledger) -> int:
    """J, also of the ledgers of several worlds."""
    return int(np.shape(ledger.jobs.phase)[-1])


def one_of(job: int, info: RoundInfo, evaluations: Evaluation) -> tuple[RoundInfo, Evaluation]:
    """The rounds and evaluations of one job, without the axis of jobs."""
    own = RoundInfo._make(np.asarray(leaf)[:, job] for leaf in info)
    return own, Evaluation._make(np.asarray(leaf)[:, job] for leaf in evaluations)


def slot_of(ledger: Ledger, job: int) -> Any:
    """The ledger with the slot of this job alone."""
    fields = {name: np.asarray(value)[job : job + 1] for name, value in vars(ledger.jobs).items()}
    return ledger.replace(jobs=ledger.jobs.replace(**fields))  # type: ignore[attr-defined]


def gas_of_rounds(executions: np.ndarray, ledger: Ledger) -> np.ndarray:
    """[R] int: what booking each round costs on the EVM (`ledger.gas`); 0 with nobody matched."""
    matched = np.asarray(ledger.jobs.matched)[..., JOB, :]
    sizes = 1, matched.shape[-1], matched.sum(-1, keepdims=True), ledger.num_nodes, executions, 0, 0
    gas = sum(cost * size for cost, size in zip(ROUND, sizes, strict=True))
    before = np.cumsum(executions, -1) - executions
    new = np.clip(ledger.num_nodes - before, 0, executions)  # drawn for the first time, at most
    return (gas + NEW_NODE * new) * np.any(matched, -1, keepdims=True)


def evaluations_table(outcome: MarketOutcome) -> pd.DataFrame:
    """One row per evaluation: round, test accuracy, test loss."""
    import pandas as pd

    facts = {k: np.asarray(v) for k, v in outcome.evaluations._asdict().items()}
    return typed(pd.DataFrame(facts), "evaluations")


def phase_name(outcome: MarketOutcome) -> str | np.ndarray:
    """How the job ended, as a word: "settled", "refunded", "aborted" or "idle"; [W] of W worlds."""
    phases = np.asarray(outcome.phase)
    names = np.array([Phase(int(phase)).name.lower() for phase in phases.ravel()], object)
    return names.reshape(phases.shape) if phases.ndim else str(names[0])


def sellers_table(outcome: MarketOutcome, layout: Layout) -> pd.DataFrame:
    """One row per seller, or per unit that is sold: role, work, standing and money."""
    import pandas as pd

    info, num_sellers = outcome.rounds, layout.num_sellers
    sampled = np.asarray(info.sellers)
    counted = (np.asarray(info.accepted_digest) == 0)[:, None]  # other rounds were not applied
    accepted = np.asarray(info.accepted) & counted
    flagged = np.asarray(info.flagged) & counted
    roles, is_account = outcome.roles, outcome.roles.owners is None
    owners = np.arange(num_sellers) if is_account else np.asarray(roles.owners)
    ends = outcome.opening, outcome.ledger
    before, after = (np.asarray(wealth(books))[layout.sellers] for books in ends)
    table = pd.DataFrame(
        {
            "seller": np.arange(num_sellers),
            "owner": owners,
            "role": seller_roles(roles),
            "samples": np.asarray(outcome.ledger.sizes),
            "accepted_rounds": np.bincount(sampled[accepted], minlength=num_sellers),
            "flagged_rounds": np.bincount(sampled[flagged], minlength=num_sellers),
            "mass": np.asarray(outcome.defence.p),
            "reputation": np.asarray(outcome.ledger.reputation_bps) / 10_000,
            "excluded": ~np.asarray(outcome.defence.active),
            "found_out": np.zeros(num_sellers, bool)
            if is_account
            else np.asarray(outcome.found_out),
            "slashed": np.asarray(outcome.closing.slashed),
            "before": before,
            "after": after,
            "change": after - before,
        }
    )
    return typed(table[table["owner"] >= 0], "sellers")


def seller_roles(roles: Roles) -> np.ndarray:
    """[N] words: what every seller, or the owner of every unit, is."""
    return np.select(
        [np.asarray(roles.byzantine), np.asarray(roles.tag_liar), np.asarray(roles.stranger)],
        ["Byzantine", "tag liar", "not matched"],
        "honest",
    )


def nodes_table(outcome: MarketOutcome, layout: Layout) -> pd.DataFrame:
    """One row per compute node: behaviour and money."""
    import pandas as pd

    names = {int(kind): kind.name.lower().replace("_", " ") for kind in Behaviour}
    ends = outcome.opening, outcome.ledger
    before, after = (np.asarray(wealth(books))[layout.nodes] for books in ends)
    table = pd.DataFrame(
        {
            "node": np.arange(layout.num_nodes),
            "behaviour": [names[int(code)] for code in outcome.roles.behaviour],
            "before": before,
            "after": after,
            "change": after - before,
        }
    )
    return typed(table, "nodes")


def money_table(outcome: MarketOutcome, layout: Layout) -> pd.DataFrame:
    """Money before and after by group of parties; the last row is the constant total."""
    import pandas as pd

    nodes = nodes_table(outcome, layout)
    old, new = np.asarray(wealth(outcome.opening)), np.asarray(wealth(outcome.ledger))
    won = np.isin(np.arange(layout.num_buyers), np.asarray(outcome.ledger.jobs.buyer))
    role, is_there = seller_roles(outcome.roles), filled(outcome.roles, layout)
    winners = "winning buyer" if won.sum() < 2 else "winning buyers"
    groups: list[tuple[str, int, int, int]] = []

    def add(name: str, before: np.ndarray, after: np.ndarray) -> None:
        if len(before):
            groups.append((name, len(before), int(before.sum()), int(after.sum())))

    add(winners, old[layout.buyers][won], new[layout.buyers][won])
    add("other buyers", old[layout.buyers][~won], new[layout.buyers][~won])
    for kind in ("honest", "Byzantine", "tag liar", "not matched"):
        who = (role == kind) & is_there
        add(f"sellers, {kind}", old[layout.sellers][who], new[layout.sellers][who])
    for behaviour, rows in nodes.groupby("behaviour", sort=False):
        add(f"nodes, {behaviour}", rows["before"].to_numpy(int), rows["after"].to_numpy(int))
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
    return typed(table, "money")


def filled(roles: Roles, layout: Layout) -> np.ndarray:
    """[N] bool: all accounts, and the slots of units that somebody has filled."""
    if roles.owners is None:
        return np.ones(layout.num_sellers, bool)
    return np.asarray(roles.owners) >= 0


def _held(ledger: Ledger) -> int:
    """Money that jobs hold: deposits of buyers and sellers, pools, bonds."""
    jobs = ledger.jobs
    parts = (
        jobs.deposits,
        jobs.seller_pool,
        jobs.compute_pool,
        jobs.fee_pool,
        jobs.bond,
        jobs.locked,
        jobs.pledged,
        jobs.held,
        jobs.earned,
    )
    return sum(int(np.asarray(part, np.int64).sum()) for part in parts)
