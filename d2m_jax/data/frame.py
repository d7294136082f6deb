"""`from_frame`: a data set of a pandas table, one column of which is the label.

Host only; pandas is imported when called. Not here: how a column is encoded (`columns.py`),
reading files (`files.py`).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from d2m_jax.core.dataset import DataError, Dataset
from d2m_jax.data.arrays import parted
from d2m_jax.data.checks import client_codes, enough, trained_clients
from d2m_jax.data.columns import check_commas, fit_column
from d2m_jax.data.holdout import hold_out
from d2m_jax.data.labels import Labels, classes_are_numbers, code_labels

if TYPE_CHECKING:
    import pandas as pd


def from_frame(
    frame: pd.DataFrame,
    label: str,
    *,
    client: str | None = None,
    test: float | pd.DataFrame = 0.2,
    drop: Sequence[str] = (),
    task: str = "auto",
    seed: int = 0,
    name: str = "own table",
) -> Dataset:
    """Makes a data set of a table: one row an example, one column the label, the rest inputs.

    Everything that is computed (levels, medians, means, deviations) comes from the training rows.
    What happened to a column or to rows is in `notes`, the names of the inputs in `columns`.

    Args:
        frame: the table; not changed.
        label: its label column. Text, booleans and up to 20 whole numbers are classes, other
            numbers are numbers, standardised by the training rows. Rows without a label are left
            out, with a note.
        client: the column that says to whom a row belongs by nature; it is no input.
        test: the share of the test, stratified by label within clients, or a table of its own.
        drop: columns that are no inputs.
        task: "classes" or "numbers", against the default.
        seed: of the split.
        name: for messages and reports.

    Returns:
        A `Dataset` of kind "table": inputs [T, F] float32, ready to learn from (`stats` is empty).
        1e5 rows of ten columns take about a second.

    Raises:
        DataError: no such column, no label at all, or a column that cannot be an input.
    """
    drop = (drop,) if isinstance(drop, str) else tuple(drop)
    apart = (label, *drop) if client is None else (label, client, *drop)
    frame, num_train = _whole(frame, test, name)
    for column in apart:
        check_column(column, frame.columns, name)
    if client is not None and str(client) == str(label):
        raise DataError(f"{name}: column {str(label)!r} cannot be both the label and the client")
    frame, num_train, notes = _labelled(frame, str(label), num_train, name)
    coded = _coded(frame[str(label)], task, name)
    whose = None if client is None else _whose(frame[str(client)], num_train, name)
    if num_train is None:
        codes, _ = client_codes(whose, name)
        rows, test_rows = hold_out(coded.strata, test, seed, codes, name)
    else:
        rows, test_rows = np.arange(num_train), np.arange(num_train, len(frame))
    inputs, columns, column_notes = _encoded(frame.drop(columns=map(str, apart)), rows, name)
    train_labels, test_labels, label_notes = parted(coded, rows, test_rows)
    ids, client_names, gone = trained_clients(
        whose if num_train is None or whose is None else whose[:num_train], rows, name
    )
    return Dataset(
        name=name,
        train={"inputs": inputs[rows], "labels": train_labels},
        test={"inputs": inputs[test_rows], "labels": test_labels},
        kind="table",
        class_names=coded.class_names,
        strata=coded.strata[rows],
        clients=ids,
        client_names=client_names,
        notes=(*notes, *label_notes, *column_notes, *gone),
        columns=columns,
    )


def check_column(column: Any, columns: Iterable[str], name: str) -> None:
    """Raises DataError, with the nearest name, unless the table has the column."""
    known = [str(one) for one in columns]
    if str(column) in known:
        return
    near = difflib.get_close_matches(str(column), known, n=1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    listed = ", ".join(known[:20]) + (", ..." if len(known) > 20 else "")
    raise DataError(f"{name}: there is no column {str(column)!r}{hint}; there are: {listed}")


# ------------------------------------------------------------------------------------ helpers


def _whole(frame: Any, test: Any, name: str) -> tuple[pd.DataFrame, int | None]:
    """Returns one table, and how many of its first rows are training; None: not yet decided."""
    import pandas as pd

    if not isinstance(test, pd.DataFrame):
        return _named(frame, name), None
    frame, test = _named(frame, name), _named(test, f"{name}: test")
    for column in frame.columns:
        if column not in test.columns:
            raise DataError(f"{name}: the test table has no column {column!r}")
    return pd.concat([frame, test[frame.columns]], ignore_index=True), len(frame)


def _named(frame: Any, name: str) -> pd.DataFrame:
    """Returns the table with text as names of its columns."""
    import pandas as pd

    if not isinstance(frame, pd.DataFrame):
        raise DataError(f"{name}: from_frame needs a pandas DataFrame, not {type(frame).__name__}")
    if frame.empty:
        raise DataError(f"{name}: the table is empty, {frame.shape[0]} rows of {frame.shape[1]}")
    frame = frame.reset_index(drop=True)
    frame.columns = pd.Index([str(column) for column in frame.columns])
    twice = frame.columns[frame.columns.duplicated()]
    if len(twice):
        raise DataError(f"{name}: two columns are called {twice[0]!r}")
    return frame


def _labelled(
    frame: pd.DataFrame, label: str, num_train: int | None, name: str
) -> tuple[pd.DataFrame, int | None, tuple[str, ...]]:
    """Returns the rows that have a label, how many of them are training, and a note."""
    keep = frame[label].notna().to_numpy()
    if keep.all():
        return frame, num_train, ()
    if not keep.any():
        raise DataError(f"{name}: no row has a label in column {label!r}")
    num_train = None if num_train is None else int(keep[:num_train].sum())
    note = f"{(~keep).sum()} of {len(keep)} rows have no label in column {label!r} and are left out"
    return frame[keep].reset_index(drop=True), num_train, (note,)


def _coded(labels: pd.Series, task: str, name: str) -> Labels:
    """Codes a label column: classes for text, booleans and few whole numbers, else numbers."""
    import pandas as pd
    from pandas.api import types

    if not types.is_numeric_dtype(labels.dtype):
        as_numbers = pd.to_numeric(labels.astype(object), errors="coerce")
        if as_numbers.notna().all() and not isinstance(labels.dtype, pd.CategoricalDtype):
            labels = as_numbers
        elif task != "classes":
            try:
                check_commas(labels, str(labels.name))
            except DataError as error:
                raise DataError(f"{name}: {error}") from None
    if types.is_bool_dtype(labels.dtype) or not types.is_numeric_dtype(labels.dtype):
        return code_labels(labels.astype(str).to_numpy(object), None, task, False, name)
    values = labels.to_numpy(np.float64)
    whole = bool((values == np.floor(values)).all()) and np.abs(values).max() < 2**53
    if task == "auto":
        task = "numbers" if not whole or classes_are_numbers(values) else "classes"
    coded = values.astype(np.int64) if whole and task == "classes" else values
    return code_labels(coded, None, task, False, name)


def _whose(clients: pd.Series, num_train: int | None, name: str) -> np.ndarray:
    missing = int(clients[:num_train].isna().sum())
    if missing:
        raise DataError(f"{name}: {missing} rows have no client in column {clients.name!r}")
    values = clients.to_numpy()
    if values.dtype.kind in "iu":
        return values
    if values.dtype.kind == "f" and (values[:num_train] == np.floor(values[:num_train])).all():
        return np.nan_to_num(values).astype(np.int64)
    return clients.astype(str).to_numpy(str)


def _encoded(
    frame: pd.DataFrame, rows: np.ndarray, name: str
) -> tuple[np.ndarray, tuple[str, ...], tuple[str, ...]]:
    """Returns the inputs [T, F] float32, their names, and what was done to columns."""
    blocks: list[np.ndarray] = []
    names: list[str] = []
    notes: list[str] = []
    enough(len(rows), name)
    for column in frame.columns:
        try:
            fitted = fit_column(frame[column].iloc[rows], column)
            blocks.append(fitted.encode(frame[column]))
        except DataError as error:
            raise DataError(f"{name}: {error}") from None
        names += fitted.names
        notes += [fitted.note] if fitted.note else []
    if not names:
        raise DataError(f"{name}: no column is left that could be an input")
    return np.concatenate(blocks, axis=1), tuple(names), tuple(notes)
