"""Drop-outs and stragglers: shapes, certain cases, frequencies, independence of the place."""

import jax
import jax.numpy as jnp
import numpy as np

from d2m_jax.sellers import participation


def test_nobody_misses():
    got = participation(jax.random.key(0), jnp.arange(6), local_steps=3)
    assert got.present.all()
    np.testing.assert_array_equal(got.steps, np.full(6, 3))


def test_everybody_drops_out():
    got = participation(jax.random.key(0), jnp.arange(6), local_steps=3, drop_out=1.0)
    assert not got.present.any() and not got.steps.any()


def test_a_straggler_with_one_step_is_absent():
    got = participation(jax.random.key(0), jnp.arange(6), local_steps=1, straggle=1.0)
    assert not got.present.any()


def test_frequencies():
    num, local_steps, drop_out, straggle = 20_000, 4, 0.2, 0.5
    got = participation(
        jax.random.key(1),
        jnp.arange(num),
        local_steps=local_steps,
        drop_out=drop_out,
        straggle=jnp.float32(straggle),
    )
    assert got.steps.dtype == jnp.int32
    counts = np.bincount(got.steps, minlength=local_steps + 1) / num
    part = (1 - drop_out) * straggle / local_steps
    want = [drop_out + part, part, part, part, (1 - drop_out) * (1 - straggle)]
    np.testing.assert_allclose(counts, want, atol=5 * np.sqrt(0.25 / num))
    np.testing.assert_array_equal(got.present, got.steps > 0)


def test_fate_belongs_to_the_seller():
    options = {"local_steps": 5, "drop_out": 0.3, "straggle": 0.5}
    everyone = participation(jax.random.key(2), jnp.arange(30), **options)
    some = participation(jax.random.key(2), jnp.array([17, 3, 8]), **options)
    np.testing.assert_array_equal(some.steps, everyone.steps[jnp.array([17, 3, 8])])
