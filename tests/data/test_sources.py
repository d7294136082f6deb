"""`load`: the real files, the order of sources, the cache, and what is said when nothing works."""

import hashlib
import importlib.util
import os
import pathlib

import numpy as np
import pytest

from d2m_jax import data
from d2m_jax.data import archives, cache, sources
from tests.data import files

ROOT = pathlib.Path(__file__).resolve().parents[2]
SMALL = np.random.default_rng(0).integers(0, 256, (4, 28, 28), dtype=np.uint8)


@pytest.fixture(autouse=True)
def empty_home(monkeypatch, tmp_path):
    """The default cache lies in an empty home."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("D2M_CACHE_DIR", raising=False)


# ------------------------------------------------------------------------------------ real data

REAL = {
    # first labels, mean and deviation per channel in units of 255, as published
    "mnist": ([5, 0, 4, 1, 9, 2, 1, 3, 1, 4], [0.1307], [0.3081]),
    "fashion_mnist": ([9, 0, 0, 3, 0, 2, 7, 2, 5, 5], [0.2860], [0.3530]),
    "cifar10": (
        [6, 9, 9, 4, 1, 1, 2, 7, 8, 3],
        [0.4914, 0.4822, 0.4465],
        [0.2470, 0.2435, 0.2616],
    ),
}


@pytest.fixture(scope="module")
def real(data_dir):
    """Loads a real set; the decoded CIFAR-10 is kept between runs of the tests."""

    def load(name):
        return data.load(name, data_dir, cache_dir=ROOT / ".cache" / "data")

    return load


@pytest.mark.parametrize("name", REAL)
def test_real_sets(real, name):
    labels, mean, std = REAL[name]
    raw = real(name)  # `load` itself holds shapes and label counts to the published ones
    assert raw.name == name and len(raw.class_names) == 10
    assert raw.train["inputs"].dtype == raw.test["inputs"].dtype == np.uint8
    assert raw.train["labels"].dtype == raw.test["labels"].dtype == np.int32
    assert raw.train["labels"][:10].tolist() == labels
    assert raw.kind == "images" and raw.strata is raw.train["labels"]
    np.testing.assert_allclose(raw.stats["mean"] / 255, mean, atol=6e-5)
    np.testing.assert_allclose(raw.stats["std"] / 255, std, atol=1e-4)
    assert data.shared_in(raw) == 0


@pytest.mark.parametrize(
    ("name", "sha256"),
    [
        # of the uncompressed files: `gzip -dc train-images-idx3-ubyte.gz | sha256sum`
        ("mnist", "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"),
        ("fashion_mnist", "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"),
    ],
)
def test_every_pixel_of_the_idx_sets(real, name, sha256):
    raw = real(name)
    assert hashlib.sha256(files.idx_bytes(raw.train["inputs"][..., 0])).hexdigest() == sha256


def test_every_pixel_and_label_of_cifar10(real):
    """Against the SHA-256 of the official *binary* version: label byte, then the planes."""
    raw = real("cifar10")
    published = {
        0: "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
        4: "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add",
        "test": "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b",
    }
    for batch, sha256 in published.items():
        if batch == "test":
            images, labels = raw.test["inputs"], raw.test["labels"]
        else:
            part = slice(10_000 * batch, 10_000 * (batch + 1))
            images, labels = raw.train["inputs"][part], raw.train["labels"][part]
        planes = images.transpose(0, 3, 1, 2).reshape(10_000, 3072)
        records = np.concatenate([labels[:, None].astype(np.uint8), planes], axis=1)
        assert hashlib.sha256(records.tobytes()).hexdigest() == sha256


def test_a_set_is_never_taken_for_another(data_dir):
    """Both have the same file names; asked for Fashion-MNIST in MNIST's folder, it says no."""
    with pytest.raises(data.DataError, match="mnist is not the official fashion_mnist"):
        data.load("fashion_mnist", data_dir / "mnist")
    assert data.load("mnist", data_dir / "mnist").train["labels"][0] == 5


# ------------------------------------------------------------------------------------- built in


def test_digits_are_split_within_classes_and_fixed():
    raw = data.load("digits")
    assert raw.train["inputs"].shape == (1442, 8, 8, 1) and raw.test["inputs"].shape == (
        355,
        8,
        8,
        1,
    )
    assert raw.train["inputs"].max() == 16
    train, test = (np.bincount(labels) for labels in (raw.train["labels"], raw.test["labels"]))
    np.testing.assert_array_equal(test, (train + test) // 5)
    assert data.shared_in(raw) == 0


# --------------------------------------------------------------------------------------- errors


def test_unknown_name_lists_the_known():
    with pytest.raises(
        ValueError, match=r"did you mean 'mnist'.*breast_cancer, cifar10, .*trec, wine"
    ):
        data.load("mnits")


def test_missing_folder(tmp_path):
    with pytest.raises(data.DataError, match=r"nowhere does not exist"):
        data.load("mnist", tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("name", "file"),
    [("mnist", "train-images-idx3-ubyte.gz"), ("cifar10", "cifar-10-python.tar.gz")],
)
def test_without_any_source_the_message_says_what_to_put_where(tmp_path, monkeypatch, name, file):
    missing = {"tensorflow"}
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda n: None if n in missing else find_spec(n)
    )
    with pytest.raises(data.DataError) as caught:
        data.load(name, tmp_path)
    message = str(caught.value)
    assert "\n" not in message
    for part in (file, str(tmp_path / name), "tensorflow-datasets"):
        assert part in message
    assert not (tmp_path / name).exists()
    missing.add("tensorflow_datasets")
    with pytest.raises(data.DataError, match=f"<data_dir>/{name} .*tensorflow-datasets is not"):
        data.load(name)


def test_a_small_copy_is_not_official(tmp_path):
    labels = np.arange(4, dtype=np.uint8)
    files.write_idx_folder(tmp_path / "mnist", [SMALL, labels, SMALL, labels])
    with pytest.raises(data.DataError, match=r"not the official mnist: train images have shape"):
        data.load("mnist", tmp_path)


def test_wrong_label_counts_are_not_official(tmp_path):
    train, test = np.zeros((60_000, 28, 28), np.uint8), np.zeros((10_000, 28, 28), np.uint8)
    labels = [np.arange(n, dtype=np.uint8) % 10 for n in (60_000, 10_000)]
    files.write_idx_folder(tmp_path, [train, labels[0], test, labels[1]])
    with pytest.raises(data.DataError, match=r"not the official mnist: train images per class"):
        data.load("mnist", tmp_path)


def test_a_damaged_archive_is_no_reason_to_look_elsewhere(tmp_path, monkeypatch):
    (tmp_path / "cifar-10-python.tar.xz").write_bytes(b"\xfd7zXZ\0 but then nothing")
    monkeypatch.setattr(sources.tfds, "read_tfds", lambda *_: pytest.fail("went on to TFDS"))
    with pytest.raises(data.DataError, match=r"cifar-10-python.tar.xz is truncated or damaged"):
        data.load("cifar10", tmp_path)


# ---------------------------------------------------------------------------------------- cache


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "source"
    path.write_text("one")
    return path


def reader(fill):
    """A reader that counts its calls."""

    def read():
        read.calls += 1
        images, labels = np.full((2, 1, 1, 1), fill, np.uint8), np.zeros(2, np.int32)
        return data.ImageArrays("own", images, labels, images, labels, ("a", "b"))

    read.calls = 0
    return read


def test_the_copy_is_used_until_the_source_changes(tmp_path, source):
    first = reader(1)
    whole = cache.cached(source, "x", first, tmp_path / "copies")
    again = cache.cached(source, "x", first, tmp_path / "copies")
    assert first.calls == 1 and again.name == whole.name
    assert again.class_names == ("a", "b")
    for left, right in zip(whole[1:5], again[1:5]):
        np.testing.assert_array_equal(left, right)
        assert left.dtype == right.dtype
    os.utime(source, ns=(1, 1))
    second = reader(2)
    assert cache.cached(source, "x", second, tmp_path / "copies").train_images.max() == 2
    assert cache.cached(source, "y", reader(3), tmp_path / "copies").train_images.max() == 3


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 nonsense", None])
def test_a_damaged_copy_is_made_anew(tmp_path, source, damage):
    read = reader(1)
    cache.cached(source, "x", read, tmp_path / "copies")
    (copy,) = (tmp_path / "copies").iterdir()
    copy.write_bytes(copy.read_bytes()[:-30] if damage is None else damage)
    assert cache.cached(source, "x", read, tmp_path / "copies").train_images.max() == 1
    cache.cached(source, "x", read, tmp_path / "copies")
    assert read.calls == 2


def test_an_unwritable_cache_only_means_reading_again(tmp_path, source):
    (tmp_path / "file").write_text("not a folder")
    read = reader(1)
    for _ in range(2):
        assert cache.cached(source, "x", read, tmp_path / "file" / "copies").train_images.max() == 1
    assert read.calls == 2


def test_without_a_home_nothing_is_kept_and_digits_load(tmp_path, source, monkeypatch):
    """As for a user that a container was given by its number alone."""

    def unknown(user):
        raise KeyError(user)

    monkeypatch.delenv("HOME")
    monkeypatch.setattr("pwd.getpwuid", unknown)
    assert cache.default_folder() is None
    assert data.load("digits").num_train == 1442
    read = reader(1)
    cache.cached(source, "x", read, None)
    assert read.calls == 1
    with pytest.raises(data.DataError, match=r"~/mine begins with ~, but this user has no home"):
        data.load("mnist", "~/mine")


def test_a_folder_may_lie_in_the_home(tmp_path):
    labels = np.arange(4, dtype=np.uint8)
    files.write_idx_folder(tmp_path / "home" / "sets" / "mnist", [SMALL, labels, SMALL, labels])
    with pytest.raises(data.DataError, match=f"{tmp_path}/home/sets/mnist is not the official"):
        data.load("mnist", "~/sets")


def test_where_copies_lie(tmp_path, monkeypatch):
    assert cache.default_folder() == tmp_path / "home" / ".cache" / "d2m_jax"
    monkeypatch.setenv("D2M_CACHE_DIR", str(tmp_path / "elsewhere"))
    assert cache.default_folder() == tmp_path / "elsewhere"


def test_cifar_archives_get_a_copy(tmp_path, monkeypatch):
    """`load` decodes once; the official counts are held against the copy too."""
    path = tmp_path / "cifar10" / archives.CIFAR_FILES[0]
    images = np.random.default_rng(0).integers(0, 256, (12, 32, 32, 3), dtype=np.uint8)
    files.write_cifar(path, files.cifar_members(images, np.arange(12) % 10))
    read, calls = archives.read_cifar10, []
    monkeypatch.setattr(archives, "read_cifar10", lambda p: calls.append(p) or read(p))
    for _ in range(2):
        with pytest.raises(data.DataError, match="not the official cifar10"):
            data.load("cifar10", tmp_path, cache_dir=tmp_path / "copies")
    assert calls == [path]
