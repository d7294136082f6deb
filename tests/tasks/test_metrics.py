"""Evaluation in blocks and candidate losses against plain loops in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from d2m_jax.tasks import METRICS, evaluate, losses_of_candidates, losses_of_mixtures
from tests.problems import STATS, image_model, raw_images

SHAPE, CLASSES = (16, 16, 1), 5


def examples(count):
    return raw_images(count, SHAPE, CLASSES)


def by_hand(model, theta, data):
    logits = np.asarray(jax.jit(model.apply)(theta, model.prepare(data, STATS)), np.float64)
    labels = np.asarray(data["labels"])
    shifted = logits - logits.max(1, keepdims=True)
    log_probs = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    losses = -log_probs[np.arange(len(labels)), labels]
    return (logits.argmax(1) == labels).mean(), losses.mean()


@pytest.mark.parametrize("name, count, block", [("mlp", 23, 10), ("mlp", 7, 10), ("mlp", 20, 10)])
def test_evaluate_any_number_of_examples(name, count, block):
    model = image_model(name, SHAPE, CLASSES)
    theta, data = model.init(jax.random.key(0)), examples(count)
    got = evaluate(model, theta, data, STATS, block=block)
    np.testing.assert_allclose(got, by_hand(model, theta, data), rtol=1e-5)
    prepared, bare = model.prepare(data, STATS), model._replace(prepare=lambda batch, stats: batch)
    as_is = evaluate(bare, theta, prepared, block=block)
    np.testing.assert_allclose(as_is, got, rtol=1e-6)


@pytest.mark.parametrize("count, block", [(23, 10), (7, 10), (20, 10)])
@pytest.mark.parametrize("metric", ["exp_nll", "balanced_accuracy"])
def test_metrics_of_a_whole_set_do_not_see_the_blocks(metric, count, block):
    """One that is finished from a mean, one that needs all outputs at once."""
    model = image_model("mlp", SHAPE, CLASSES)._replace(metric=METRICS[metric])
    theta, data = model.init(jax.random.key(0)), examples(count)
    score, _ = evaluate(model, theta, data, STATS, block=block)
    accuracy, loss = by_hand(model, theta, data)
    if metric == "exp_nll":
        want = np.exp(-loss)
    else:
        logits = np.asarray(model.apply(theta, model.prepare(data, STATS)))
        labels = np.asarray(data["labels"])
        right = logits.argmax(1) == labels
        want = np.mean([right[labels == c].mean() for c in np.unique(labels)])
        assert right.mean() == accuracy != want
    np.testing.assert_allclose(score, want, rtol=1e-5)


def test_evaluate_cnn_under_jit():
    model = image_model("mnist_cnn", SHAPE, CLASSES)
    theta, data = model.init(jax.random.key(0)), examples(45)
    got = jax.jit(lambda theta: evaluate(model, theta, data, STATS))(theta)
    np.testing.assert_allclose(got, by_hand(model, theta, data), rtol=1e-4)


@pytest.mark.parametrize("name", ["logreg", "mlp", "mnist_cnn"])
def test_losses_of_candidates(name):
    model = image_model(name, SHAPE, CLASSES)
    theta, data = model.init(jax.random.key(0)), examples(33)
    updates = 0.1 * jax.random.normal(jax.random.key(1), (4, model.num_params))
    updates = updates.at[2].set(jnp.nan)
    got = jax.jit(lambda *args: losses_of_candidates(model, *args))(
        theta, updates, jnp.float32(0.5), model.prepare(data, STATS)
    )
    assert np.isnan(got[2])
    for row in (0, 1, 3):
        _, want = by_hand(model, theta - 0.5 * updates[row], data)
        np.testing.assert_allclose(got[row], want, rtol=1e-4)


@pytest.mark.parametrize("name", ["logreg", "mlp", "mnist_cnn"])
def test_losses_of_mixtures(name):
    model = image_model(name, SHAPE, CLASSES)
    theta, data = model.init(jax.random.key(0)), examples(17)
    updates = 0.1 * jax.random.normal(jax.random.key(1), (3, model.num_params))
    weights = jnp.array([[0.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.2, -1.0, 3.0]])
    got = jax.jit(lambda *args: losses_of_mixtures(model, *args))(
        theta, updates, weights, jnp.float32(0.5), model.prepare(data, STATS)
    )
    for loss, mixture in zip(got, np.asarray(weights)):
        step = np.tensordot(mixture, np.asarray(updates), 1)
        _, want = by_hand(model, theta - 0.5 * step, data)
        np.testing.assert_allclose(loss, want, rtol=1e-4)
