"""Tables and texts by name: the embedded ones, and the real files, whole and damaged."""

import numpy as np
import pytest

from d2m_jax.data import DataError, build, load, shared_in
from d2m_jax.data.tables import HEART_FILES
from d2m_jax.data.texts import TREC_FILES, WINDOW


@pytest.mark.parametrize(
    ("name", "rows", "columns", "classes"),
    [("breast_cancer", 569, 30, 2), ("wine", 178, 13, 3), ("diabetes", 442, 10, 0)],
)
def test_tables_of_scikit_learn(name, rows, columns, classes):
    data = load(name)
    assert data.kind == "table" and data.name == name
    assert data.num_train + data.num_test == rows and len(data.class_names) == classes
    assert data.train["inputs"].shape[1] == columns == len(data.columns)
    np.testing.assert_allclose(data.train["inputs"].mean(0), 0, atol=1e-4)
    assert shared_in(data) == 0


def test_a_line_learns_the_tables():
    """Least squares on the inputs as they come: the labels belong to their rows."""
    for name, least in (("breast_cancer", 0.9), ("wine", 0.9), ("diabetes", 0.3)):
        data = load(name)
        x = np.c_[data.train["inputs"], np.ones(data.num_train)]
        y = data.train["labels"]
        y = y if y.dtype == np.float32 else np.eye(len(data.class_names))[y]
        outputs = np.c_[data.test["inputs"], np.ones(data.num_test)] @ np.linalg.lstsq(x, y)[0]
        truth = data.test["labels"]
        if truth.dtype == np.float32:
            quality = 1 - ((outputs - truth) ** 2).mean() / truth.var()
        else:
            quality = (outputs.argmax(1) == truth).mean()
        assert quality > least


# --------------------------------------------------------------------------------- heart disease


def test_heart_disease_has_four_hospitals(data_dir):
    data = load("heart_disease", data_dir)
    assert data.client_names == ("cleveland", "hungarian", "switzerland", "va")
    held = np.bincount(data.clients)
    assert (held + [61, 58, 25, 40]).tolist() == [303, 294, 123, 200] and data.num_test == 184
    ill = np.array([data.train["labels"][data.clients == c].sum() for c in range(4)])
    np.testing.assert_allclose(ill / held, [139 / 303, 106 / 294, 115 / 123, 149 / 200], atol=0.01)
    assert np.isfinite(data.train["inputs"]).all() and "chol missing" in data.columns
    missing = data.train["inputs"][:, data.columns.index("chol missing")]
    assert missing[data.clients == 2].all() and missing.sum() == missing[data.clients > 0].sum()
    world = build(data, num_sellers=4, partition="clients", num_validation=40)
    assert world.sizes.sum() == 696 and world.sizes.tolist() < held.tolist()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text[: text.rindex("\n", 0, -1) + 1], "rows is 302 instead of 303"),
        (lambda text: text.replace("63.0,1.0", "64.0,1.0", 1), "total is 180794.0 instead of"),
        (lambda text: text.replace("63.0,1.0", "?,1.0", 1), "missing is 7 instead of 6"),
        (lambda text: text.replace("63.0,", "abc,", 1), "is damaged"),
        (lambda text: "", "rows is 0 instead of 303"),
    ],
    ids=range(5),
)
def test_a_damaged_hospital_is_refused(data_dir, tmp_path, change, message):
    for file in HEART_FILES:
        text = (data_dir / "heart_disease" / file).read_text()
        (tmp_path / file).write_text(change(text) if "cleveland" in file else text)
    with pytest.raises(DataError, match=rf"processed.cleveland.data .*{message}") as caught:
        load("heart_disease", tmp_path)
    assert "\n" not in str(caught.value)


def test_missing_files_are_named(tmp_path):
    with pytest.raises(DataError, match=r"put processed.cleveland.data, .* into .*heart_disease"):
        load("heart_disease", tmp_path)
    with pytest.raises(DataError, match=r"'shakespeare': put input.txt into"):
        load("shakespeare", tmp_path)
    with pytest.raises(DataError, match=r"'trec': put its files into <data_dir>/trec"):
        load("trec")


# --------------------------------------------------------------------------------------- texts


def spoken_by(role, text):
    blocks = text.strip().replace("\n\n\n", "\n\n").split("\n\n")
    return "\n".join(b.partition("\n")[2] for b in blocks if b.startswith(f"{role}:\n"))


def test_shakespeare_is_roles_in_order(data_dir):
    data = load("shakespeare", data_dir)
    text = (data_dir / "shakespeare" / "input.txt").read_text()
    assert len(data.class_names) == 65 and len(data.client_names) == 99
    assert data.columns == data.class_names
    assert data.train["inputs"].shape[1:] == data.train["labels"].shape[1:] == (WINDOW,)
    np.testing.assert_array_equal(data.train["inputs"][:, 1:], data.train["labels"][:, :-1])
    role = data.client_names.index("ROMEO")
    first = data.train["inputs"][np.flatnonzero(data.clients == role)[0]]
    assert "".join(data.class_names[token] for token in first) == spoken_by("ROMEO", text)[:WINDOW]
    assert shared_in(data) == 0


def test_no_two_windows_of_shakespeare_overlap(data_dir):
    """Windows of a role, put together, are its text: nothing occurs twice."""
    data = load("shakespeare", data_dir)
    text = (data_dir / "shakespeare" / "input.txt").read_text()
    windows = np.c_[data.train["inputs"], data.train["labels"][:, -1:]]
    for role, name in enumerate(data.client_names):
        taken = "".join(data.class_names[token] for token in windows[data.clients == role].ravel())
        speech = spoken_by(name, text)
        assert speech.startswith(taken) and 0.75 < len(taken) / len(speech) < 0.82
    total = (data.num_train + data.num_test) * (WINDOW + 1)
    assert 0.99 < total / sum(len(spoken_by(name, text)) for name in data.client_names) < 1


@pytest.mark.parametrize("change", [lambda text: text[:-1], lambda text: text.replace("Q", "q")])
def test_a_damaged_shakespeare_is_refused(data_dir, tmp_path, change):
    text = (data_dir / "shakespeare" / "input.txt").read_text()
    (tmp_path / "input.txt").write_text(change(text))
    with pytest.raises(DataError, match=r"input.txt is not the published text"):
        load("shakespeare", tmp_path)


def test_trec_is_six_kinds_of_questions(data_dir):
    data = load("trec", data_dir)
    assert (data.num_train, data.num_test) == (5452 - 11, 500)
    assert len(data.class_names) == 6 and len(data.columns) == 2000
    assert data.train["inputs"].max() == 1999 and data.train["inputs"].shape[1] == 20
    words = [data.columns[token] for token in data.train["inputs"][0]]
    assert words[:5] == ["how", "did", "<unknown>", "<unknown>", "in"]
    assert data.class_names[data.train["labels"][0]] == "description"
    assert data.test["labels"][0] == data.class_names.index("number")
    padded = data.train["inputs"] == 0
    assert (np.diff(padded.astype(int), axis=1) >= 0).all()  # padding comes last
    assert shared_in(data) == 0


def test_a_damaged_trec_is_refused(data_dir, tmp_path):
    for file in TREC_FILES:
        lines = (data_dir / "trec" / file).read_bytes().splitlines(keepends=True)
        (tmp_path / file).write_bytes(b"".join(lines[1:]))
    with pytest.raises(DataError, match=r"train_5500.label is not the published file"):
        load("trec", tmp_path)
    (tmp_path / TREC_FILES[0]).write_text("WHO:x who ?\n")
    with pytest.raises(DataError, match="line 1 is no question with its kind"):
        load("trec", tmp_path)
