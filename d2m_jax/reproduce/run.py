"""Runs an experiment as a sweep, and reads its cells. Read next: `tables.py`.

What was run before is kept by the sweep's folder, so every call goes on where the last stopped.
"""

import os
import pathlib
import threading
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from d2m_jax import sweep
from d2m_jax.core.files import StorageError
from d2m_jax.reproduce.cases import Case, Experiment, seeded
from d2m_jax.sweep.plan import Plan, config_key, configure


class Asked(NamedTuple):
    """Which part of an experiment is run now; the tables have all of it."""

    labels: dict[str, tuple[str, ...]] = {}  # noqa: RUF012  # column -> values that are run
    worlds: int = 0  # only the first so many; 0: all

    def takes(self, case: Case) -> bool:
        """Whether a case is of this part; a label that the case lacks does not matter."""
        return all(case.labels.get(name) in (None, *some) for name, some in self.labels.items())


def plan_of(experiment: Experiment, asked: Asked | None = None) -> Plan:
    """The runs of an experiment, or of a part of it.

    Raises:
        ValueError: a case that the market refuses; the sentence says why.
    """
    asked = asked or Asked()
    seeds = experiment.seeds[: asked.worlds or None]
    chosen = [case for case in experiment.cases if asked.takes(case)]
    plan = sweep.make_plan(
        experiment.base, [seeded(case, seed) for case in chosen for seed in seeds]
    )
    if plan.refused:
        run, why = plan.refused[0]
        raise ValueError(f"experiment {experiment.name}, {run.point}: {why}")
    return plan


def folder_of(experiment: Experiment, out: pathlib.Path) -> pathlib.Path:
    """Where its runs are kept."""
    return out / experiment.name


def run_experiment(
    experiment: Experiment,
    out: str | os.PathLike[str],
    *,
    asked: Asked | None = None,
    options: sweep.Options | None = None,
    progress: Any = None,
    stop: threading.Event | None = None,
) -> dict[str, Any]:
    """Runs what is asked for and not there yet; see `sweep.run_plan`.

    Args:
        experiment: declared.
        out: folder of the runs of all experiments.
        asked: which part; none: all of it.
        options: how to run.
        progress: called after every chunk.
        stop: when it is set, no further market is begun.

    Returns:
        The facts of `sweep.run_plan`.

    Raises:
        ValueError: a case is refused, or the data set is not there.
    """
    plan = plan_of(experiment, asked)
    folder = folder_of(experiment, pathlib.Path(out))
    about = {"base": experiment.base, "experiment": experiment.name}
    return sweep.run_plan(plan, folder, options=options, progress=progress, about=about, stop=stop)


def results_of(experiment: Experiment, out: str | os.PathLike[str]) -> pd.DataFrame:
    """One row per case and world: the labels, `world`, and the columns of its run.

    A world that was not run, or failed, has NaN and its status.

    Raises:
        StorageError: a part of the results cannot be read.
    """
    runs = stored(folder_of(experiment, pathlib.Path(out)))
    rows = []
    for place, case in enumerate(experiment.cases):
        for seed in experiment.seeds:
            key = config_key(configure(experiment.base, seeded(case, seed)))
            found = runs.get(key, {"status": "not run"})
            rows.append({"case": place, **case.labels, "world": seed, **found})
    frame = pd.DataFrame(rows)
    return frame.reindex(columns=[*frame.columns, *(c for c in READ if c not in frame)])


READ = [
    "test_metric", "metric", "phase", "delivered", "wrong_rounds", "wrong_verdict", "num_rounds",
    "undecided_rounds", "slashed_honest", "honest_seller_income", "bad_seller_income", "attempts",
    "executions", "latency", "dispute_messages", "bad_pay_share", "disputed", "upheld",
    "buyer_change", "reason",
]  # fmt: skip


def stored(folder: pathlib.Path) -> dict[str, dict[str, Any]]:
    """The runs of a folder by key; none where there is no sweep."""
    try:
        runs = sweep.load(folder).runs
    except StorageError:
        if (folder / "runs").is_dir():
            raise
        return {}
    kept = [name for name in ("status", *READ) if name in runs]
    return {row["key"]: {name: row[name] for name in kept} for _, row in runs.iterrows()}


def cells_of(experiment: Experiment, results: pd.DataFrame) -> pd.DataFrame:
    """One row per case: labels, mean and least test metric, and what its worlds came to.

    Returns:
        labels, mean, least (both in [0, 1]), worlds (measured), wanted, wrong (results accepted),
        sold_wrong (models whose wrong verdict was paid for), votes, undecided, delivered,
        slashed_honest: sums over the worlds; executions: a mean.
    """
    rows = []
    for _, part in results.groupby("case", sort=True):
        done = part[part["status"] == "done"]
        metric = done["test_metric"].astype(float)
        total = {
            name: int(done[column].fillna(0).sum())
            for name, column in (
                ("undecided", "undecided_rounds"), ("delivered", "delivered"),
                ("slashed_honest", "slashed_honest"),
            )
        }  # fmt: skip
        wrong = done["wrong_rounds"].fillna(0).sum() + done["wrong_verdict"].fillna(0).sum()
        votes = done["num_rounds"].fillna(0).sum() + len(done)
        sold = (done["phase"] == "settled") & done["wrong_verdict"].fillna(False).astype(bool)
        executions = done["executions"].astype(float).mean() if len(done) else np.nan
        rows.append(
            {
                **{name: part[name].iloc[0] for name in labels_of(experiment)},
                "mean": metric.mean(),
                "least": metric.min(),
                "worlds": len(done),
                "wanted": len(part),
                "wrong": int(wrong),
                "sold_wrong": int(sold.sum()),
                "votes": int(votes),
                "executions": executions,
                **total,
            }
        )
    return pd.DataFrame(rows)


def labels_of(experiment: Experiment) -> list[str]:
    """The columns that name its cases, in order of appearance."""
    return list(dict.fromkeys(name for case in experiment.cases for name in case.labels))
