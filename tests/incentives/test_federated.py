"""Values of a round against float64 references, a quadratic loss, and a real federated round."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from d2m_jax import sellers, tasks
from d2m_jax.incentives import federated, sampled, values
from d2m_jax.incentives.coalitions import all_coalitions
from tests.incentives.games import slow_shapley
from tests.worlds import digits

UPDATES = jax.random.normal(jax.random.key(0), (4, 3))
CURVE = jnp.diag(jnp.array([1.0, 2.0, 0.5]))
SLOPE = jnp.array([1.0, -2.0, 0.5])
LR = 0.3


def loss(theta):
    return SLOPE @ theta + 0.5 * theta @ CURVE @ theta


def losses_of(updates):
    return jax.vmap(lambda u: loss(-LR * u))(updates)


def gradient_at(update):
    return jax.grad(loss)(-LR * update)


@pytest.mark.parametrize("renormalised", [True, False])
def test_round_utility_against_numpy(renormalised):
    weights = np.array([1.0, 2.0, 0.5, 1.5])
    masks = all_coalitions(4)
    utility = federated.round_utility(
        losses_of, UPDATES, jnp.asarray(weights, jnp.float32), renormalised=renormalised
    )
    mixed = federated.round_utility(
        None,
        UPDATES,
        jnp.asarray(weights, jnp.float32),
        renormalised=renormalised,
        mixed=lambda shares: losses_of(shares @ UPDATES),
    )
    np.testing.assert_allclose(mixed(masks), utility(masks), atol=1e-6)
    rows = np.asarray(UPDATES, np.float64)
    for got, mask in zip(utility(masks), np.asarray(masks)):
        share = weights * mask
        total = share.sum() if renormalised else weights.sum()
        step = LR * (share @ rows) / (total or 1.0)
        expected = np.asarray(SLOPE) @ step - 0.5 * step @ np.asarray(CURVE) @ step
        assert got == pytest.approx(expected, abs=1e-5)


def test_path_value_is_the_shapley_value_of_a_quadratic_round():
    utility = federated.round_utility(losses_of, UPDATES, jnp.ones(4), renormalised=False)
    exact = slow_shapley(utility(all_coalitions(4)))
    got = federated.path_value(gradient_at, UPDATES / 4, LR)
    np.testing.assert_allclose(got, exact, atol=1e-6)
    np.testing.assert_allclose(
        federated.path_value(gradient_at, UPDATES / 4, LR, num_points=5), exact, atol=1e-6
    )


def test_path_value_pays_a_split_seller_the_same():
    whole = federated.path_value(gradient_at, UPDATES, LR)
    split = jnp.concatenate([UPDATES, 0.3 * UPDATES[:1]]).at[0].mul(0.7)
    parts = federated.path_value(gradient_at, split, LR)
    assert parts[0] + parts[4] == pytest.approx(float(whole[0]), rel=1e-5)
    np.testing.assert_allclose(parts[1:4], whole[1:], rtol=1e-5)


def test_similarity_by_hand():
    rows = jnp.array([[2.0, 0.0], [0.0, 5.0], [0.0, 0.0], [1.0, 1.0]])
    use = jnp.array([True, True, True, False])
    half = np.sqrt(0.5)
    np.testing.assert_allclose(
        federated.gradient_similarity(rows, use), [half, half, 0, 0], atol=1e-6
    )


def test_parts_are_clipped_at_the_median_and_sum_to_the_mean():
    rows = jnp.array([[1.0, 0.0], [0.0, 1.0], [100.0, 0.0], [7.0, 7.0]])
    use = jnp.array([True, True, True, False])
    parts = federated.clipped_parts(rows, use, clip=1.5)
    np.testing.assert_allclose(parts * 3, [[1, 0], [0, 1], [1.5, 0], [0, 0]], atol=1e-6)
    assert not federated.clipped_parts(rows, jnp.zeros(4, bool)).any()


def test_rounds_add_up():
    rounds = jnp.array([[1.0, 2.0], [3.0, -4.0], [8.0, 0.0]])
    np.testing.assert_allclose(federated.multi_round(rounds), [12, -2])
    np.testing.assert_allclose(federated.multi_round(rounds, 0.5), [4.5, 0.0])


def test_estimates_agree_with_exact_shapley_on_a_real_round():
    dataset, data = digits(8)
    model = tasks.make_model("logreg", dataset)
    batch = model.prepare(data.correction, data.stats)

    def round_values(key):
        theta = model.init(key)
        updates = sellers.train_sellers(
            model,
            key,
            theta,
            data,
            jnp.arange(8),
            batch_size=16,
        )

        def losses_of(updates):
            return tasks.losses_of_candidates(model, theta, updates, LR, batch)

        utility = federated.round_utility(losses_of, updates, data.sizes.astype(jnp.float32))
        v = utility(all_coalitions(8))
        permuted = sampled.permutation_shapley(key, utility, 8, 200)
        guided = sampled.truncated_shapley(key, utility, 8, 80, tolerance=1e-3, leading=True)
        reused = sampled.banzhaf_msr(key, utility, 8, 1000)
        return values.shapley(v), values.banzhaf(v), permuted, guided, reused, v[-1]

    exact, power, permuted, guided, reused, total = jax.jit(round_values)(jax.random.key(1))
    assert exact.sum() == pytest.approx(float(total), rel=1e-4)
    assert np.corrcoef(exact, permuted.values)[0, 1] > 0.95
    assert np.corrcoef(exact, guided.values)[0, 1] > 0.9
    assert np.corrcoef(power, reused.values)[0, 1] > 0.8
    assert int(guided.evaluations) < int(permuted.evaluations)
