"""`from_arrays` and `from_batches`: what inputs and labels become, and what is refused."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from d2m_jax.data import DataError, check_num_classes, from_arrays, from_batches
from d2m_jax.data.holdout import hold_out
from d2m_jax.data.labels import quantile_bins
from d2m_jax.data.moments import moments

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 3)) * [1, 100, 0] + [0, 1e4, 5]
Y = np.arange(40) % 4


# --------------------------------------------------------------------------------------- inputs


def test_a_table_is_standardised_by_its_training_rows():
    data = from_arrays(X, Y, seed=3)
    assert data.kind == "table" and data.stats == () and data.train["inputs"].dtype == np.float32
    assert (data.num_train, data.num_test) == (32, 8)
    np.testing.assert_allclose(data.train["inputs"].mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(data.train["inputs"].std(0), [1, 1, 0], atol=1e-5)
    assert "the columns are standardised by the training examples" in data.notes
    raw = from_arrays(X, Y, seed=3, standardize=False)
    whole = np.concatenate([raw.train["inputs"], raw.test["inputs"]])
    np.testing.assert_array_equal(np.sort(whole, 0), np.sort(X.astype(np.float32), 0))
    mean, std = raw.train["inputs"].mean(0), raw.train["inputs"].std(0) + [0, 0, 1]
    scaled = (raw.test["inputs"] - mean) / std  # by training, not by the test
    np.testing.assert_allclose(data.test["inputs"], scaled, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("shape", [(40, 6, 5), (40, 6, 5, 3)])
def test_bytes_are_images_and_get_a_channel(shape):
    images = RNG.integers(0, 256, shape, dtype=np.uint8)
    data = from_arrays(images, Y, test=(images[:5], Y[:5]))
    assert data.kind == "images" and data.train["inputs"].ndim == 4
    assert data.train["inputs"].dtype == np.uint8
    mean, std = moments(data.train["inputs"])
    np.testing.assert_array_equal(data.stats["mean"], mean)
    np.testing.assert_array_equal(data.stats["std"], std)
    np.testing.assert_allclose(mean, images.reshape(-1, data.train["inputs"].shape[-1]).mean(0))


def test_float_images_have_the_moments_of_their_channels():
    images = RNG.normal(size=(40, 4, 4, 2))
    data = from_arrays(images, Y, test=(images[:4], Y[:4]))
    assert data.kind == "images" and data.train["inputs"].dtype == np.float32
    np.testing.assert_allclose(data.stats["mean"], images.mean((0, 1, 2)), atol=1e-6)
    np.testing.assert_allclose(data.stats["std"], images.std((0, 1, 2)), rtol=1e-5)


def test_integers_are_a_text_with_its_tokens_as_columns():
    tokens = RNG.integers(0, 30, (40, 7))
    tokens[0, 0] = 29
    data = from_arrays(tokens, Y)
    assert data.kind == "text" and data.train["inputs"].dtype == np.int32 and data.stats == ()
    assert data.columns == tuple(str(token) for token in range(30))
    assert any("tokens of a text" in note for note in data.notes)
    assert from_arrays(tokens, Y, kind="text").notes == ()
    with pytest.raises(DataError, match="token 9000000 is too large for a text"):
        from_arrays(tokens * 0 + 9_000_000, Y)
    table = from_arrays(tokens, Y, kind="table")
    assert table.kind == "table" and table.train["inputs"].dtype == np.float32


def test_other_shapes_are_plain_arrays():
    data = from_arrays(RNG.normal(size=(40, 5, 2)), Y)
    assert data.kind == "arrays" and data.train["inputs"].shape == (32, 5, 2)
    assert from_arrays(np.arange(40.0), Y).train["inputs"].shape == (32, 1)


# --------------------------------------------------------------------------------------- labels


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (Y, ("0", "1", "2", "3")),
        (Y % 2 + 1, ("1", "2")),
        (Y * 10 - 5, ("-5", "5", "15", "25")),
        (np.array(["cat", "ant", "dog", "bee"])[Y], ("ant", "bee", "cat", "dog")),
        (np.array(["cat", "dog"], object)[Y % 2], ("cat", "dog")),
        (Y > 1, ("False", "True")),
    ],
)
def test_classes_are_coded_in_order_and_keep_their_names(labels, names):
    data = from_arrays(np.arange(40.0), labels, standardize=False)
    assert data.class_names == names and data.train["labels"].dtype == np.int32
    for batch in (data.train, data.test):
        rows = batch["inputs"][:, 0].astype(int)
        assert [names[k] for k in batch["labels"]] == [str(label) for label in labels[rows]]
    np.testing.assert_array_equal(data.strata, data.train["labels"])


def test_class_names_given():
    data = from_arrays(X, Y, class_names=["a", "b", "c", "d", "never"])
    assert data.class_names == ("a", "b", "c", "d", "never") and data.train["labels"].max() == 3
    assert from_arrays(X, Y % 2 + 1, class_names=["one", "two"]).train["labels"].max() == 1
    words = np.array(["cat", "ant"])[Y % 2]
    data = from_arrays(np.arange(40.0), words, class_names=["cat", "ant"], standardize=False)
    assert (data.train["labels"] == data.train["inputs"][:, 0] % 2).all()


def test_numbers_are_standardised_and_lie_in_bins():
    y = RNG.normal(size=40) * 50 + 300
    data = from_arrays(X, y)
    assert data.class_names == () and data.train["labels"].dtype == np.float32
    assert abs(data.train["labels"].mean()) < 1e-5 and abs(data.train["labels"].std() - 1) < 1e-5
    assert data.strata.shape == (32,) and set(data.strata) == set(range(10))
    assert any("the labels are standardised" in note for note in data.notes)
    kept = from_arrays(X, y, standardize=False)
    assert set(kept.train["labels"]) <= set(y.astype(np.float32)) and kept.notes == ()


@given(values=st.lists(st.integers(-5, 5) | st.floats(-1e6, 1e6), min_size=1, max_size=60))
def test_bins_are_in_order_and_equal_values_share_one(values):
    values = np.array(values, np.float32)
    bins = quantile_bins(values)
    order = np.argsort(values, kind="stable")
    assert (np.diff(bins[order]) >= 0).all() and (np.diff(bins[order]) <= 1).all()
    assert all(len(set(bins[values == value])) == 1 for value in values) and bins.max() < 10


def test_sets_of_labels():
    sets = RNG.integers(0, 2, (40, 3))
    sets[:3] = [[0, 0, 0], [1, 1, 1], [0, 1, 0]]
    data = from_arrays(X, sets, class_names=["red", "green", "blue"], seed=1)
    assert data.class_names == ("red", "green", "blue")
    assert data.train["labels"].shape == (32, 3) and data.train["labels"].dtype == np.float32
    for stratum in set(data.strata):
        assert len(np.unique(data.train["labels"][data.strata == stratum], axis=0)) == 1
    many = from_arrays(RNG.normal(size=(400, 2)), RNG.integers(0, 2, (400, 9)))
    assert set(many.strata) == {0}


def test_a_label_for_each_position_of_a_text():
    tokens = RNG.integers(0, 9, (40, 5))
    data = from_arrays(tokens, (tokens + 1) % 9)
    assert data.train["labels"].shape == (32, 5) and len(data.class_names) == 9
    np.testing.assert_array_equal(data.test["labels"], (data.test["inputs"] + 1) % 9)
    assert set(data.strata) == {0}


# -------------------------------------------------------------------------------- test, clients


@given(
    counts=st.lists(st.integers(1, 30), min_size=1, max_size=6),
    share=st.floats(0.05, 0.6),
    seed=st.integers(0, 99),
    num_clients=st.integers(1, 5),
)
def test_every_label_and_client_stays_in_training(counts, share, seed, num_clients):
    strata = np.repeat(np.arange(len(counts)), counts).astype(np.int32)
    clients = np.random.default_rng(seed).integers(0, num_clients, len(strata)).astype(np.int32)
    try:
        train, test = hold_out(strata, share, seed, clients, "x")
    except DataError:
        assert len(strata) - round(share * len(strata)) < 4 or max(counts) == 1 or len(strata) < 12
        return
    assert sorted([*train, *test]) == list(range(len(strata)))
    assert set(strata[train]) == set(strata)
    several = {client for client in clients if (clients == client).sum() > 1}
    assert several <= set(clients[train])


def test_the_split_is_stratified_and_seeded():
    labels = np.repeat([0, 1, 2], [50, 30, 20])
    one, two, other = (hold_out(labels, 0.2, seed, None, "x")[1] for seed in (0, 0, 1))
    assert np.bincount(labels[one]).tolist() == [10, 6, 4]
    assert one.tolist() == two.tolist() != other.tolist()


def test_a_label_that_occurs_once_is_in_training_and_said():
    labels = Y.copy()
    labels[7] = 9
    for seed in range(5):
        data = from_arrays(X, labels, seed=seed, test=0.5)
        assert (data.train["labels"] == 4).sum() == 1
        assert any("'9'" in note and "only once" in note for note in data.notes)


def test_a_test_of_its_own():
    data = from_arrays(X, Y, test=(X[:6] + 1, [3, 3, 3, 3, 3, 4]), standardize=False)
    assert data.num_train == 40 and data.test["labels"].tolist() == [3, 3, 3, 3, 3, 4]
    assert data.class_names == ("0", "1", "2", "3", "4")
    assert any("'4'" in note and "test alone" in note for note in data.notes)


def test_clients_are_coded_with_the_rows_they_belong_to():
    clients = np.array(["b", "a", "c"])[np.arange(40) % 3]
    data = from_arrays(np.arange(40.0), Y, clients=clients, standardize=False)
    assert data.client_names == ("a", "b", "c")
    rows = data.train["inputs"][:, 0].astype(int)
    assert [data.client_names[c] for c in data.clients] == clients[rows].tolist()


def test_clients_of_one_example_may_be_in_the_test_and_that_is_said():
    data = from_arrays(X, Y, clients=[f"p{k}" for k in range(40)])
    assert data.num_test == 8 and len(data.client_names) == 32 and data.clients.max() == 31
    assert "8 clients have their only example in the test, so they cannot sell" in data.notes


# --------------------------------------------------------------------------------------- errors

NAN = np.where(np.arange(40) == 3, np.nan, 1.0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"labels": NAN}, "mine: the labels are NaN or infinite in 1 of 40 examples"),
        ({"labels": NAN * np.inf}, "NaN or infinite in 40 of 40"),
        ({"inputs": X * NAN[:, None]}, "mine: the inputs are NaN or infinite in 1 of 40"),
        ({"labels": Y[:39]}, "there are 40 examples but 39 labels"),
        ({"clients": Y[:39]}, "there are 40 examples but 39 clients"),
        ({"labels": Y * 0 + 7}, "all labels are 7, there is nothing to learn"),
        ({"labels": Y * 0.0}, "all labels are 0, there is nothing to learn"),
        ({"inputs": X[:2], "labels": Y[:2]}, "2 examples are too few"),
        ({"inputs": X[:2], "labels": Y[:2], "test": (X, Y)}, "2 training examples are too few"),
        ({"inputs": X[:0], "labels": Y[:0]}, "the inputs are empty"),
        ({"inputs": np.array([{}] * 40)}, r"array of objects \(dict\)"),
        ({"inputs": [[1, 2], [3]]}, "the inputs are ragged"),
        ({"labels": np.array([None, 1] * 20)}, r"objects \(NoneType, int\)"),
        ({"inputs": np.array(["a"] * 40)}, "the inputs are text; give tokens"),
        ({"inputs": np.ma.masked_greater(X, 1)}, "the inputs have masked values"),
        ({"inputs": X * 1j}, "must be numbers, booleans or text, not complex128"),
        ({"inputs": X * 1e300}, "too large for float32"),
        ({"inputs": np.full((40, 2), 2**40)}, "too large for int32"),
        ({"labels": np.arange(40)}, "40 examples have 40 different labels, which are no classes"),
        ({"labels": np.arange(40) % 10, "class_names": list("abcdefg")}, "10 values, 0 to 9, but"),
        ({"class_names": list("aabc")}, "a name twice"),
        ({"labels": np.zeros((40, 2, 2))}, r"must be \[T\] or \[T, L\]"),
        ({"labels": np.full((40, 2), 3)}, "must be zeros and ones"),
        (
            {"labels": np.eye(40)[:, :3].astype(int), "class_names": ["a"]},
            "1 class_names for labels",
        ),
        ({"test": 1.0}, "between 0 and 1, not 1.0"),
        ({"test": "half"}, "between 0 and 1, not 'half'"),
        ({"test": (X,)}, "a pair"),
        ({"test": (X[:, :2], Y)}, r"train inputs are \(3,\) each but test inputs \(2,\)"),
        ({"test": (X, Y[:3])}, "test: there are 40 examples but 3 labels"),
        ({"test": (X, Y.astype(str))}, "train labels are int64, test labels"),
        ({"kind": "image"}, "kind must be one of images, table, text, arrays"),
        ({"kind": "images"}, r"images must be \[T, H, W\]"),
        ({"kind": "text"}, r"a text must be \[T, S\] integers"),
        ({"clients": X[:, 0]}, "clients must be"),
    ],
    ids=range(34),
)
def test_what_cannot_be_a_data_set_is_one_sentence(arguments, message):
    arguments = {"inputs": X, "labels": Y, "name": "mine"} | arguments
    with pytest.raises(DataError, match=message) as caught:
        from_arrays(arguments.pop("inputs"), arguments.pop("labels"), **arguments)
    assert "\n" not in str(caught.value) and str(caught.value).startswith("mine")


def test_a_task_with_too_few_classes():
    data = from_arrays(RNG.normal(size=(100, 2)), np.arange(100) % 10)
    check_num_classes(data, 10)
    with pytest.raises(DataError, match=r"labels run from 0 to 9, but there are 7 classes"):
        check_num_classes(data, 7)


# ---------------------------------------------------------------------------------- any pytree


def test_batches_of_any_tree():
    def batch(size):
        return {"words": (np.zeros((size, 3), np.int64), np.ones(size)), "labels": Y[:size]}

    data = from_batches(batch(20), batch(8), clients=["x", "y"] * 10, name="pairs")
    assert (data.num_train, data.num_test, data.kind) == (20, 8, "arrays")
    assert data.train["words"][0].dtype == np.int32 and data.train["words"][1].dtype == np.float32
    np.testing.assert_array_equal(data.strata, Y[:20])
    assert data.client_names == ("x", "y")
    assert from_batches((np.ones(9),), (np.ones(2),)).strata is None
    own = from_batches((np.ones(6),), (np.ones(2),), strata=list("abcabc"))
    assert own.strata.tolist() == [0, 1, 2, 0, 1, 2]


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        ({"a": X}, {"b": X}, "the same non-empty tree"),
        ({}, {}, "the same non-empty tree"),
        ({"a": X, "b": Y[:9]}, {"a": X, "b": Y}, "train must have leaves of one length"),
        ({"a": X}, {"a": X[:0]}, "test must have leaves of one length above 0"),
        ({"a": X}, {"a": X[:, :2]}, r"\['a'\] is float64 \(3,\) in train but float64 \(2,\)"),
        ({"a": X}, {"a": X.astype(np.float32)}, "float64 .* float32"),
        ({"a": np.array([{}] * 9)}, {"a": np.array([{}] * 9)}, "must be an array"),
        ({"a": X[:2]}, {"a": X}, "2 training examples are too few"),
        ({"labels": NAN}, {"labels": NAN}, "NaN or infinite in 1 of 40"),
    ],
    ids=range(9),
)
def test_trees_that_do_not_fit(train, test, message):
    with pytest.raises(DataError, match=message):
        from_batches(train, test)


def test_batches_with_classes_out_of_range():
    batch = {"inputs": X, "labels": Y}
    with pytest.raises(DataError, match="labels run from 0 to 3, but there are 3 classes"):
        from_batches(batch, batch, class_names=("a", "b", "c"))
