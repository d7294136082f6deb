"""Data poisoning: what changes, what stays, and the success rate of a backdoor on a classifier."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from d2m_jax.attacks import data

KEY = jax.random.key(0)
DRAW = np.random.default_rng(1)
IMAGES = jnp.asarray(DRAW.integers(0, 120, (400, 6, 6, 1)), jnp.uint8)
LABELS = jnp.asarray(np.arange(400) % 10, jnp.int32)


def test_label_flip():
    images, labels = data.label_flip(KEY, IMAGES, LABELS, 10)
    np.testing.assert_array_equal(labels, 9 - np.asarray(LABELS))
    assert images is IMAGES


def test_relabel_targeted_touches_one_class():
    _, labels = data.relabel_targeted(KEY, IMAGES, LABELS, 10, source=3, target=8)
    want = np.where(np.asarray(LABELS) == 3, 8, np.asarray(LABELS))
    np.testing.assert_array_equal(labels, want)
    _, some = data.relabel_targeted(KEY, IMAGES, LABELS, 10, source=3, target=8, fraction=0.5)
    moved = np.asarray(some != LABELS)
    assert 8 <= moved.sum() <= 32 and (np.asarray(LABELS)[moved] == 3).all()


def test_relabel_random_is_uniform_over_the_other_classes():
    labels = jnp.full(9000, 4, jnp.int32)
    images = jnp.zeros((9000, 1, 1, 1), jnp.uint8)
    _, noisy = data.relabel_random(KEY, images, labels, 10)
    counts = np.bincount(np.asarray(noisy), minlength=10)
    assert counts[4] == 0
    assert (np.abs(np.delete(counts, 4) - 1000) < 150).all()  # 5 standard deviations
    _, mild = data.relabel_random(KEY, images, labels, 10, fraction=0.2)
    assert abs((np.asarray(mild) != 4).mean() - 0.2) < 0.022


def test_stamp_and_its_four_parts():
    images = jnp.zeros((2, 8, 9, 3), jnp.uint8)
    whole = np.asarray(data.stamp(images, size=4, value=200, offset=1))
    want = np.zeros((8, 9), np.uint8)
    want[3:7, 4:8] = 200
    np.testing.assert_array_equal(whole[1, :, :, 2], want)
    parts = [np.asarray(data.stamp(images, size=4, value=200, offset=1, part=p)) for p in range(4)]
    assert all((part > 0).sum() == 4 * 2 * 3 for part in parts)
    np.testing.assert_array_equal(sum(part.astype(int) for part in parts), whole)


def test_backdoor_poisons_a_share_and_leaves_the_rest():
    images, labels = data.backdoor(KEY, IMAGES, LABELS, 10, target=7, fraction=0.3, size=2)
    stamped = np.asarray(images != IMAGES).any(axis=(1, 2, 3))
    np.testing.assert_array_equal(images[stamped], data.stamp(IMAGES, size=2)[stamped])
    assert (np.asarray(labels)[stamped] == 7).all()
    np.testing.assert_array_equal(labels[~stamped], LABELS[~stamped])
    assert abs(stamped.mean() - 0.3) < 0.12


def test_distributed_backdoor_shares_out_the_trigger():
    for seller in (0, 5):
        images, _ = data.backdoor_distributed(KEY, IMAGES, LABELS, 10, seller=seller, fraction=1.0)
        np.testing.assert_array_equal(images, data.stamp(IMAGES, part=seller % 4))


def test_boost_is_model_replacement():
    """A mean over n sellers of one update boosted by n is the attacker's model."""
    updates = jnp.asarray(DRAW.normal(size=(5, 3)), jnp.float32) * jnp.eye(5)[2][:, None]
    byz = jnp.arange(5) == 2
    forged = data.boosted_update(KEY, updates, byz, boost=5.0, target=0, fraction=0.5)
    np.testing.assert_allclose(forged.mean(axis=0), updates[2], rtol=1e-6)


def test_attack_success_rate_by_hand():
    labels = jnp.array([0, 0, 1, 2, 3, 1])
    predictions = jnp.array([0, 0, 0, 0, 3, 1])
    assert data.attack_success_rate(predictions, labels, 0) == 0.5  # 2 of 4, targets left out
    mask = jnp.array([True, True, True, False, False, False])
    assert data.attack_success_rate(predictions, labels, 0, mask) == 1.0
    assert data.attack_success_rate(predictions, jnp.zeros(6, jnp.int32), 0) == 0.0


def fit(images: np.ndarray, labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Ridge regression onto one-hot labels: a classifier in closed form."""
    rows = np.c_[images.reshape(len(images), -1) / 255.0, np.ones(len(images))]
    hot = np.eye(num_classes)[labels]
    return np.linalg.solve(rows.T @ rows + 1e-2 * np.eye(rows.shape[1]), rows.T @ hot)


def predict(weights: np.ndarray, images: jax.Array) -> jax.Array:
    images = np.asarray(images, np.float64)
    rows = np.c_[images.reshape(len(images), -1) / 255.0, np.ones(len(images))]
    return jnp.asarray((rows @ weights).argmax(axis=1))


@pytest.fixture(scope="module")
def task():
    """Three classes told apart by which rows of pixels are bright; the corner is dark."""
    labels = np.arange(600) % 3
    images = DRAW.integers(0, 60, (600, 6, 6, 1))
    for label in range(3):
        images[labels == label, 2 * label : 2 * label + 2, :3] += 120
    return jnp.asarray(images, jnp.uint8), jnp.asarray(labels, jnp.int32)


def test_backdoor_works_on_a_classifier_and_is_invisible_without_the_trigger(task):
    images, labels = task
    clean = fit(np.asarray(images, np.float64), np.asarray(labels), 3)
    poisoned = data.backdoor(KEY, images, labels, 3, target=0, fraction=0.3, size=2, offset=0)
    bad = fit(np.asarray(poisoned[0], np.float64), np.asarray(poisoned[1]), 3)
    stamped = data.stamp(images, size=2, offset=0)
    assert data.attack_success_rate(predict(bad, stamped), labels, 0) > 0.9
    assert data.attack_success_rate(predict(clean, stamped), labels, 0) < 0.35
    assert (predict(bad, images) == labels).mean() > 0.9


def test_off_topic_is_learnable_but_useless(task):
    images, labels = task
    other = data.off_topic(KEY, images, labels, 3, domain=2)
    again = data.off_topic(jax.random.key(9), images, labels, 3, domain=2)
    np.testing.assert_array_equal(other[0], again[0])  # one domain, whatever the key
    pixels = [np.sort(np.asarray(x).reshape(600, -1), axis=1) for x in (other[0], images)]
    np.testing.assert_array_equal(*pixels)  # each image keeps its grey levels
    weights = fit(np.asarray(other[0], np.float64), np.asarray(other[1]), 3)
    assert (predict(weights, other[0]) == other[1]).mean() > 0.9
    assert (predict(weights, images) == labels).mean() < 0.6


def test_off_topic_images_bit_for_bit():
    """Whole pixels change places, channels stay together; drawn once and written down here."""
    images = jnp.arange(2 * 2 * 3 * 2, dtype=jnp.uint8).reshape(2, 2, 3, 2)
    mixed, labels = data.off_topic(KEY, images, jnp.arange(2), 4, domain=3)
    first, second = jax.random.split(jax.random.fold_in(jax.random.key(0), 3))
    order, classes = jax.random.permutation(first, 6), jax.random.permutation(second, 4)
    np.testing.assert_array_equal(mixed.reshape(2, 6, 2), images.reshape(2, 6, 2)[:, order])
    np.testing.assert_array_equal(labels, classes[:2])


@pytest.mark.few(2)
@pytest.mark.parametrize("shape", [(), (5,), (4, 3), (2, 3, 4, 2)])
@pytest.mark.parametrize("places", [(), (3,)])
def test_data_attacks_take_inputs_and_labels_of_any_rank(shape, places):
    rng = np.random.default_rng(0)
    inputs = jnp.asarray(rng.normal(size=(60, *shape)), jnp.float32)
    labels = jnp.asarray(rng.integers(0, 4, (60, *places)), jnp.int32)
    for attack in (data.label_flip, data.relabel_targeted, data.relabel_random, data.off_topic):
        new, other = jax.jit(attack, static_argnums=3)(KEY, inputs, labels, 4)
        assert (new.shape, new.dtype) == (inputs.shape, inputs.dtype)
        assert (other.shape, other.dtype) == (labels.shape, labels.dtype)
        assert ((other >= 0) & (other < 4)).all()
    half, _ = data.off_topic(KEY, inputs, labels, 4, fraction=0.5)
    changed = np.asarray(half != inputs).reshape(60, -1).any(axis=1)
    assert not shape or 15 < changed.sum() < 45  # whole examples, half of them
    flat = lambda x: np.sort(np.asarray(x).reshape(60, -1), axis=1)
    np.testing.assert_array_equal(flat(half), flat(inputs))


def test_off_topic_leaves_targets_that_are_no_classes():
    table, targets = jnp.eye(6), jnp.linspace(0.0, 1.0, 6)
    new, same = data.off_topic(KEY, table, targets, 0)
    np.testing.assert_array_equal(same, targets)
    again, _ = data.off_topic(jax.random.key(5), table[::-1], targets, 0)
    np.testing.assert_array_equal(again[::-1], new)  # one permutation of the features
    assert (new != table).any()
