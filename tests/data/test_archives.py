"""The readers, on archives made by hand: right bytes, and one sentence for any damage."""

import gzip
import pickle

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from d2m_jax.data import DataError, archives
from tests.data import files

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (3, 4, 5), dtype=np.uint8)
LABELS = np.array([7, 0, 9], np.uint8)
COLOUR = RNG.integers(0, 256, (12, 32, 32, 3), dtype=np.uint8)
COLOUR_LABELS = np.arange(12) % 10


def test_idx_literal(tmp_path):
    """A file written out by hand: two images of one row and three columns."""
    body = bytes([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 3, 10, 20, 30, 40, 50, 255])
    path = tmp_path / "two.gz"
    path.write_bytes(gzip.compress(body))
    assert archives.read_idx(path, 3).tolist() == [[[10, 20, 30]], [[40, 50, 255]]]


def test_idx_dataset(tmp_path):
    files.write_idx_folder(tmp_path, [IMAGES, LABELS, IMAGES[:2], LABELS[:2]])
    raw = archives.read_idx_dataset("mnist", tmp_path)
    np.testing.assert_array_equal(raw.train_images, IMAGES[..., None])
    np.testing.assert_array_equal(raw.test_images, IMAGES[:2, ..., None])
    assert raw.train_labels.tolist() == [7, 0, 9] and raw.train_labels.dtype == np.int32
    assert raw.test_labels.tolist() == [7, 0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"not gzip at all", "truncated or damaged"),
        (b"", "it starts with"),
        (gzip.compress(files.idx_bytes(LABELS)), "not an IDX file of uint8 with 3 axes"),
        (gzip.compress(b"\0\0\x0d\x03" + bytes(12)), "not an IDX file"),  # float32
        (gzip.compress(b"\0\0\x08\x03\0\0"), "ends inside its header"),
        (gzip.compress(files.idx_bytes(IMAGES)[:-1]), "announces 60 bytes of data but has only 59"),
        (gzip.compress(files.idx_bytes(IMAGES) + b"!"), "announces 60 bytes of data but has more"),
        (gzip.compress(b"\0\0\x08\x03" + b"\xff" * 12), "not believable"),
        (gzip.compress(files.idx_bytes(IMAGES))[:-9], "truncated or damaged"),
    ],
    ids=range(9),
)
def test_a_bad_idx_file_is_named_in_one_sentence(tmp_path, content, message):
    path = tmp_path / "bad-idx3-ubyte.gz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        archives.read_idx(path, 3)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_missing_files_are_listed(tmp_path):
    files.write_idx_folder(tmp_path, [IMAGES, LABELS])
    with pytest.raises(DataError, match=r"lacks t10k-images-idx3.*, t10k-labels-idx1"):
        archives.read_idx_dataset("mnist", tmp_path)
    with pytest.raises(DataError, match="no file"):
        archives.read_idx(tmp_path / "nothing.gz", 1)


@pytest.fixture(scope="module")
def idx_path(tmp_path_factory):
    return tmp_path_factory.mktemp("idx") / "images.gz"


@given(data=st.data())
def test_no_damage_of_an_idx_file_goes_unnoticed(idx_path, data):
    """Any cut and any flipped bit gives a DataError or (in gzip's free fields) the same array."""
    whole = bytearray(gzip.compress(files.idx_bytes(IMAGES), mtime=0))
    if data.draw(st.booleans()):
        damaged = whole[: data.draw(st.integers(0, len(whole) - 1))]
    else:
        bit = data.draw(st.integers(0, 8 * len(whole) - 1))
        damaged = whole.copy()
        damaged[bit // 8] ^= 1 << bit % 8
    idx_path.write_bytes(damaged)
    try:
        array = archives.read_idx(idx_path, 3)
    except DataError:
        return
    np.testing.assert_array_equal(array, IMAGES)


@pytest.mark.parametrize("file", archives.CIFAR_FILES)
def test_cifar_batches_of_python_2(tmp_path, file):
    files.write_cifar(tmp_path / file, files.cifar_members(COLOUR, COLOUR_LABELS))
    raw = archives.read_cifar10(tmp_path / file)
    np.testing.assert_array_equal(raw.train_images, COLOUR[:10])
    np.testing.assert_array_equal(raw.test_images, COLOUR[10:])
    assert raw.train_labels.tolist() == list(range(10))
    assert raw.test_labels.tolist() == [0, 1]


def test_cifar_batches_of_python_3(tmp_path):
    """The same batches, pickled by today's NumPy."""
    rows = COLOUR.transpose(0, 3, 1, 2).reshape(12, -1)
    names = files.cifar_members(COLOUR, COLOUR_LABELS)
    members = {
        name: pickle.dumps({b"data": r, b"labels": [3, 4]}, protocol=3)
        for name, r in zip(names, np.split(rows, 6))
    }
    files.write_cifar(tmp_path / "cifar-10-python.tar.gz", members)
    raw = archives.read_cifar10(tmp_path / "cifar-10-python.tar.gz")
    np.testing.assert_array_equal(raw.train_images, COLOUR[:10])


class _Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (b"", "truncated or damaged"),
        (b"nonsense", "test_batch is not a CIFAR-10 batch"),
        (pickle.dumps([1, 2], protocol=2), "not a CIFAR-10 batch"),
        (pickle.dumps({b"data": np.zeros((2, 3072)), b"labels": [1, 2]}, protocol=3), "b'f8'|'f8'"),
        (files.cifar_pickle(np.zeros((2, 3071), np.uint8), [1, 2]), "not a CIFAR-10 batch"),
        (files.cifar_pickle(np.zeros((2, 3072), np.uint8), [1]), "2 images but labels of shape"),
    ],
    ids=range(6),
)
def test_a_bad_cifar_batch_is_named(tmp_path, batch, message):
    path = tmp_path / "cifar-10-python.tar.gz"
    files.write_cifar(path, files.cifar_members(COLOUR, COLOUR_LABELS) | {"test_batch": batch})
    with pytest.raises(DataError, match=message) as caught:
        archives.read_cifar10(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_pickle_can_run_nothing(tmp_path):
    path, trace = tmp_path / "cifar-10-python.tar.gz", tmp_path / "trace"
    evil = pickle.dumps({"data": _Evil(trace), "labels": []}, protocol=2)
    files.write_cifar(path, files.cifar_members(COLOUR, COLOUR_LABELS) | {"data_batch_1": evil})
    with pytest.raises(DataError, match=r"data_batch_1 .* asks for \S+\.open"):
        archives.read_cifar10(path)
    assert not trace.exists()
    pickle.loads(evil)["data"].close()  # without the guard it does run
    assert trace.exists()


def test_a_cifar_archive_without_a_batch(tmp_path):
    members = files.cifar_members(COLOUR, COLOUR_LABELS)
    del members["data_batch_4"]
    files.write_cifar(tmp_path / "cifar-10-python.tar.xz", members)
    with pytest.raises(DataError, match="lacks data_batch_4"):
        archives.read_cifar10(tmp_path / "cifar-10-python.tar.xz")


@pytest.fixture(scope="module", params=archives.CIFAR_FILES)
def cifar_path(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("cifar") / request.param
    files.write_cifar(path, files.cifar_members(COLOUR, COLOUR_LABELS))
    return path, path.read_bytes()


@given(data=st.data())
def test_no_damage_of_a_cifar_archive_goes_unnoticed(cifar_path, data):
    path, whole = cifar_path
    if data.draw(st.booleans()):
        damaged = bytearray(whole[: data.draw(st.integers(0, len(whole) - 1))])
    else:
        bit = data.draw(st.integers(0, 8 * len(whole) - 1))
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
    path.write_bytes(damaged)
    try:
        raw = archives.read_cifar10(path)
    except DataError:
        return
    np.testing.assert_array_equal(raw.train_images, COLOUR[:10])
    np.testing.assert_array_equal(raw.test_images, COLOUR[10:])
