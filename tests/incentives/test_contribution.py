import jax
import jax.numpy as jnp
import numpy as np
import pytest

from d2m_jax.incentives import CONTRIBUTIONS, Evidence, to_weights

EVIDENCE = Evidence(
    accepted=jnp.array([True, True, False, True]),
    gain=jnp.array([0.3, 0.1, 9.0, -0.5]),
    mass=jnp.array([0.1, 0.2, 0.6, 0.1]),
)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("gain", [0.75, 0.25, 0, 0]),
        ("count", [1 / 3, 1 / 3, 0, 1 / 3]),
        ("mass", [0.25, 0.5, 0, 0.25]),
    ],
)
def test_shares_by_hand(name, expected):
    np.testing.assert_allclose(CONTRIBUTIONS[name](EVIDENCE), expected, rtol=1e-6)


@pytest.mark.parametrize("name", CONTRIBUTIONS)
def test_nobody_accepted_nobody_credited(name):
    nobody = EVIDENCE._replace(accepted=jnp.zeros(4, bool))
    np.testing.assert_array_equal(CONTRIBUTIONS[name](nobody), np.zeros(4))


def test_weights_are_hundredths_of_the_best_score_and_ignore_bad_ones():
    scores = jnp.array([1.01, jnp.nan, 3.0, -4.0, jnp.inf, 1e-9])
    np.testing.assert_array_equal(to_weights(scores), [34, 0, 100, 0, 0, 0])
    many = np.asarray(jax.random.uniform(jax.random.key(0), (64, 37)) ** 8)
    weights = np.asarray(jax.vmap(to_weights)(many))
    exact = 100 * many.astype(float) / many.max(1, keepdims=True).astype(float)
    assert abs(exact - weights).max() < 0.501
    np.testing.assert_array_equal(to_weights(jnp.zeros(3)), np.zeros(3))
