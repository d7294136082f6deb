"""Labels of any sort, coded: classes, numbers, sets of labels, one label per position of a text.

Host only. Read next: `arrays.py`, which puts inputs beside them.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from d2m_jax.core.dataset import DataError

TASKS = ("auto", "classes", "numbers")
_MAX_CODED = 20  # whole numbers with at most so many values are classes when nobody says which
_NUM_BINS = 10
_MAX_SETS = 50


class Labels(NamedTuple):
    """Labels of T examples as a task wants them."""

    values: (
        np.ndarray
    )  # [T] int32 classes; [T] or [T, K] float32; [T, L] float32 sets; [T, S] int32
    strata: np.ndarray  # [T] int32
    class_names: tuple[str, ...]  # empty: numbers
    numeric: bool


def code_labels(
    labels: np.ndarray, class_names: Sequence[str] | None, task: str, per_position: bool, what: str
) -> Labels:
    """Returns labels as classes 0 .. L-1, as float32 numbers, or as sets of labels.

    Args:
        labels: [T] integers, strings or booleans are classes; [T] or [T, K] floats are numbers;
            [T, L] zeros and ones are sets of L labels; [T, S] integers with `per_position` are a
            class for each position.
        class_names: L names. Labels that are 0 .. L-1 keep their number, so a class may be absent;
            others are coded in their order, which needs exactly L values.
        task: "auto", or "classes" or "numbers" against what the dtype says.
        per_position: whether [T, S] integers belong to the S positions of a text.
        what: of the data set, for messages.

    Raises:
        DataError: labels that are missing, not finite, of one class, or of no known sort.
    """
    if task not in TASKS:
        raise DataError(f"{what}: task must be one of {', '.join(TASKS)}, not {task!r}")
    labels = plain(labels, f"{what}: the labels")
    if labels.ndim not in (1, 2) or (labels.ndim == 2 and labels.shape[1] == 0):
        raise DataError(f"{what}: the labels must be [T] or [T, L], not of shape {labels.shape}")
    if task == "numbers" or (task == "auto" and labels.dtype.kind == "f" and not _is_sets(labels)):
        return _numbers(labels, what)
    if labels.ndim == 2 and not per_position:
        return _sets(labels, class_names, what)
    values, names = _classes(labels, class_names, what)
    strata = values if labels.ndim == 1 else np.zeros(len(values), np.int32)
    return Labels(values, strata, names, False)


def plain(array: np.ndarray, what: str) -> np.ndarray:
    """Returns an array of numbers, booleans or strings; object arrays are converted or refused.

    Raises:
        DataError: it holds other things, is empty, or has numbers that are not finite.
    """
    if isinstance(array, np.ma.MaskedArray) and np.ma.is_masked(array):
        raise DataError(f"{what} have masked values; leave those examples out or fill them in")
    array = _unboxed(array, what)
    if array.dtype.kind not in "biufU" and array.dtype.name != "bfloat16":
        raise DataError(f"{what} must be numbers, booleans or text, not {array.dtype}")
    if array.ndim == 0 or array.size == 0:
        raise DataError(f"{what} are empty: shape {array.shape}")
    if array.dtype.kind not in "biuU":
        bad = ~np.isfinite(array.reshape(len(array), -1)).all(1)
        if bad.any():
            raise DataError(
                f"{what} are NaN or infinite in {bad.sum()} of {len(bad)} examples; leave those "
                "examples out or fill them in"
            )
    return array


def classes_are_numbers(labels: np.ndarray) -> bool:
    """Whether whole numbers have so many values that they are rather numbers than classes."""
    return len(np.unique(labels)) > _MAX_CODED


def standardized(values: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, str]:
    """Returns (values - mean) / deviation of the training `rows` [T] or [T, K], and a sentence."""
    known = values[rows].astype(np.float64)
    mean = known.mean(0)
    std = np.where(known.max(0) > known.min(0), known.std(0), 1.0)
    text = " and ".join(f"{np.array2string(np.asarray(x), precision=6)}" for x in (mean, std))
    note = f"the labels are standardised by mean and deviation of the training examples, {text}"
    return ((values - mean) / std).astype(np.float32), note


def quantile_bins(values: np.ndarray) -> np.ndarray:
    """Returns up to 10 bins [T] int32 of about equal size; equal values share a bin."""
    cuts = np.unique(np.quantile(values, np.linspace(0, 1, _NUM_BINS + 1)[1:-1]))
    _, bins = np.unique(np.searchsorted(cuts, values, side="left"), return_inverse=True)
    return bins.astype(np.int32)


# ------------------------------------------------------------------------------------ helpers


def _unboxed(given: Any, what: str) -> np.ndarray:
    """An array; objects of one sort of plain values as an array of that sort."""
    try:
        array: np.ndarray = np.asarray(given)
    except ValueError:
        raise DataError(f"{what} are ragged: every example must have the same shape") from None
    if array.dtype != object:
        return array
    values = array.ravel().tolist()
    found: Any = array.tolist()
    for kind in (str, bool, int, int | float):
        if all(isinstance(value, kind) for value in values):
            return np.array(found)
    names = ", ".join(sorted({type(value).__name__ for value in values}))
    raise DataError(f"{what} are an array of objects ({names}); give numbers, booleans or text")


def _is_sets(labels: np.ndarray) -> bool:
    return labels.ndim == 2 and labels.shape[1] > 1 and bool(np.isin(labels, (0, 1)).all())


def _numbers(labels: np.ndarray, what: str) -> Labels:
    if labels.dtype.kind == "U":
        raise DataError(f"{what}: the labels are text, which cannot be learnt as numbers")
    flat = labels[:, 0] if labels.shape[1:] == (1,) else labels
    with np.errstate(over="ignore"):
        values: np.ndarray = flat.astype(np.float32)
    if not np.isfinite(values).all():
        raise DataError(f"{what}: some labels are too large for float32")
    if (values == values[:1]).all():
        raise DataError(f"{what}: all labels are {values.ravel()[0]:g}, there is nothing to learn")
    strata = quantile_bins(values) if values.ndim == 1 else np.zeros(len(values), np.int32)
    return Labels(values, strata, (), True)


def _sets(labels: np.ndarray, class_names: Sequence[str] | None, what: str) -> Labels:
    if labels.shape[1] == 1:
        return code_labels(labels[:, 0], class_names, "classes", False, what)
    if labels.dtype.kind == "U" or not np.isin(labels, (0, 1)).all():
        raise DataError(
            f"{what}: labels of shape {labels.shape} must be zeros and ones (sets of labels), "
            "floats (numbers), or one label for each position of a text of the same shape"
        )
    names = tuple(str(name) for name in class_names or range(labels.shape[1]))
    if len(names) != labels.shape[1]:
        raise DataError(f"{what}: {len(names)} class_names for labels of shape {labels.shape}")
    sets, which = np.unique(labels, axis=0, return_inverse=True)
    few = len(sets) <= _MAX_SETS
    strata = which.reshape(-1).astype(np.int32) if few else np.zeros(len(labels), np.int32)
    return Labels(labels.astype(np.float32), strata, names, False)


def _classes(
    labels: np.ndarray, class_names: Sequence[str] | None, what: str
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Returns classes [T] or [T, S] int32 and the L names."""
    found, codes = np.unique(labels, return_inverse=True)
    codes = codes.reshape(labels.shape).astype(np.int32)
    if len(found) < 2:
        raise DataError(f"{what}: all labels are {found[0]}, there is nothing to learn")
    if class_names is None and len(found) > max(_MAX_CODED, len(labels) // 2):
        raise DataError(
            f"{what}: {len(labels)} examples have {len(found)} different labels, which are no "
            "classes; give numbers as floats"
        )
    if class_names is None:
        is_float = found.dtype.kind == "f"
        return codes, tuple(f"{value:g}" if is_float else str(value) for value in found)
    names = tuple(str(name) for name in class_names)
    if len(set(names)) != len(names):
        raise DataError(f"{what}: class_names has a name twice")
    if found.dtype.kind in "iuf" and found[0] >= 0 and found[-1] < len(names):
        if (found == np.floor(found)).all():
            return labels.astype(np.int32), names
    elif found.dtype.kind == "U" and set(found) <= set(names):
        return np.array([names.index(value) for value in found], np.int32)[codes], names
    if len(found) != len(names):
        raise DataError(
            f"{what}: the labels have {len(found)} values, {found[0]} to {found[-1]}, but there "
            f"are {len(names)} classes"
        )
    return codes, names
