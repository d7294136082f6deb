"""Trapsetter against NumPy in float64: the worst of 25 places, and the row that leads there."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from d2m_jax.attacks import AttackContext, trap

KEY = jax.random.key(3)
ROWS = (0.4 + np.random.default_rng(0).normal(size=(7, 40))).astype(np.float32)
BYZ = np.array([False, True, False, False, True, False, False])
BAD = np.random.default_rng(1).normal(size=40).astype(np.float32)  # where the model is bad


def damage(step):
    return -((step - BAD) ** 2).sum()


VIEW = AttackContext(damage=damage)


def send(**given):
    return trap.trapsetter(KEY, jnp.asarray(ROWS), jnp.asarray(BYZ), **{"context": VIEW, **given})


@pytest.mark.parametrize("knowledge", ["omniscient", "byzantine"])
def test_the_mean_of_all_steps_to_the_worst_place(knowledge):
    mu = ROWS[BYZ if knowledge == "byzantine" else ~BYZ].astype(np.float64).mean(axis=0)
    plane = np.asarray(jax.random.normal(KEY, (2, 40)), np.float64)
    plane *= 0.7 * np.linalg.norm(mu) / np.linalg.norm(plane, axis=1, keepdims=True)
    ticks = (-1, -0.5, 0, 0.5, 1)
    places = [i * plane[0] + j * plane[1] for i in ticks for j in ticks]
    worst = max(places, key=damage)
    got = np.asarray(send(knowledge=knowledge, radius=0.7), np.float64)
    np.testing.assert_array_equal(got[~BYZ], ROWS[~BYZ])
    others = 5 * mu if knowledge == "byzantine" else got[~BYZ].sum(axis=0)
    np.testing.assert_allclose((others + got[BYZ].sum(axis=0)) / 7, worst, atol=1e-5)
    half = send(knowledge=knowledge, radius=0.7, boost=0.5)
    np.testing.assert_allclose(half[BYZ], got[BYZ] / 2, rtol=1e-5)


def test_places_without_a_number_do_not_count():
    plane = jnp.asarray([[1.0, 0.0], [0.0, 2.0]])

    def odd(step):
        return jnp.where(step[0] > 0, jnp.nan, step[0] - step[1])

    np.testing.assert_array_equal(trap.worst_point(odd, plane), [0.0, -2.0])
    np.testing.assert_array_equal(trap.worst_point(lambda step: step[0] * jnp.nan, plane), [-1, -2])


def test_absent_rows_change_nothing_and_nobody_known_sends_its_own():
    there = np.arange(7) != 2
    spoilt = np.where(there[:, None], ROWS, np.nan).astype(np.float32)
    few = ROWS[there], BYZ[there]
    got = trap.trapsetter(
        KEY, jnp.asarray(spoilt), jnp.asarray(BYZ), context=VIEW._replace(mask=there)
    )
    want = trap.trapsetter(KEY, *map(jnp.asarray, few), context=VIEW)
    np.testing.assert_allclose(got[there], want, rtol=1e-5, atol=1e-5)
    alone = trap.trapsetter(KEY, jnp.asarray(ROWS), jnp.ones(7, bool), context=VIEW)
    np.testing.assert_array_equal(alone, ROWS)


def test_without_a_measure_of_damage_it_is_refused():
    with pytest.raises(ValueError, match=r"trapsetter.*damage"):
        send(context=AttackContext())
