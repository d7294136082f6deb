"""Parameter counts, shapes, refusals, and the im2col form against `lax.conv`."""

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from d2m_jax.tasks import MODELS, Problem, make_model
from d2m_jax.tasks.layers import conv_im2col, max_pool
from tests.problems import STATS, image_model


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
    assert image_model(name, shape, classes).num_params == count


IMAGES = Problem("images", (20, 24, 3), np.dtype(np.uint8), 7)
FITTING = {  # what a model is for that is not for images
    "table_mlp": Problem("table", (5,), np.dtype(np.float32), 7),
    "text_bow": Problem("text", (9,), np.dtype(np.int32), 7, (), 30),
    "text_cnn": Problem("text", (9,), np.dtype(np.int32), 7, (), 30),
    "char_lstm": Problem("text", (9,), np.dtype(np.int32), 7, (9,), 7),
}


def some_examples(problem, count):
    rng = np.random.default_rng(0)
    inputs = rng.integers(0, problem.vocabulary or 250, (count, *problem.input_shape))
    labels = rng.integers(0, problem.num_classes, (count, *problem.label_shape))
    return {"inputs": inputs.astype(problem.input_dtype), "labels": labels.astype(np.int32)}


@pytest.mark.parametrize("name", MODELS)
def test_protocol(name):
    problem = FITTING.get(name, IMAGES)
    model = make_model(name, problem)
    init = jax.jit(model.init)
    theta = init(jax.random.key(1))
    chex.assert_shape(theta, (model.num_params,))
    chex.assert_type(theta, jnp.float32)
    batch = model.prepare(some_examples(problem, 3), STATS)
    logits = jax.jit(model.apply)(theta, batch)
    chex.assert_shape(logits, (3, *problem.label_shape, 7))
    chex.assert_shape(model.losses(theta, batch), (3,))
    chex.assert_shape(model.gradient(theta, batch, jax.random.key(2)), theta.shape)
    assert np.isfinite(logits).all() and np.ptp(logits) > 0
    assert model.map_sellers in ("vmap", "map") and model.num_classes == 7
    np.testing.assert_array_equal(theta, init(jax.random.key(1)))
    assert (theta != init(jax.random.key(3))).any()


@pytest.mark.parametrize(
    "name, shape, classes, words",
    [
        ("mnist_cnn", (8, 8, 1), 10, "mnist_cnn needs images of at least 16 x 16"),
        ("cifar_cnn", (28, 15, 1), 10, "cifar_cnn needs images of at least 16 x 16"),
        ("mpl", (8, 8, 1), 10, "unknown model 'mpl' .did you mean 'mlp'"),
        ("mlp", (8, 8), 10, r"mlp needs images \[height, width, channels\], not of shape \(8, 8\)"),
        ("mlp", (8, 8, 0), 10, r"the inputs of an example have the empty shape \(8, 8, 0\)"),
        ("mlp", (8, 8, 1), 1, "num_classes must be at least 2"),
    ],
)
def test_refuses(name, shape, classes, words):
    with pytest.raises(ValueError, match=words):
        image_model(name, shape, classes)


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
