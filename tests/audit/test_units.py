"""An owner that holds its data in another way: what it lists, and how its income is compared."""

import functools
import types

import numpy as np
import pytest
from rich.progress import Progress

from d2m_jax import Spec, default_config, make_market, parse_config
from d2m_jax.audit.learned.sellers import owned_by
from d2m_jax.audit.settings import Settings, Stage
from d2m_jax.audit.units import (
    CROP,
    FOREIGN,
    HONEST,
    MIX,
    NOISE,
    RELABEL,
    STRATEGIES,
    Worlds,
    altered,
    audit_units,
    ratio_of,
)
from d2m_jax.cli import best_response
from d2m_jax.config.spec import DataSpec
from d2m_jax.data import load

OWNERS, SIZE = 6, 20
DATA = DataSpec(partition="iid", num_validation=200, unit_size=SIZE)


@functools.cache
def worlds(selling):
    spec = Spec(
        model="logreg",
        selling=selling,
        num_sellers=OWNERS if selling == "units" else OWNERS + 3,
        num_units=72,
        num_sampled=4,
    )
    digits = load("digits")
    return Worlds(digits, make_market(spec, digits), DATA, 2)


def test_altered_examples_follow_the_real_ones():
    digits = load("digits")
    pool, num = altered(digits.train), digits.num_train
    inputs, labels = pool["inputs"].reshape(6, num, 8, 8), pool["labels"].reshape(6, num)
    real = inputs[0].astype(float)
    assert pool["inputs"].dtype == np.uint8 and inputs.max() == 16
    assert 1.0 < (inputs[NOISE] - real).std() < 1.7
    assert (inputs[RELABEL] == inputs[0]).all() and (labels[RELABEL] != labels[0]).all()
    assert (labels[[NOISE, CROP, MIX]] == labels[0]).all()
    moves = [np.roll(real, (y, x), (1, 2)) for y, x in ((0, 1), (0, -1), (1, 0), (-1, 0))]
    inner = [(m == inputs[CROP])[:, 1:-1, 1:-1].all((1, 2)) for m in moves]
    assert np.any(inner, 0).all()
    assert abs(inputs[FOREIGN].mean() - 8) < 0.1


@pytest.mark.parametrize("selling", ["accounts", "units"])
@pytest.mark.parametrize("name", STRATEGIES)
def test_what_an_owner_lists(selling, name):
    made = worlds(selling)
    data = made.held(0, STRATEGIES[name])
    mine = made.mine(0, data) & (np.asarray(data.sizes) > 0)
    rows = np.asarray(data.rows)
    held = np.concatenate(
        [
            rows[a : a + n]
            for a, n in zip(np.asarray(data.starts)[mine], np.asarray(data.sizes)[mine])
        ]
    )
    own = np.asarray(made.dealt[0].sizes)[made.me[0]]
    times = 2 if STRATEGIES[name].adds or name == "fakes among" else 1
    if selling == "accounts":
        assert len(held) == times * own
        assert mine.sum() == (
            4
            if "four" in name
            else 1
            if times == 2 and not STRATEGIES[name].adds
            else 1
            if name == "one account"
            else 2
        )
    else:
        assert set(np.asarray(data.sizes)) == {0, SIZE}
        left = own % SIZE * times if "random" not in name else 4 * SIZE
        assert times * own - left <= len(held) <= times * own
    if "split" in name:
        assert len(np.unique(held)) == len(held) and held.max() < made.num
    others = (np.asarray(data.sizes) > 0) & ~mine
    assert others.sum() == (OWNERS - 1 if selling == "accounts" else others.sum())


def test_units_that_do_not_fit_are_refused():
    made = worlds("units")
    few = made.market.parts.spec.__class__(**{**vars(made.market.spec), "num_units": 64})
    small = make_market(few, load("digits"))
    with pytest.raises(ValueError, match=r"units and spec[.]num_units = 64: raise it"):
        Worlds(load("digits"), small, DATA, 1).held(0, STRATEGIES["copies"])


def test_the_interval_of_a_ratio_holds_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(0)
    held = []
    for _ in range(2000):
        luck = rng.normal(size=(3, 40))
        honest, mine = 10 + 3 * luck[0] + luck[1], 8 + 3 * luck[0] + 2 * luck[2]
        found = ratio_of(mine, honest)
        held.append(found.low <= 0.8 <= found.high)
        assert found.low <= found.value <= found.high
    assert abs(np.mean(held) - 0.95) < 0.02
    same = rng.normal(5, 1, 40)
    np.testing.assert_allclose(ratio_of(same, same), 1.0, atol=1e-6)
    assert ratio_of(same, rng.normal(0, 1, 40)).high == np.inf


def test_a_learned_seller_of_units_has_all_units_of_its_accounts():
    made = worlds("units")
    data = made.held(0, STRATEGIES["one account"])
    mine, owners = owned_by(data, 2), np.asarray(data.units.owners)
    assert (mine == np.isin(owners, [0, 1])).all() and mine.sum() > 10
    accounts = worlds("accounts").dealt[0]
    assert np.flatnonzero(owned_by(accounts, 2)).tolist() == [0, 1]


@pytest.mark.parametrize("name", [name for name in STRATEGIES if "split" in name])
def test_an_owner_of_fewer_units_than_accounts_loses_none(name):
    rows = np.arange(30)
    for held in (rows[:0], rows[:5], rows[:20], rows):
        parts = STRATEGIES[name].hold(np.random.default_rng(0), held, 100, SIZE)
        assert len(parts) == (4 if "four" in name else 2)
        assert sorted(np.concatenate(parts)) == held.tolist()


UNITS = {"selling": "units", "num_sellers": 6, "num_units": 100, "num_sampled": 4, "num_nodes": 8}


def flags_of(*given):
    values = best_response.flags.FlagValues()
    best_response.define(values)
    values(["best_response", *given])
    return values


def test_the_ways_to_hold_data_are_chosen_where_units_sell():
    spec, accounts = Spec(**UNITS), Spec()
    chosen = best_response.settings_of(flags_of("--strategies=copies,fakes among"), spec)
    assert chosen.strategies == ["copies", "fakes among"]
    everything = best_response.settings_of(flags_of(), spec).strategies
    assert everything == [name for name in STRATEGIES if name != HONEST]
    assert "sign_flip" in best_response.settings_of(flags_of(), accounts).strategies
    for given in ("--strategies=sign_flip", "--roles=effort", "--tune"):
        with pytest.raises(ValueError, match=r"unknown seller strategy|selling to accounts"):
            best_response.check_flags(flags_of(given), spec)
    best_response.check_flags(flags_of(), spec)
    best_response.check_flags(flags_of("--roles=effort", "--tune"), accounts)


@pytest.mark.slow  # compiles a market
def test_an_audit_plays_the_ways_it_is_asked_for_at_the_cost_it_is_told():
    spec = {**UNITS, "model": "logreg", "num_rounds": 4, "eval_every": 4, "num_buyers": 2}
    money = {"buyer_values": (900_000, 700_000), "buyer_shading_bps": (10_000,) * 2}
    data = {"partition": "dirichlet", "alpha": 0.1, "min_samples": 1, "unit_size": SIZE}
    tree = default_config(
        data={**data, "max_train": 900}, spec=spec, hparams={"tau": 0.3, "money": money}
    )
    config = parse_config(tree)
    ways = [HONEST, "split in four along units"]
    known = {"strategies": ways, "worlds": 4, "batch": 4, "training_cost": 1e8}
    settings = Settings(**{**dict.fromkeys(Settings._fields), **known})
    added = []
    audit = types.SimpleNamespace(has=lambda _: False, keep=lambda: None)
    audit.add = lambda *row: added.append(row)
    with Progress(disable=True) as progress:
        audit_units(Stage(audit, progress, settings), config, config.hparams)
    ((_, names, rows),) = added
    assert names == ["honest", "split in four along units"]
    income = rows["honest"]
    assert income.shape == (2, 4) and income.min() < -0.9e8
    drawn = np.rint(income / -1e8)
    assert (abs(income + 1e8 * drawn) < 2e6).all()  # else only money of the market
