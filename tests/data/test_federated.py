"""Buyer's images, sellers' rows and the test set stay apart; draws and moments are right."""

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given

from d2m_jax import data
from d2m_jax.data import Dataset, splits
from d2m_jax.data.moments import moments
from d2m_jax.tasks.images import normalize, prepare_images

BUYER = ("correction", "verdict", "root")


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return data.load("digits")


def small(num_train=40, num_classes=4):
    """A user's own images: every one is different."""
    images = np.arange(4 * num_train, dtype=np.uint8).reshape(num_train, 2, 2)
    test = np.full((6, 2, 2), 255, np.uint8), np.arange(6) % num_classes
    return data.from_arrays(images, np.arange(num_train) % num_classes, test=test)


def flat(batch):
    return [bytes(row) for row in np.asarray(batch["inputs"])]


# -------------------------------------------------------------------------------------- build


@pytest.mark.parametrize("whole_pool", [False, True])
@pytest.mark.parametrize("partition", data.PARTITIONS)
def test_every_training_image_has_exactly_one_holder(digits, partition, whole_pool):
    world = data.build(
        digits._replace(clients=np.arange(1442) % 9),
        num_sellers=7,
        partition=partition,
        num_validation=61,
        num_root=20,
        whole_pool=whole_pool,
    )
    sellers = data.seller_rows(world)
    held = [jax.tree.map(lambda leaf: leaf[np.concatenate(sellers)], world.pool)]
    held += [getattr(world, part) for part in BUYER]
    assert [len(batch["labels"]) for batch in held] == [1442 - 81, 30, 31, 20]
    assert len(world.pool["labels"]) == (1442 if whole_pool else 1442 - 81)
    together = [row for batch in held for row in flat(batch)]
    assert sorted(together) == sorted(flat(digits.train))
    for name in ("inputs", "labels"):
        np.testing.assert_array_equal(world.test[name], digits.test[name])
    assert world.sizes.tolist() == [len(rows) for rows in sellers]
    assert world.starts.tolist() == [0, *np.cumsum(world.sizes)[:-1].tolist()]


def test_images_keep_their_labels(digits):
    known = dict(zip(flat(digits.train), digits.train["labels"]))
    world = data.build(digits, num_sellers=5, num_root=50, max_train=800)
    for batch in (world.pool, *(getattr(world, part) for part in BUYER)):
        assert [known[image] for image in flat(batch)] == batch["labels"].tolist()


def test_types_and_shapes(digits):
    world = data.build(digits, num_sellers=5, num_validation=0)
    kinds = jax.tree.map(lambda leaf: leaf.dtype.name, world)
    batch = {"inputs": "uint8", "labels": "int32"}
    assert kinds == data.FederatedData(
        pool=batch,
        **dict.fromkeys(("rows", "starts", "sizes"), "int32"),
        stats={"mean": "float32", "std": "float32"},
        **dict.fromkeys((*BUYER, "test"), batch),
    )
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(world))
    assert world.correction["inputs"].shape == world.root["inputs"].shape == (0, 8, 8, 1)


def test_the_buyers_images_are_class_stratified(digits):
    world = data.build(digits, num_sellers=5, num_validation=100, num_root=40)
    share = np.bincount(digits.train["labels"]) / 1442
    for part, size in (("correction", 50), ("verdict", 50), ("root", 40)):
        # each draw is from what the one before left, so a count may be one further off
        counts = np.bincount(getattr(world, part)["labels"], minlength=10)
        assert np.abs(counts - size * share).max() < 2


def test_max_train_is_stratified_and_bounds_the_pool(digits):
    world = data.build(digits, num_sellers=3, max_train=500, num_validation=100, num_root=10)
    assert len(world.pool["labels"]) == len(world.rows) == 390
    assert np.ptp(np.bincount(world.pool["labels"])) <= 6
    full = data.build(digits, num_sellers=3)
    np.testing.assert_array_equal(world.stats["mean"], full.stats["mean"])


def test_a_seller_costs_what_it_holds_and_gives_its_own_examples(digits):
    world = data.build(digits, num_sellers=9, alpha=0.05)
    assert int(world.sizes.max()) > 5 * int(world.sizes.min())
    assert world.rows.shape == (1442 - 200,)
    gather = jax.jit(data.FederatedData.examples_of)
    for seller, rows in enumerate(data.seller_rows(world)):
        assert len(set(rows)) == len(rows)
        batch = gather(world, seller, jnp.arange(len(rows)))
        np.testing.assert_array_equal(batch["labels"], world.pool["labels"][rows])
        np.testing.assert_array_equal(batch["inputs"], world.pool["inputs"][rows])


def test_seeds_repeat_and_differ(digits):
    one, same, other = (data.build(digits, num_sellers=4, seed=seed) for seed in (3, 3, 4))
    assert jax.tree.all(jax.tree.map(np.array_equal, one, same))
    assert not np.array_equal(one.verdict["inputs"], other.verdict["inputs"])


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
        ({"num_validation": 40}, r"leave nothing of 40 training examples"),
        ({"num_validation": 30, "num_root": 10}, r"num_root=10 leave nothing of 40"),
        ({"max_train": 4}, r"leave nothing of 4 training examples"),
        ({"num_validation": 1}, "0 or at least 2"),
        ({"num_validation": -2}, "num_validation must not be negative"),
        ({"num_root": -1}, "num_root must not be negative"),
        ({"max_train": 41}, "max_train must be between 1 and 40, not 41"),
    ],
)
def test_arguments_out_of_range(arguments, message):
    with pytest.raises(ValueError, match=message) as caught:
        data.build(small(), **({"num_sellers": 3, "num_validation": 4} | arguments))
    assert "\n" not in str(caught.value)


def test_a_test_set_that_is_also_training_data_is_refused():
    raw = small()
    leaked = raw._replace(test=jax.tree.map(lambda leaf: leaf[:6].copy(), raw.train))
    with pytest.raises(ValueError, match="6 of 6 test examples are also training examples"):
        data.build(leaked, num_sellers=3, num_validation=4)


def test_strata_of_another_length_are_refused():
    odd = small()._replace(strata=np.zeros(39, np.int32))
    with pytest.raises(ValueError, match=r"strata have shape \(39,\), there are 40 training"):
        data.build(odd, num_sellers=3, num_validation=4)


def test_a_data_set_without_strata_is_dealt_by_chance():
    blank = small()._replace(strata=None)
    world = data.build(blank, num_sellers=3, partition="iid", num_validation=4)
    assert sorted(flat(world.pool) + flat(world.correction) + flat(world.verdict)) == sorted(
        flat(blank.train)
    )


def test_any_tree_is_dealt_leaf_by_leaf():
    tree = {"x": np.arange(30.0, dtype=np.float32), "y": (np.arange(60).reshape(30, 2),)}
    own = Dataset("own", train=tree, test=jax.tree.map(lambda leaf: leaf[:3] + 100, tree))
    world = data.build(own, num_sellers=4, partition="iid", num_validation=6)
    batch = world.examples_of(2, jnp.arange(int(world.sizes[2])))
    np.testing.assert_array_equal(batch["y"][0], np.stack([2 * batch["x"], 2 * batch["x"] + 1], 1))
    assert len(world.pool["x"]) == 24 and world.verdict["y"][0].shape == (3, 2)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([[0, 0], [1, 2]], "gave seller 0 a row twice"),
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


def test_two_sellers_may_hold_the_same_row_and_rows_may_be_left_out():
    own = lambda seed, labels, num_sellers: [[0, 1], [1, 2, 30]]
    world = data.build(small(), num_sellers=2, partition=own, num_validation=4)
    assert [rows.tolist() for rows in data.seller_rows(world)] == [[0, 1], [1, 2, 30]]
    assert len(world.pool["labels"]) == 36


# ---------------------------------------------------------------------- sweeps over partitions


def test_worlds_of_one_pool_under_vmap_equal_single_ones(digits):
    """What a sweep does: the pool is shared, what each seed deals is stacked."""
    worlds = [
        data.build(digits, num_sellers=6, alpha=alpha, seed=seed, whole_pool=True)
        for seed, alpha in enumerate((0.05, 0.5, 50.0))
    ]
    apart = data.build(digits, num_sellers=6, alpha=0.5, seed=1)
    for seller, rows in enumerate(data.seller_rows(worlds[1])):
        own = apart.pool["inputs"][data.seller_rows(apart)[seller]]
        np.testing.assert_array_equal(worlds[1].pool["inputs"][rows], own)
    for world in worlds[1:]:
        assert jax.tree.all(jax.tree.map(np.array_equal, world.pool, worlds[0].pool))
    shared = {"pool": worlds[0].pool, "stats": worlds[0].stats, "test": worlds[0].test}
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *worlds).replace(**shared)
    axes = jax.tree.map(lambda _: 0, stacked).replace(
        **jax.tree.map(lambda _: None, shared, is_leaf=lambda x: x is None)
    )

    def labels_of(world, draws):
        draw = lambda seller: world.examples_of(seller, draws % world.sizes[seller])["labels"]
        return jax.vmap(draw)(jnp.arange(6))

    draws = jnp.arange(5)
    together = jax.vmap(labels_of, in_axes=(axes, None))(stacked, draws)
    for row, world in zip(together, worlds):
        np.testing.assert_array_equal(row, labels_of(world, draws))


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


def test_moments_against_numpy():
    images = np.random.default_rng(0).integers(0, 256, (5000, 3, 2, 3), dtype=np.uint8)
    images[..., 2] = 9
    mean, std = moments(images)
    np.testing.assert_allclose(mean, images.mean((0, 1, 2)), rtol=1e-6)
    np.testing.assert_allclose(std, [*images.std((0, 1, 2))[:2], 1.0], rtol=1e-6)


def test_normalized_images_against_numpy():
    rng = np.random.default_rng(0)
    raw, test = (rng.integers(0, 256, (size, 4, 4, 3), dtype=np.uint8) for size in (40, 6))
    dataset = data.from_arrays(raw, np.arange(40) % 4, test=(test, np.arange(6) % 4))
    world = data.build(dataset, num_sellers=2, partition="iid", num_validation=4)
    batch = jax.jit(prepare_images)({"inputs": raw, "labels": jnp.arange(40)}, world.stats)
    images = raw.astype(np.float64)
    expected = (images - images.mean((0, 1, 2))) / images.std((0, 1, 2))
    assert batch["inputs"].dtype == np.float32
    np.testing.assert_allclose(batch["inputs"], expected, atol=1e-5)
    np.testing.assert_array_equal(batch["labels"], np.arange(40))
    one = normalize(jnp.asarray(raw[0]), **world.stats)
    np.testing.assert_allclose(one, batch["inputs"][0], atol=1e-6)


@pytest.mark.parametrize(
    "share, num, count",
    [(0.0, 9, 0), (0.25, 9, 2), (0.5, 9, 4), (0.9, 9, 8), (0.29, 100, 29), (0.57, 100, 57)],
)
def test_the_defence_sees_its_share_of_the_buyers_examples(share, num, count):
    """Also where the float next to the share lies below it: 0.29 * 100 is 28.999999999999996."""
    digits = data.load("digits")
    world = data.build(digits, num_sellers=4, num_validation=num, correction_share=share)
    assert len(world.correction["labels"]) == count
    assert len(world.verdict["labels"]) == num - count


def test_a_share_that_leaves_no_verdict_is_refused():
    with pytest.raises(ValueError, match=r"correction_share must lie in \[0, 1\), not 1"):
        data.build(data.load("digits"), num_sellers=4, correction_share=1.0)
