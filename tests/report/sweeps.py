"""Made-up sweeps on disk, quick to write: any axes, any numbers."""

import itertools
import json

import pandas as pd
import pyarrow as pa

from d2m_jax.sweep import store

PLAIN = {
    "phase": "settled", "delivered": True, "price": 1_000_000, "honest_seller_income": 100.0,
    "bad_seller_income": -50.0, "wrong_rounds": 0, "undecided_rounds": 0, "num_rounds": 100,
    "executions": 3_000, "attempts": 400, "welfare": 5e5, "metric": 0.9, "test_loss": 0.5,
}  # fmt: skip


def rows(axes, value, rounds=(10, 20), **more):
    """Frames `runs` and `rounds` of the product of the axes.

    `value(point)` is the test metric, None for a run that failed; `more` are columns, values or
    functions of the point.
    """
    table, told = [], []
    for number, chosen in enumerate(itertools.product(*axes.values())):
        point = dict(zip(axes, chosen))
        quality, key = value(point), f"run{number:03d}"
        row = {"key": key, "status": "done", "reason": "", "version": "0", **point}
        if quality is None:
            table.append({**row, "status": "failed", "reason": "no <such> thing"})
            continue
        facts = {**PLAIN, **more}
        facts = {k: v(point) if callable(v) else v for k, v in facts.items()}
        table.append(
            {**row, "test_metric": quality, "config": json.dumps(point, default=str), **facts}
        )
        told += [{"key": key, "round": r, "test_metric": quality * r / rounds[-1]} for r in rounds]
    return pd.DataFrame(table), pd.DataFrame(told)


def write(folder, runs, rounds, axes=(), base=None):
    made = store.open_folder(folder)
    store.write_part(made, *(pa.Table.from_pandas(t, preserve_index=False) for t in (runs, rounds)))
    about = {"command": "scripts/sweep.py --config=a.py", "jax": "0.10.2"}
    manifest = {"axes": dict(axes), "provenance": about, "base": base or {"spec": {"model": "m"}}}
    store.write_manifest(made, manifest)
    return made
