"""One market as its page sees it: the tables that a run left, and what they say. Host only."""

import json
import pathlib
from typing import Any, NamedTuple

import pandas as pd

from d2m_jax.core.files import StorageError
from d2m_jax.report.columns import TABLES, typed
from d2m_jax.report.folder import read_config

CSV = ("rounds", "evaluations", "sellers", "nodes", "money", "auction")
PARQUET = ("work", "votes")


class Run(NamedTuple):
    """What a finished run left in its folder."""

    name: str
    config: dict[str, Any]
    closing: dict[str, Any]
    rounds: pd.DataFrame
    evaluations: pd.DataFrame
    sellers: pd.DataFrame  # with pay, lost, why
    nodes: pd.DataFrame  # with votes, why
    money: pd.DataFrame
    auction: pd.DataFrame
    work: pd.DataFrame
    votes: pd.DataFrame

    @property
    def is_trained(self) -> bool:
        """Whether the job found a buyer and sellers, so that there were rounds."""
        return self.closing["phase"] not in ("idle", "aborted")


def read_run(folder: pathlib.Path) -> Run:
    """Reads a finished run of one job.

    Raises:
        StorageError: a file is missing or damaged; the sentence says which.
    """
    tables = read_tables(folder)
    return run_of(folder.name, read_config(folder), read_json(folder / "closing.json"), tables)


def read_jobs(folder: pathlib.Path) -> list[Run]:
    """Reads a finished run of several jobs: each as a run of its own, `job 0` and so on.

    What the nodes and all groups of parties have is that over all jobs.

    Raises:
        StorageError: a file is missing or damaged; the sentence says which.
    """
    tables, config = read_tables(folder), read_config(folder)
    return [
        run_of(f"{folder.name}: job {job}", config, closing, rows_of_job(tables, job))
        for job, closing in enumerate(read_json(folder / "closing.json")["jobs"])
    ]


def read_tables(folder: pathlib.Path) -> dict[str, pd.DataFrame]:
    """All tables of a run that its page shows."""
    tables = {name: read_table(folder / f"{name}.csv", name) for name in CSV}
    return tables | {name: read_table(folder / f"{name}.parquet", name) for name in PARQUET}


def rows_of_job(tables: dict[str, pd.DataFrame], job: int) -> dict[str, pd.DataFrame]:
    """The rows of one job, of tables that have a column for it; all rows of the others."""
    return {
        name: table[table["job"] == job].drop(columns="job").reset_index(drop=True)
        if "job" in table
        else table
        for name, table in tables.items()
    }


def run_of(
    name: str, config: dict[str, Any], closing: dict[str, Any], tables: dict[str, pd.DataFrame]
) -> Run:
    """A run with what its page says of every seller and node."""
    sellers = with_reasons(tables["sellers"], closing)
    nodes = with_votes(tables["nodes"], tables["votes"])
    return Run(name, config, closing, **{**tables, "sellers": sellers, "nodes": nodes})


def read_table(path: pathlib.Path, table: str) -> pd.DataFrame:
    """A table of a finished run, typed.

    Raises:
        StorageError: it is missing or damaged.
    """
    try:
        frame = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
    except FileNotFoundError as error:
        raise StorageError(
            f"{path} is missing, so there is no page of this market: run it again to its end"
        ) from error
    except (OSError, ValueError) as error:
        raise StorageError(f"{path} cannot be read: {error}") from error
    known = [column.name for column in TABLES[table] if column.name in frame]
    return typed(frame[known], table)


def read_json(path: pathlib.Path) -> dict[str, Any]:
    """A file of a finished run.

    Raises:
        StorageError: it is missing or damaged.
    """
    try:
        return dict(json.loads(path.read_text()))
    except FileNotFoundError as error:
        raise StorageError(
            f"{path} is missing, so there is no page of this market: run it again to its end"
        ) from error
    except (OSError, ValueError) as error:
        raise StorageError(f"{path} cannot be read: {error}") from error


def with_reasons(sellers: pd.DataFrame, closing: dict[str, Any]) -> pd.DataFrame:
    """The sellers with their weight of the pay, what they got, what they lost, and why.

    A seller's wealth changes by its pay less what is slashed of its deposit; who is slashed is paid
    nothing. With several jobs `paid` is what this one paid, and what was lost is lost over all.
    """
    weights = pd.Series(closing["weights"], index=sellers.index, dtype="Int64")
    weights = weights.where(~sellers["slashed"], 0)
    share = weights / max(int(weights.sum()), 1)
    pay = sellers["paid"] if "paid" in sellers else sellers["change"].clip(lower=0)
    lost = (-sellers["change"]).where(sellers["change"] < 0, 0)
    settled = closing["phase"] == "settled"
    matched = set(closing["matched"])
    table = sellers.assign(share=share, pay=pay, lost=lost)
    why = [_why_seller(row, settled, row.seller in matched) for row in table.itertuples()]
    return table.assign(why=why)


def _why_seller(row: Any, settled: bool, is_matched: bool) -> str:
    if not is_matched:
        return "not matched: its tags or its terms did not fit the job"
    used = f"used in {row.accepted_rounds} rounds"
    if row.flagged_rounds:
        used += f", flagged in {row.flagged_rounds}"
    if row.slashed:
        return f"slashed on evidence of harm, paid nothing; {used}"
    end = "excluded by the defence in the end; " if row.excluded else ""
    if row.pay and not row.accepted_rounds:
        return f"{end}credited by wrong results that CONE accepted: {row.share:.1%} of all credit"
    if row.pay:
        return f"{end}{used}; {row.share:.1%} of all credit, and so of the sellers' pay"
    if row.lost:
        return f"{end}lost money; {used}"
    if not row.accepted_rounds:
        return f"{end}no update of it was used"
    return f"{end}{used}, but no credit" if settled else f"{end}{used}; sellers were not paid"


def with_votes(nodes: pd.DataFrame, votes: pd.DataFrame) -> pd.DataFrame:
    """The nodes with how often they were drawn and how their votes ended, and why they earned."""
    counts = votes.groupby(["node", "vote"]).size().unstack(fill_value=0)
    kinds = ["accepted", "another", "silent", "no result"]
    counts = counts.reindex(index=nodes["node"], columns=kinds, fill_value=0)
    table = nodes.assign(drawn=counts.sum(axis=1).to_numpy())
    for kind in kinds:
        table[kind.replace(" ", "_")] = counts[kind].to_numpy()
    return table.assign(why=[_why_node(row) for row in table.itertuples()])


def _why_node(row: Any) -> str:
    if not row.drawn:
        return "never drawn"
    parts = [f"drawn {row.drawn} times: voted for the accepted result in {row.accepted}"]
    if row.another:
        parts.append(f"for another in {row.another}, which is slashed")
    if row.silent:
        parts.append(f"silent in {row.silent}")
    if row.no_result:
        parts.append(f"no result in {row.no_result}")
    return ", ".join(parts)
