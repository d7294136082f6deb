"""Parameter counts, shapes, refusals, and the im2col form against `lax.conv`."""

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from d2m_jax.tasks import MODELS, make_model
from d2m_jax.tasks.layers import conv_im2col, max_pool


@pytest.mark.parametrize(
    "name, shape, classes, count",
    [
        ("logreg", (8, 8, 1), 10, 650),
        ("logreg", (28, 28, 1), 10, 7_850),
        ("mlp", (28, 28, 1), 10, 79_510),
        ("mnist_cnn", (28, 28, 1), 10, 431_080),
        ("cifar_cnn", (32, 32, 3), 10, 117_866),
    ],
)
def test_parameter_counts(name, shape, classes, count):
    assert make_model(name, shape, classes).num_params == count


@pytest.mark.parametrize("name", MODELS)
def test_protocol(name):
    model = make_model(name, (20, 24, 3), 7)
    init = jax.jit(model.init)
    theta = init(jax.random.key(1))
    chex.assert_shape(theta, (model.num_params,))
    chex.assert_type(theta, jnp.float32)
    logits = jax.jit(model.apply)(theta, jax.random.normal(jax.random.key(2), (3, 20, 24, 3)))
    chex.assert_shape(logits, (3, 7))
    assert np.isfinite(logits).all() and np.ptp(logits) > 0
    assert model.map_sellers in ("vmap", "map")
    np.testing.assert_array_equal(theta, init(jax.random.key(1)))
    assert (theta != init(jax.random.key(3))).any()


@pytest.mark.parametrize(
    "name, shape, classes, words",
    [
        ("mnist_cnn", (8, 8, 1), 10, "mnist_cnn needs images of at least 16 x 16"),
        ("cifar_cnn", (28, 15, 1), 10, "cifar_cnn needs images of at least 16 x 16"),
        ("mpl", (8, 8, 1), 10, "unknown model 'mpl' .did you mean 'mlp'"),
        ("mlp", (8, 8), 10, "input_shape must be"),
        ("mlp", (8, 8, 0), 10, "input_shape must be"),
        ("mlp", (8, 8, 1), 1, "num_classes must be at least 2"),
    ],
)
def test_refuses(name, shape, classes, words):
    with pytest.raises(ValueError, match=words):
        make_model(name, shape, classes)


@pytest.mark.parametrize("padding", ["VALID", "SAME"])
def test_im2col_equals_lax_conv(padding):
    keys = jax.random.split(jax.random.key(0), 3)
    images = jax.random.normal(keys[0], (4, 9, 11, 3))
    kernel = jax.random.normal(keys[1], (5, 3, 3, 6))

    def reference(images, kernel):
        return jax.lax.conv_general_dilated(
            images, kernel, (1, 1), padding, dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    def ours(images, kernel):
        return conv_im2col(images, kernel, (1, 1), padding)

    want, want_vjp = jax.vjp(reference, images, kernel)
    got, got_vjp = jax.vjp(ours, images, kernel)
    np.testing.assert_allclose(got, want, atol=1e-5)
    cotangent = jax.random.normal(keys[2], want.shape)
    chex.assert_trees_all_close(got_vjp(cotangent), want_vjp(cotangent), atol=3e-5, rtol=1e-5)


def test_im2col_refuses_strides_and_padding():
    images, kernel = jnp.ones((1, 5, 5, 1)), jnp.ones((3, 3, 1, 2))
    with pytest.raises(ValueError, match="stride 1"):
        conv_im2col(images, kernel, (2, 2), "VALID")
    with pytest.raises(ValueError, match="VALID and SAME"):
        conv_im2col(images, kernel, (1, 1), "CIRCULAR")


@pytest.mark.parametrize("shape", [(2, 6, 8, 3), (2, 7, 5, 3)])
def test_max_pool_equals_reduce_window(shape):
    images = jax.random.normal(jax.random.key(0), shape)

    def reference(x):
        return nn.max_pool(x, (2, 2), strides=(2, 2))

    np.testing.assert_array_equal(max_pool(images), reference(images))
    got = jax.jit(jax.grad(lambda x: (max_pool(x) ** 2).sum()))(images)
    want = jax.jit(jax.grad(lambda x: (reference(x) ** 2).sum()))(images)
    np.testing.assert_allclose(got, want, atol=1e-6)
