"""`from_file`: a data set of one CSV, TSV, Parquet or npz file.

Host only; pandas is imported when called. Not here: tables (`frame.py`), arrays (`arrays.py`),
named data sets (`sources.py`).
"""

from __future__ import annotations

import pathlib
import warnings
import zipfile
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from d2m_jax.core.dataset import DataError, Dataset
from d2m_jax.data.arrays import from_arrays
from d2m_jax.data.frame import check_column, from_frame
from d2m_jax.data.paths import Folder, at_home

if TYPE_CHECKING:
    import pandas as pd

SUFFIXES = (".csv", ".tsv", ".csv.gz", ".tsv.gz", ".parquet", ".npz")
_ARRAYS = ("inputs", "labels", "clients", "test_inputs", "test_labels", "class_names")


def from_file(
    path: Folder,
    label: str | None = None,
    *,
    client: str | None = None,
    test: float = 0.2,
    drop: Sequence[str] = (),
    task: str = "auto",
    seed: int = 0,
    name: str | None = None,
) -> Dataset:
    """Reads a data set from a file.

    Tables (.csv, .tsv, also .gz; .parquet) go through `from_frame`: first row the names of the
    columns, empty cells, `?` and `NA` are missing. Arrays (.npz) go through `from_arrays`: the
    file's arrays `inputs` and `labels`, where it has them also `clients`, `class_names`,
    `test_inputs` and `test_labels`.

    Args:
        path: the file.
        label: the label column; in an npz the array of labels, by default `labels`.
        client: the column of natural clients; in an npz their array, by default `clients`.
        test: the share of the test, where the file has none of its own.
        drop: columns of a table that are no inputs.
        task: "classes" or "numbers" for a table, "numbers" for integers of an npz.
        seed: of the split.
        name: for messages and reports; by default the name of the file.

    Raises:
        DataError: no such file, another suffix, damage, no such column; one sentence.
    """
    path = at_home(path)
    suffix = next((s for s in sorted(SUFFIXES, key=len, reverse=True) if _ends(path, s)), "")
    if not suffix:
        raise DataError(f"{path} is none of the files known here: {', '.join(SUFFIXES)}")
    if not path.is_file():
        raise DataError(f"no file {path}")
    name = name or path.name
    if suffix == ".npz":
        if drop:
            raise DataError(f"{name}: an npz file has no columns to drop")
        return _arrays(path, label, client, test, task, seed, name)
    frame = _table(path, suffix)
    if label is None:
        columns = ", ".join(str(column) for column in frame.columns[:20])
        raise DataError(f"{name}: say which column is the label: {columns}")
    return from_frame(
        frame, label, client=client, test=test, drop=drop, task=task, seed=seed, name=name
    )


def _ends(path: pathlib.Path, suffix: str) -> bool:
    return path.name.lower().endswith(suffix)


def _table(path: pathlib.Path, suffix: str) -> pd.DataFrame:
    import pandas as pd

    try:
        if suffix == ".parquet":
            return pd.read_parquet(path)
        separator = "\t" if suffix.startswith(".tsv") else ","
        header = _header(path, separator)
        if len(header) == 1 and ";" in header.iloc[0]:
            separator, header = ";", _header(path, ";")
        return _text(path, separator, header)
    except (OSError, EOFError, ValueError) as error:  # ValueError: of pandas, pyarrow, decoding
        why = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"{path} cannot be read as {suffix[1:]}: {why}") from None


def _header(path: pathlib.Path, separator: str) -> pd.Series[Any]:
    """The names of the columns, each of them once."""
    import pandas as pd

    header = pd.read_csv(path, sep=separator, header=None, nrows=1, dtype=str).iloc[0].dropna()
    twice = header[header.duplicated()]
    if len(twice):
        raise ValueError(f"two columns are called {twice.iloc[0]!r}")
    return header


def _text(path: pathlib.Path, separator: str, header: pd.Series[Any]) -> pd.DataFrame:
    """A table of text whose rows are no longer than its header."""
    import pandas as pd

    options: Any = {"na_values": ["?"], "low_memory": False, "index_col": False}
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)
        try:
            return pd.read_csv(path, sep=separator, **options)
        except pd.errors.ParserWarning:
            raise ValueError(
                f"a row has more fields than the {len(header)} of the header"
            ) from None


def _arrays(
    path: pathlib.Path,
    label: str | None,
    client: str | None,
    test: float,
    task: str,
    seed: int,
    name: str,
) -> Dataset:
    try:
        with np.load(path, allow_pickle=False) as file:
            found = {key: file[key] for key in file.files}
    except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
        why = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"{path} cannot be read as npz: {why}") from None
    label, whose = label or "labels", client or "clients"
    if whose in ("inputs", label) or label == "inputs":
        raise DataError(f"{name}: inputs, labels and clients must be three different arrays")
    wanted = ("inputs", label) if client is None else ("inputs", label, client)
    for key in wanted:
        check_column(key, found, name)
    for key in found:
        if key not in (*_ARRAYS, label, whose):
            raise DataError(f"{name}: unknown array {key!r}; known here: {', '.join(_ARRAYS)}")
    own_test = ("test_inputs" in found) + ("test_labels" in found)
    if own_test == 1:
        raise DataError(f"{name}: test_inputs and test_labels must come together")
    given = (found["test_inputs"], found["test_labels"]) if own_test else test
    labels = found[label].astype(np.float64) if task == "numbers" else found[label]
    return from_arrays(
        found["inputs"],
        labels,
        test=given,
        clients=found.get(whose),
        name=name,
        class_names=found["class_names"].tolist() if "class_names" in found else None,
        seed=seed,
    )
