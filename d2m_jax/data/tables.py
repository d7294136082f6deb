"""Named tables: three of scikit-learn's, built in, and the heart disease data of four hospitals.

Host only; pandas and scikit-learn are imported when called. Not here: how columns become inputs
(`frame.py`), who looks tables up (`sources.py`).
"""

from __future__ import annotations

import pathlib
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from d2m_jax.core.dataset import DataError, Dataset
from d2m_jax.data.archives import find_all
from d2m_jax.data.frame import from_frame

if TYPE_CHECKING:
    import pandas as pd


def read_sklearn(name: str) -> Dataset:
    """Returns "breast_cancer" or "wine" (classes), or "diabetes" (numbers), a fifth held out.

    Source: Street, Wolberg and Mangasarian, 1993; Forina et al., 1988 (both UCI); Efron et al.,
    Least Angle Regression, 2004. The files lie in the scikit-learn wheel.
    """
    from sklearn import datasets

    bunch = getattr(datasets, f"load_{name}")(as_frame=True)
    frame = bunch.frame
    numeric = name == "diabetes"
    dataset = from_frame(frame, "target", task="numbers" if numeric else "classes", name=name)
    names = () if numeric else tuple(str(target) for target in bunch.target_names)
    return dataset._replace(class_names=names)


class Hospital(NamedTuple):
    """What is known of one hospital's file, to recognise a damaged copy."""

    rows: int
    ill: int  # rows with num > 0
    missing: int  # question marks
    total: float  # of all known values


HOSPITALS = {
    "cleveland": Hospital(303, 139, 6, 180793.0),
    "hungarian": Hospital(294, 106, 782, 163549.3),
    "switzerland": Hospital(123, 115, 273, 38968.5),
    "va": Hospital(200, 149, 698, 85803.2),
}
HEART_FILES = tuple(f"processed.{hospital}.data" for hospital in HOSPITALS)
_HEART_COLUMNS = (
    *("age", "sex", "cp", "trestbps", "chol", "fbs", "restecg", "thalach", "exang", "oldpeak"),
    *("slope", "ca", "thal", "num"),
)
_HEART_LEVELS = ("cp", "restecg", "slope", "thal")
_NEVER_ZERO = ("trestbps", "chol")


def read_heart_disease(folder: pathlib.Path) -> Dataset:
    """Reads the four hospitals' patients: who has a narrowed artery (num > 0), 920 rows.

    The hospitals are the natural clients; a fifth of each is the test, stratified. Values that are
    missing become medians of the training rows, with a column that says so. A blood pressure or
    cholesterol of zero is taken as missing.

    Args:
        folder: with `heart_disease/` or the four files themselves.

    Raises:
        DataError: a file is missing or is not the published one.

    Source: Detrano et al., 1989; Janosi, Steinbrunn, Pfisterer and Detrano, Heart Disease, UCI.
    """
    import pandas as pd

    paths = find_all("heart_disease", folder, HEART_FILES)
    tables = [_read_hospital(path, name) for path, name in zip(paths, HOSPITALS)]
    frame = pd.concat(tables, ignore_index=True)
    zeros = sum(int((frame[column] == 0).sum()) for column in _NEVER_ZERO)
    for column in _NEVER_ZERO:
        frame[column] = frame[column].where(frame[column] != 0)
    for column in _HEART_LEVELS:
        frame[column] = frame[column].astype("Int64").astype("category")
    dataset = from_frame(frame, "num", client="hospital", name="heart_disease")
    note = f"{zeros} zeros of blood pressure (trestbps) and cholesterol (chol) are taken as missing"
    return dataset._replace(class_names=("healthy", "ill"), notes=(note, *dataset.notes))


def _read_hospital(path: pathlib.Path, name: str) -> pd.DataFrame:
    """Returns one hospital's rows with the column `hospital`, label `num` as a boolean."""
    import pandas as pd

    try:
        frame = pd.read_csv(path, names=_HEART_COLUMNS, na_values="?", index_col=False)
        values = frame.to_numpy(np.float64)
    except (OSError, ValueError) as error:  # ValueError: of pandas, of decoding, of numbers
        raise DataError(
            f"{path} is damaged ({str(error).splitlines()[0]}); fetch it again"
        ) from None
    found = Hospital(
        len(frame),
        int((frame["num"] > 0).sum()),
        int(np.isnan(values).sum()),
        round(float(np.nansum(values)), 3),
    )
    for what, seen, known in zip(Hospital._fields, found, HOSPITALS[name]):
        if seen != known:
            raise DataError(
                f"{path} is not the published file of {name}: {what} is {seen} instead of {known}"
            )
    return frame.assign(num=frame["num"] > 0, hospital=name)
