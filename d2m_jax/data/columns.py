"""Columns of a table as float32 inputs, each by an encoder that saw the training rows alone.

Numbers are standardised, few levels become one column each, free text a hashed bag of words.
Host only; pandas is imported when called. Read next: `frame.py`.
"""

from __future__ import annotations

import datetime
import numbers
import re
import zlib
from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from d2m_jax.core.dataset import DataError

if TYPE_CHECKING:
    import pandas as pd

MAX_LEVELS = 20
TEXT_WIDTH = 128  # buckets of words
_LONG_TEXT = 20  # characters
_WORD = re.compile(r"\w+")
Encode = Callable[["pd.Series"], np.ndarray]


class Column(NamedTuple):
    """How one column of a table becomes K inputs."""

    names: tuple[str, ...]  # K; none: the column is left out
    encode: Encode  # series [T] -> [T, K] float32
    note: str = ""


def fit_column(train: pd.Series, name: str) -> Column:
    """Returns the encoder of a column, from its training rows.

    Numbers: missing and infinite values become the median, everything is standardised, and where
    training rows lack values a further column says so. Dates: days since the first one, then as
    numbers. Text, categories and booleans: one column for each of up to 20 levels and one for
    anything else; more levels are free text when they are long or have spaces, a unit vector of
    128 hashed word counts. A constant column is left out.

    Args:
        train: [T] the values of the training rows.
        name: of the column.

    Raises:
        DataError: more than 20 levels that are no text, or values of another sort.
    """
    from pandas.api import types

    if types.is_bool_dtype(train.dtype) or isinstance(train.dtype, _category()):
        return _levels(train, name)
    if types.is_datetime64_any_dtype(train.dtype):
        return _dates(train, name)
    if types.is_timedelta64_dtype(train.dtype):
        return _numbers(train, name, lambda s: s.dt.total_seconds().to_numpy(np.float64), "seconds")
    if types.is_numeric_dtype(train.dtype) and not types.is_complex_dtype(train.dtype):
        return _numbers(train, name, _floats)
    return _objects(train, name)


# ------------------------------------------------------------------------------------ numbers


def _numbers(train: pd.Series, name: str, read: Encode, unit: str = "") -> Column:
    known = _finite(read(train))
    lacking = np.isnan(known)
    if lacking.all():
        return Column((), _nothing, f"column {name!r} is left out: it has no values in training")
    median = float(np.nanmedian(known))
    filled = np.where(lacking, median, known)
    with np.errstate(over="ignore", invalid="ignore"):
        mean, std = float(filled.mean()), float(filled.std())
    if not np.isfinite([mean, std]).all():
        raise DataError(f"column {name!r} holds numbers too large to be standardised")
    varies, flagged = bool(filled.max() > filled.min()), bool(lacking.any())
    if not varies and not flagged:
        return Column((), _nothing, f"column {name!r} is left out: it is constant in training")

    def encode(column: pd.Series) -> np.ndarray:
        values = _finite(read(column))
        gone = np.isnan(values)
        with np.errstate(over="ignore"):
            scaled = (np.where(gone, median, values) - mean) / (std if varies else 1.0)
            inputs = np.stack([scaled] * varies + [gone] * flagged, 1).astype(np.float32)
        if not np.isfinite(inputs).all():
            raise DataError(f"column {name!r} holds numbers too large beside those of training")
        return inputs

    names = (name,) * varies + (f"{name} missing",) * flagged
    notes = [f"is read as {unit}"] if unit else []
    if flagged:
        notes.append(f"lacks {lacking.sum()} of {len(known)} training values: median {median:g}")
    return Column(names, encode, f"column {name!r} {' and '.join(notes)}" if notes else "")


def _dates(train: pd.Series, name: str) -> Column:
    start = train.min()

    def days(column: pd.Series) -> np.ndarray:
        return ((column - start).dt.total_seconds() / 86400).to_numpy(np.float64)

    return _numbers(train, name, days, f"days since {start}")


def _floats(column: pd.Series) -> np.ndarray:
    return column.to_numpy(dtype=np.float64, na_value=np.nan)


def _finite(values: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(values), values, np.nan)


def _nothing(column: pd.Series) -> np.ndarray:
    return np.zeros((len(column), 0), np.float32)


# ------------------------------------------------------------------------------ levels and text


def _objects(train: pd.Series, name: str) -> Column:
    """Strings: numbers or dates in disguise, levels, or free text."""
    import pandas as pd

    known = train.dropna()
    if len(known) and known.map(lambda value: isinstance(value, datetime.date)).all():
        return _read_as_dates(train, name)
    if not known.map(lambda value: isinstance(value, str | np.bool | numbers.Real | Decimal)).all():
        sorts = ", ".join(sorted({type(value).__name__ for value in known}))
        raise DataError(f"column {name!r} holds {sorts}: no numbers, text or dates; drop it")
    if len(known) and pd.to_numeric(known, errors="coerce").notna().all():
        read: Encode = lambda column: _floats(pd.to_numeric(column, errors="coerce"))  # noqa: E731
        return _numbers(train, name, read, "numbers")
    check_commas(known, name)
    if known.nunique() <= MAX_LEVELS:
        return _levels(train, name)
    if _is_date(known):
        return _read_as_dates(train, name)
    text = known.astype(str)
    if text.str.len().mean() > _LONG_TEXT or text.str.contains(r"\s", regex=True).mean() > 0.5:
        names = tuple(f"{name} words {bucket}" for bucket in range(TEXT_WIDTH))
        note = f"column {name!r} is text, its words counted in {TEXT_WIDTH} buckets"
        return Column(names, _bag_of_words, note)
    raise DataError(
        f"column {name!r} has {known.nunique()} levels in training, more than {MAX_LEVELS}, and is "
        "no text; drop it or group its levels"
    )


def check_commas(known: pd.Series, name: str) -> None:
    """Raises DataError for a column of numbers that are written with commas."""
    import pandas as pd

    text = known.astype(str)
    commas = text.str.contains(",", regex=False)
    if not commas.any():
        return
    if pd.to_numeric(text.str.replace(",", ".", regex=False), errors="coerce").notna().all():
        raise DataError(
            f"column {name!r} writes numbers with commas, such as {text[commas].iloc[0]!r}: write "
            "points, or read the file with pandas.read_csv(..., decimal=',') and give from_frame it"
        )


def _levels(train: pd.Series, name: str) -> Column:
    values = _strings(train)
    levels = sorted({value for value in values if value is not None})
    if len(levels) > MAX_LEVELS:
        raise DataError(
            f"column {name!r} has {len(levels)} levels in training, more than {MAX_LEVELS}; drop "
            "it or group its levels"
        )
    if len(levels) + (None in values) < 2:
        return Column((), _nothing, f"column {name!r} is left out: it is constant in training")
    place = {level: k for k, level in enumerate(levels)}

    def encode(column: pd.Series) -> np.ndarray:
        at = [place.get(value, len(levels)) for value in _strings(column)]  # type: ignore[arg-type]
        return np.eye(len(levels) + 1, dtype=np.float32)[at]

    return Column((*(f"{name}={level}" for level in levels), f"{name} other or missing"), encode)


def _strings(column: pd.Series) -> list[str | None]:
    missing = column.isna().to_numpy()
    return [None if gone else str(value) for value, gone in zip(column, missing)]


def _bag_of_words(column: pd.Series) -> np.ndarray:
    counts = np.zeros((len(column), TEXT_WIDTH), np.float32)
    buckets: dict[str, int] = {}
    for row, text in enumerate(_strings(column)):
        for word in _WORD.findall((text or "").lower()):
            if word not in buckets:
                buckets[word] = zlib.crc32(word.encode()) % TEXT_WIDTH
            counts[row, buckets[word]] += 1
    return counts / np.maximum(np.linalg.norm(counts, axis=1, keepdims=True), 1)


def _read_as_dates(train: pd.Series, name: str) -> Column:
    column = _dates(_as_dates(train), name)
    return column._replace(encode=lambda series: column.encode(_as_dates(series)))


def _is_date(known: pd.Series) -> bool:
    return bool(_as_dates(known.head(100)).notna().all() and _as_dates(known).notna().all())


def _as_dates(column: pd.Series) -> pd.Series:
    import pandas as pd

    return pd.to_datetime(column, format="ISO8601", errors="coerce", utc=True)


def _category() -> type:
    import pandas as pd

    return pd.CategoricalDtype
