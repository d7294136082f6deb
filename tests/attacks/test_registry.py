"""Properties of every registered attack; a new entry is tested without writing a test."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from d2m_jax.attacks import (
    ATTACKS,
    SCHEDULES,
    Attack,
    AttackContext,
    as_attack,
    as_schedule,
    bind,
)
from d2m_jax.attacks.base import KNOWLEDGE
from d2m_jax.core.choices import lookup, taken
from d2m_jax.core.types import Number

NUM_ROWS, NUM_PARAMS = 7, 5
KEY = jax.random.key(3)
ROWS = jax.random.normal(jax.random.key(1), (NUM_ROWS, NUM_PARAMS)) + 0.5
FORGES = [name for name, attack in ATTACKS.items() if attack.forge is not None]
SEARCHES = [name for name in FORGES if "defence" in ATTACKS[name].needs] + ["fang_krum"]
IDLE = ("backdoor", "backdoor_distributed", "copycat")  # on data alone, or watches first
POISONS = [name for name, attack in ATTACKS.items() if attack.poison is not None]

# Worlds: nobody; two; all; all but one; two of which one is absent (as is an honest row); nobody
# is present; two beside an honest row that diverged, to NaN and to 1e30.
TWO = np.isin(np.arange(NUM_ROWS), [2, 5])
ALL = np.ones(NUM_ROWS, bool)
BYZANTINE = np.stack([~ALL, TWO, ALL, np.arange(NUM_ROWS) > 0, TWO, TWO, TWO, TWO])
MASK = np.stack([ALL, ALL, ALL, ALL, ~np.isin(np.arange(NUM_ROWS), [0, 5]), ~ALL, ALL, ALL])
UPDATES = jnp.stack([ROWS] * 6 + [ROWS.at[0].set(jnp.nan), ROWS.at[0].set(1e30)])


def clipped_mean(updates: jax.Array, mask: jax.Array) -> jax.Array:
    norms = jnp.sqrt(jnp.sum(updates**2, axis=1) + 1e-12)
    weights = mask * jnp.minimum(1.0, 3.0 / norms)
    return weights @ jnp.where(mask[:, None], updates, 0.0) / jnp.maximum(mask.sum(), 1)


def runner(name: str, **options):
    """One world through one attack, with every field of the context given."""
    attack = bind(ATTACKS[name], **options)

    def run(key, updates, byzantine, mask, hyper):
        state = None if attack.init_state is None else attack.init_state(updates.shape[1])
        context = AttackContext(
            previous=jnp.arange(NUM_PARAMS, dtype=jnp.float32),
            round_index=20,
            mask=mask,
            ids=10 + jnp.arange(NUM_ROWS),
            tolerated_f=2,
            state=state,
            defence=clipped_mean,
            damage=lambda step: jnp.sum((step - 2) ** 2),
            mass=jnp.ones(NUM_ROWS).at[0].set(0.5),
            reputation=jnp.full(NUM_ROWS, 0.9),
        )
        if attack.observe is not None:
            own = taken(attack.observe, hyper)
            state = attack.observe(state, updates, byzantine, context=context, **own)
            context = context._replace(state=state)
        own = taken(attack.forge, hyper)
        return attack.forge(key, updates, byzantine, context=context, **own)

    return run


@pytest.mark.few(14)
@pytest.mark.parametrize("name", FORGES)
def test_forge_properties(name):
    """Others untouched, finite, effective; and jit of vmap equals a plain Python loop."""
    attack = ATTACKS[name]
    run = runner(name)
    hyper = {key: jnp.float32(value) for key, value in attack.numbers.items()}
    batched = jax.jit(jax.vmap(run, in_axes=(None, 0, 0, 0, None)))
    worlds = np.asarray(batched(KEY, UPDATES, BYZANTINE, MASK, hyper))
    assert worlds.shape == UPDATES.shape and worlds.dtype == np.float32
    for got, before, byzantine, mask in zip(worlds, UPDATES, BYZANTINE, MASK):
        np.testing.assert_array_equal(got[~(byzantine & mask)], before[~(byzantine & mask)])
        if attack.finite:
            assert np.abs(got[byzantine]).max(initial=0) < 1e3
    idle = np.allclose(worlds[1][TWO], ROWS[TWO])
    assert not idle or attack.poison is not None or name in IDLE, "the attack does nothing"
    masked = UPDATES[4], jnp.asarray(BYZANTINE[4]), jnp.asarray(MASK[4])
    one = run(KEY, *masked, attack.numbers)
    if "defence" in attack.needs:  # a search may stop elsewhere on a plateau: compare the harm
        pair = [clipped_mean(x, masked[2]) for x in (one, worlds[4])]
        np.testing.assert_allclose(*pair, rtol=1e-2, atol=1e-2)
    else:
        np.testing.assert_allclose(one, worlds[4], rtol=1e-4, atol=1e-5)


@pytest.mark.few(6)
@pytest.mark.parametrize("name", [name for name in FORGES if "knowledge" in ATTACKS[name].options])
def test_byzantine_knowledge_ignores_the_honest_rows(name):
    """With only the attackers' own rows known, changing honest rows changes nothing."""
    run = runner(name, knowledge="byzantine")
    run = jax.jit(run) if name in SEARCHES else run  # eagerly, each call compiles its loops again
    two, everyone = jnp.asarray(TWO), jnp.asarray(ALL)
    other = jnp.where(TWO[:, None], ROWS, -3 * ROWS + 1)
    first, second = (
        run(KEY, rows, two, everyone, dict(ATTACKS[name].numbers)) for rows in (ROWS, other)
    )
    np.testing.assert_array_equal(first[TWO], second[TWO])
    assert np.isfinite(first).all()


# What the signatures say of some entries, written out by hand.
TOLD = {
    "none": ({}, {}),
    "sign_flip": ({"scale": 1.0}, {}),
    "alie": ({"z": 1.5, "sign": 1.0}, {"knowledge": "omniscient"}),
    "alie_paper": ({"sign": 1.0}, {"knowledge": "omniscient"}),
    "mimic_variance": ({"warmup": 20}, {"knowledge": "omniscient"}),
    "min_max": (
        {"fraction": 1.0},
        {"knowledge": "omniscient", "perturbation": "std", "preset": "paper"},
    ),
    "fang_krum": ({"threshold": 1e-5}, {"knowledge": "omniscient", "halvings": 40}),
    "backdoor": (
        {"target": 0, "fraction": 0.5, "size": 4, "value": 255.0, "offset": 1, "boost": 1.0},
        {},
    ),
    "relabel_targeted": ({"source": 1, "target": 7, "fraction": 1.0}, {}),
}


def test_numbers_and_options_are_those_of_the_signatures():
    for name, (numbers, options) in TOLD.items():
        assert ATTACKS[name].numbers == numbers and ATTACKS[name].options == options
    assert SCHEDULES["intermittent"].numbers == {"period": 5, "duty": 1}
    assert ATTACKS["alie_paper"].knowledge == "omniscient"
    assert ATTACKS["backdoor"].data == ("classes", "images") and not ATTACKS["off_topic"].data


@pytest.mark.parametrize("name", list(ATTACKS))
def test_an_entry_is_whole_and_hashable(name):
    attack = ATTACKS[name]
    assert hash(attack) == hash(attack._replace()) and as_attack(attack) is attack
    assert (attack.init_state is None) == (attack.observe is None)
    assert attack.knowledge in KNOWLEDGE
    assert not attack.data or attack.poison is not None


def test_own_functions_are_attacks_and_schedules():
    def push(key, updates, byzantine, *, context, size: Number = 2, sharp: bool = False):
        return jnp.where(byzantine[:, None], size * updates + sharp, updates)

    attack, two = as_attack(push), jnp.asarray(TWO)
    assert attack.numbers == {"size": 2} and attack.options == {"sharp": False}
    np.testing.assert_array_equal(attack(KEY, ROWS, two)[2], 2 * ROWS[2])
    np.testing.assert_array_equal(attack(KEY, ROWS, two, size=3.0)[2], 3 * ROWS[2])
    np.testing.assert_array_equal(bind(attack, sharp=True)(KEY, ROWS, two)[2], 2 * ROWS[2] + 1)
    both = as_attack(Attack(push, lambda key, x, y, num, *, seller, share=0.5: (x, y)))
    assert both.numbers == {"size": 2, "share": 0.5}  # each part takes its own
    np.testing.assert_array_equal(both(KEY, ROWS, two, size=3.0, share=0.1)[2], 3 * ROWS[2])
    late = as_schedule(lambda key, round_index, byzantine, *, start=3.0: byzantine & (start < 2))
    assert late.numbers == {"start": 3.0} and as_schedule(late) is late
    assert not late(KEY, 1, two).any() and (late(KEY, 1, two, start=1.0) == two).all()
    for wrong in ("alie", None, 3):
        with pytest.raises(ValueError, match="an attack must be an Attack or a function, not"):
            as_attack(wrong)
        with pytest.raises(ValueError, match="a schedule must be a Schedule or a function, not"):
            as_schedule(wrong)
    with pytest.raises(ValueError, match="unknown need of an attack on data 'pictures'"):
        as_attack(Attack(push, data=("pictures",)))
    with pytest.raises(ValueError, match="unknown field of the attack's context 'defense'"):
        as_attack(Attack(push, needs=("defense",)))


def test_an_attack_is_called_like_a_function():
    two = jnp.asarray(TWO)
    plain = ATTACKS["alie"](KEY, ROWS, two)
    np.testing.assert_array_equal(plain, ATTACKS["alie"].forge(KEY, ROWS, two, z=1.5))
    stronger = ATTACKS["alie"](KEY, ROWS, two, z=jnp.float32(3.0))
    mean = ROWS[~TWO].mean(axis=0)
    np.testing.assert_allclose(stronger[2] - mean, 2 * (plain[2] - mean), rtol=1e-4)
    assert ATTACKS["label_flip"](KEY, ROWS, two) is ROWS
    with pytest.raises(ValueError, match="unknown number of the attack 'epsilon'; valid names: "):
        ATTACKS["alie"](KEY, ROWS, two, epsilon=1.0)
    for name in ("alie", "sign_flip", "label_flip"):
        for wrong in (two[:1], two[:3]):
            with pytest.raises(ValueError, match="byzantine must have one entry for each of the 7"):
                ATTACKS[name](KEY, ROWS, wrong)
        with pytest.raises(ValueError, match="mask must have one entry for each of the 7 rows"):
            ATTACKS[name](KEY, ROWS, two, context=AttackContext(mask=two[:1]))
        with pytest.raises(ValueError, match="updates must be a matrix"):
            ATTACKS[name](KEY, ROWS[0], two)


SCALED = (
    "alie",
    "alie_paper",
    "fang_krum",
    "agr_tailored",
    "mimic_variance",
    "sparse_hybrid",
    "norm_inflation_clip",
)


@pytest.mark.few(2)
@pytest.mark.parametrize("name", SCALED)
def test_attacks_that_measure_rows_measure_tiny_ones_as_well(name):
    """Rows of 1e-20; those that stop at an absolute number are given one that fits."""
    run = jax.jit(runner(name))
    numbers, everyone = ATTACKS[name].numbers, jnp.ones(NUM_ROWS, bool)
    if name == "agr_tailored":
        numbers["reach"] = 0.01  # within the radius of the rehearsed rule, which has one
    want = run(KEY, ROWS, jnp.asarray(TWO), everyone, numbers)
    unit = np.float32(2.0**-66)
    if name == "fang_krum":
        numbers["threshold"] *= unit
    got = run(KEY, unit * ROWS, jnp.asarray(TWO), everyone, numbers)
    tolerance = 0.3 if name == "agr_tailored" else 1e-5
    np.testing.assert_allclose(got / unit, want, rtol=tolerance, atol=1e-5)
    assert np.abs(got / unit - ROWS)[TWO].max() > 0.01


def test_a_row_that_the_defence_refuses_teaches_nothing():
    """An honest row longer than `max_norm` is left out as the defence leaves it out."""
    two, longer = jnp.asarray(TWO), ROWS.at[0].set(1e4)
    for limit, same in ((1e3, True), (1e17, False)):
        context = AttackContext(max_norm=limit)
        got = ATTACKS["ipm"](KEY, longer, two, context=context)
        absent = ATTACKS["ipm"](KEY, ROWS, two, context=AttackContext(mask=jnp.arange(7) > 0))
        assert np.allclose(got[TWO], absent[TWO], rtol=1e-5) is same


@pytest.mark.few(4)
@pytest.mark.parametrize("name", POISONS)
def test_poison_properties(name):
    attack = ATTACKS[name]
    images = np.random.default_rng(0).integers(0, 200, (12, 6, 6, 2), dtype=np.uint8)
    labels = np.arange(12, dtype=np.int32) % 10
    hyper = {key: jnp.float32(value) for key, value in attack.numbers.items()}

    def run(key, seller, hyper):
        return attack.poison(
            key,
            jnp.asarray(images),
            jnp.asarray(labels),
            10,
            seller=seller,
            **taken(attack.poison, hyper),
        )

    keys = jax.random.split(KEY, 5)
    many = jax.jit(jax.vmap(run, in_axes=(0, 0, None)))(keys, jnp.arange(5), hyper)
    eager = run(keys[1], 1, attack.numbers)
    np.testing.assert_array_equal(eager[0], many[0][1])
    np.testing.assert_array_equal(eager[1], many[1][1])
    assert many[0].shape == (5, *images.shape) and many[0].dtype == jnp.uint8
    assert many[1].shape == (5, 12) and many[1].dtype == jnp.int32
    assert ((many[1] >= 0) & (many[1] < 10)).all()
    changed = (np.asarray(many[1]) != labels).any() or (np.asarray(many[0]) != images).any()
    assert changed


def test_unknown_names_and_options_are_explained():
    with pytest.raises(ValueError, match="did you mean 'sign_flip'"):
        lookup(ATTACKS, "sign_flp", "attack")
    with pytest.raises(ValueError, match=r"unknown attack option 'sharp'.*knowledge"):
        bind(ATTACKS["alie"], sharp=1)
    with pytest.raises(ValueError, match="byzantine, omniscient"):
        bind(ATTACKS["alie"], knowledge="own").forge(KEY, ROWS, jnp.asarray(TWO))
    with pytest.raises(ValueError, match="unknown knowledge 'god'"):
        bind(ATTACKS["alie"], knowledge="god")
    for name in ("opt_alie", "agr_tailored", "whitebox"):
        with pytest.raises(ValueError, match=rf"{name}.*context\.defence"):
            ATTACKS[name].forge(KEY, ROWS, jnp.asarray(TWO))


@pytest.mark.few(2)
@pytest.mark.parametrize("name", list(SCHEDULES))
def test_schedules_are_traceable(name):
    schedule = SCHEDULES[name]
    byzantine = jnp.arange(20) < 6
    hyper = {key: jnp.float32(value) for key, value in schedule.numbers.items()}
    active = jnp.stack([schedule.active(KEY, r, byzantine, **hyper) for r in range(12)])
    traced = jax.jit(lambda r: schedule.active(KEY, r, byzantine, **hyper))(7)
    np.testing.assert_array_equal(traced, active[7])
    assert active.shape == (12, 20) and active.dtype == bool
    nobody = schedule.active(KEY, 12, jnp.zeros(20, bool), **schedule.numbers)
    assert not nobody.any()
