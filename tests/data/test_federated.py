"""Buyer's images, sellers' rows and the test set stay apart; draws and moments are right."""

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given

from d2m_jax import data
from d2m_jax.data import splits


@pytest.fixture(scope="module")
def digits() -> data.RawDataset:
    return data.load("digits")


def small(num_train=40, num_classes=4, **changes):
    """A user's own arrays: every image is different."""
    arrays = {
        "train_images": np.arange(4 * num_train, dtype=np.uint8).reshape(num_train, 2, 2),
        "train_labels": np.arange(num_train) % num_classes,
        "test_images": np.full((6, 2, 2), 255, np.uint8),
        "test_labels": np.arange(6) % num_classes,
    }
    return data.from_arrays(**(arrays | changes))


# -------------------------------------------------------------------------------------- build


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


def test_images_keep_their_labels(digits):
    known = {bytes(image): label for image, label in zip(digits.train_images, digits.train_labels)}
    world = data.build(digits, num_sellers=5, num_root=50, max_train=800)
    for images, labels in (
        (world.images, world.labels),
        *((part.images, part.labels) for part in (world.correction, world.verdict, world.root)),
    ):
        assert [known[bytes(image)] for image in np.asarray(images)] == labels.tolist()


def test_types_and_shapes(digits):
    world = data.build(digits, num_sellers=5, num_validation=0)
    kinds = jax.tree.map(lambda leaf: leaf.dtype.name, world)
    assert kinds == data.FederatedData(
        **{"images": "uint8", "labels": "int32", "index": "int32", "sizes": "int32"},
        **{"mean": "float32", "std": "float32"},
        **{
            part: data.Examples("uint8", "int32")
            for part in ("correction", "verdict", "root", "test")
        },
    )
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(world))
    assert world.correction.images.shape == world.root.images.shape == (0, 8, 8, 1)


def test_the_buyers_images_are_class_stratified(digits):
    world = data.build(digits, num_sellers=5, num_validation=100, num_root=40)
    share = np.bincount(digits.train_labels) / 1442
    for part, size in ((world.correction, 50), (world.verdict, 50), (world.root, 40)):
        # each draw is from what the one before left, so a count may be one further off
        assert np.abs(np.bincount(part.labels, minlength=10) - size * share).max() < 2


def test_max_train_is_stratified_and_bounds_the_pool(digits):
    world = data.build(digits, num_sellers=3, max_train=500, num_validation=100, num_root=10)
    assert len(world.labels) == 390
    assert np.ptp(np.bincount(world.labels)) <= 6
    full = data.build(digits, num_sellers=3)
    np.testing.assert_array_equal(world.mean, full.mean)


def test_padding_repeats_the_sellers_own_rows(digits):
    world = data.build(digits, num_sellers=9, alpha=0.2, width=1500)
    index, sizes = np.asarray(world.index), np.asarray(world.sizes)
    assert index.shape == (9, 1500) and sizes.sum() == len(world.labels)
    for row, size in zip(index, sizes):
        assert len(set(row[:size])) == size
        np.testing.assert_array_equal(row, row[np.arange(1500) % size])


def test_seeds_repeat_and_differ(digits):
    one, same, other = (data.build(digits, num_sellers=4, seed=seed) for seed in (3, 3, 4))
    assert jax.tree.all(jax.tree.map(np.array_equal, one, same))
    assert not np.array_equal(one.verdict.images, other.verdict.images)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"partition": "dirichet"}, r"unknown partition 'dirichet' \(did you mean 'dirichlet'"),
        ({"partition": "iid", "alpha": 1.0}, "'iid' has no option 'alpha'; valid options: none"),
        ({"beta": 1.0}, "'dirichlet' has no option 'beta'; valid options: alpha"),
        ({"alpha": 0.0}, "alpha must be a positive number, not 0.0"),
        ({"num_sellers": 0}, "num_sellers must be at least 1"),
        ({"num_sellers": 37}, "37 sellers with at least 1 samples each need 37 .* there are 36"),
        ({"min_samples": 0}, "min_samples must be at least 1"),
        ({"num_validation": 40}, r"leave nothing of 40 training images"),
        ({"num_validation": 30, "num_root": 10}, r"num_root=10 leave nothing of 40"),
        ({"max_train": 4}, r"leave nothing of 4 training images"),
        ({"num_validation": 1}, "0 or at least 2"),
        ({"num_validation": -2}, "num_validation must not be negative"),
        ({"num_root": -1}, "num_root must not be negative"),
        ({"max_train": 41}, "max_train must be between 1 and 40, not 41"),
        ({"width": 3}, "width=3 is below the size of the largest seller"),
        ({"width": 2**30}, "would take over 2 GiB"),
    ],
)
def test_arguments_out_of_range(arguments, message):
    with pytest.raises(ValueError, match=message) as caught:
        data.build(small(), **({"num_sellers": 3, "num_validation": 4} | arguments))
    assert "\n" not in str(caught.value)


# ----------------------------------------------------------------------------- own arrays


def test_own_arrays_get_a_channel_and_names():
    raw = small()
    assert raw.train_images.shape == (40, 2, 2, 1) and raw.train_labels.dtype == np.int32
    assert raw.class_names == ("0", "1", "2", "3") and raw.name == "custom"
    world = data.build(raw, num_sellers=3, partition="iid", num_validation=4)
    assert len(world.labels) == 36


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_images": np.zeros((40, 2, 2))}, "train images must be uint8.*not float64"),
        ({"train_images": np.zeros((40, 2), np.uint8)}, r"must be \[T, H, W, Ch\]"),
        ({"train_images": np.zeros((0, 2, 2), np.uint8)}, "train images are empty"),
        ({"train_images": np.zeros((39, 2, 2), np.uint8)}, r"has 39 images but labels of shape"),
        ({"test_images": np.zeros((6, 3, 2), np.uint8)}, "but test images"),
        ({"train_labels": np.zeros(40)}, "train labels must be integers, not float64"),
        ({"train_labels": np.full(40, -1)}, "labels run from -1 to -1"),
        ({"class_names": ("a", "b")}, r"labels run from 0 to 3, but there are 2 classes"),
    ],
)
def test_unfit_arrays(changes, message):
    with pytest.raises(data.DataError, match=message):
        small(**changes)


def test_a_test_set_that_is_also_training_data_is_refused():
    raw = small()
    leaked = raw._replace(test_images=raw.train_images[:6].copy())
    with pytest.raises(ValueError, match="6 of 6 test images are also training images"):
        data.build(leaked, num_sellers=3, num_validation=4)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([[0, 1], [1, 2]], "row 1 is in seller 0 and in seller 1"),
        ([[0, 0], [1, 2]], "row 0 is twice in seller 0"),
        ([[0], []], "left seller 1 without samples"),
        ([[0], [36]], "gave seller 1 rows outside 0 to 35"),
        ([[0]], "served 1 sellers instead of 2"),
    ],
)
def test_a_users_own_partition_is_checked(parts, message):
    def own(seed, labels, num_sellers, *, min_samples):
        return parts  # plain lists do

    with pytest.raises(ValueError, match=message):
        data.build(small(), num_sellers=2, partition=own, num_validation=4)


# ---------------------------------------------------------------------- sweeps over partitions


def test_repartition_equals_build_and_shares_the_rest(digits):
    built = data.build(digits, num_sellers=6, alpha=0.1, seed=5)
    again = data.repartition(built, num_sellers=6, alpha=0.1, seed=5)
    np.testing.assert_array_equal(built.index, again.index)
    other = data.repartition(built, num_sellers=9, partition="shards", seed=1)
    assert other.images is built.images and other.verdict is built.verdict
    assert sorted(np.concatenate(data.seller_rows(other))) == list(range(len(built.labels)))


def test_stacked_partitions_under_vmap_equal_single_ones(digits):
    base = data.build(digits, num_sellers=6)
    worlds = [data.repartition(base, num_sellers=6, alpha=alpha) for alpha in (0.05, 0.5, 50.0)]
    stacked, axes = data.stack_partitions(worlds)

    def first_labels(world, draws):
        return world.labels[world.index[:, draws % world.sizes.min()]]

    draws = jnp.arange(5)
    together = jax.vmap(first_labels, in_axes=(axes, None))(stacked, draws)
    for row, world in zip(together, worlds):
        np.testing.assert_array_equal(row, first_labels(world, draws))
    for row, world in zip(np.asarray(stacked.index), worlds):
        for columns, own in zip(row, data.seller_rows(world)):
            assert set(columns) == set(own)


def test_only_worlds_of_one_pool_stack(digits):
    one, two = (data.build(digits, num_sellers=3) for _ in range(2))
    with pytest.raises(ValueError, match="share their pool"):
        data.stack_partitions([one, two])
    with pytest.raises(ValueError, match="same number of sellers"):
        data.stack_partitions([one, data.repartition(one, num_sellers=4)])


# -------------------------------------------------------------------------------------- splits


@given(st.integers(1, 200), st.integers(1, 8), st.data())
def test_stratified_draws(num_rows, num_classes, draw):
    """Right size, nothing twice, and each class gets its share rounded down or up."""
    labels = np.random.default_rng(num_rows).integers(0, num_classes, 300)
    rows = np.random.default_rng(1).permutation(300)[:num_rows]
    count = draw.draw(st.integers(0, num_rows))
    taken, left = splits.take(np.random.default_rng(2), labels, rows, count)
    assert len(taken) == count
    assert sorted([*taken, *left]) == sorted(rows)
    ideal = count * np.bincount(labels[rows], minlength=num_classes) / num_rows
    assert np.abs(np.bincount(labels[taken], minlength=num_classes) - ideal).max() < 1 + 1e-9


def test_stratified_draws_give_every_row_the_same_chance():
    """20,000 draws of 7 from 30: each row's count within five deviations of 7/30."""
    rng, labels = np.random.default_rng(0), np.repeat([0, 1, 2], [3, 7, 20])
    hits = np.zeros(30)
    for _ in range(20_000):
        hits[splits.take(rng, labels, np.arange(30), 7)[0]] += 1
    chance = 7 / 30
    assert np.abs(hits / 20_000 - chance).max() < 5 * np.sqrt(chance * (1 - chance) / 20_000)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"a": [1, 2], "b": [3, 2]}, "row 2 is in a and in b"),
        ({"a": [5, 1, 5], "b": []}, "row 5 is twice in a"),
    ],
)
def test_assert_disjoint_sees_overlap_and_repetition(parts, message):
    with pytest.raises(ValueError, match=message):
        data.assert_disjoint(parts)


@given(st.lists(st.lists(st.integers(0, 15), max_size=6), max_size=5))
def test_assert_disjoint_agrees_with_sets(lists):
    parts = {f"part {i}": np.array(rows, int) for i, rows in enumerate(lists)}
    flat = [row for rows in lists for row in rows]
    if len(flat) == len(set(flat)):
        data.assert_disjoint(parts)
    else:
        with pytest.raises(ValueError, match="must be disjoint"):
            data.assert_disjoint(parts)


def test_shared_images_counts_equal_pixels():
    first = np.arange(12, dtype=np.uint8).reshape(3, 2, 2)
    assert data.shared_images(first, first[[2, 0, 2]]) == 3
    assert data.shared_images(first, first + 100) == 0
    assert data.shared_images(first, first.swapaxes(1, 2)) == 0


def test_moments_against_numpy():
    images = np.random.default_rng(0).integers(0, 256, (5000, 3, 2, 3), dtype=np.uint8)
    images[..., 2] = 9
    mean, std = splits.moments(images)
    np.testing.assert_allclose(mean, images.mean((0, 1, 2)), rtol=1e-6)
    np.testing.assert_allclose(std, [*images.std((0, 1, 2))[:2], 1.0], rtol=1e-6)


def test_normalize_against_numpy():
    rng = np.random.default_rng(0)
    raw = small(
        train_images=rng.integers(0, 256, (40, 4, 4, 3), dtype=np.uint8),
        test_images=rng.integers(0, 256, (6, 4, 4, 3), dtype=np.uint8),
    )
    world = data.build(raw, num_sellers=2, partition="iid", num_validation=4)
    scaled = jax.jit(data.normalize)(world, raw.train_images)
    images = raw.train_images.astype(np.float64)
    expected = (images - images.mean((0, 1, 2))) / images.std((0, 1, 2))
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(scaled, expected, atol=1e-5)
    np.testing.assert_allclose(
        data.normalize(world, world.images[0]), data.normalize(world, world.images)[0], atol=1e-6
    )
