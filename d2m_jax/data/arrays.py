"""`from_arrays`: a data set of a user's own inputs and labels.

Host only. Not here: labels and their classes (`labels.py`), other trees (`batches.py`), tables with
named columns (`frame.py`), files (`files.py`).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from d2m_jax.core.dataset import DataError, Dataset
from d2m_jax.core.types import PyTree
from d2m_jax.data.checks import (
    checked_kind,
    client_codes,
    enough,
    narrowed,
    same_length,
    trained_clients,
)
from d2m_jax.data.holdout import hold_out
from d2m_jax.data.labels import Labels, code_labels, plain, standardized
from d2m_jax.data.moments import column_moments, moments

TEST_SHARE = 0.2
_MAX_TOKENS = 1 << 20


def from_arrays(
    inputs: np.ndarray,
    labels: np.ndarray,
    *,
    test: float | tuple[np.ndarray, np.ndarray] | None = None,
    clients: np.ndarray | None = None,
    name: str = "own data",
    class_names: Sequence[str] | None = None,
    kind: str | None = None,
    standardize: bool = True,
    seed: int = 0,
) -> Dataset:
    """Makes a data set of a user's own arrays, checked.

    Args:
        inputs: [T, ...] numbers. By default uint8 [T, H, W] or [T, H, W, Ch] and float
            [T, H, W, Ch] are images, other integers [T, S] a text of tokens, floats [T, F] a
            table, anything else plain arrays.
        labels: [T] integers, strings or booleans: classes, of any values; [T] floats: numbers;
            [T, L] zeros and ones: sets of labels; [T, S] integers beside a text of that shape: a
            class per position.
        test: inputs and labels of the test; or its share, which is split off, stratified by
            label; None: a fifth.
        clients: [T] integers or strings, to whom each example belongs by nature; beside a test
            of its own, of the training examples.
        name: for messages and reports.
        class_names: L names; by default the values of the labels.
        kind: "images", "table", "text" or "arrays", against the default.
        standardize: whether columns of a table and labels that are numbers become (x - mean) /
            deviation of the training examples, with a note.
        seed: of the split.

    Returns:
        A `Dataset`. Images have `stats`, mean and std per channel of the training inputs; the
        `columns` of a text are its tokens. Only arrays that change are copied.

    Raises:
        DataError: arrays that do not fit together, or hold nothing that can be learnt.
    """
    said, (x, kind) = kind, _inputs(inputs, kind, name)
    raw = plain(labels, f"{name}: the labels")
    same_length(name, inputs=x, labels=raw, clients=clients)
    num_given = len(raw)
    given = isinstance(test, tuple | list)
    if given:
        test_x, test_labels = _given_test(test, x, kind, name)
        raw = _joined(raw, test_labels, name)
    per_position = kind == "text" and raw.shape[1:] == x.shape[1:]
    coded = code_labels(raw, class_names, "auto", per_position, name)
    codes, _ = client_codes(clients, name)
    if given:
        rows, test_rows = np.arange(num_given), np.arange(num_given, len(raw))
        enough(num_given, name)
        train_x = x
    else:
        share: Any = TEST_SHARE if test is None else test
        rows, test_rows = hold_out(coded.strata, share, seed, codes, name)
        train_x, test_x = x[rows], x[test_rows]
    ids, client_names, gone = trained_clients(clients, rows, name)
    train_y, test_y, notes = parted(coded, rows, test_rows, standardize)
    if kind == "text" and said is None:
        notes = ('the integers are taken as tokens of a text; kind="table": as numbers', *notes)
    if kind == "table" and standardize:
        mean, std = column_moments(train_x)
        train_x, test_x = (_scaled(x, mean, std, name) for x in (train_x, test_x))
        notes = ("the columns are standardised by the training examples", *notes)
    return Dataset(
        name=name,
        train={"inputs": train_x, "labels": train_y},
        test={"inputs": test_x, "labels": test_y},
        kind=kind,
        class_names=coded.class_names,
        strata=coded.strata[rows],
        clients=ids,
        client_names=client_names,
        stats=_stats(train_x, kind),
        notes=(*notes, *gone),
        columns=_tokens(name, train_x, test_x) if kind == "text" else (),
    )


def parted(
    coded: Labels, rows: np.ndarray, test_rows: np.ndarray, standardize: bool = True
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Returns the labels of training and test, numbers standardised by training, and the notes."""
    values, notes = coded.values, []
    if coded.numeric and standardize:
        values, note = standardized(values, rows)
        notes.append(note)
    elif not coded.numeric and values.ndim == 1:
        notes += _rare(values, rows, coded.class_names)
    return values[rows], values[test_rows], tuple(notes)


# ------------------------------------------------------------------------------------ helpers


def _inputs(inputs: np.ndarray, kind: str | None, name: str) -> tuple[np.ndarray, str]:
    """Returns the inputs in a dtype that devices have, and their kind."""
    if kind is not None:
        checked_kind(kind, name)
    x = plain(inputs, f"{name}: the inputs")
    if x.dtype.kind == "U":
        raise DataError(
            f"{name}: the inputs are text; give tokens as integers [T, S], or a frame to from_frame"
        )
    kind = kind or _kind(x)
    if kind == "images" and x.ndim == 3:
        x = x[..., None]
    if kind == "images" and x.ndim != 4:
        raise DataError(f"{name}: images must be [T, H, W] or [T, H, W, Ch], not {x.shape}")
    if kind == "text" and (x.ndim != 2 or x.dtype.kind not in "iu" or x.min() < 0):
        raise DataError(f"{name}: a text must be [T, S] integers of at least 0")
    if kind == "table":
        x = x.reshape(len(x), -1)
    whole = x.dtype == np.uint8 if kind == "images" else kind != "table"
    if not whole and x.dtype != np.float32:
        x = x.astype(np.float64)
    return narrowed(x, f"{name}: the inputs"), kind


def _scaled(x: np.ndarray, mean: np.ndarray, std: np.ndarray, name: str) -> np.ndarray:
    with np.errstate(over="ignore"):
        scaled: np.ndarray = (x - mean) / std
    if not np.isfinite(scaled).all():
        raise DataError(f"{name}: the inputs hold numbers too large beside those of training")
    return scaled


def _kind(x: np.ndarray) -> str:
    byte, whole = x.dtype == np.uint8, x.dtype.kind in "iu"
    if (x.ndim == 3 and byte) or (x.ndim == 4 and (byte or x.dtype.kind == "f")):
        return "images"
    if x.ndim == 2 and whole and not byte and x.shape[1] > 1 and x.min() >= 0:
        return "text"
    return "table" if x.ndim <= 2 else "arrays"


def _stats(x: np.ndarray, kind: str) -> PyTree:
    if kind == "images" and x.dtype == np.uint8:
        mean, std = moments(x)
    elif kind == "images":
        mean, std = column_moments(x)
    else:
        return ()
    return {"mean": mean, "std": std}


def _tokens(name: str, *texts: np.ndarray) -> tuple[str, ...]:
    last = max(int(text.max()) for text in texts)
    if last >= _MAX_TOKENS:
        raise DataError(f'{name}: token {last} is too large for a text; give kind="table"')
    return tuple(str(token) for token in range(last + 1))


def _given_test(test: Any, x: np.ndarray, kind: str, name: str) -> tuple[np.ndarray, np.ndarray]:
    if len(test) != 2:
        raise DataError(f"{name}: test must be a pair (inputs, labels) or a share")
    what = f"{name}: test"
    test_x, _ = _inputs(test[0], kind, what)
    labels = plain(test[1], f"{what}: the labels")
    same_length(what, inputs=test_x, labels=labels)
    if test_x.shape[1:] != x.shape[1:]:
        raise DataError(
            f"{name}: train inputs are {x.shape[1:]} each but test inputs {test_x.shape[1:]}"
        )
    return test_x.astype(x.dtype, copy=False), labels


def _joined(labels: np.ndarray, test_labels: np.ndarray, name: str) -> np.ndarray:
    if labels.shape[1:] != test_labels.shape[1:]:
        raise DataError(
            f"{name}: train labels have shape {labels.shape} but test labels {test_labels.shape}"
        )
    if (labels.dtype.kind == "U") != (test_labels.dtype.kind == "U"):
        raise DataError(f"{name}: train labels are {labels.dtype}, test labels {test_labels.dtype}")
    return np.concatenate([labels, test_labels])


def _rare(values: np.ndarray, rows: np.ndarray, names: tuple[str, ...]) -> list[str]:
    counts, trained = (np.bincount(v, minlength=len(names)) for v in (values, values[rows]))
    once = [names[c] for c in np.flatnonzero(counts == 1) if trained[c]]
    never = [names[c] for c in np.flatnonzero((trained == 0) & (counts > 0))]
    notes = []
    if once:
        notes.append(f"{_named(once)} only once, so in training and not in the test")
    if never:
        notes.append(f"{_named(never)} in the test alone, so it cannot be learnt")
    return notes


def _named(classes: list[str]) -> str:
    few = ", ".join(repr(name) for name in classes[:5])
    more = f" and {len(classes) - 5} more" if len(classes) > 5 else ""
    return f"there are labels ({few}{more}) that occur"
