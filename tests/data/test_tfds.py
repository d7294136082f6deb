"""Reading a set that TFDS has prepared, without TensorFlow. The set is written here by hand."""

import io
import json
import sys

import numpy as np
import pytest

from d2m_jax import data
from d2m_jax.data.tfds import _frame, read_tfds

pytest.importorskip("tensorflow_datasets")
writer = pytest.importorskip("array_record.python.array_record_module").ArrayRecordWriter
Image = pytest.importorskip("PIL.Image")

IMAGES = np.random.default_rng(0).integers(0, 256, (7, 28, 28), dtype=np.uint8)
LABELS = [3, 1, 4, 1, 5, 9, 2]


def field(number: int, body: bytes) -> bytes:
    """A length-delimited protobuf field."""
    length, size = b"", len(body)
    while size > 127:
        length, size = length + bytes([size & 127 | 128]), size >> 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + body


def example(image: np.ndarray, label: int) -> bytes:
    """A tf.train.Example with a PNG and an integer."""
    png = io.BytesIO()
    Image.fromarray(image).save(png, "PNG")
    features = {
        b"image": field(1, field(1, png.getvalue())),  # bytes_list
        b"label": field(3, field(1, bytes([label]))),  # int64_list, packed
    }
    entries = (field(1, field(1, key) + field(2, value)) for key, value in features.items())
    return field(1, b"".join(entries))


@pytest.fixture
def prepared(tmp_path):
    """What TFDS 4.9 leaves after preparing `mnist` as array_record."""
    import tensorflow_datasets as tfds

    version = tfds.builder("mnist", data_dir=tmp_path).info.version
    folder = tmp_path / "mnist" / str(version)
    folder.mkdir(parents=True)
    splits = []
    for split, count in (("train", 5), ("test", 2)):
        rows = slice(0, 5) if split == "train" else slice(5, 7)
        file = writer(str(folder / f"mnist-{split}.array_record-00000-of-00001"), "group_size:1")
        for image, label in zip(IMAGES[rows], LABELS[rows]):
            file.write(example(image, label))
        file.close()
        template = "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"
        splits.append(
            {"filepathTemplate": template, "name": split, "shardLengths": [str(count)]}
            | {"numBytes": "1"}
        )
    kind = "tensorflow_datasets.core.features"
    (folder / "features.json").write_text(
        json.dumps(
            {
                "pythonClassName": f"{kind}.features_dict.FeaturesDict",
                "featuresDict": {
                    "features": {
                        "image": {
                            "pythonClassName": f"{kind}.image_feature.Image",
                            "image": {
                                "dtype": "uint8",
                                "shape": {"dimensions": ["28", "28", "1"]},
                            },
                        },
                        "label": {
                            "pythonClassName": f"{kind}.class_label_feature.ClassLabel",
                            "classLabel": {"numClasses": "10"},
                        },
                    }
                },
            }
        )
    )
    (folder / "dataset_info.json").write_text(
        json.dumps(
            {
                "name": "mnist",
                "version": str(version),
                "fileFormat": "array_record",
                "splits": splits,
            }
        )
    )
    return tmp_path, folder


def test_a_prepared_set_is_read_without_tensorflow(prepared, tmp_path):
    had_tensorflow = "tensorflow" in sys.modules
    raw = read_tfds("mnist", prepared[0], tmp_path / "copies")
    np.testing.assert_array_equal(raw.train_images, IMAGES[:5, ..., None])
    np.testing.assert_array_equal(raw.test_images, IMAGES[5:, ..., None])
    assert raw.train_labels.tolist() == LABELS[:5] and raw.test_labels.tolist() == [9, 2]
    assert ("tensorflow" in sys.modules) == had_tensorflow
    assert [path.name[:10] for path in (tmp_path / "copies").iterdir()] == ["tfds-mnist"]


def test_load_goes_through_tfds_and_checks_what_comes(prepared, tmp_path):
    with pytest.raises(data.DataError, match="TFDS is not the official mnist: train images have"):
        data.load("mnist", prepared[0], cache_dir=tmp_path / "copies")


def test_a_damaged_prepared_set(prepared, tmp_path):
    root, folder = prepared
    (file,) = folder.glob("*train*")
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(data.DataError, match=r"put the four files .* it failed with") as caught:
        data.load("mnist", root, cache_dir=tmp_path / "copies")
    assert "\n" not in str(caught.value)


def test_a_set_prepared_as_tfrecord_asks_for_tensorflow(prepared, tmp_path, monkeypatch):
    root, folder = prepared
    path = folder / "dataset_info.json"
    path.write_text(path.read_text().replace("array_record", "tfrecord"))
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda n: None if n == "tensorflow" else n)
    with pytest.raises(data.DataError, match=r"as tfrecord, and reading that needs .*tensorflow"):
        read_tfds("mnist", root, tmp_path / "copies")


def test_any_set_of_tfds_by_its_name(prepared):
    """A set of images and labels is what `from_arrays` makes of them."""
    dataset = data.from_tfds("mnist", prepared[0])
    np.testing.assert_array_equal(dataset.train["inputs"], IMAGES[:5, ..., None])
    np.testing.assert_array_equal(dataset.test["inputs"], IMAGES[5:, ..., None])
    assert dataset.kind == "images" and len(dataset.class_names) == 10
    assert [dataset.class_names[k] for k in dataset.train["labels"]] == list("31415")
    assert [dataset.class_names[k] for k in dataset.test["labels"]] == list("92")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"label": "labels"}, r"mnist: there is no column 'labels' \(did you mean 'label'"),
        ({"name": "mnits"}, "no data for 'mnits': it failed with"),
        ({"client": "writer"}, "mnist: there is no column 'writer'"),
    ],
)
def test_what_tfds_does_not_have(prepared, arguments, message):
    arguments = {"name": "mnist"} | arguments
    with pytest.raises(data.DataError, match=message) as caught:
        data.from_tfds(data_dir=prepared[0], **arguments)
    assert "\n" not in str(caught.value)


def test_features_of_other_sorts_become_columns():
    features = {
        "text": np.array([b"good", b"b\xc3\xa4d"], object),
        "size": np.array([1, 2]),
        "point": np.array([[1.0, 2.0], [3.0, 4.0]]),
    }
    frame = _frame(features, "x")
    assert frame.columns.tolist() == ["text", "size", "point 0", "point 1"]
    assert frame["text"].tolist() == ["good", "bäd"] and frame["point 1"].tolist() == [2, 4]
    with pytest.raises(data.DataError, match=r"x: feature 'image' has shape \(2, 2\), no column"):
        _frame({"image": np.zeros((3, 2, 2))}, "x")
