"""The plain update attacks against float64 NumPy, and ByzFL's published numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from d2m_jax.attacks import imitation, updates
from d2m_jax.attacks.base import AttackContext
from d2m_jax.core.rows import masked_median

KEY = jax.random.key(0)
ROWS = np.random.default_rng(0).normal(size=(7, 11)).astype(np.float32)
BYZ = np.array([False, True, False, False, True, False, False])
BYZFL = jnp.asarray([[1.0, 2, 3], [4, 5, 6], [7, 8, 9], [0, 0, 0]])  # ByzFL's 3x3 example, f = 1
LAST = jnp.asarray([False, False, False, True])


def moments(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    rows = rows.astype(np.float64)
    return rows.mean(0), rows.std(0, ddof=1)


def test_byzfl_published_numbers():
    alie = updates.alie(KEY, BYZFL, LAST, z=1.5)
    np.testing.assert_allclose(alie[3], [8.5, 9.5, 10.5], rtol=1e-6)
    flip = updates.sign_flip_mean(KEY, BYZFL, LAST)
    np.testing.assert_allclose(flip[3], [-4, -5, -6], rtol=1e-6)
    ipm = updates.ipm(KEY, BYZFL, LAST)
    np.testing.assert_allclose(ipm[3], [-8, -10, -12], rtol=1e-6)
    assert np.all(np.isposinf(updates.inf(KEY, BYZFL, LAST)[3]))


@pytest.mark.parametrize("knowledge", ["omniscient", "byzantine"])
def test_moment_attacks_match_numpy(knowledge):
    known = ROWS[BYZ] if knowledge == "byzantine" else ROWS[~BYZ]
    mean, std = moments(known)
    args = KEY, jnp.asarray(ROWS), jnp.asarray(BYZ)
    cases = {
        "alie": (updates.alie(*args, knowledge=knowledge, z=0.7, sign=-1.0), mean - 0.7 * std),
        "ipm": (updates.ipm(*args, knowledge=knowledge, epsilon=0.3), -0.3 * mean),
        "flip": (updates.sign_flip_mean(*args, knowledge=knowledge, scale=2.0), -2 * mean),
    }
    for name, (got, want) in cases.items():
        for row in got[BYZ]:
            np.testing.assert_allclose(row, want, rtol=2e-5, atol=2e-6, err_msg=name)
        np.testing.assert_array_equal(got[~BYZ], ROWS[~BYZ])


def test_absent_and_diverged_rows_are_not_known():
    rows = ROWS.copy()
    rows[2] = np.nan
    mask = np.array([True, True, True, False, True, True, True])
    context = AttackContext(mask=jnp.asarray(mask))
    got = updates.ipm(KEY, jnp.asarray(rows), jnp.asarray(BYZ), context=context, epsilon=1.0)
    want = -rows[[0, 5, 6]].astype(np.float64).mean(0)
    np.testing.assert_allclose(got[1], want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("n,f", [(50, 10), (20, 6), (20, 0), (25, 11), (11, 2)])
def test_alie_z_is_the_papers_formula(n, f):
    supporters = np.floor(n / 2 + 1) - f
    want = scipy.stats.norm.ppf((n - f - supporters) / (n - f))
    np.testing.assert_allclose(updates.alie_z(n, f), want, rtol=1e-5)


def test_alie_z_literal_and_majority():
    np.testing.assert_allclose(updates.alie_z(50, 10), 0.2533, atol=5e-5)
    assert np.isfinite(updates.alie_z(10, 8)) and updates.alie_z(10, 8) > 0.5


def test_own_attacks():
    args = KEY, jnp.asarray(ROWS), jnp.asarray(BYZ)
    np.testing.assert_allclose(updates.sign_flip(*args, scale=3.0)[BYZ], -3 * ROWS[BYZ])
    np.testing.assert_allclose(updates.norm_inflation(*args, scale=5.0)[BYZ], 5 * ROWS[BYZ])


def test_gaussian_moments_and_independent_rows():
    big = jnp.zeros((3, 20_000))
    byz = jnp.array([True, True, False])
    got = np.asarray(updates.gaussian(KEY, big, byz, mean=0.5, std=2.0))
    np.testing.assert_allclose(got[:2].mean(1), 0.5, atol=0.06)
    np.testing.assert_allclose(got[:2].std(1), 2.0, rtol=0.02)
    assert abs(np.corrcoef(got[0], got[1])[0, 1]) < 0.03
    added = np.asarray(updates.gaussian_add(KEY, big + 4.0, byz, std=0.1))
    np.testing.assert_allclose(added[:2].mean(1), 4.0, atol=0.01)


def test_norm_inflation_stays_below_the_clip_radius():
    got = updates.norm_inflation_clip(KEY, jnp.asarray(ROWS), jnp.asarray(BYZ), radius=1.5)
    median = np.median(np.linalg.norm(ROWS[~BYZ].astype(np.float64), axis=1))
    lengths = np.linalg.norm(np.asarray(got)[BYZ], axis=1)
    np.testing.assert_allclose(lengths, 0.99 * 1.5 * median, rtol=1e-5)
    cosine = np.sum(got[BYZ] * ROWS[BYZ], axis=1) / lengths / np.linalg.norm(ROWS[BYZ], axis=1)
    np.testing.assert_allclose(cosine, 1.0, rtol=1e-5)


@pytest.mark.parametrize("count", range(6))
def test_masked_median(count):
    values = np.random.default_rng(count).normal(size=5).astype(np.float32)
    rows = np.arange(5) < count
    want = np.median(values[rows]) if count else 0.0
    np.testing.assert_allclose(
        masked_median(jnp.asarray(values), jnp.asarray(rows)), want, rtol=1e-6
    )


def test_free_riders():
    args = KEY, jnp.asarray(ROWS), jnp.asarray(BYZ)
    previous = jnp.arange(11.0)
    np.testing.assert_array_equal(imitation.free_rider_zero(*args)[BYZ], 0)
    context = AttackContext(previous=previous)
    np.testing.assert_array_equal(
        imitation.free_rider_replay(*args, context=context)[BYZ], np.stack([previous] * 2)
    )
    with pytest.raises(ValueError, match=r"free_rider_replay.*context\.previous"):
        imitation.free_rider_replay(*args)


def test_disguised_noise_fades_with_the_rounds():
    big = jnp.zeros((2, 20_000))
    byz = jnp.array([True, False])
    previous = jnp.full(20_000, 3.0)
    for t in (1, 4):
        context = AttackContext(previous=previous, round_index=t - 1)
        got = imitation.free_rider_disguised(KEY, big, byz, context=context, sigma=0.5, gamma=0.5)
        np.testing.assert_allclose(np.std(got[0]), 0.5 * 3.0 * t**-0.5, rtol=0.02)
        np.testing.assert_allclose(np.mean(got[0]), 3.0, atol=0.05)


def test_sybils_send_one_vector():
    args = KEY, jnp.asarray(ROWS), jnp.asarray(BYZ)
    got = imitation.sybil_copies(*args, scale=2.0)
    np.testing.assert_array_equal(got[1], got[4])
    np.testing.assert_array_equal(got[1], 2 * ROWS[1])
    near = np.asarray(imitation.sybil_copies(*args, jitter=0.01))
    assert not np.array_equal(near[1], near[4])
    np.testing.assert_allclose(near[4], ROWS[1], atol=0.01 * 5 * np.abs(ROWS[1]).max())
