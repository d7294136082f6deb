"""Mimics against NumPy: the fixed one, and Oja's rule with its warm-up."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from d2m_jax.attacks import AttackContext, imitation

KEY = jax.random.key(0)
NUM_ROWS, NUM_PARAMS = 8, 10
BYZ = np.isin(np.arange(NUM_ROWS), [3, 7])


def rounds(count: int) -> np.ndarray:
    """Honest seller 5 lies far out along one axis, on either side in turn."""
    rows = np.random.default_rng(0).normal(size=(count, NUM_ROWS, NUM_PARAMS)) * 0.1
    rows[:, 5, 2] += 2.0
    rows[:, 1, 2] -= 1.5
    return rows.astype(np.float32)


def numpy_mimic(updates: np.ndarray, warmup: int) -> list[int]:
    """Which row is copied in each round, from the released algorithm's description."""
    mean = axis = target = None
    copied = []
    for t, rows in enumerate(updates.astype(np.float64)):
        honest = rows[~BYZ]
        if t < warmup:
            average = honest.mean(0)
            mean = average if t == 0 else (t * mean + average) / (1 + t)
            centred = honest - mean
            if t == 0:
                start = centred[np.linalg.norm(centred, axis=1).argmax()]
            pull = centred.T @ (centred @ (start if t == 0 else axis))
            pull /= np.linalg.norm(pull)
            axis = pull if t == 0 else (t * axis + pull) / (1 + t)
            axis = axis / np.linalg.norm(axis)
            target = np.flatnonzero(~BYZ)[(honest @ axis).argmax()]
        copied.append(int(target))
    return copied


def test_mimic_variance_follows_the_released_algorithm():
    updates = rounds(6)
    updates[4:, 0, 2] += 9.0  # after the warm-up another seller sticks out: the target stays

    @jax.jit
    def play(state, rows):
        context = AttackContext(ids=100 + jnp.arange(NUM_ROWS))
        state = imitation.mimic_observe(state, rows, BYZ, context=context, warmup=4)
        context = context._replace(state=state)
        return state, imitation.mimic_variance(KEY, rows, jnp.asarray(BYZ), context=context)

    state = imitation.mimic_init(NUM_PARAMS)
    for rows, target in zip(updates, numpy_mimic(updates, 4)):
        state, got = play(state, jnp.asarray(rows))
        np.testing.assert_array_equal(got[BYZ], np.stack([rows[target]] * 2))
    assert state.step == 4 and state.target == 105
    assert abs(state.axis[2]) > 0.99


def test_mimic_variance_when_its_target_is_absent():
    rows = jnp.asarray(rounds(1)[0])
    state = imitation.MimicState(jnp.int32(4), rows[0], jnp.eye(NUM_PARAMS)[2], jnp.int32(5))
    mask = jnp.arange(NUM_ROWS) != 5
    context = AttackContext(state=state, mask=mask)
    got = imitation.mimic_variance(KEY, rows, jnp.asarray(BYZ), context=context)
    others = np.where(np.asarray(mask) & ~BYZ, np.asarray(rows)[:, 2], -np.inf)
    np.testing.assert_array_equal(got[3], rows[others.argmax()])


def test_a_round_without_honest_rows_teaches_nothing():
    state = imitation.mimic_init(NUM_PARAMS)
    rows = jnp.asarray(rounds(1)[0])
    after = imitation.mimic_observe(state, rows, jnp.ones(NUM_ROWS, bool))
    jax.tree.map(np.testing.assert_array_equal, after, state)


@pytest.mark.parametrize("target,row", [(14, 4), (13, 0), (99, 0)])
def test_mimic_copies_the_seller_or_the_first_known(target, row):
    """Seller 13 is itself an attacker and 99 is not there."""
    rows = jnp.asarray(rounds(1)[0])
    context = AttackContext(ids=10 + jnp.arange(NUM_ROWS))
    got = imitation.mimic(KEY, rows, jnp.asarray(BYZ), context=context, target=target)
    np.testing.assert_array_equal(got[BYZ], np.stack([rows[row]] * 2))
