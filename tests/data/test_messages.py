"""Data that make no sense are named in one sentence, and numpy says nothing beside it."""

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from d2m_jax import data
from d2m_jax.config.spec import DataSpec
from d2m_jax.market import deal

RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 2, 60)
SMALL = RNG.normal(size=(60, 2))
COMMAS = [f"{value:.2f}".replace(".", ",") for value in SMALL[:, 0]]


@pytest.fixture(autouse=True)
def no_warning() -> Iterator[None]:
    """Any warning fails the test."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def said_of(call: Callable[[], Any]) -> str:
    with pytest.raises(ValueError) as said:
        call()
    assert "\n" not in str(said.value)
    return str(said.value)


def test_decimal_commas_are_named(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    pd.DataFrame({"a": COMMAS, "y": LABELS}).to_csv(path, sep=";", index=False)
    said = said_of(lambda: data.from_file(path, "y"))
    assert "column 'a' writes numbers with commas, such as " in said
    few = pd.DataFrame({"a": ["1,5", "2,5", "3"] * 20, "y": LABELS})
    assert "writes numbers with commas, such as '1,5'" in said_of(lambda: data.from_frame(few, "y"))
    label = pd.DataFrame({"a": SMALL[:, 1], "y": COMMAS})
    assert "column 'y' writes numbers with commas" in said_of(lambda: data.from_frame(label, "y"))
    named = pd.DataFrame({"a": ["Bonn, west", "Bonn, east", "Mainz"] * 20, "y": LABELS})
    assert data.from_frame(named, "y").columns[0] == "a=Bonn, east"


def test_a_client_is_no_label(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": SMALL[:, 0], "y": LABELS})
    said = said_of(lambda: data.from_frame(frame, "y", client="y"))
    assert "column 'y' cannot be both the label and the client" in said
    path = tmp_path / "arrays.npz"
    np.savez(path, inputs=SMALL, labels=LABELS)
    said = said_of(lambda: data.from_file(path, client="labels"))
    assert "must be three different arrays" in said


def test_batches_hold_no_nan() -> None:
    def tree(x: np.ndarray) -> dict[str, np.ndarray]:
        return {"inputs": x.astype(np.float32), "labels": LABELS}

    gone, masked = SMALL * np.nan, np.where(SMALL > 0, SMALL, -np.inf)
    said = said_of(lambda: data.from_batches(tree(gone), tree(SMALL)))
    assert "['inputs'] are NaN in 60 of 60 examples" in said
    assert "are NaN in 60 of 60" in said_of(lambda: data.from_batches(tree(SMALL), tree(gone)))
    assert data.from_batches(tree(masked), tree(SMALL)).num_train == 60


@pytest.mark.parametrize("big", [1e39, 1e200, 1e307])
def test_huge_values_are_named_without_a_warning(big: float) -> None:
    huge = SMALL.clip(-1, 1) * [[big, 1.0]]
    frame = pd.DataFrame({"a": huge[:, 0], "b": SMALL[:, 1], "y": LABELS})
    assert "too large for float32" in said_of(lambda: data.from_arrays(huge, LABELS))
    assert "too large for float32" in said_of(lambda: data.from_arrays(SMALL, huge[:, 0]))
    assert "too large for float32" in said_of(lambda: data.from_frame(frame, "a"))
    if big > 1e100:
        said = said_of(lambda: data.from_frame(frame, "y"))
        assert "column 'a' holds numbers too large to be standardised" in said
    test = frame.assign(a=huge[:, 0])
    said = said_of(lambda: data.from_frame(frame.assign(a=SMALL[:, 0]), "y", test=test))
    assert "column 'a' holds numbers too large beside those of training" in said


def test_a_huge_test_beside_a_small_training() -> None:
    far = np.full((4, 2), 3e38, np.float32), LABELS[:4]
    said = said_of(lambda: data.from_arrays(SMALL * 1e-3, LABELS, test=far))
    assert "too large beside those of training" in said


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"num_validation": 3.5}, "num_validation must be a whole number, not 3.5"),
        ({"num_sellers": 2.5}, "num_sellers must be a whole number, not 2.5"),
        ({"num_root": True}, "num_root must be a whole number, not True"),
        ({"seed": -1}, "seed must not be negative, not -1"),
        ({"seed": "x"}, "seed must be a whole number, not 'x'"),
        ({"min_samples": 1.5}, "min_samples must be a whole number"),
        ({"max_train": 20.5}, "max_train must be a whole number"),
        ({"whole_pool": 1}, "whole_pool must be True or False, not 1"),
        ({"alpha": "x"}, "alpha must be a positive number, not x"),
    ],
)
def test_numbers_of_a_deal(changes: dict[str, Any], words: str) -> None:
    dataset = data.from_arrays(SMALL, LABELS)
    given = {"num_sellers": 2, "num_validation": 4, **changes}
    assert words in said_of(lambda: data.build(dataset, **given))


@pytest.mark.parametrize("seed", [-1, 1.5, None])
def test_the_seed_of_a_split(seed: Any) -> None:
    said = said_of(lambda: data.from_arrays(SMALL, LABELS, seed=seed))
    assert "own data: the seed of the split must" in said


def test_rows_that_a_partition_leaves_out_are_told() -> None:
    def few(seed: int, labels: np.ndarray, num_sellers: int) -> list[np.ndarray]:
        return [np.arange(10), np.arange(5, 15)]

    dataset = data.from_arrays(SMALL, LABELS)
    dealt = deal(dataset, DataSpec(partition=few, num_validation=4), 2)
    labels = np.asarray(dealt.pool["labels"])
    text = data.describe(data.report(data.seller_rows(dealt), labels))
    assert f"the partition dealt 15 of {len(labels)} rows" in text
    whole = deal(dataset, DataSpec(partition="iid", num_validation=4), 2)
    assert "dealt" not in data.describe(data.report(data.seller_rows(whole), labels))
