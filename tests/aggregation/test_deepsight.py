"""DeepSight drops who trained the output layer for one class, and says what it needs."""

import numpy as np
import pytest

from d2m_jax.aggregation import deepsight
from d2m_jax.tasks import noise_like

CLASSES, HIDDEN, N, BAD = 10, 4, 12, 3
LAYERS = (7, CLASSES, HIDDEN * CLASSES)


def poisoned(seed=0):
    """Nine rows that move every class, three that move class 0 alone, alike in direction."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(0.5, 1.0, size=(N, sum(LAYERS))).astype(np.float32)
    output = np.zeros((BAD, HIDDEN + 1, CLASSES), np.float32)
    output[:, :, 0] = 3 + 0.1 * rng.normal(size=(BAD, HIDDEN + 1))
    rows[:BAD, LAYERS[0] :] = output.reshape(BAD, -1)
    return rows


def test_rows_that_train_one_class_are_left_out():
    rows = poisoned()
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    clipped = rows * np.minimum(1, np.median(norms) / norms)
    got = deepsight(rows, layers=LAYERS)
    np.testing.assert_allclose(got, clipped[BAD:].mean(axis=0), rtol=1e-4, atol=1e-5)
    honest = poisoned()
    honest[:BAD] = honest[BAD : 2 * BAD] + 0.01
    assert np.abs(deepsight(honest, layers=LAYERS)).max() > 0


def test_a_last_layer_of_another_size_than_the_outputs_is_refused():
    with pytest.raises(ValueError, match=r"L outputs, not \(10, 40\)"):
        deepsight(poisoned(), layers=LAYERS, outputs_of=lambda u: u[:, None, :9])


@pytest.mark.parametrize("layers", [None, (57,), (7, 10, 41), (8, 9, 40)])
def test_layers_without_an_output_layer_are_refused(layers):
    with pytest.raises(ValueError, match=r"deepsight looks at an output layer"):
        deepsight(poisoned(), layers=layers)


def test_noise_has_the_form_of_the_examples():
    import jax

    batch = {
        "inputs": np.zeros((3, 4, 4, 1), np.uint8),
        "words": np.array([[0, 5], [2, 1]], np.int32),
        "row": np.zeros((3, 2), np.float32),
        "on": np.zeros(3, bool),
    }
    found = jax.device_get(noise_like(jax.random.key(0), batch, 5_000))
    assert {k: (v.shape, v.dtype) for k, v in found.items()} == {
        k: ((5_000, *v.shape[1:]), v.dtype) for k, v in batch.items()
    }
    assert set(np.unique(found["words"])) == set(range(6))
    assert abs(found["inputs"].mean() - 127.5) < 4 * 73.9 / np.sqrt(5_000 * 16)
    assert abs(found["row"].std() - 1) < 0.05 and 0.45 < found["on"].mean() < 0.55
