"""Local training against a float64 loop over a logistic regression written by hand."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from d2m_jax.data import FederatedData
from d2m_jax.sellers import draw_batch, local_update, scaffold, train_sellers
from tests.problems import STATS, image_model

SHAPE, CLASSES, SELLERS, BATCH = (4, 3, 1), 3, 5, 6
MODEL = image_model("logreg", SHAPE, CLASSES)


def dealt(pool, index, sizes):
    """The data of sellers that hold the first `sizes[m]` rows of `index[m]`; no buyer."""
    rows = np.concatenate([row[:size] for row, size in zip(np.asarray(index), sizes)])
    sizes = jnp.asarray(sizes, jnp.int32)
    return FederatedData(
        pool=pool,
        rows=jnp.asarray(rows, jnp.int32),
        starts=jnp.cumsum(sizes) - sizes,
        sizes=sizes,
        stats=STATS,
        correction=(),
        verdict=(),
        root=(),
        test=(),
    )


@pytest.fixture(scope="module")
def data():
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (60, *SHAPE)).astype(np.uint8)
    labels = generator.integers(0, CLASSES, 60).astype(np.int32)
    index = generator.permutation(60)[: SELLERS * 8].reshape(SELLERS, 8)
    pool = {"inputs": jnp.asarray(images), "labels": jnp.asarray(labels)}
    return dealt(pool, index, [8, 3, 5, 1, 8])


@pytest.fixture(scope="module")
def theta():
    return MODEL.init(jax.random.key(4))


def train(theta, data, sampled=range(SELLERS), **options):
    sampled = jnp.asarray(list(sampled), jnp.int32)
    key, options = jax.random.key(11), {"batch_size": BATCH, **options}
    static = {k: options.pop(k) for k in ("batch_size", "local_steps", "tamper") if k in options}
    run = functools.partial(train_sellers, MODEL, **static)
    return jax.jit(run)(key, theta, data, sampled, **options)


def drawn(key, data, seller, batch_size=BATCH, model=MODEL):
    return draw_batch(key, data, jnp.int32(seller), batch_size, model.prepare)


def batch_fn_of(data, seller, batch_size=BATCH, model=MODEL):
    """key -> (batch, key of the model's noise) of one seller, as documented."""

    def batch_fn(key):
        return drawn(key, data, seller, batch_size, model), jax.random.fold_in(key, 2)

    return batch_fn


def gradient_by_hand(theta, images, labels, classes=CLASSES):
    """d/dtheta of the mean cross-entropy; theta is bias, then kernel (classes x inputs)."""
    x = images.reshape(len(images), -1)
    bias, kernel = theta[:classes], theta[classes:].reshape(classes, -1)
    logits = x @ kernel.T + bias
    probs = np.exp(logits - logits.max(1, keepdims=True))
    delta = probs / probs.sum(1, keepdims=True)
    delta[np.arange(len(labels)), labels] -= 1
    delta /= len(labels)
    return np.concatenate([delta.sum(0), (delta.T @ x).ravel()])


def gradient_of(theta, batch):
    images, labels = (np.asarray(batch[name]) for name in ("inputs", "labels"))
    return gradient_by_hand(theta, images.astype(np.float64), labels)


def by_hand(theta, data, seller, local_steps, lr=0.0, mu=0.0, decay=0.0, control=0.0, steps=None):
    """(theta - theta_K) / (lr K) of one seller, float64, on the documented batches."""
    start = np.asarray(theta, np.float64)
    at, total = start.copy(), np.zeros_like(start)
    done = local_steps if steps is None else steps
    key = jax.random.fold_in(jax.random.key(11), seller)
    for step in range(done):
        grad = gradient_of(at, drawn(jax.random.fold_in(key, step), data, seller))
        grad += decay * at + mu * (at - start) + control
        at, total = at - lr * grad, total + grad
    return total / max(done, 1)


def test_batches_are_the_sellers_own_rows(data):
    batch = drawn(jax.random.key(0), data, 1, 200)
    own = np.asarray(data.rows)[8:11]
    raw = np.round((np.asarray(batch["inputs"]) + 1) * 128).reshape(200, -1)
    pool = np.asarray(data.pool["inputs"]).reshape(60, -1)
    rows = [int(np.flatnonzero((pool == row).all(1))[0]) for row in raw]
    assert set(rows) == set(own.tolist())
    np.testing.assert_array_equal(batch["labels"], np.asarray(data.pool["labels"])[rows])


def test_one_step_is_the_minibatch_gradient(theta, data):
    got = train(theta, data)
    want = [by_hand(theta, data, seller, 1) for seller in range(SELLERS)]
    np.testing.assert_allclose(got, want, atol=1e-6)


def test_several_steps_with_everything_on(theta, data):
    controls = 0.1 * jax.random.normal(jax.random.key(5), (SELLERS, MODEL.num_params))
    steps = jnp.array([4, 1, 0, 3, 2], jnp.int32)
    got = train(
        theta,
        data,
        local_steps=4,
        lr_local=0.3,
        mu=0.7,
        weight_decay=0.05,
        controls=controls,
        steps=steps,
    )
    want = [
        by_hand(theta, data, s, 4, 0.3, 0.7, 0.05, np.asarray(controls[s]), int(steps[s]))
        for s in range(SELLERS)
    ]
    np.testing.assert_allclose(got, want, atol=2e-6)
    assert not got[2].any()


def test_a_server_step_is_federated_averaging(theta, data):
    """theta - (K lr_local) update is theta_K."""
    rate = 0.2
    got = theta - 3 * rate * train(theta, data, local_steps=3, lr_local=rate)[4]
    at = np.asarray(theta, np.float64)
    key = jax.random.fold_in(jax.random.key(11), 4)
    for step in range(3):
        at = at - rate * gradient_of(at, drawn(jax.random.fold_in(key, step), data, 4))
    np.testing.assert_allclose(got, at, atol=1e-6)


@pytest.mark.parametrize("local_steps", [1, 3])
def test_neutral_settings_change_nothing(theta, data, local_steps):
    plain = train(theta, data, local_steps=local_steps)
    traced_zero = jnp.float32(0.0)
    neutral = train(
        theta,
        data,
        local_steps=local_steps,
        mu=traced_zero,
        weight_decay=traced_zero,
        steps=jnp.full(SELLERS, local_steps, jnp.int32),
        controls=jnp.zeros((SELLERS, MODEL.num_params)),
    )
    np.testing.assert_allclose(neutral, plain, atol=1e-7)


def test_one_step_needs_no_local_rate(theta, data):
    np.testing.assert_array_equal(train(theta, data, lr_local=5.0), train(theta, data))


def test_draws_belong_to_the_seller_not_to_its_place(theta, data):
    everyone = train(theta, data, local_steps=2)
    some = train(theta, data, [3, 0], local_steps=2)
    np.testing.assert_allclose(some, everyone[jnp.array([3, 0])], atol=1e-7)


@pytest.mark.parametrize("local_steps", [1, 3])
def test_map_vmap_and_single_seller_agree(theta, data, local_steps):
    def run(map_sellers):
        model = MODEL._replace(map_sellers=map_sellers)
        return train_sellers(
            model,
            jax.random.key(11),
            theta,
            data,
            jnp.arange(SELLERS),
            batch_size=BATCH,
            local_steps=local_steps,
            mu=0.1,
        )

    np.testing.assert_allclose(run("map"), run("vmap"), atol=1e-6)
    for seller in (0, 3):
        key, batch_fn = jax.random.fold_in(jax.random.key(11), seller), batch_fn_of(data, seller)
        alone = local_update(key, theta, batch_fn, MODEL.loss, local_steps=local_steps, mu=0.1)
        np.testing.assert_allclose(alone, run("map")[seller], atol=1e-6)


@pytest.mark.slow
def test_cnn_equals_single_sellers():
    model = image_model("mnist_cnn", (16, 16, 1), 3)
    images = jax.random.randint(jax.random.key(0), (9, 16, 16, 1), 0, 256).astype(jnp.uint8)
    pool = {"inputs": images, "labels": jnp.arange(9) % 3}
    data = dealt(pool, np.arange(9).reshape(3, 3), [3, 3, 2])
    theta, key = model.init(jax.random.key(1)), jax.random.key(2)
    options = {"local_steps": 2, "mu": 0.5}

    @jax.jit
    def together(key, theta):
        return train_sellers(model, key, theta, data, jnp.arange(3), batch_size=2, **options)

    @jax.jit
    def alone(key, theta, seller):
        batch_fn = batch_fn_of(data, seller, 2, model)
        return local_update(jax.random.fold_in(key, seller), theta, batch_fn, model.loss, **options)

    got = together(key, theta)
    for seller in range(3):
        np.testing.assert_allclose(got[seller], alone(key, theta, seller), atol=2e-5)


def test_the_noise_of_a_model_belongs_to_the_seller_and_the_step(theta, data):
    """Dropout: together, one by one and by hand, from the keys of the draws."""

    def noisy(theta, batch, key):
        keep = jax.random.bernoulli(key, 0.5, batch["inputs"].shape)
        return MODEL.loss(theta, {**batch, "inputs": 2.0 * keep * batch["inputs"]})

    gradient = jax.grad(noisy)
    gradients = jax.vmap(gradient, in_axes=(None, 0, 0))
    model = MODEL._replace(loss=noisy, gradient=gradient, gradients=gradients)
    run = functools.partial(train_sellers, model, batch_size=BATCH, local_steps=2)
    together = jax.jit(run)(jax.random.key(11), theta, data, jnp.arange(SELLERS))
    assert np.abs(together - train(theta, data, local_steps=2)).max() > 1e-2
    for seller in (0, 3):
        key, batch_fn = jax.random.fold_in(jax.random.key(11), seller), batch_fn_of(data, seller)
        alone = local_update(key, theta, batch_fn, noisy, local_steps=2)
        np.testing.assert_allclose(together[seller], alone, atol=1e-6)
        at, total = np.asarray(theta, np.float64), 0.0
        for step in range(2):
            batch, noise_key = batch_fn(jax.random.fold_in(key, step))
            keep = np.asarray(jax.random.bernoulli(noise_key, 0.5, batch["inputs"].shape))
            grad = gradient_of(at, {**batch, "inputs": 2.0 * keep * batch["inputs"]})
            at, total = at - 0.1 * grad, total + grad
        np.testing.assert_allclose(alone, total / 2, atol=1e-6)


def test_tampering_reaches_the_gradient_of_its_seller_only(theta, data):
    def tamper(key, seller, batch):
        del key  # unused
        labels = batch["labels"]
        return {**batch, "labels": jnp.where(seller == 2, CLASSES - 1 - labels, labels)}

    honest = train(theta, data, local_steps=2)
    got = train(theta, data, local_steps=2, tamper=tamper)
    changed = np.abs(got - honest).max(axis=1) > 1e-4
    np.testing.assert_array_equal(changed, np.arange(SELLERS) == 2)
    own, labels = data.rows[11:16], data.pool["labels"]
    flipped = labels.at[own].set(CLASSES - 1 - labels[own])
    other = data.replace(pool={**data.pool, "labels": flipped})
    np.testing.assert_allclose(got[2], train(theta, other, local_steps=2)[2], atol=1e-6)


def test_non_finite_results_are_passed_on(theta, data):
    got = train(theta.at[0].set(jnp.inf), data, local_steps=2)
    assert not np.isfinite(got).all(axis=1).any()


def test_refuses_no_steps(theta, data):
    with pytest.raises(ValueError, match="local_steps must be at least 1"):
        train(theta, data, local_steps=0)


def test_scaffold_against_the_algorithm(theta, data):
    """Three rounds of Algorithm 1 (option II) in float64, one seller absent in the second."""
    rate, local_steps, server_rate = 0.3, 2, 0.6
    state = scaffold.init(SELLERS, MODEL.num_params)
    at = theta
    want_at = np.asarray(theta, np.float64)
    server, own = np.zeros(MODEL.num_params), np.zeros((SELLERS, MODEL.num_params))
    for round_, sampled in enumerate([[0, 1, 2], [4, 2, 0], [1, 3, 4]]):
        mask = np.array([True, round_ != 1, True])
        who = jnp.asarray(sampled, jnp.int32)
        updates = train(
            at,
            data,
            sampled,
            local_steps=local_steps,
            lr_local=rate,
            controls=scaffold.controls(state, who),
        )
        state = scaffold.advance(state, who, updates, jnp.asarray(mask))
        at = at - server_rate * (updates * mask[:, None]).sum(0) / mask.sum()

        changes, steps = [], []
        for seller in np.array(sampled)[mask]:
            mean = by_hand(want_at, data, seller, local_steps, rate, control=server - own[seller])
            end = want_at - rate * local_steps * mean
            new = own[seller] - server + (want_at - end) / (local_steps * rate)
            changes.append(new - own[seller])
            steps.append(mean)
            own[seller] = new
        server = server + np.sum(changes, axis=0) / SELLERS
        want_at = want_at - server_rate * np.mean(steps, axis=0)
    np.testing.assert_allclose(state.sellers, own, atol=2e-6)
    np.testing.assert_allclose(state.server, server, atol=2e-6)
    np.testing.assert_allclose(at, want_at, atol=2e-6)
