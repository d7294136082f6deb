"""The fast forms against a naive network of `lax.conv` and `nn.max_pool` under `jax.grad`."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.flatten_util import ravel_pytree

from d2m_jax.core import backend
from d2m_jax.tasks import cnn, flatten
from tests.problems import image_model, of_images


class NaiveConvNet(nn.Module):
    """The networks of `cnn.py` in the words of any flax tutorial."""

    filters: tuple[int, ...]
    kernel: int
    padding: str
    hidden: tuple[int, ...]
    num_classes: int

    @nn.compact
    def __call__(self, x):
        for width in self.filters:
            x = nn.Conv(width, (self.kernel, self.kernel), padding=self.padding)(x)
            x = nn.max_pool(nn.relu(x), (2, 2), strides=(2, 2))
        x = x.reshape(x.shape[0], -1)
        for width in self.hidden:
            x = nn.relu(nn.Dense(width)(x))
        return nn.Dense(self.num_classes)(x)


def naive(fields, shape):
    """(apply, loss) over the same flat parameters, on images that are normalised already."""
    module = NaiveConvNet(*fields)
    _, unravel = ravel_pytree(module.init(jax.random.key(0), jnp.zeros((1, *shape))))

    def apply(theta, images):
        return module.apply(unravel(theta), images)

    def loss(theta, images, labels):
        logits = apply(theta, images)
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

    return apply, loss


def batches(shape, sellers=3, batch=5, classes=4):
    keys = jax.random.split(jax.random.key(7), 2)
    images = jax.random.normal(keys[0], (sellers, batch, *shape))
    labels = jax.random.randint(keys[1], (sellers, batch), 0, classes)
    return {"inputs": images, "labels": labels}


def of_seller(seller, batch):
    return jax.tree.map(lambda leaf: leaf[seller], batch)


CASES = {  # fields of the module, image shape; odd sizes lose a row or column in the pooling
    "valid": (((3, 4), 5, "VALID", (9,), 4), (16, 18, 1)),
    "same": (((3, 4), 3, "SAME", (9,), 4), (8, 12, 2)),
    "odd valid": (((3, 4), 3, "VALID", (), 4), (15, 13, 3)),
    "odd same": (((4, 3, 5), 3, "SAME", (6, 7), 4), (15, 11, 3)),
}


@pytest.mark.few(3)
@pytest.mark.parametrize(
    "form, case", [*(("batch_minor", c) for c in CASES), ("module", "odd same")]
)
def test_values_and_gradients_equal_naive(form, case, monkeypatch):
    fields, shape = CASES[case]
    choices = backend.choices("cpu")._replace(conv=form)
    monkeypatch.setattr(backend, "choices", lambda: choices)
    filters, kernel, padding, hidden, classes = fields
    sizes = {"filters": filters, "hidden": hidden, "kernel": kernel, "padding": padding}
    model = flatten(cnn.conv_task("test", of_images(shape, classes), **sizes))
    apply, loss = naive(fields, shape)
    theta = model.init(jax.random.key(0)) + 0.01
    batch = batches(shape)
    images, labels = batch["inputs"], batch["labels"]

    @jax.jit
    def ours(theta):
        by_autodiff = jax.grad(model.loss)(theta, of_seller(1, batch))
        return model.apply(theta, of_seller(0, batch)), model.gradients(theta, batch), by_autodiff

    @jax.jit
    def reference(theta):
        gradients = jax.vmap(jax.grad(loss), in_axes=(None, 0, 0))(theta, images, labels)
        return apply(theta, images[0]), gradients

    logits, gradients, by_autodiff = ours(theta)
    want_logits, want = reference(theta)
    assert (jnp.abs(want).max(axis=1) > 1e-3).all()
    np.testing.assert_allclose(logits, want_logits, atol=1e-5)
    np.testing.assert_allclose(gradients, want, atol=1e-5)
    np.testing.assert_allclose(by_autodiff, want[1], atol=1e-5)


def test_ties_of_the_pooling_share_the_gradient():
    """On a constant background all windows tie; together they must count once, not four times."""
    shape = (16, 16, 1)
    model = image_model("mnist_cnn", shape, 4)
    theta = model.init(jax.random.key(0))
    images = jnp.full((2, *shape), -0.42).at[:, 5:11, 5:11].set(1.0)
    batch = {"inputs": images, "labels": jnp.array([1, 3])}
    loss = jax.jit(model.loss)
    slope = jnp.vdot(jax.jit(model.gradient)(theta, batch), theta)
    step = 1e-2
    rise = loss(theta * (1 + step), batch) - loss(theta * (1 - step), batch)
    want = rise / (2 * step)
    assert abs(want) > 1e-2
    np.testing.assert_allclose(slope, want, rtol=2e-3)


@pytest.mark.few(2)
@pytest.mark.parametrize("name", ["logreg", "mlp", "mnist_cnn"])
def test_sellers_together_equal_one_by_one(name):
    shape = (16, 16, 1)
    model = image_model(name, shape, 4)
    theta = model.init(jax.random.key(0))
    batch = batches(shape)
    gradient = jax.jit(model.gradient)
    want = jnp.stack([gradient(theta, of_seller(seller, batch)) for seller in range(3)])

    @jax.jit
    def forms(theta):
        return (
            model.gradients(theta, batch),
            jax.lax.map(lambda one: model.gradient(theta, one), batch),
            jax.vmap(model.gradient, in_axes=(None, 0))(theta, batch),
        )

    for got in forms(theta):
        np.testing.assert_allclose(got, want, atol=1e-5)


def test_many_images_go_through_in_blocks():
    shape = (16, 16, 1)
    model = image_model("mnist_cnn", shape, 4)
    theta = model.init(jax.random.key(0))
    images = jax.random.normal(jax.random.key(1), (71, *shape))
    labels = jnp.zeros(71, jnp.int32)

    @jax.jit
    def apply(theta, images):
        return model.apply(theta, {"inputs": images, "labels": labels[: len(images)]})

    one_by_one = jnp.concatenate([apply(theta, images[i : i + 1]) for i in (0, 31, 32, 70)])
    got = apply(theta, images)
    assert got.shape == (71, 4)
    np.testing.assert_allclose(got[jnp.array([0, 31, 32, 70])], one_by_one, atol=1e-5)


def test_bad_inputs_stay_with_their_seller():
    shape = (16, 16, 1)
    model = image_model("mnist_cnn", shape, 4)
    batch = batches(shape)
    theta = model.init(jax.random.key(0))
    spoilt = {**batch, "inputs": batch["inputs"].at[1].set(jnp.nan)}
    got = jax.jit(model.gradients)(theta, spoilt)
    assert np.isfinite(got[0]).all() and np.isfinite(got[2]).all()
    assert not np.isfinite(got[1]).all()


def test_default_choice_is_known():
    assert backend.choices("cpu").conv == "batch_minor"
    assert backend.choices("something new") == backend.choices("gpu")
