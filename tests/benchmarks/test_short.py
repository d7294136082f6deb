"""The short forms of benchmarks: they run, and their tables hold what they say."""

import re

import jax
import numpy as np
import pandas as pd
import pytest

from benchmarks import gradient_marketplace, leaks, mass_leaks

NUMBER = r"-?\d+\.\d\d"
INTERVAL = re.compile(rf"({NUMBER}) \(({NUMBER}) to ({NUMBER})\)")


def lines_of(text):
    """The rows of a Markdown table, without its head."""
    return [line for line in text.splitlines() if line.startswith("|")][2:]


@pytest.mark.slow  # compiles a market
def test_one_configuration_of_a_gradient_marketplace(tmp_path, capsys):
    path = tmp_path / "rows.csv"
    only = ["--tasks", "breast_cancer", "--only", "FLTrust", "sign flip", "honest"]
    gradient_marketplace.main([*only, "--seeds=2", "--rounds=10", "--apart=0", f"--out={path}"])
    rows = pd.read_csv(path)
    assert len(rows) == 2 and set(rows["defence"]) == {"FLTrust"}
    assert rows["test_metric"].between(0.6, 1).all()
    assert (rows["bad_selection_rate"] < rows["honest_selection_rate"]).all()  # turned updates
    thirds = [f"{who}_{part}" for who in ("honest", "bad") for part in ("first", "last")]
    assert rows[thirds].apply(lambda column: column.between(0, 1)).all(axis=None)
    assert (rows["bad_first"] < rows["honest_first"]).all()
    (line,) = lines_of(capsys.readouterr().out)
    assert line.startswith("| breast_cancer | FLTrust | sign flip | honest |")


def test_an_unknown_number_of_rounds_is_refused():
    with pytest.raises(SystemExit):
        gradient_marketplace.main(["--rounds=15"])


def test_leaks_of_a_table(capsys):
    leaks.main(["--tasks", "breast_cancer", "--noise", "--examples=2"])
    (line,) = lines_of(capsys.readouterr().out)
    model, update, content = (tuple(map(float, found)) for found in INTERVAL.findall(line))
    assert model[1] <= model[0] <= model[2] and update[0] > 0.05
    assert content[0] > 0.9


@pytest.mark.slow  # compiles a sampler's market
def test_what_the_mass_of_a_few_worlds_tells(capsys):
    mass_leaks.main(["--worlds=4", "--rounds=10", "--samplers", "osmd"])
    lines = lines_of(capsys.readouterr().out)
    assert len(lines) == len(mass_leaks.PROPERTIES)
    for line in lines:
        for mean, low, high in INTERVAL.findall(line):
            assert -1 <= float(mean) <= 1 and float(low) <= float(mean) <= float(high)


def test_the_observer_finds_what_is_there_and_nothing_else():
    rng = np.random.default_rng(0)
    has = rng.permuted(np.tile(np.arange(20) < 10, (40, 1)), axis=1)
    plain = rng.normal(size=(40, 20, 3))
    told = plain + 3 * has[..., None]
    assert mass_leaks.advantage(told, has)[0] > 0.9
    mean, low, high = mass_leaks.advantage(plain, has)
    assert low < 0.05 and high > -0.05 and abs(mean) < 0.15


@pytest.mark.parametrize("kind, change", [(0, "class"), (1, "two"), (2, "noise"), (3, "one")])
def test_holdings_have_the_property_they_say(kind, change):
    labels = np.arange(1400) % 10
    has = np.arange(mass_leaks.SELLERS) < 10
    rows, given = jax.jit(mass_leaks.holdings)(jax.random.key(0), labels, has, kind)
    own, given = labels[np.asarray(rows)], np.asarray(given)
    wrong = (own != given).sum(1)
    if change == "class":
        assert not (own[10:] == 0).any() and (own[:10] == 0).mean() > 0.2
    elif change == "two":
        assert max(len(set(row)) for row in own[:10]) == 2
        assert min(len(set(row)) for row in own[10:]) > 5
    elif change == "noise":
        assert 5 < wrong[:10].mean() < 25
    else:
        assert (wrong[:10] == 1).all()
    assert not wrong[10:].any()
