"""The white-box attack beats attacks of the same norm on differentiable defences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from d2m_jax.attacks import ATTACKS, AttackContext
from d2m_jax.attacks.whitebox import Aim, whitebox

KEY = jax.random.key(0)
DRAW = np.random.default_rng(8)
NUM_ROWS, NUM_PARAMS = 10, 12
ROWS = (DRAW.normal(size=(NUM_ROWS, NUM_PARAMS)) + 0.5).astype(np.float32)
BYZ = np.arange(NUM_ROWS) >= 7
HONEST = ROWS[~BYZ].astype(np.float64)
MEAN = HONEST.mean(0)
RADIUS = np.linalg.norm(HONEST, axis=1).mean()
CURVATURE = np.linspace(0.1, 5.0, NUM_PARAMS) ** 2
POINT = DRAW.normal(size=NUM_PARAMS)


def geometric_median(rows, mask, xp=jnp):
    """Four smoothed Weiszfeld steps from the mean."""
    centre = xp.mean(rows, axis=0)
    for _ in range(4):
        weights = 1 / xp.sqrt(xp.sum((rows - centre[None, :]) ** 2, axis=1) + 0.01)
        centre = weights @ rows / weights.sum()
    return centre


def clipped_mean(rows, mask, xp=jnp):
    norms = xp.sqrt(xp.sum(rows**2, axis=1) + 1e-12)
    return xp.minimum(1.0, 2.5 / norms) @ rows / NUM_ROWS


def loss_after_step(aggregate, xp=jnp):
    return (
        0.5
        * (
            xp.asarray(CURVATURE, aggregate.dtype)
            * (xp.asarray(POINT, aggregate.dtype) - 0.3 * aggregate) ** 2
        ).sum()
    )


def damage_of(vectors: np.ndarray, defence, objective: str) -> float:
    rows = ROWS.astype(np.float64)
    rows[BYZ] = vectors
    aggregate = defence(rows, None, np)
    if objective == "loss":
        return loss_after_step(aggregate, np)
    return -aggregate @ MEAN / np.linalg.norm(MEAN)


@pytest.mark.parametrize("objective", ["descent", "loss"])
@pytest.mark.parametrize("defence", [geometric_median, clipped_mean])
def test_beats_random_and_ipm_of_the_same_norm(defence, objective):
    context = AttackContext(defence=defence, damage=loss_after_step)
    run = jax.jit(
        lambda key: whitebox(
            key, jnp.asarray(ROWS), jnp.asarray(BYZ), context=context, aim=Aim(objective)
        )
    )
    got = np.asarray(run(KEY), np.float64)[BYZ]
    assert (np.linalg.norm(got, axis=1) <= RADIUS * (1 + 1e-5)).all()
    white = damage_of(got, defence, objective)
    ipm = damage_of(-RADIUS * MEAN / np.linalg.norm(MEAN), defence, objective)
    noise = DRAW.normal(size=(500, 3, NUM_PARAMS))
    noise *= RADIUS / np.linalg.norm(noise, axis=2, keepdims=True)
    random = max(damage_of(draw, defence, objective) for draw in noise)
    own = damage_of(ROWS[BYZ], defence, objective)
    assert white > random and white > own
    if objective == "descent" and defence is clipped_mean:
        np.testing.assert_allclose(white, ipm, rtol=1e-4)  # IPM is optimal there, in closed form
    else:
        assert white > ipm + 1e-3 * abs(ipm)


def test_cosine_constraint_passes_a_sign_filter():
    context = AttackContext(defence=clipped_mean, damage=loss_after_step)
    got = whitebox(
        KEY,
        jnp.asarray(ROWS),
        jnp.asarray(BYZ),
        context=context,
        aim=Aim("loss"),
        cosine=0.2,
    )
    vectors = np.asarray(got, np.float64)[BYZ]
    cosines = vectors @ MEAN / np.linalg.norm(MEAN) / np.linalg.norm(vectors, axis=1)
    assert (cosines >= 0.2 - 1e-4).all()
    assert (np.linalg.norm(vectors, axis=1) <= RADIUS * (1 + 1e-5)).all()
    white = damage_of(vectors, clipped_mean, "loss")
    assert white > 1.05 * damage_of(ROWS[BYZ], clipped_mean, "loss")


def test_distance_constraint_stays_among_the_honest():
    context = AttackContext(defence=geometric_median)
    aim = Aim(constraint="distance")
    got = whitebox(KEY, jnp.asarray(ROWS), jnp.asarray(BYZ), context=context, aim=aim)
    farthest = np.linalg.norm(HONEST - MEAN, axis=1).max()
    away = np.linalg.norm(np.asarray(got, np.float64)[BYZ] - MEAN, axis=1)
    assert (away <= farthest * (1 + 1e-5)).all()
    white = damage_of(np.asarray(got)[BYZ], geometric_median, "descent")
    assert white > damage_of(ROWS[BYZ], geometric_median, "descent")
    assert not np.array_equal(got[7], got[8])  # rows of their own: no exact duplicates


def test_bad_choices_are_refused():
    context = AttackContext(defence=geometric_median)
    for aim, message in (
        (Aim(constraint="soft"), "unknown constraint 'soft'; valid: norm, distance"),
        (Aim(objective="fame"), "unknown objective 'fame'"),
        (Aim(starts=("iqm",)), "unknown attack to start from 'iqm'.*'ipm'"),
        (Aim(starts=("label_flip",)), "'label_flip' forges no update"),
    ):
        with pytest.raises(ValueError, match=message):
            ATTACKS["whitebox"].forge(
                KEY, jnp.asarray(ROWS), jnp.asarray(BYZ), context=context, aim=aim
            )
