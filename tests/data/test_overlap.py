"""Test examples that are also training examples, of any shape."""

import numpy as np
import pytest

from d2m_jax.data import Dataset, shared_examples, shared_in

RNG = np.random.default_rng(0)


def batch(inputs):
    return {"inputs": inputs, "labels": np.arange(len(inputs))}


@pytest.mark.parametrize(
    "inputs",
    [
        RNG.integers(0, 256, (50, 4, 4, 1), dtype=np.uint8),
        RNG.normal(size=(50, 3)).astype(np.float32),
        RNG.integers(0, 30, (50, 12), dtype=np.int32),
    ],
)
def test_copies_are_counted_whatever_their_label(inputs):
    train, test = inputs[:40], inputs[40:].copy()
    assert shared_examples(batch(train), batch(test)) == 0
    test[[2, 5, 7]] = train[[0, 0, 39]]
    assert shared_examples(batch(train), batch(test)) == 3


def test_any_tree():
    def tree(rows):
        return {"a": np.arange(9.0)[rows], "b": (np.arange(18).reshape(9, 2)[rows],)}

    assert shared_examples(tree([0, 1, 2, 3]), tree([3, 4])) == 1
    assert shared_examples((np.array([1.0, 2, 3]),), (np.array([2.0, 9]),)) == 1


def test_images_that_repeat_still_count():
    images = np.repeat(RNG.integers(0, 256, (10, 4, 4, 1), dtype=np.uint8), 2, axis=0)
    assert shared_examples(batch(images), batch(images[:6])) == 6


def test_a_table_of_a_few_categories_repeats_itself():
    """Fresh rows of a coarse table are no leak; the training rows themselves are."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        coarse = rng.integers(0, 4, (1000, 4)).astype(np.float32)
        assert shared_examples(batch(coarse[:800]), batch(coarse[800:])) == 0
        fine = rng.integers(0, 6, (1000, 4)).astype(np.float32)
        assert shared_examples(batch(fine[:800]), batch(fine[800:])) == 0
        assert shared_examples(batch(fine[:800]), batch(fine[:200])) == 200


def test_unknown_words_are_not_told_apart():
    texts = np.array([[5, 1, 0], [5, 6, 0], [7, 8, 9], [4, 1, 0]], np.int32)
    test = np.array([[5, 1, 0], [5, 6, 0], [2, 2, 2]], np.int32)
    words = ("<padding>", "<unknown>", *"abcdefgh")
    data = Dataset("t", batch(texts), batch(test), "text", columns=words)
    assert shared_in(data) == 1
    assert shared_in(data._replace(columns=tuple("abcdefghij"))) == 2
