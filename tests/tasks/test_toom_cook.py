"""The transforms are exact in rational arithmetic; the layer is as accurate as claimed."""

from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from d2m_jax.tasks import first_conv, toom_cook


@pytest.mark.parametrize("taps", range(1, toom_cook.LARGEST_KERNEL + 1))
def test_transforms_give_the_correlation(taps):
    matrix = toom_cook.matrices(taps)
    generator = np.random.default_rng(taps)
    signal = generator.normal(size=toom_cook.OUTPUTS + taps - 1)
    kernel = generator.normal(size=taps)
    outputs, taps_matrix, inputs = (a.astype(np.float64) for a in matrix)
    got = outputs @ ((taps_matrix @ kernel) * (inputs @ signal))
    want = [signal[i : i + taps] @ kernel for i in range(toom_cook.OUTPUTS)]
    np.testing.assert_allclose(got, want, atol=2e-6)


def test_transforms_of_three_taps_against_the_published_ones():
    """F(4, 3) of Lavin and Gray 2016, which has the points 0, 1, -1, 2, -2 and infinity.

    Rows of G and B' may be scaled against each other; their outer product may not.
    """
    matrix = toom_cook.matrices(3)
    taps = [
        ["1/4", "0", "0"],
        ["-1/6", "-1/6", "-1/6"],
        ["-1/6", "1/6", "-1/6"],
        ["1/24", "1/12", "1/6"],
        ["1/24", "-1/12", "1/6"],
        ["0", "0", "1"],
    ]
    inputs = [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ]
    outputs = [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]]
    published = np.array([[float(Fraction(x)) for x in row] for row in taps])
    np.testing.assert_array_equal(matrix.outputs, outputs)
    for row in range(6):
        got = np.outer(matrix.taps[row], matrix.inputs[row])
        want = np.outer(published[row], np.array(inputs, float)[row])
        np.testing.assert_allclose(got, want, atol=1e-6)


def pooled_by_hand(x, kernel, bias):
    """float64 convolution, relu, 2 x 2 pooling of [Ch, H, W, B]."""
    side = kernel.shape[0]
    rows, cols = x.shape[1] - side + 1, x.shape[2] - side + 1
    full = sum(
        np.einsum("co,chwb->ohwb", kernel[i, j], x[:, i : i + rows, j : j + cols])
        for i in range(side)
        for j in range(side)
    )
    full = np.maximum(full + bias[:, None, None, None], 0)[:, : rows // 2 * 2, : cols // 2 * 2]
    shape = (full.shape[0], rows // 2, 2, cols // 2, 2, full.shape[3])
    return full.reshape(shape).max((2, 4))


@pytest.mark.few(3)
@pytest.mark.parametrize("module", [first_conv, toom_cook], ids=lambda m: m.__name__[-10:])
@pytest.mark.parametrize("side, size", [(5, (12, 12)), (3, (9, 8)), (3, (6, 11)), (4, (7, 9))])
def test_layers_against_float64(module, side, size):
    keys = jax.random.split(jax.random.key(side), 3)
    x = jax.random.normal(keys[0], (6, *size, 3))
    kernel = jax.random.normal(keys[1], (side, side, 6, 5)) / side
    bias = jax.random.normal(keys[2], (5,))
    got, _ = jax.jit(lambda: module.forward(module.prepare(bias, kernel), x, side))()
    want = pooled_by_hand(*(np.asarray(a, np.float64) for a in (x, kernel, bias)))
    error = np.linalg.norm(got - want) / np.linalg.norm(want)
    assert error < 2e-6, error
    assert got.dtype == jnp.float32
