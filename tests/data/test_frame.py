"""`from_frame`: each sort of column by hand, nothing learnt from the test rows, every refusal."""

import datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from d2m_jax.data import DataError, from_frame
from d2m_jax.data.columns import TEXT_WIDTH, fit_column

RNG = np.random.default_rng(0)
T = 60


def table(**columns):
    return pd.DataFrame({"x": RNG.normal(size=T), "y": np.arange(T) % 3} | columns)


def encoded(train, whole=None, name="c"):
    column = fit_column(pd.Series(train), name)
    return column, column.encode(pd.Series(train if whole is None else whole))


# -------------------------------------------------------------------------------------- columns


def test_numbers_by_hand():
    """Known values 1, 3, 8: median 3; filled 1, 3, 3, 8."""
    column, values = encoded([1.0, 3.0, np.nan, 8.0], [1.0, np.nan, 100.0, np.inf])
    filled = np.array([1, 3, 3, 8.0])
    assert (
        column.names == ("c", "c missing")
        and "lacks 1 of 4 training values: median 3" in column.note
    )
    expected = (np.array([1, 3, 100, 3]) - filled.mean()) / filled.std()
    np.testing.assert_allclose(values[:, 0], expected, rtol=1e-6)
    assert values[:, 1].tolist() == [0, 1, 0, 1] and values.dtype == np.float32


def test_a_complete_number_has_no_indicator_even_if_the_test_lacks_it():
    column, values = encoded([1.0, 3.0, 8.0], [np.nan, 3.0])
    assert column.names == ("c",) and values[0, 0] == values[1, 0]  # the median is 3
    assert column.note == ""


@pytest.mark.parametrize("dtype", ["Int64", "Float32", "int8", "uint64", "float16"])
def test_numbers_of_every_dtype(dtype):
    _, values = encoded(pd.Series([1, 2, 3, 6], dtype=dtype))
    np.testing.assert_allclose(values[:, 0], (np.array([1, 2, 3, 6]) - 3) / np.sqrt(3.5), rtol=1e-6)


def test_numbers_written_as_text():
    column, values = encoded(np.array(["1", "3", None], object), np.array(["x", "3", "1"], object))
    assert "is read as numbers" in column.note and values[0, 1] == 1 and values[0, 0] == 0


@pytest.mark.parametrize(
    "series",
    [
        pd.Series(["b", "a", "b", None], dtype=object),
        pd.Series(["b", "a", "b", None], dtype="string"),
        pd.Series(["b", "a", "b", None], dtype="category"),
    ],
)
def test_levels_have_a_column_each_and_one_for_the_rest(series):
    column = fit_column(series, "c")
    assert column.names == ("c=a", "c=b", "c other or missing")
    new = pd.Series(["a", "z", None, "b"], dtype=series.dtype if series.dtype == object else object)
    assert column.encode(new).tolist() == [[1, 0, 0], [0, 0, 1], [0, 0, 1], [0, 1, 0]]


def test_booleans_are_levels():
    column, values = encoded(np.array([True, False, True]))
    assert column.names[:2] == ("c=False", "c=True") and values[:, 1].tolist() == [1, 0, 1]
    assert encoded(pd.Series([True, None], dtype="boolean"))[1].tolist() == [[1, 0], [0, 1]]


def test_dates_are_days():
    dates = pd.to_datetime(["2020-01-01", "2020-01-03", "2020-01-11"])
    column, values = encoded(pd.Series(dates))
    days = np.array([0, 2, 10.0])
    np.testing.assert_allclose(values[:, 0], (days - 4) / days.std(), rtol=1e-6)
    assert "days since 2020-01-01" in column.note
    written = [f"2020-02-{day:02d}" for day in range(1, 29)]
    column, values = encoded(written)
    assert "days since 2020-02-01" in column.note
    np.testing.assert_allclose(np.diff(values[:, 0]), 1 / np.arange(28).std(), rtol=1e-4)


@pytest.mark.parametrize(
    "values",
    [
        [datetime.date(2020, 1, day) for day in (1, 3, 11)],
        [datetime.datetime(2020, 1, day) for day in (1, 3, 11)],
        [Decimal(k) for k in (0, 2, 10)],
        [np.int64(0), 2.0, 10],
    ],
)
def test_dates_and_numbers_in_columns_of_objects(values):
    column = fit_column(pd.Series(values, dtype=object), "c")
    days = np.array([0, 2, 10.0])
    expected = (days - 4) / days.std()
    found = column.encode(pd.Series([*values, None], dtype=object))
    np.testing.assert_allclose(found[:, 0], [*expected, expected[1]], rtol=1e-6)


def test_free_text_is_a_unit_vector_of_words():
    texts = [f"the cat number {k} sat, THE end" for k in range(30)]
    column, values = encoded(texts, ["the The", "", "cat", None])
    assert len(column.names) == TEXT_WIDTH and values.shape == (4, TEXT_WIDTH)
    norms = np.linalg.norm(values, axis=1)
    np.testing.assert_allclose(norms, [1, 0, 1, 0], atol=1e-6)
    assert (values[0] > 0).sum() == 1 and (values[0] * values[2]).sum() == 0


@pytest.mark.parametrize(
    ("values", "note"),
    [([5.0] * 4, "constant"), (["a"] * 4, "constant"), ([np.nan] * 4, "no values in training")],
)
def test_columns_that_say_nothing_are_left_out_with_a_note(values, note):
    column, inputs = encoded(values)
    assert column.names == () and inputs.shape == (4, 0) and note in column.note


def test_a_constant_with_gaps_keeps_its_indicator():
    column, values = encoded([5.0, np.nan, 5.0])
    assert column.names == ("c missing",) and values[:, 0].tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([f"id{k}" for k in range(30)], "has 30 levels in training, more than 20, and is no text"),
        (pd.Series([f"id {k}" for k in range(30)], dtype="category"), "has 30 levels in training"),
        ([[1], [2]], "holds list: no numbers, text or dates"),
        (np.array([1j, 2]), "holds complex"),
    ],
)
def test_columns_that_are_refused(values, message):
    with pytest.raises(DataError, match=f"column 'c' {message}"):
        fit_column(pd.Series(values), "c")


# --------------------------------------------------------------------------------------- tables


def test_the_test_rows_teach_nothing():
    """The same training rows encode the same, whatever the test rows hold."""
    frame = table(city=np.array(["a", "b", "c"])[np.arange(T) // 2 % 3])
    other = frame.copy()
    test = frame.iloc[:6].copy()
    one = from_frame(frame, "y", test=test)
    test["x"], test["city"] = 1e6, "elsewhere"
    two = from_frame(other, "y", test=test)
    np.testing.assert_array_equal(one.train["inputs"], two.train["inputs"])
    assert two.test["inputs"][0, 1:].tolist() == [0, 0, 0, 1]
    assert one.columns == ("x", "city=a", "city=b", "city=c", "city other or missing")


def test_a_table_becomes_a_data_set():
    frame = table(ward=np.array(["n", "s"])[np.arange(T) % 2], note="k")
    data = from_frame(frame, "y", client="ward", drop=["note"], name="wards")
    assert (data.kind, data.name, data.class_names) == ("table", "wards", ("0", "1", "2"))
    assert data.columns == ("x",) and data.stats == () and data.client_names == ("n", "s")
    assert (data.num_train, data.num_test) == (48, 12)
    assert np.bincount(data.test["labels"]).tolist() == [4, 4, 4]
    joint = np.bincount(data.clients * 3 + data.train["labels"])
    assert joint.tolist() == [8] * 6  # stratified by label within clients
    assert data.train["inputs"].dtype == np.float32 and "note" in frame  # the table is not changed


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (np.arange(T) % 2 + 1, ("1", "2")),
        (np.arange(T) % 2 * 1.0, ("0", "1")),
        (np.array(["no", "yes"])[np.arange(T) % 2], ("no", "yes")),
        (pd.Categorical(np.array(["no", "yes"])[np.arange(T) % 2]), ("no", "yes")),
        (np.arange(T) % 2 == 0, ("False", "True")),
        (np.array(["1", "3"])[np.arange(T) % 2], ("1", "3")),
        (np.arange(T), ()),
        (np.arange(T) % 2 + 0.5, ()),
    ],
)
def test_which_labels_are_classes(labels, names):
    data = from_frame(table(y=labels), "y")
    assert data.class_names == names
    assert data.train["labels"].dtype == (np.int32 if names else np.float32)


def test_the_user_may_say_which():
    assert from_frame(table(), "y", task="numbers").class_names == ()
    many = table(y=np.arange(T) % 25)
    assert from_frame(many, "y").class_names == ()
    assert len(from_frame(many, "y", task="classes").class_names) == 25


def test_numbers_are_standardised_by_training_rows():
    y = RNG.normal(size=T) * 40 + 500
    data = from_frame(table(y=y), "y", test=table(y=y * 2).iloc[:5])
    np.testing.assert_allclose(data.train["labels"], (y - y.mean()) / y.std(), atol=1e-4)
    np.testing.assert_allclose(data.test["labels"], (2 * y[:5] - y.mean()) / y.std(), atol=1e-4)


def test_rows_without_a_label_are_counted_in_a_note():
    labels = (np.arange(T) % 3).astype(float)
    labels[[1, 5]] = np.nan
    data = from_frame(table(y=labels), "y")
    assert data.num_train + data.num_test == T - 2 and data.class_names == ("0", "1", "2")
    assert "2 of 60 rows have no label in column 'y' and are left out" in data.notes


@pytest.mark.parametrize(
    ("frame", "arguments", "message"),
    [
        (table(), {"label": "Y1"}, r"no column 'Y1'.*; there are: x, y"),
        (table(label2=1), {"label": "label"}, r"no column 'label' \(did you mean 'label2'\?\)"),
        (table(), {"client": "yy"}, r"no column 'yy' \(did you mean 'y'\?\)"),
        (table(), {"drop": ["z"]}, "no column 'z'"),
        (table(y=np.nan), {}, "no row has a label in column 'y'"),
        (table(y=1), {}, "all labels are 1, there is nothing to learn"),
        (table(c=[None] + ["a"] * (T - 1)), {"client": "c"}, "1 rows have no client in column 'c'"),
        (table(x=3), {}, "no column is left that could be an input"),
        (table(x=[f"i{k}" for k in range(T)]), {}, "own table: column 'x' has 4[0-9] levels"),
        (table().iloc[:0], {}, "the table is empty"),
        (table().iloc[:2], {}, "2 examples are too few"),
        (pd.concat([table(), table()], axis=1), {}, "two columns are called 'x'"),
        (table(), {"test": table()[["y"]]}, "the test table has no column 'x'"),
        (table(), {"test": 0}, "share of the test must be between 0 and 1"),
        (table(), {"task": "guess"}, "task must be one of auto, classes, numbers"),
        (table(y=pd.Timestamp("2020")), {}, "all labels are"),
        (np.zeros((3, 2)), {}, "needs a pandas DataFrame, not ndarray"),
    ],
    ids=range(17),
)
def test_what_cannot_be_a_table_is_one_sentence(frame, arguments, message):
    arguments = {"label": "y"} | arguments
    with pytest.raises(DataError, match=message) as caught:
        from_frame(frame, **arguments)
    assert "\n" not in str(caught.value)
