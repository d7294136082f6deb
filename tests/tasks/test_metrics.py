"""Evaluation in blocks and candidate losses against plain loops in float64."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from d2m_jax.tasks import evaluate, losses_of_candidates, losses_of_mixtures, make_model


class Examples(NamedTuple):
    images: jax.Array
    labels: jax.Array


def examples(count, shape=(16, 16, 1), classes=5):
    keys = jax.random.split(jax.random.key(3), 2)
    images = jax.random.randint(keys[0], (count, *shape), 0, 256).astype(jnp.uint8)
    return Examples(images, jax.random.randint(keys[1], (count,), 0, classes))


def normalize(images):
    return images.astype(jnp.float32) / 128.0 - 1.0


def by_hand(model, theta, data):
    logits = np.asarray(jax.jit(model.apply)(theta, normalize(data.images)), np.float64)
    labels = np.asarray(data.labels)
    shifted = logits - logits.max(1, keepdims=True)
    log_probs = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    losses = -log_probs[np.arange(len(labels)), labels]
    return (logits.argmax(1) == labels).mean(), losses.mean()


@pytest.mark.parametrize("name, count, block", [("mlp", 23, 10), ("mlp", 7, 10), ("mlp", 20, 10)])
def test_evaluate_any_number_of_examples(name, count, block):
    model = make_model(name, (16, 16, 1), 5)
    theta, data = model.init(jax.random.key(0)), examples(count)
    got = evaluate(model, theta, data, normalize, block=block)
    np.testing.assert_allclose(got, by_hand(model, theta, data), rtol=1e-5)
    as_is = evaluate(model, theta, data._replace(images=normalize(data.images)), block=block)
    np.testing.assert_allclose(as_is, got, rtol=1e-6)


def test_evaluate_cnn_under_jit():
    model = make_model("mnist_cnn", (16, 16, 1), 5)
    theta, data = model.init(jax.random.key(0)), examples(45)
    got = jax.jit(lambda theta: evaluate(model, theta, data, normalize))(theta)
    np.testing.assert_allclose(got, by_hand(model, theta, data), rtol=1e-4)


@pytest.mark.parametrize("name", ["logreg", "mlp", "mnist_cnn"])
def test_losses_of_candidates(name):
    model = make_model(name, (16, 16, 1), 5)
    theta, data = model.init(jax.random.key(0)), examples(33)
    updates = 0.1 * jax.random.normal(jax.random.key(1), (4, model.num_params))
    updates = updates.at[2].set(jnp.nan)
    images = normalize(data.images)
    got = jax.jit(lambda *args: losses_of_candidates(model, *args))(
        theta, updates, jnp.float32(0.5), images, data.labels
    )
    assert np.isnan(got[2])
    for row in (0, 1, 3):
        _, want = by_hand(model, theta - 0.5 * updates[row], data)
        np.testing.assert_allclose(got[row], want, rtol=1e-4)


@pytest.mark.parametrize("name", ["logreg", "mlp", "mnist_cnn"])
def test_losses_of_mixtures(name):
    model = make_model(name, (16, 16, 1), 5)
    theta, data = model.init(jax.random.key(0)), examples(17)
    updates = 0.1 * jax.random.normal(jax.random.key(1), (3, model.num_params))
    weights = jnp.array([[0.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.2, -1.0, 3.0]])
    got = jax.jit(lambda *args: losses_of_mixtures(model, *args))(
        theta, updates, weights, jnp.float32(0.5), normalize(data.images), data.labels
    )
    for loss, mixture in zip(got, np.asarray(weights)):
        step = np.tensordot(mixture, np.asarray(updates), 1)
        _, want = by_hand(model, theta - 0.5 * step, data)
        np.testing.assert_allclose(loss, want, rtol=1e-4)
