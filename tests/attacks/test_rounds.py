"""Attacks along the model's way against NumPy in float64, written from their formulas."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from d2m_jax.attacks import ATTACKS, AttackContext, rounds

KEY = jax.random.key(0)
ROWS = (0.4 + np.random.default_rng(0).normal(size=(7, 40))).astype(np.float32)
BYZ = np.array([False, True, False, False, True, False, False])
LAST = np.random.default_rng(1).normal(size=40).astype(np.float32)
VIEW = AttackContext(previous=jnp.asarray(LAST))


def mean(knowledge="omniscient"):
    return ROWS[BYZ if knowledge == "byzantine" else ~BYZ].astype(np.float64).mean(axis=0)


def numpy_course(signs, steps, strength, decay, period):
    """What is sent for each last step, and c after it."""
    forged, moved, c = np.zeros(len(signs)), np.zeros(len(signs)), strength
    for t, g in enumerate(np.asarray(steps, np.float64), 1):
        moved += g
        if t % period == 0:
            bound = len(signs) / 2 + 2.326 * np.sqrt(len(signs)) / 2
            if (np.sign(moved) == signs).sum() <= bound and c * decay >= 0.5:
                c *= decay
            moved = np.zeros(len(signs))
        before = np.linalg.norm(forged)
        rest = np.abs(g - forged * np.linalg.norm(g) / before if before else g)
        forged = c * np.linalg.norm(g) * rest / np.linalg.norm(rest) * signs
        yield forged, c


def test_poisoned_fl_follows_its_formula_and_weakens_where_it_fails():
    rng, numbers = np.random.default_rng(2), {"strength": 4.0, "decay": 0.6, "period": 3}
    state = rounds.poisoned_fl_init(40)
    assert set(np.unique(state.signs)) == {-1.0, 1.0} and abs(float(state.signs.mean())) < 0.5
    signs = np.asarray(state.signs, np.float64)
    steps = rng.normal(size=(12, 40)).astype(np.float32)
    steps[3:6] += 2 * signs  # these rounds follow the attackers: c stays

    @jax.jit
    def one(state, last):
        view = AttackContext(previous=last)
        state = rounds.poisoned_fl_observe(state, ROWS, BYZ, context=view, **numbers)
        view = view._replace(state=state)
        return state, rounds.poisoned_fl(KEY, jnp.asarray(ROWS), jnp.asarray(BYZ), context=view)

    seen = []
    for last, (want, c) in zip(steps, numpy_course(signs, steps, 4.0, 0.6, 3)):
        state, got = one(state, last)
        np.testing.assert_allclose(got[BYZ], np.stack([want] * 2), rtol=1e-4, atol=1e-4)
        np.testing.assert_array_equal(got[~BYZ], ROWS[~BYZ])
        np.testing.assert_allclose(state.factor, c, rtol=1e-6)
        seen.append(float(c))
    assert seen[2] < seen[0] and seen[5] == seen[4] and min(seen) >= 0.5


def test_poisoned_fl_sends_its_own_work_before_there_is_a_step():
    state = rounds.poisoned_fl_init(40)
    view = AttackContext(previous=jnp.zeros(40))
    state = rounds.poisoned_fl_observe(state, ROWS, BYZ, context=view)
    got = rounds.poisoned_fl(
        KEY, jnp.asarray(ROWS), jnp.asarray(BYZ), context=view._replace(state=state)
    )
    np.testing.assert_array_equal(got, ROWS)


@pytest.mark.parametrize("knowledge", ["omniscient", "byzantine"])
def test_relocated_is_its_formula(knowledge):
    numbers = {"z": 0.7, "angle": 200.0, "location": 0.6, "reference": 0.3}
    mu, last = mean(knowledge), LAST.astype(np.float64)
    u = 0.3 * last + 0.7 * mu
    p = np.ones(40) - u.sum() / (u @ u) * u
    a = np.deg2rad(200)
    push = np.sin(a) * p / np.linalg.norm(p) + np.cos(a) * u / np.linalg.norm(u)
    want = 0.6 * last + 0.4 * mu + 0.7 * np.linalg.norm(mu) * push
    args = KEY, jnp.asarray(ROWS), jnp.asarray(BYZ)
    got = rounds.relocated(*args, context=VIEW, knowledge=knowledge, **numbers)
    np.testing.assert_allclose(got[BYZ], np.stack([want] * 2), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(abs(push @ u / np.linalg.norm(u)), abs(np.cos(a)), atol=1e-9)


@pytest.mark.parametrize("share, count", [(0.0, 1), (0.05, 2), (0.5, 20), (1.0, 40)])
def test_sparse_hybrid_is_strong_on_few_coordinates(share, count):
    mu, known = mean(), ROWS[~BYZ].astype(np.float64)
    weight = np.full(40, 0.2)
    weight[np.argsort(-np.abs(mu), kind="stable")[:count]] = 6
    want = mu - weight * known.std(axis=0, ddof=1) * np.sign(mu)
    args = KEY, jnp.asarray(ROWS), jnp.asarray(BYZ)
    got = rounds.sparse_hybrid(*args, share=share, strong=6.0, z=0.2)
    np.testing.assert_allclose(got[BYZ], np.stack([want] * 2), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("boost, radius", [(1.0, 1.0), (5.0, 1.0), (5.0, 0.5)])
def test_neurotoxin_leaves_the_heavy_coordinates_alone(boost, radius):
    args = KEY, jnp.asarray(ROWS), jnp.asarray(BYZ)
    got = rounds.unheeded(*args, context=VIEW, heavy=0.25, radius=radius, boost=boost)
    heavy = np.argsort(-np.abs(LAST), kind="stable")[:10]
    for row, own in zip(np.asarray(got)[BYZ], ROWS[BYZ].astype(np.float64)):
        want = boost * np.where(np.isin(np.arange(40), heavy), 0, own)
        want *= min(1, radius * np.linalg.norm(own) / np.linalg.norm(want))
        np.testing.assert_allclose(row, want, rtol=1e-5, atol=1e-6)
    first = rounds.unheeded(*args, context=AttackContext(previous=jnp.zeros(40)))
    np.testing.assert_allclose(first, ROWS, rtol=1e-6)


def test_what_is_missing_is_said():
    for name in ("relocated", "neurotoxin"):
        with pytest.raises(ValueError, match=rf"{name}.*context\.previous"):
            ATTACKS[name](KEY, ROWS, BYZ)
    with pytest.raises(ValueError, match=r"poisoned_fl.*context\.state"):
        ATTACKS["poisoned_fl"](KEY, ROWS, BYZ)
