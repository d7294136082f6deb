"""The repertoire of seller strategies, and whole markets as a game."""

import functools
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rich.progress import Progress

from d2m_jax import as_arrays
from d2m_jax.attacks import ATTACKS, AttackContext
from d2m_jax.audit import deviations, profiles
from d2m_jax.audit.evolution import Pressure, evolve, tabulate
from d2m_jax.audit.markets import Markets, add_game, income
from d2m_jax.audit.settings import Settings, Stage
from d2m_jax.audit.strategies import (
    EFFORT,
    LEAD,
    Lead,
    led,
    one_of,
    repertoire,
    searches,
    seller_strategies,
)
from d2m_jax.cone import Behaviour
from d2m_jax.config.parsing import Config
from d2m_jax.config.spec import DataSpec
from d2m_jax.ledger import wealth
from d2m_jax.report.audit import Audit
from tests.worlds import SPEC, digits, market, numbers

NAMES = ("half_effort", "sign_flip", "gaussian", "free_rider_replay", "mimic", "alie", "label_flip")
ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_every_seller_plays_its_own_strategy():
    strategies = seller_strategies(NAMES)
    order = list(strategies)
    key, updates = jax.random.key(1), jax.random.normal(jax.random.key(0), (6, 10))
    ids = jnp.array([4, 0, 7, 2, 1, 5])
    codes = np.zeros(8, np.int32)
    codes[[4, 7, 2]] = order.index("sign_flip"), order.index("alie"), order.index("gaussian")
    context = AttackContext(ids=ids, previous=jnp.ones(10), round_index=0)
    byzantine = jnp.asarray(codes[np.asarray(ids)] != 0)

    @jax.jit
    def play(codes):
        attack = repertoire(strategies, codes, {"sign_flip": {"scale": 3.0}})
        return attack.forge(key, updates, byzantine, context=context)

    got = play(codes)
    np.testing.assert_array_equal(got[jnp.array([1, 4, 5])], updates[jnp.array([1, 4, 5])])
    np.testing.assert_allclose(got[0], -3 * updates[0], rtol=1e-6)
    for row, name in ((2, "alie"), (3, "gaussian")):
        alone = ATTACKS[name].forge(
            jax.random.fold_in(key, order.index(name)),
            updates,
            jnp.arange(6) == row,
            context=context,
            **ATTACKS[name].numbers,
        )
        np.testing.assert_allclose(got[row], alone[row], rtol=1e-6)


def test_poison_by_code():
    strategies = seller_strategies(NAMES)
    order = list(strategies)
    images = jnp.arange(4 * 2 * 2).reshape(4, 2, 2, 1).astype(jnp.uint8)
    labels = jnp.array([0, 1, 2, 9])
    codes = jnp.array([0, order.index("half_effort"), order.index("label_flip")], jnp.int32)

    def batch(seller):
        poison = repertoire(strategies, codes).poison
        return poison(jax.random.key(0), images, labels, 10, seller=jnp.int32(seller))

    np.testing.assert_array_equal(batch(0)[1], labels)
    np.testing.assert_array_equal(batch(1)[1], [0, 1, 0, 1])
    np.testing.assert_array_equal(batch(1)[0][2:], images[:2])
    np.testing.assert_array_equal(batch(2)[1], [9, 8, 7, 0])


@pytest.mark.slow
def test_a_false_size_reaches_the_ledger_and_changes_no_work():
    _, data = digits()
    strategies, made = seller_strategies(("false_size",)), market()
    hparams = as_arrays(numbers(conduct={"size_lie_bps": 50_000}, tolerated_f=0))

    @jax.jit
    def sizes(codes):
        roles = deviations.roles_of(codes, jnp.zeros(SPEC.num_nodes, jnp.int32))
        return made.init(jax.random.key(0), hparams, data, roles=roles).ledger.sizes

    codes = jnp.zeros(SPEC.num_sellers, jnp.int32)
    truth, told = np.asarray(sizes(codes)), np.asarray(sizes(codes.at[2].set(1)))
    np.testing.assert_array_equal(truth, data.sizes)
    np.testing.assert_array_equal(told, np.where(np.arange(8) == 2, 5 * truth, truth))
    updates = jax.random.normal(jax.random.key(0), (3, 4))
    context = AttackContext(ids=jnp.arange(3), previous=jnp.ones(4), round_index=0)
    bad = jnp.array([False, False, True])
    forge = repertoire(strategies, codes.at[2].set(1)).forge
    np.testing.assert_array_equal(forge(jax.random.key(1), updates, bad, context=context), updates)


def test_one_code_picks_one_attack_of_all_and_remembers():
    names = ("mimic_variance", "opt_ipm", "sign_flip")
    assert [searches(ATTACKS[name]) for name in names] == [True, True, False]
    with pytest.raises(ValueError, match="goes into `one_of`"):
        seller_strategies(names)
    key, updates = jax.random.key(1), jax.random.normal(jax.random.key(0), (6, 10))
    bad = jnp.arange(6) < 2
    state = one_of(names, jnp.int32(0)).init_state(10)
    rule = lambda rows, mask: jnp.median(rows, axis=0)
    context = AttackContext(ids=jnp.arange(6), round_index=0, defence=rule, state=state)
    state = one_of(names, jnp.int32(0)).observe(state, updates, bad, context=context)
    assert int(state[0].step) == 1 and state[1:] == ((), ())
    context = context._replace(state=state)
    for code, name in enumerate(names):
        forge = lambda code: one_of(names, code).forge(key, updates, bad, context=context)
        got = jax.jit(forge)(jnp.int32(code))
        alone = ATTACKS[name]
        view = context._replace(state=state[code])
        want = alone.forge(key, updates, bad, context=view, **alone.numbers)
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)
        assert (np.asarray(got[:2]) != np.asarray(updates[:2])).any()


@pytest.mark.slow
def test_those_led_play_the_chosen_strategy_among_a_crowd_that_plays_its_own():
    names = ("sign_flip", "mimic_variance", "label_flip"), ("gaussian", "half_effort")
    key, updates = jax.random.key(1), jax.random.normal(jax.random.key(0), (6, 10))
    codes = jnp.array([LEAD, 1, 0, LEAD, 2, 0], jnp.int32)  # the crowd: noise, half effort

    def attack(code, wild=True):
        return led(*names, codes, Lead(jnp.int32(code), jnp.bool(wild)))

    bad, state = codes != 0, attack(0).init_state(10)
    context = AttackContext(ids=jnp.arange(6), round_index=0, state=state)
    got = attack(0).forge(key, updates, bad, context=context)
    same = jnp.array([2, 4, 5])  # half of the batch is not seen here
    np.testing.assert_array_equal(got[same], updates[same])
    np.testing.assert_allclose(got[jnp.array([0, 3])], -updates[jnp.array([0, 3])])
    assert (np.asarray(got[1]) != np.asarray(updates[1])).all()
    alone = attack(0, wild=False).forge(key, updates, bad, context=context)
    np.testing.assert_array_equal(alone[1], updates[1])
    np.testing.assert_array_equal(alone[0], got[0])
    state = attack(1).observe(state, updates, bad, context=context)
    mimic = ATTACKS["mimic_variance"]
    mine = ATTACKS["mimic_variance"].observe(
        mimic.init_state(10), updates, codes == LEAD, context=context, **mimic.numbers
    )
    np.testing.assert_array_equal(state[1].mean, mine.mean)

    images = jnp.arange(4 * 2 * 2).reshape(4, 2, 2, 1).astype(jnp.uint8)
    labels, poison = jnp.array([0, 1, 2, 9]), attack(2).poison
    batches = [
        np.asarray(poison(key, images, labels, 10, seller=jnp.int32(s))[1]) for s in range(6)
    ]
    flipped, honest, half = [9, 8, 7, 0], [0, 1, 2, 9], [0, 1, 0, 1]
    np.testing.assert_array_equal(batches, [flipped, honest, honest, flipped, half, honest])


def test_every_attack_has_a_place_in_the_audit_and_only_honest_work_costs_all():
    cheap = [name for name, attack in ATTACKS.items() if not searches(attack) and name != "none"]
    codes = seller_strategies(tuple(cheap))
    dear = [name for name in ATTACKS if name not in codes and name != "none"]
    searched = ["opt_alie", "opt_ipm", "agr_tailored", "whitebox"]
    assert set(dear) == {"mimic_variance", "poisoned_fl", "copycat", *searched}
    assert EFFORT["half_effort"] == 0.5 and EFFORT["ipm"] == 0 and "sign_flip" not in EFFORT


def test_profiles_change_what_they_say_and_nothing_else():
    base = deviations.Play(
        *(np.zeros(n, np.int32) for n in (5, 3)),
        starts=np.arange(0, 20, 4, dtype=np.int32),
        sizes=np.full(5, 4, np.int32),
        deposit=np.int32(7),
        size_lie_bps=np.full(5, 10_000, np.int32),
        false_dispute=np.float32(0),
        wrong_labels=np.int32(0),
        withheld=np.float32(0),
        tag_liars=np.zeros(5, bool),
        strangers=np.zeros(5, bool),
    )
    wild = np.array([[0, 2, 0, 3, 0], [1, 1, 1, 1, 1]], np.int32)
    worlds = profiles.Worlds(base, np.array([4, 1]), wild)
    cells = [
        *profiles.deposit_cells(worlds, "bad"),
        *profiles.seller_cells(worlds, ["bad"]),
        *profiles.claim_cells(worlds, 5),
        *profiles.account_cells(worlds),
        *profiles.tag_cells(worlds),
        *(cell._replace(label=f"buyer, {cell.label}") for cell in profiles.buyer_cells(worlds)),
        *(c._replace(label=f"2: {c.label}") for c in profiles.seller_cells(worlds, ["bad"], 2)),
    ]
    leads = {(cell.label, cell.others): cell.lead for cell in cells}
    cells = {(cell.label, cell.others): cell.plays for cell in cells}

    def changed(name, others, k):
        """The fields that differ from honest play."""
        pairs = zip(base._fields, base, cells[name, others][k])
        return {field: new for field, old, new in pairs if not np.array_equal(old, new)}

    assert leads["bad", "random"] == leads["bad, no deposit", "honest"] == "bad"
    assert leads["claims 5x its size", "honest"] == "false_size"
    assert leads["split in two", "honest"] == "honest"
    assert changed("honest, no deposit", "honest", 1) == {"deposit": 0}
    assert set(changed("bad, no deposit", "honest", 1)) == {"deposit", "sellers"}

    assert changed("honest", "honest", 0) == {}
    np.testing.assert_array_equal(changed("honest", "random", 1)["sellers"], [1, 0, 1, 1, 1])
    np.testing.assert_array_equal(changed("bad", "random", 0)["sellers"], [0, 2, 0, 3, LEAD])
    lie = changed("claims 5x its size", "honest", 0)
    assert set(lie) == {"sellers", "size_lie_bps"}
    np.testing.assert_array_equal(lie["size_lie_bps"], [10_000] * 4 + [50_000])
    split = changed("split in two", "honest", 0)  # seller 4 owns account 0 as well
    np.testing.assert_array_equal(split["sizes"], [2, 4, 4, 4, 2])
    np.testing.assert_array_equal(split["starts"], [18, 4, 8, 12, 16])  # halves of 16 .. 19
    assert set(changed("one account", "honest", 1)) == {"starts", "sizes"}
    copied = changed("copied data", "honest", 0)  # as many, so sizes stay as they are
    assert set(copied) == {"starts"} and copied["starts"].tolist() == [16, 4, 8, 12, 16]
    tag = changed("other data, tag lie", "honest", 1)
    assert set(tag) == {"tag_liars"} and tag["tag_liars"].tolist() == [False, True] + [False] * 3
    assert set(changed("other data, says so", "honest", 1)) == {"strangers"}
    assert changed("buyer, withheld metric", "honest", 0) == {"withheld": 1}
    two = changed("2: bad", "honest", 0)["sellers"]
    np.testing.assert_array_equal(two, [LEAD, 0, 0, 0, LEAD])


@pytest.mark.long
def test_a_seller_that_flips_signs_earns_less_and_honesty_is_the_plain_market():
    _, data = digits()
    strategies, made = seller_strategies(("sign_flip",)), market()
    hparams = as_arrays(numbers(tolerated_f=0))
    base = deviations.honest_play(made, hparams, data)

    @jax.jit
    def run(play):
        attack_of = functools.partial(repertoire, strategies)
        return deviations.market_game(made, attack_of, jax.random.key(0), play, hparams, data)

    honest = run(base)
    plain = jax.jit(made.run)(jax.random.key(0), as_arrays(numbers()), data)
    change = wealth(plain.ledger) - wealth(plain.opening)
    np.testing.assert_array_equal(honest.sellers, change[made.layout.sellers])
    bad = run(base._replace(sellers=base.sellers.at[3].set(1)))
    assert int(bad.sellers[3]) < int(honest.sellers[3])
    captured = run(base._replace(nodes=jnp.full_like(base.nodes, Behaviour.COLLUDE)))
    assert float(captured.accuracy) < float(honest.accuracy)


@pytest.mark.long
def test_an_audit_plays_every_cell_of_a_game_on_a_market_with_an_attack(tmp_path):
    """The numbers of the configuration's own attack are no numbers of the strategies."""
    config = Config(DataSpec(partition="iid", num_validation=100), SPEC, numbers(), 0)
    known = {
        "strategies": ["sign_flip", "opt_ipm"],
        "crowd": ["gaussian"],
        "batch": 2,
        "confidence": 0.95,
        "training_cost": 100.0,
    }
    settings = Settings(**{**dict.fromkeys(Settings._fields), **known})
    audit = Audit(0.95, 0.02)
    with Progress(disable=True) as progress:
        markets = Markets(Stage(audit, progress, settings), config, config.hparams)
        where = markets.worlds(3, 7)
        cells = profiles.seller_cells(where[1], settings.strategies)
        utility = lambda played, name: income(played, where[1], 100.0, 1, name)
        add_game(audit, markets, "seller", where, cells, utility)
    table = audit.tables()["strategies"]
    assert table["strategy"].tolist() == ["honest", "sign_flip", "opt_ipm"]
    honest, flips, searches = table["utility, honest others"]
    assert honest > flips and honest > searches and table.notna().all(axis=None)


@pytest.mark.long
def test_an_evolution_begins_at_its_shares_and_carries_the_ledger_on():
    config = Config(DataSpec(partition="iid", num_validation=100), SPEC, numbers(), 0)
    pressure = Pressure("replicator", 3e-5, 3e-4, 0.5, 0.02, 100.0, 0.0)
    starts = [(0.5, 0.75), (1.0, 1.0)]
    history = evolve(
        config, ("sign_flip",), ("collude",), starts, pressure, seed=0, epochs=range(2)
    )
    record = history.record
    np.testing.assert_allclose(record["seller_shares"][:, 0, 0], [0.5, 1.0], atol=0.01)
    np.testing.assert_allclose(record["node_shares"][:, 0, 0], [0.75, 1.0], atol=0.01)
    assert record["delivered"][1].all() and record["nodes_left"][1].tolist() == [24, 24]
    table = tabulate(history)
    assert len(table) == 4 and table["accuracy"].between(0, 1).all()


@pytest.mark.long
@pytest.mark.parametrize(
    ("script", "flags", "message"),
    [
        ("best_response", ["--roles=judge"], "unknown role 'judge'"),
        ("best_response", ["--strategies=lazy"], "unknown seller strategy 'lazy'"),
        ("best_response", ["--strategies="], "--strategies names nothing"),
        ("best_response", ["--crowd=whitebox"], "seller strategy 'whitebox' remembers or searches"),
        ("best_response", ["--coalitions=21"], "a coalition of sellers has 2 to 20 members"),
        ("best_response", ["--config.hparams.rules.seller_deposit=-1"], "rule seller_deposit must"),
        ("evolve", ["--starts=2"], "must be shares between 0 and 1"),
        ("evolve", ["--starts=half"], "must be shares between 0 and 1"),
        ("evolve", ["--nodes=lazy"], "unknown node strategy 'lazy'"),
    ],
)
def test_wrong_flags_are_one_sentence(script, flags, message, tmp_path):
    done = subprocess.run(
        [sys.executable, f"scripts/{script}.py", f"--out={tmp_path}", *flags],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1 and message in done.stderr
    assert "Traceback" not in done.stderr
