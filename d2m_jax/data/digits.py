"""The built-in data set: scikit-learn's 1,797 handwritten digits, 8 x 8, values 0 to 16.

Real, tiny, inside the scikit-learn wheel: nothing to download. Read next: `sources.py`.
"""

import importlib.util
import pathlib

import numpy as np

from d2m_jax.data.raw import OFFICIAL, ImageArrays

_TEST_EVERY = 5


def _table() -> np.ndarray:
    """[1797, 65]: pixels and label. Found without importing scikit-learn, which takes a second."""
    found = importlib.util.find_spec("sklearn")
    file = pathlib.Path((found and found.origin) or "").parent / "datasets/data/digits.csv.gz"
    if file.is_file():
        return np.loadtxt(file, delimiter=",")
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return np.concatenate([bunch.data, bunch.target[:, None]], axis=1)


def read_digits() -> ImageArrays:
    """Returns the digits with a fixed stratified split: 1,442 train, 355 test.

    The fifth, tenth, ... image of every class, in the order of the source, is a test image, so
    the split needs no random numbers and never changes. Writers of the images are not known, so
    train and test may share them. Pixels stay in the source's units, 0 to 16.

    Source: Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, 1998 (UCI), test part.
    """
    table = _table()
    images = table[:, :-1].astype(np.uint8).reshape(-1, 8, 8, 1)
    labels = table[:, -1].astype(np.int32)
    is_test = np.zeros(len(labels), dtype=bool)
    for label in range(10):
        is_test[np.flatnonzero(labels == label)[_TEST_EVERY - 1 :: _TEST_EVERY]] = True
    return ImageArrays(
        "digits",
        images[~is_test],
        labels[~is_test],
        images[is_test],
        labels[is_test],
        OFFICIAL["digits"].class_names,
    )
