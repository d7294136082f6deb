"""Losses per example against NumPy in float64, their gradients where nothing is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit, log_softmax

from d2m_jax.tasks.losses import binary_cross_entropy, cross_entropy, squared_error


def test_cross_entropy_of_classes_and_of_positions():
    rng = np.random.default_rng(0)
    logits, labels = 5 * rng.normal(size=(4, 6, 3)), rng.integers(0, 3, (4, 6))
    want = -np.take_along_axis(log_softmax(logits, -1), labels[..., None], -1)[..., 0]
    got = cross_entropy(jnp.asarray(logits), {"labels": labels})
    np.testing.assert_allclose(got, want.mean(1), rtol=1e-6)
    one = cross_entropy(jnp.asarray(logits[:, 0]), {"labels": labels[:, 0].astype(np.uint8)})
    np.testing.assert_allclose(one, want[:, 0], rtol=1e-5)


def test_negative_labels_are_left_out():
    rng = np.random.default_rng(1)
    logits, labels = jnp.asarray(rng.normal(size=(2, 3, 4))), np.array([[2, -1, 0], [-1, -1, -7]])
    got = cross_entropy(logits, {"labels": labels})
    kept = cross_entropy(logits[:1, jnp.array([0, 2])], {"labels": labels[:1, [0, 2]]})
    np.testing.assert_allclose(got, [kept[0], 0], rtol=1e-6)
    gradient = jax.grad(lambda x: cross_entropy(x, {"labels": labels}).sum())(logits)
    assert np.isfinite(gradient).all() and not gradient[1].any() and not gradient[0, 1].any()
    many = binary_cross_entropy(logits[..., 0], {"labels": np.array([[1, -1, 0], [-1, -1, -1]])})
    first = np.asarray(logits, np.float64)[0, :, 0]
    want = -(np.log(expit(first[0])) + np.log(1 - expit(first[2]))) / 2
    np.testing.assert_allclose(many, [want, 0], rtol=1e-6)


def test_squared_error_is_the_mean_over_outputs():
    values, labels = np.array([[1.0, 2.0], [0.0, -1.0]]), np.array([[0.0, 0.0], [3, 1]])
    got = squared_error(jnp.asarray(values), {"labels": labels})
    np.testing.assert_allclose(got, [(1 + 4) / 4, (9 + 4) / 4])
    column = squared_error(jnp.asarray(values[:, :1]), {"labels": labels[:, 0].astype(int)})
    np.testing.assert_allclose(column, [0.5, 4.5])


@pytest.mark.parametrize("loss", [cross_entropy, binary_cross_entropy, squared_error])
def test_dtypes(loss):
    labels = {"labels": jnp.array([1, 0], jnp.int32)}
    outputs = jnp.ones((2, 3) if loss is cross_entropy else (2,))
    with jax.numpy_dtype_promotion("strict"):
        assert loss(outputs.astype(jnp.bfloat16), labels).dtype == jnp.float32
        with jax.enable_x64(True):
            assert loss(outputs.astype(jnp.float64), labels).dtype == jnp.float64


def test_a_label_that_is_no_class_is_loud():
    assert np.isnan(cross_entropy(jnp.ones((1, 3)), {"labels": np.array([3])})).all()


def test_bad_shapes_are_one_sentence():
    with pytest.raises(ValueError, match=r"outputs are \(2, 3\), labels \(2, 3\)"):
        cross_entropy(jnp.ones((2, 3)), {"labels": np.zeros((2, 3), int)})
    with pytest.raises(ValueError, match=r"outputs are \(2, 3\), labels \(2,\)"):
        squared_error(jnp.ones((2, 3)), {"labels": np.zeros(2)})
    with pytest.raises(ValueError, match=r'with "labels"'):
        binary_cross_entropy(jnp.ones(2), (np.zeros(2),))
