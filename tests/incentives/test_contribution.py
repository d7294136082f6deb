import jax
import jax.numpy as jnp
import numpy as np
import pytest

from d2m_jax.incentives import CONTRIBUTIONS, Evidence, to_weights

VALIDATION = jnp.array([0.3, 0.1, 9.0, -0.5])  # gradient of a linear validation loss
OWN, ANOTHER = jnp.array([0.5, 0.3, 9.0, 0.2]), jnp.array([0.1, 0.2, 0.0, 0.4])
EVIDENCE = Evidence(
    accepted=jnp.array([True, True, False, True]),
    gain=jnp.array([0.3, 0.1, 9.0, -0.5]),
    mass=jnp.array([0.1, 0.2, 0.6, 0.1]),
    updates=jnp.eye(4),
    reputation=jnp.array([0.5, 0.2, 0.9, 0.3]),
    previous=jnp.array([0.0, 2.0, 0.0, 0.0]),
    lr=0.5,
    losses_of=lambda updates: (updates @ VALIDATION) * -0.5,
    gradient_at=lambda update: VALIDATION,
    on_units=lambda: (jnp.array([0.2, 0.5, 1.0, 1.0]), jnp.array([0.05, 0.1, 0.0, 0.0])),
    batch_falls=lambda updates: (updates.sum(1) * OWN, updates.sum(1) * ANOTHER),
)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("gain", [0.75, 0.25, 0, 0]),
        ("count", [1 / 3, 1 / 3, 0, 1 / 3]),
        ("mass", [0.25, 0.5, 0, 0.25]),
        ("reputation", [0.5, 0.2, 0, 0.3]),
        ("similarity", [1 / 3, 1 / 3, 0, 1 / 3]),
        ("path", [0.75, 0.25, 0, 0]),
        ("fresh", [1, 0, 0, 0]),
        ("discounted", [0.75, 0.25, 0, 0]),
        ("quotient", [43 / 59, 16 / 59, 0, 0]),
        ("leave_one_out", [5 / 7, 2 / 7, 0, 0]),
        ("round_shapley", [43 / 59, 16 / 59, 0, 0]),
        ("own_work", [0.6, 0.4, 0, 0]),  # gains times 0.15 / 0.3 and 1
        ("unique", [0.8, 0.2, 0, 0]),
    ],
)
def test_shares_by_hand(name, expected):
    np.testing.assert_allclose(CONTRIBUTIONS[name](EVIDENCE), expected, rtol=1e-6)


def test_unique_work_is_not_paid_for_its_length():
    longer = EVIDENCE._replace(updates=jnp.array([[7.0], [1], [1], [1]]) * jnp.eye(4))
    np.testing.assert_allclose(CONTRIBUTIONS["unique"](longer), [0.8, 0.2, 0, 0], rtol=1e-6)
    blind = EVIDENCE._replace(batch_falls=None)
    np.testing.assert_array_equal(CONTRIBUTIONS["unique"](blind), np.zeros(4))


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


def test_an_update_that_helps_only_beside_others_is_paid_by_shapley_not_by_gain():
    # two sellers pull x and y; the first overshoots alone, and the second brings it back
    target = jnp.array([0.0, 1.0])
    rows = jnp.array([[-4.0, 1.0], [4.0, 1.0], [0.0, 1.0]])
    losses_of = lambda updates: jnp.square(updates - target[None]).sum(1)
    losses = losses_of(jnp.concatenate([rows, jnp.zeros((1, 2))]))
    evidence = Evidence(
        accepted=jnp.ones(3, bool),
        gain=jnp.maximum(losses[-1] - losses[:-1], 0.0),
        mass=jnp.ones(3) / 3,
        updates=rows,
        lr=1.0,
        losses_of=losses_of,
        gradient_at=lambda update: 2 * (target - update),
    )
    np.testing.assert_allclose(CONTRIBUTIONS["gain"](evidence), [0, 0, 1])
    paid = CONTRIBUTIONS["path"](evidence)
    np.testing.assert_allclose(paid, np.ones(3) / 3, atol=1e-6)


@pytest.mark.parametrize(
    "name",
    ["leave_one_out", "round_shapley", "path", "fresh", "discounted", "quotient", "own_work"],
)
def test_without_validation_examples_nobody_is_credited(name):
    blind = EVIDENCE._replace(losses_of=None, gradient_at=None)
    np.testing.assert_array_equal(CONTRIBUTIONS[name](blind), np.zeros(4))


def test_sending_the_last_aggregate_again_is_paid_by_gain_but_not_by_fresh():
    previous = jnp.array([1.0, 1.0, 0.0, 0.0])
    rows = jnp.stack([previous, jnp.array([1.0, 0, 0, 0]), jnp.array([0.0, 0.2, 0, 0])])
    slope = jnp.array([1.0, 1.0, 0.0, 0.0])
    evidence = Evidence(
        accepted=jnp.ones(3, bool),
        gain=rows @ slope,
        mass=jnp.ones(3) / 3,
        updates=rows,
        previous=jnp.array([1.0, 0.5, 0.0, 0.0]),
        lr=1.0,
        gradient_at=lambda update: slope,
    )
    assert CONTRIBUTIONS["gain"](evidence)[0] > 0.5
    again = evidence._replace(updates=rows.at[0].set(2 * evidence.previous))
    assert CONTRIBUTIONS["path"](again)[0] > 0.3
    assert CONTRIBUTIONS["fresh"](again)[0] < 1e-6


def test_a_measure_names_what_it_misses():
    bare = Evidence(jnp.ones(2, bool), jnp.ones(2), jnp.ones(2))
    sought = {"reputation": "reputation", "similarity": "updates", "own_work": "on_units"}
    bare = bare._replace(gradient_at=lambda update: update)
    for name, field in sought.items():
        with pytest.raises(ValueError, match=f"needs '{field}' in the evidence"):
            CONTRIBUTIONS[name](bare)
