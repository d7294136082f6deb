"""Buyer's images, sellers' rows and the test set stay apart; draws and moments are right."""

import jax
import numpy as np
import pytest

from d2m_jax import data


@pytest.fixture(scope="module")
def digits() -> data.RawDataset:
    return data.load("digits")


@pytest.mark.parametrize("partition", data.PARTITIONS)
def test_every_training_image_has_exactly_one_holder(digits, partition):
    world = data.build(digits, num_sellers=7, partition=partition, num_validation=61, num_root=20)
    rows = np.concatenate(data.seller_rows(world))
    assert sorted(rows) == list(range(len(world.labels)))
    held = [world.images, world.correction.images, world.verdict.images, world.root.images]
    assert [len(images) for images in held] == [1442 - 81, 30, 31, 20]
    together = np.concatenate([np.asarray(images).reshape(-1, 64) for images in held])
    expected = digits.train_images.reshape(-1, 64)
    assert sorted(map(bytes, together)) == sorted(map(bytes, expected))
    np.testing.assert_array_equal(world.test.images, digits.test_images)
    np.testing.assert_array_equal(world.test.labels, digits.test_labels)


def test_normalize_gives_mean_0_and_deviation_1_on_the_training_set(digits):
    world = data.build(digits, num_sellers=3)
    scaled = jax.jit(data.normalize)(world, digits.train_images)
    assert scaled.dtype == np.float32
    np.testing.assert_allclose([np.mean(scaled), np.std(scaled)], [0, 1], atol=1e-5)
