"""Min-max and min-sum: the bound holds, nothing larger satisfies it, presets differ as stated."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from d2m_jax.attacks import perturbation
from d2m_jax.attacks.geometry import crowd_gram

KEY = jax.random.key(0)
DRAW = np.random.default_rng(4)
ROWS = (DRAW.normal(size=(9, 13)) + 0.3).astype(np.float32)
BYZ = np.isin(np.arange(9), [1, 6])
STATIC = ("perturbation", "preset")
min_max = jax.jit(perturbation.min_max, static_argnames=STATIC)
min_sum = jax.jit(perturbation.min_sum, static_argnames=STATIC)
ATTACKS = {"min_max": min_max, "min_sum": min_sum}


def numpy_direction(name: str, honest: np.ndarray) -> np.ndarray:
    mean = honest.mean(0)
    table = {
        "unit": mean / np.linalg.norm(mean),
        "sign": np.sign(mean),
        "std": honest.std(0, ddof=1),
    }
    return -table[name]


def numpy_pairs(rows: np.ndarray) -> np.ndarray:
    return ((rows[:, None] - rows[None]) ** 2).sum(-1)


def slack(attack: str, vector: np.ndarray, honest: np.ndarray, inner: bool = False) -> float:
    """Bound minus value of the attack's constraint; negative when it is violated."""
    squares = ((vector - honest) ** 2).sum(1)
    pairs = numpy_pairs(honest)
    if attack == "min_max":
        return np.sqrt(pairs.max()) - np.sqrt(squares.max())
    sums = pairs.sum(1)
    return (sums.min() if inner else sums.max()) - squares.sum()


def released_search(attack: str, honest: np.ndarray, p: np.ndarray) -> float:
    """The notebooks' loop, written from its description."""
    gamma, jump, best = 10.0, 10.0, 0.0
    while abs(best - gamma) > 1e-5:
        if slack(attack, honest.mean(0) + gamma * p, honest, inner=True) >= 0:
            best, gamma = gamma, gamma + jump / 2
        else:
            gamma -= jump / 2
        jump /= 2
    return best


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("direction", ["unit", "std", "sign"])
def test_the_largest_gamma_within_the_bound(attack, direction):
    got = ATTACKS[attack](KEY, jnp.asarray(ROWS), jnp.asarray(BYZ), perturbation=direction)
    honest = ROWS[~BYZ].astype(np.float64)
    mean, p = honest.mean(0), numpy_direction(direction, honest)
    vector = np.asarray(got, np.float64)[1]
    gamma = (vector - mean) @ p / (p @ p)
    np.testing.assert_allclose(vector, mean + gamma * p, atol=1e-5)
    assert gamma > 0
    assert slack(attack, mean + 0.9999 * gamma * p, honest) >= 0
    assert slack(attack, mean + 1.0001 * gamma * p, honest) < 0


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("direction", ["unit", "std", "sign"])
def test_released_search(attack, direction):
    got = ATTACKS[attack](
        KEY, jnp.asarray(ROWS), jnp.asarray(BYZ), perturbation=direction, preset="ndss21"
    )
    honest = ROWS[~BYZ].astype(np.float64)
    p = numpy_direction(direction, honest)
    want = honest.mean(0) + released_search(attack, honest, p) * p
    np.testing.assert_allclose(got[1], want, atol=2e-4)


def test_released_min_sum_is_the_tighter_one():
    honest = ROWS[~BYZ].astype(np.float64)
    gaps = []
    for preset in ("paper", "ndss21"):
        got = min_sum(KEY, jnp.asarray(ROWS), jnp.asarray(BYZ), preset=preset)
        gaps.append(np.linalg.norm(got[1] - honest.mean(0)))
    assert gaps[0] > 1.1 * gaps[1]


def test_hand_computed():
    """Honest at 0 and 2 on a line: mu = 1, diameter 2, so min-max reaches m = mu - 1 = 0."""
    rows = jnp.array([[0.0], [2.0], [9.0]])
    byz = jnp.array([False, False, True])
    got = min_max(KEY, rows, byz, perturbation="unit")
    np.testing.assert_allclose(got[2], [0.0], atol=1e-6)
    half = min_max(KEY, rows, byz, perturbation="unit", fraction=0.5)
    np.testing.assert_allclose(half[2], [0.5], atol=1e-6)
    # min-sum: (g+1)^2 + (g-1)^2 <= 4, so g = 1 again
    total = min_sum(KEY, rows, byz, perturbation="unit")
    np.testing.assert_allclose(total[2], [0.0], atol=1e-6)


def test_one_known_row_is_copied():
    rows = jnp.array([[1.0, -2.0], [5.0, 5.0], [6.0, 6.0]])
    byz = jnp.array([False, True, True])
    for attack in ATTACKS.values():
        np.testing.assert_array_equal(attack(KEY, rows, byz)[1], rows[0])


def test_distances_survive_a_large_common_offset():
    rows = (ROWS * 1e-2 + 300.0).astype(np.float32)
    want = numpy_pairs(rows.astype(np.float64))
    got, _ = crowd_gram(jnp.asarray(rows), jnp.ones(9, bool))
    np.testing.assert_allclose(got, want, rtol=2e-3, atol=1e-7)


@pytest.mark.parametrize("name", ATTACKS)
@pytest.mark.parametrize("way", ["std", "unit", "sign"])
def test_tiny_rows_are_attacked_as_rows_of_usual_size(name, way):
    """The bound is a quadratic whose discriminant has fourth powers: 1e-80 of rows of 1e-20."""
    want = ATTACKS[name](KEY, jnp.asarray(ROWS), jnp.asarray(BYZ), perturbation=way)
    for power in (-20, -34, -66):
        unit = np.float32(2.0**power)
        got = ATTACKS[name](KEY, jnp.asarray(unit * ROWS), jnp.asarray(BYZ), perturbation=way)
        np.testing.assert_array_equal(got / unit, want)


def test_unknown_choices_are_refused():
    for wrong in ({"preset": "byzfl"}, {"perturbation": "up"}):
        with pytest.raises(ValueError, match="valid: "):
            min_max(KEY, jnp.asarray(ROWS), jnp.asarray(BYZ), **wrong)
