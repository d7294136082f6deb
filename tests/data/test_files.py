"""`from_file`: every suffix gives the same data, every fault one sentence."""

import time

import numpy as np
import pandas as pd
import pytest

from d2m_jax.data import DataError, from_file, from_frame

RNG = np.random.default_rng(0)
FRAME = pd.DataFrame(
    {
        "age": RNG.integers(20, 80, 50),
        "city": np.array(["Graz", "Wien"])[np.arange(50) % 2],
        "ward": np.arange(50) % 5,
        "ill": np.arange(50) // 2 % 2,
    }
)


def written(folder, suffix, frame=FRAME):
    path = folder / f"t{suffix}"
    if suffix == ".parquet":
        frame.to_parquet(path)
    else:
        frame.to_csv(path, index=False, sep="\t" if suffix.startswith(".tsv") else ",")
    return path


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".csv.gz", ".parquet", ".CSV"])
def test_tables(tmp_path, suffix):
    read = from_file(written(tmp_path, suffix), "ill", client="ward", seed=2)
    direct = from_frame(FRAME, "ill", client="ward", seed=2)
    np.testing.assert_array_equal(read.train["inputs"], direct.train["inputs"])
    np.testing.assert_array_equal(read.test["labels"], direct.test["labels"])
    assert read.columns == direct.columns and read.name == f"t{suffix}"
    np.testing.assert_array_equal(read.clients, direct.clients)


def test_question_marks_are_missing_and_semicolons_separate(tmp_path):
    lines = ["a;y", *(f"{'?' if k == 4 else k};{k % 2}" for k in range(20))]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    data = from_file(tmp_path / "t.csv", "y", test=0.2)
    assert data.columns[0] == "a" and data.num_train == 16


def test_a_hundred_thousand_rows_load_in_seconds(tmp_path):
    rows = 100_000
    frame = pd.DataFrame({f"c{k}": RNG.integers(0, 1000, rows) for k in range(8)})
    frame["word"] = np.array(list("abcdef"))[frame["c0"] % 6]
    frame["y"] = frame["c1"] % 3
    path = written(tmp_path, ".csv", frame)
    start = time.perf_counter()
    assert from_file(path, "y").num_train == 80_000
    assert time.perf_counter() - start < 20


def test_arrays(tmp_path):
    inputs, labels = RNG.normal(size=(30, 4)), np.arange(30) % 2 + 1
    owners = np.array(["x", "y", "z"])[np.arange(30) % 3]
    np.savez(tmp_path / "a.npz", inputs=inputs, labels=labels, clients=owners)
    data = from_file(tmp_path / "a.npz")
    assert (data.num_train, data.num_test, data.class_names) == (24, 6, ("1", "2"))
    assert data.client_names == ("x", "y", "z")
    np.savez(
        tmp_path / "b.npz",
        inputs=inputs,
        target=labels,
        test_inputs=inputs[:7],
        test_labels=labels[:7],
        class_names=np.array(["no", "yes"]),
    )
    data = from_file(tmp_path / "b.npz", "target")
    assert (data.num_train, data.num_test, data.class_names) == (30, 7, ("no", "yes"))
    assert from_file(tmp_path / "a.npz", task="numbers").class_names == ()


def test_a_path_may_lie_in_the_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    written(tmp_path, ".csv")
    assert from_file("~/t.csv", "ill").num_train == 40


@pytest.mark.parametrize(
    ("file", "content", "label", "message"),
    [
        ("none.csv", None, "y", "no file .*none.csv"),
        ("t.xlsx", b"PK", "y", r"none of the files known here: \.csv, \.tsv, .*\.npz"),
        ("t.csv", b"age,ill\n1,2\n", "il", r"t.csv: there is no column 'il' \(did you mean 'ill'"),
        ("t.csv", b"age,ill\n1,2\n", None, "say which column is the label: age, ill"),
        ("t.csv", b"", "y", "cannot be read as csv"),
        ("t.csv", b"a,y\n1,2\n1,2,3\n", "y", "cannot be read as csv"),
        ("t.csv", b"a,y\n\xff\xfe,2\n", "y", "cannot be read as csv"),
        ("t.csv.gz", b"not gzip", "y", "cannot be read as csv.gz"),
        ("t.parquet", b"nonsense", "y", "cannot be read as parquet"),
        ("t.npz", b"nonsense", None, "cannot be read as npz"),
        ("t.npz", b"PK\x03\x04", None, "cannot be read as npz"),
    ],
    ids=range(11),
)
def test_a_bad_file_is_one_sentence(tmp_path, file, content, label, message):
    if content is not None:
        (tmp_path / file).write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        from_file(tmp_path / file, label)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"input": np.ones(9), "labels": np.ones(9)}, r"no column 'inputs' \(did you mean 'input'"),
        ({"inputs": np.ones(9), "labels": np.ones(9), "x": np.ones(9)}, "unknown array 'x'"),
        ({"inputs": np.ones(9), "labels": np.ones(9), "test_labels": np.ones(2)}, "come together"),
        ({"inputs": np.array([{}] * 9), "labels": np.ones(9)}, "cannot be read as npz"),
    ],
)
def test_a_bad_npz(tmp_path, arrays, message):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(DataError, match=message):
        from_file(tmp_path / "a.npz")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a,b,y\n1,2,0,9\n1,2,1,9\n", "a row has more fields than the 3 of the header"),
        ("a,a,y\n1,2,0\n1,2,1\n", "two columns are called 'a'"),
        ("a;a;y\n1;2;0\n1;2;1\n", "two columns are called 'a'"),
    ],
)
def test_rows_and_header_must_fit(text, sentence, tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=sentence):
        from_file(path, "y")
