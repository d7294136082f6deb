"""Every function of arrays in the room under JAX's flags: see `tests/under_flags.py`."""

import jax
import jax.numpy as jnp
import pytest

from d2m_jax.privacy import dp, noise, probes, release, secure
from tests.under_flags import FLAGS, WORDS, assert_same

KEY = jax.random.key(3)
ROWS = jnp.array([[3.0, 4.0, 0.0], [0.1, -0.2, 0.3], [0.0, 0.0, 0.0], [1.0, 1.0, 1.0]])
USE = jnp.array([True, True, False, True])
CLIP, NOISE, STEP = jnp.float32(0.5), jnp.float32(1.5), jnp.float32(2.0**-12)
LOSSES = jnp.array([0.3, 0.1, 0.7, 0.2, 0.4, 0.9])


def gradient(theta, batch):
    return theta * batch["inputs"].sum() + batch["labels"][0].astype(theta.dtype)


CALLS = {
    "rounded normal": (lambda key: noise.rounded_normal(key, (5,)), KEY),
    "rounded normal, legacy key": (lambda key: noise.rounded_normal(key, (5,)), WORDS),
    "private sum": (noise.private_sum, KEY, ROWS, USE, CLIP, NOISE),
    "private update": (dp.private_update, KEY, ROWS[0], CLIP, NOISE),
    "python numbers": (lambda key, row: dp.private_update(key, row, 1, 0), WORDS, ROWS[0]),
    "poisson batch": (lambda key, size: dp.poisson_batch(key, size, 3), KEY, jnp.int32(6)),
    "masked uploads": (lambda key, x: secure.masked_uploads(key, x, 2, STEP), KEY, ROWS),
    "group means": (
        lambda key, x, use: secure.group_means(
            secure.masked_uploads(key, x, 2, 2**-12), use, 2, STEP
        ),
        WORDS, ROWS, USE,
    ),
    "membership": (lambda x: probes.membership(x, x + 0.1, x, x), LOSSES),
    "inversion": (
        lambda key, theta, rate: probes.invert_gradient(
            key, gradient, theta, theta, jnp.int32(1), (2, 2, 1), steps=3, rate=rate
        ),
        KEY, ROWS[0], jnp.float32(0.1),
    ),
    "correlation": (probes.correlation, ROWS, ROWS),
    "release": (lambda x: release(x, "metric"), ROWS),
}  # fmt: skip


@pytest.mark.few(1, each="call", rest="long")
@pytest.mark.parametrize("flag", FLAGS[1:])
@pytest.mark.parametrize("call", CALLS)
def test_a_flag_changes_nothing(call, flag):
    fn, *args = CALLS[call]
    assert_same(flag, fn, *args, atol=1e-5)
