"""A file that the package has never seen becomes a market, or one sentence."""

import csv
import random

import pytest

from d2m_jax.cli import run_market

HEADER = ["a", "b", "colour", "note", "const", "y", "clinic"]


def rows(count, labels=("yes", "no"), seed=0):
    """Two numbers that decide the label, a category, a text, a constant, an owner."""
    rng = random.Random(seed)
    words = ["tired", "cough", "fever", "pain", "well"]
    made = []
    for i in range(count):
        a, b = rng.gauss(0, 1), rng.gauss(0, 1)
        note = " ".join(rng.choices(words, k=6)) + f" {i}"
        label = labels[int(a + b > 0)]
        made.append([a, b, rng.choice(["red", "blue"]), note, "same", label, f"h{i % 4}"])
    return made


def write(path, table):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([HEADER, *table])
    return path


def play(path, *flags):
    out = path.parent / "out"
    run_market.main(
        ["run_market.py", f"--data={path}", "--label=y", "--client=clinic", f"--out={out}", *flags]
    )
    return out


@pytest.mark.slow
def test_missing_values_texts_constants_and_a_rare_label(tmp_path, capsys):
    table = rows(240, labels=(1, 2))
    for i in range(0, 240, 7):
        table[i][0] = ""
    table[5][5] = 3  # a label that occurs once
    table[9][5] = ""
    out = play(
        write(tmp_path / "odd.csv", table),
        *("--config.spec.num_rounds=4", "--config.spec.eval_every=2"),
    )
    said = " ".join(capsys.readouterr().out.split())
    for note in (
        "column 'a' lacks",
        "column 'const' is left out",
        "column 'note' is text",
        "1 of 240 rows have no label",
        "occur only once",
        "4 sellers (all honest)",
    ):
        assert note in said, said
    assert (out / "ledger.json").exists() and (out / "model.safetensors").exists()


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        (rows(100, labels=("yes", "yes")), "all labels are yes, there is nothing to learn"),
        (rows(2), "2 examples are too few"),
        ([], "the table is empty"),
    ],
    ids=["one class", "two rows", "no rows"],
)
def test_what_is_no_market_is_one_sentence(table, sentence, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        play(write(tmp_path / "small.csv", table))
    said = capsys.readouterr().err.strip()
    assert ended.value.code == 1 and sentence in said and said.count("\n") == 0, said


@pytest.mark.parametrize("flag", ["label", "client"])
def test_columns_without_a_file_are_refused(flag, capsys, tmp_path):
    with pytest.raises(SystemExit):
        run_market.main(["run_market.py", f"--{flag}=y", f"--out={tmp_path / 'out'}"])
    said = capsys.readouterr().err.strip()
    assert said == f"error: --{flag} names a column of --data, and there is none"
    assert not (tmp_path / "out").exists()
