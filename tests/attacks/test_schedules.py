"""When attackers attack."""

import jax
import jax.numpy as jnp
import numpy as np

from d2m_jax.attacks import schedules

KEY = jax.random.key(0)
BYZ = jnp.arange(20) < 6


def play(schedule, num_rounds: int, **hyper) -> np.ndarray:
    return np.stack([schedule(KEY, r, BYZ, **hyper) for r in range(num_rounds)])


def test_fixed():
    np.testing.assert_array_equal(play(schedules.fixed, 3), np.stack([BYZ] * 3))


def test_resampled_keeps_the_number_and_reaches_everybody():
    active = play(schedules.resampled, 60)
    assert (active.sum(axis=1) == 6).all()
    assert (active.sum(axis=0) > 3).all()  # each of 20 is expected 18 times
    np.testing.assert_array_equal(active[7], schedules.resampled(KEY, 7, BYZ))


def test_dormant_wakes_up_once():
    active = play(schedules.dormant, 8, start=5)
    assert not active[:5].any()
    np.testing.assert_array_equal(active[5:], np.stack([BYZ] * 3))


def test_intermittent_counts_rounds():
    active = play(schedules.intermittent, 9, period=4, duty=2)
    want = np.array([1, 1, 0, 0, 1, 1, 0, 0, 1], bool)
    np.testing.assert_array_equal(active, want[:, None] & np.asarray(BYZ))


def test_sporadic_sellers_decide_alone():
    active = play(schedules.sporadic, 200, probability=0.25)
    assert not active[:, 6:].any()
    np.testing.assert_allclose(active[:, :6].mean(axis=0), 0.25, atol=0.16)  # 5 deviations
    assert 0 < (active[:, 0] != active[:, 1]).mean() < 1
    assert not play(schedules.sporadic, 5, probability=0.0).any()
    np.testing.assert_array_equal(play(schedules.sporadic, 5, probability=1.0), np.stack([BYZ] * 5))
