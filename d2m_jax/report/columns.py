"""The one dictionary of columns: name, type, unit and meaning of every table. Host only.

The tables of a single run (`tables.py`) and of a sweep (`sweep/tables.py`, `sweep/store.py`) are
typed by it, so that the same thing has the same name and type in both. `docs/columns.md` is
`markdown()`. A missing value is `<NA>` and never changes the type of its column.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

INTEGER, NUMBER, MEASURED, FACT, WORD = "Int64", "Float64", "Float32", "boolean", "string"


class Column(NamedTuple):
    """What one column holds."""

    name: str
    dtype: str  # of pandas, nullable
    unit: str
    meaning: str


HEAD = ("key", "status", "reason", "version")  # before the axes of a sweep


def _columns(*rows: tuple[str, str, str, str]) -> tuple[Column, ...]:
    return tuple(Column(*row) for row in rows)


MONEY = _columns(
    ("before", INTEGER, "money units", "wealth before anybody acted: balance and stake"),
    ("after", INTEGER, "money units", "wealth when the job has ended"),
    ("change", INTEGER, "money units", "after - before"),
)

OF_JOBS = Column("job", INTEGER, "index", "which job, from 0; only with several jobs")

ROUNDS = _columns(
    ("round", INTEGER, "rounds", "number of the round, from 1"),
    ("byzantine_mass", MEASURED, "probability", "mass of bad sellers in the next draw"),
    ("byzantine_credit", MEASURED, "share", "contribution of the round credited to bad sellers"),
    ("num_refused", INTEGER, "updates", "updates that were not finite or too long"),
    ("num_excluded", INTEGER, "sellers", "sellers excluded by the defence so far"),
    ("direction_norm", MEASURED, "norm", "length of the aggregate that the model steps along"),
    ("accepted_digest", INTEGER, "code", "CONE accepted: 0 the right result, > 0 a wrong one, "
     "-1 none"),
    ("attempts", INTEGER, "sets", "execution sets drawn"),
    ("executions", INTEGER, "executions", "nodes that executed the round"),
    ("latency", MEASURED, "s", "simulated time of the consensus"),
    ("nodes_paid", INTEGER, "money units", "paid to nodes for the round"),
    ("num_accepted", INTEGER, "sellers", "sampled sellers whose update the defence used"),
    ("num_flagged", INTEGER, "sellers", "sampled sellers whose update was flagged"),
    ("bad_sampled", INTEGER, "sellers", "bad sellers in the sample"),
    ("bad_accepted", INTEGER, "sellers", "bad sellers whose update the defence used"),
    ("gas", INTEGER, "gas", "cost of booking the round on the EVM; 0 if nobody was matched"),
)  # fmt: skip

EVALUATIONS = _columns(
    ("round", INTEGER, "rounds", "rounds done"),
    ("test_metric", MEASURED, "0 to 1", "metric of the model on the test set"),
    ("test_loss", MEASURED, "nats", "mean loss of the model on the test set"),
)

SELLERS = _columns(
    ("seller", INTEGER, "index", "which listing, from 0: an account, or a bonded unit"),
    ("owner", INTEGER, "index", "account whose unit it is, from 0; of accounts itself"),
    ("role", WORD, "", "honest, Byzantine, tag liar or not matched"),
    ("samples", INTEGER, "examples", "size of the data as registered"),
    ("accepted_rounds", INTEGER, "rounds", "applied rounds in which its update was used"),
    (
        "flagged_rounds",
        INTEGER,
        "rounds",
        "applied rounds in which it was flagged",
    ),
    ("mass", MEASURED, "probability", "of being drawn next"),
    ("reputation", NUMBER, "0 to 1", "on the ledger, in the end"),
    ("excluded", FACT, "", "the defence does not draw the seller any more"),
    ("found_out", FACT, "", "a unit whose openings look false"),
    ("slashed", FACT, "", "lost its deposit on evidence of harm, or found out"),
    *MONEY,
    ("paid", INTEGER, "money units", "paid to the seller by the job; only with several jobs"),
    ("epsilon", NUMBER, "nats", "privacy loss if drawn in every round; only with privacy"),
    ("epsilon_ex_post", NUMBER, "nats", "privacy loss of the rounds it was drawn in; no guarantee"),
)

NODES = _columns(
    ("node", INTEGER, "index", "which compute node, from 0"),
    ("behaviour", WORD, "", "honest, collude, lone liar, silent, copy or adaptive"),
    *MONEY,
)

GROUPS = _columns(
    ("group", WORD, "", "who; the last row is the constant total"),
    ("parties", INTEGER, "accounts", "how many they are"),
    *MONEY,
)

AUCTION = _columns(
    ("buyer", INTEGER, "index", "which buyer, from 0"),
    ("limit", INTEGER, "money units", "the shaded value: how far the buyer goes"),
    ("bid", INTEGER, "money units", "its highest or revealed bid, 0 for none"),
    ("won", FACT, "", "it won the auction"),
    ("paid", INTEGER, "money units", "what it paid into the job"),
)

WORK = _columns(
    ("round", INTEGER, "rounds", "number of the round, from 1"),
    ("seller", INTEGER, "index", "which seller, from 0"),
    ("used", FACT, "", "the defence used the update"),
    ("flagged", FACT, "", "the defence flagged it"),
    ("credit", MEASURED, "share", "contribution of the round credited to the seller"),
)

VOTES = _columns(
    ("round", INTEGER, "rounds", "number of the round, from 1"),
    ("node", INTEGER, "index", "which compute node, from 0"),
    ("set", INTEGER, "sets", "the last execution set of the round that it sat in, from 1"),
    ("vote", WORD, "", "accepted, another, silent, or no result where none was accepted"),
)

RUNS = _columns(
    ("key", WORD, "", "digest of the whole configuration and the version"),
    ("status", WORD, "", "done or failed"),
    ("reason", WORD, "", "why it failed, as a sentence"),
    ("version", WORD, "", "of d2m_jax"),
    ("delivered", FACT, "", "settled, and the true metric reaches the threshold: a good model"),
    (
        "welfare",
        NUMBER,
        "money units",
        "worth of a delivered model to the buyer - cost of work",
    ),
    ("test_metric", MEASURED, "0 to 1", "metric of the last model on the test set"),
    ("best_metric", MEASURED, "0 to 1", "the largest of all evaluations"),
    ("test_loss", MEASURED, "nats", "mean loss of the last model on the test set"),
    ("metric", MEASURED, "0 to 1", "true metric of the last model on the buyer's verdict examples"),
    ("phase", WORD, "", "how the job ended: settled, refunded, aborted or idle"),
    ("price", INTEGER, "money units", "what the winner paid into the job"),
    ("seller_paid", INTEGER, "money units", "paid to sellers"),
    ("bad_pay_share", NUMBER, "share", "of it to bad sellers"),
    ("buyer_change", INTEGER, "money units", "change of the wealth of all buyers"),
    ("honest_seller_income", NUMBER, "money units", "mean change of the wealth of honest sellers"),
    ("bad_seller_income", NUMBER, "money units", "mean change of the wealth of bad sellers"),
    ("honest_node_income", NUMBER, "money units", "mean change of the wealth of honest nodes"),
    ("bad_node_income", NUMBER, "money units", "mean change of the wealth of other nodes"),
    ("treasury_change", INTEGER, "money units", "change of the wealth of the treasury"),
    ("burned", INTEGER, "money units", "destroyed so far"),
    ("num_byzantine", INTEGER, "sellers", "Byzantine sellers"),
    ("num_bad_nodes", INTEGER, "nodes", "nodes that misbehave"),
    ("detection_rate", NUMBER, "share", "of the updates of bad sellers that were flagged"),
    ("false_positive_rate", NUMBER, "share", "of the updates of all others that were flagged"),
    ("honest_selection_rate", NUMBER, "share", "of the updates of honest sellers that were used"),
    ("bad_selection_rate", NUMBER, "share", "of the updates of bad sellers that were used"),
    ("honest_never_used", NUMBER, "share", "of honest sellers whose updates were never used"),
    ("honest_pay_jain", NUMBER, "0 to 1", "Jain's index of the pay of honest sellers; 1 is equal"),
    ("honest_pay_gini", NUMBER, "0 to 1", "Gini coefficient of it; 0 is equal"),
    ("bought_until_target", NUMBER, "updates", "used until the test metric first reached tau"),
    (
        "attack_success",
        MEASURED,
        "share",
        "of triggered test examples that a backdoor turns",
    ),
    ("slashed_bad", INTEGER, "sellers", "bad sellers that lost their deposit"),
    ("slashed_honest", INTEGER, "sellers", "honest sellers that lost their deposit"),
    ("wrong_rounds", INTEGER, "rounds", "rounds in which CONE accepted a wrong result"),
    ("undecided_rounds", INTEGER, "rounds", "rounds in which CONE accepted none"),
    ("wrong_verdict", FACT, "", "CONE accepted a false metric"),
    ("disputed", FACT, "", "somebody disputed"),
    ("upheld", FACT, "", "the dispute was upheld"),
    ("dispute_messages", INTEGER, "messages", "transactions that the dispute took"),
    ("dispute_delay", INTEGER, "blocks", "how long it took"),
    ("dispute_gas", INTEGER, "gas", "of its messages to the court, with bisection"),
    ("attempts", INTEGER, "sets", "execution sets drawn in all rounds"),
    ("executions", INTEGER, "executions", "executions by nodes in all rounds"),
    ("latency", MEASURED, "s", "simulated time of the consensus in all rounds"),
    ("compute_paid", INTEGER, "money units", "paid to nodes"),
    ("num_refused", INTEGER, "updates", "updates that were not finite or too long, in all rounds"),
    ("num_excluded", INTEGER, "sellers", "sellers excluded by the defence in the end"),
    ("byzantine_mass", MEASURED, "probability", "mass of bad sellers in the draw after the last"),
    ("num_rounds", INTEGER, "rounds", "rounds of training, of all jobs"),
    ("num_jobs", INTEGER, "jobs", "of the market; only with several, as the next three"),
    ("num_delivered", INTEGER, "jobs", "that delivered a good model"),
    ("num_settled", INTEGER, "jobs", "that ended with the price paid"),
    ("revenue", INTEGER, "money units", "prices of the jobs that ended so"),
    ("config", WORD, "JSON", "the full configuration"),
)

JOBS = _columns(
    ("job", INTEGER, "index", "which job, from 0"),
    ("tags", INTEGER, "bitmask", "what the data of its sellers must cover"),
    ("buyer", INTEGER, "index", "who won it; nothing where it was not sold"),
    ("tau", NUMBER, "0 to 1", "threshold on the metric"),
    ("metric", MEASURED, "0 to 1", "true metric of the last model on the buyer's verdict examples"),
    ("test_metric", MEASURED, "0 to 1", "metric of the last model on the test set"),
    ("phase", WORD, "", "how the job ended: settled, refunded, aborted or idle"),
    ("delivered", FACT, "", "settled, and the true metric reaches the threshold: a good model"),
    ("sellers", INTEGER, "sellers", "that served the job"),
    ("bad_sellers", INTEGER, "sellers", "bad ones among them"),
    ("value", INTEGER, "money units", "what the delivered model is worth to its buyer, else 0"),
    ("price", INTEGER, "money units", "what the winner paid into the job"),
    ("seller_paid", INTEGER, "money units", "paid to sellers"),
    ("compute_paid", INTEGER, "money units", "paid to nodes"),
    ("fee_paid", INTEGER, "money units", "paid to the treasury"),
    ("refunded", INTEGER, "money units", "back to the buyer"),
    ("executions", INTEGER, "executions", "by nodes in all rounds"),
    ("wrong_rounds", INTEGER, "rounds", "rounds in which CONE accepted a wrong result"),
    ("disputed", FACT, "", "somebody disputed"),
    ("upheld", FACT, "", "the dispute was upheld"),
)

SERVES = (
    JOBS[0],
    *(column for column in SELLERS if column.name in
      ("seller", "role", "accepted_rounds", "flagged_rounds", "slashed", "paid")),
)  # fmt: skip

TABLES: dict[str, tuple[Column, ...]] = {
    "runs": RUNS,
    "rounds": (RUNS[0], OF_JOBS, *ROUNDS, *EVALUATIONS[1:]),
    "evaluations": (OF_JOBS, *EVALUATIONS),
    "sellers": (RUNS[0], OF_JOBS, *SELLERS),
    "nodes": (RUNS[0], *NODES),
    "money": GROUPS,
    "auction": (OF_JOBS, *AUCTION),
    "work": (OF_JOBS, *WORK),
    "votes": (OF_JOBS, *VOTES),
    "jobs": (RUNS[0], *JOBS),
    "serves": SERVES,
}

ABOUT = {
    "runs": "One row per run of a sweep. A column named like a field of the configuration "
    "(`spec.aggregator`) is an axis; it has the type of its values. Of\nseveral jobs the columns "
    "are sums, of shares and measures means over the jobs; `latency` waits for the last one,\n"
    "`phase` counts, `delivered` is of all.",
    "rounds": "One row per round; with several jobs a run has one per round and job, a sweep one "
    "per round, over all jobs.\n`key` only in a sweep. Metric and loss only where they were "
    "measured.",
    "evaluations": "One row per evaluation, with several jobs per evaluation and job.",
    "sellers": "One row per seller; `key` only in a sweep, where `--parties` asks for the table. "
    "With several jobs a run has\none per job and seller, a sweep one per seller, over all jobs.",
    "nodes": "One row per compute node; `key` as for sellers.",
    "money": "One row per group of parties.",
    "auction": "One row per buyer, with several jobs per job and buyer.",
    "work": "One row per update that arrived (`work.parquet`).",
    "votes": "One row per round and node that was drawn (`votes.parquet`).",
    "jobs": "With several jobs: one row per job; `key` only in a sweep, where `--jobs` asks for "
    "the table.",
    "serves": "With several jobs: one row per job and seller that served it.",
}


@functools.cache
def arrow_types() -> dict[pa.DataType, Any]:
    """The nullable types of pandas for those of Arrow."""
    import pandas as pd
    import pyarrow as pa

    whole = (pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32())
    return {
        pa.bool_(): pd.BooleanDtype(),
        pa.float32(): pd.Float32Dtype(),
        pa.float64(): pd.Float64Dtype(),
        **{kind: pd.Int64Dtype() for kind in whole},
        **{kind: pd.StringDtype() for kind in (pa.string(), pa.large_string())},
    }


def typed(frame: pd.DataFrame, table: str) -> pd.DataFrame:
    """The frame with the types and in the order of the dictionary.

    Other columns get the nullable type that they fit and stand behind the first known ones, where
    the axes of a sweep are.

    Args:
        frame: some or all columns of the table.
        table: a key of `TABLES`.
    """
    known = {column.name: column.dtype for column in TABLES[table] if column.name in frame}
    others = {name: _nullable(frame[name]) for name in frame if name not in known}
    kinds: dict[Any, Any] = {**known, **{name: kind for name, kind in others.items() if kind}}
    head = [name for name in known if name in HEAD]
    rest = [name for name in known if name not in HEAD]
    return frame.astype(kinds)[[*head, *others, *rest]]


def _nullable(values: pd.Series) -> str:
    """The nullable type of a column that the dictionary does not know; empty for mixed objects."""
    import pandas as pd

    if isinstance(values.dtype, pd.api.extensions.ExtensionDtype):
        return ""
    if values.dtype == np.float32:
        return MEASURED
    return {"b": FACT, "i": INTEGER, "u": INTEGER, "f": NUMBER}.get(values.dtype.kind, "")


def markdown() -> str:
    """All tables as `docs/columns.md`.

    Command: python -c "from d2m_jax.report.columns import markdown; print(markdown(), end='')"
    """
    parts = [
        "# Columns of all tables\n\nWritten by `d2m_jax.report.columns.markdown()`. Types are "
        'those of pandas, nullable. "Bad" sellers\nare Byzantine or lie about their tags.\n'
    ]
    for name, columns in TABLES.items():
        rows = [f"| `{c.name}` | {c.dtype} | {c.unit} | {c.meaning} |" for c in columns]
        head = ["| column | type | unit | meaning |", "|---|---|---|---|"]
        parts.append("\n".join([f"## {name}\n\n{ABOUT[name]}\n", *head, *rows]) + "\n")
    return "\n".join(parts)
