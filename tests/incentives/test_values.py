import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from d2m_jax.incentives import sampled, values
from d2m_jax.incentives.coalitions import all_coalitions, over_coalitions, prefixes
from tests.incentives.games import CLOSED_FORMS, additive, slow_shapley, table, voting

EXACT = {
    "shapley": values.shapley,
    "banzhaf": values.banzhaf,
    "beta_shapley": values.beta_shapley,
    "leave_one_out": values.leave_one_out,
    "alone": values.alone,
}


def random_game(seed, num=4):
    return jax.random.normal(jax.random.key(seed), (2**num,))


@pytest.mark.parametrize("name", CLOSED_FORMS)
def test_shapley_of_games_with_closed_forms(name):
    one, num, expected = CLOSED_FORMS[name]
    np.testing.assert_allclose(values.shapley(table(one, num)), expected, atol=1e-6)


def test_banzhaf_of_voting_by_hand():
    # with quota 4 of 3, 2, 1, 1: the first voter swings 6 of 8 coalitions, the others 2 of 8
    v = table(voting([3, 2, 1, 1], 4), 4)
    np.testing.assert_allclose(values.banzhaf(v), [0.75, 0.25, 0.25, 0.25])
    np.testing.assert_allclose(values.leave_one_out(v), np.zeros(4))


@pytest.mark.parametrize("seed", range(3))
def test_shapley_agrees_with_all_orders(seed):
    v = random_game(seed, 5)
    np.testing.assert_allclose(values.shapley(v), slow_shapley(v), atol=1e-6)


@pytest.mark.parametrize("alpha, beta", [(1.0, 1.0), (16.0, 1.0), (1.0, 4.0)])
def test_beta_weights_are_a_mean_over_sizes(alpha, beta):
    # sum over all coalitions without i of w(|T|) is 1: a semivalue is a mean of marginals
    weights = np.asarray(values.beta_weights(6, alpha, beta), np.float64)
    number = np.array([1, 5, 10, 10, 5, 1])
    assert weights @ number == pytest.approx(1.0, rel=1e-5)
    if alpha > beta:
        assert (np.diff(weights) < 0).all()


def test_shapley_is_efficient_in_every_game():
    for seed in range(5):
        v = random_game(seed)
        assert values.shapley(v).sum() == pytest.approx(float(v[-1] - v[0]), abs=1e-5)


@pytest.mark.parametrize("name", EXACT)
def test_axioms(name):
    value = EXACT[name]
    v, w = random_game(0), random_game(1)
    np.testing.assert_allclose(value(2 * v + w), 2 * value(v) + value(w), atol=1e-5)

    masks = np.asarray(all_coalitions(4))  # seller 3 adds nothing to anybody
    null = v[jnp.asarray(masks[:, :3] @ [1, 2, 4])]
    assert abs(float(value(null)[3])) < 1e-6

    size = masks.sum(1)  # all sellers alike
    np.testing.assert_allclose(
        value(jnp.asarray(size**2.0, jnp.float32)),
        value(jnp.asarray(size**2.0, jnp.float32))[0] * np.ones(4),
        rtol=1e-5,
    )

    swapped = jnp.asarray(masks[:, [1, 0, 2, 3]] @ [1, 2, 4, 8])
    np.testing.assert_allclose(value(v[swapped])[jnp.array([1, 0, 2, 3])], value(v), atol=1e-5)
    np.testing.assert_allclose(
        value(table(additive([0.5, -1.0, 2.0, 0.0]), 4)), [0.5, -1, 2, 0], atol=1e-6
    )


ESTIMATES = {
    "permutation": lambda key, u, n: sampled.permutation_shapley(key, u, n, 2000),
    "truncated": lambda key, u, n: sampled.truncated_shapley(key, u, n, 2000),
    "gtg": lambda key, u, n: sampled.truncated_shapley(key, u, n, 2000, leading=True),
    "beta": lambda key, u, n: sampled.permutation_shapley(key, u, n, 2000, alpha=4.0, beta=1.0),
    "banzhaf": lambda key, u, n: sampled.banzhaf_msr(key, u, n, 6000),
}
TARGETS = {"beta": lambda v: values.beta_shapley(v, 4.0, 1.0), "banzhaf": values.banzhaf}


@pytest.mark.parametrize("name", ESTIMATES)
def test_estimates_lie_within_their_errors(name):
    v = random_game(7, 5)
    lookup = lambda masks: v[masks @ (2 ** jnp.arange(5))]
    estimate = jax.jit(lambda key: ESTIMATES[name](key, lookup, 5))(jax.random.key(0))
    exact = TARGETS.get(name, values.shapley)(v)
    assert (jnp.abs(estimate.values - exact) < 4.5 * estimate.error).all()
    assert estimate.error.max() < 0.1
    if name in ("permutation", "truncated", "gtg"):
        assert estimate.values.sum() == pytest.approx(float(v[-1] - v[0]), abs=1e-3)


def test_truncation_saves_evaluations_and_skips_worthless_rounds():
    utility = over_coalitions(lambda mask: 1.0 - 0.1 ** mask.sum().astype(jnp.float32))
    run = jax.jit(
        lambda tolerance, between: sampled.truncated_shapley(
            jax.random.key(0), utility, 6, 60, tolerance=tolerance, between=between, leading=True
        )
    )
    full, short, none = run(0.0, 0.0), run(0.02, 0.0), run(0.0, 2.0)
    # after two sellers the coalition is within 0.01 of all six: places 3 to 6 are not evaluated
    assert int(full.evaluations) == 2 + 60 * 5 and int(short.evaluations) == 2 + 60 * 2
    assert int(none.evaluations) == 2 and not none.values.any()
    np.testing.assert_allclose(short.values, full.values, atol=0.01)


def test_without_a_tolerance_nothing_is_truncated():
    utility = over_coalitions(additive([1.0, -1.0, 1.0, 0.0]))  # seller 0 alone is worth v(all)
    found = sampled.truncated_shapley(jax.random.key(0), utility, 4, 12)
    assert int(found.evaluations) == 2 + 12 * 3
    np.testing.assert_allclose(found.values, [1, -1, 1, 0], atol=1e-6)


def test_every_seller_leads_in_turn():
    orders = np.asarray(sampled.draw_orders(jax.random.key(0), 5, 20, leading=True))
    np.testing.assert_array_equal(orders[:, 0], np.arange(20) % 5)
    np.testing.assert_array_equal(np.sort(orders, axis=1), np.tile(np.arange(5), (20, 1)))


def test_prefixes_by_hand():
    masks = np.asarray(prefixes(jnp.array([[2, 0, 1]]))).astype(int)
    np.testing.assert_array_equal(masks[0], [[0, 0, 0], [0, 0, 1], [1, 0, 1], [1, 1, 1]])


def test_batches_of_coalitions_change_nothing():
    one = voting([3, 2, 1, 1], 4)
    masks = all_coalitions(4)
    np.testing.assert_array_equal(over_coalitions(one, 3)(masks), over_coalitions(one)(masks))


def test_bad_input_gets_one_sentence():
    utility = over_coalitions(voting([1, 1], 1))
    with pytest.raises(ValueError, match="need 1 to 20"):
        all_coalitions(21)
    with pytest.raises(ValueError, match="2\\^S utilities"):
        values.shapley(jnp.zeros(6))
    with pytest.raises(ValueError, match="must be positive"):
        values.beta_shapley(jnp.zeros(4), alpha=0.0)
    with pytest.raises(ValueError, match="num_orders must be at least 1"):
        sampled.permutation_shapley(jax.random.key(0), utility, 2, 0)
    with pytest.raises(ValueError, match="num_samples must be at least 1"):
        sampled.banzhaf_msr(jax.random.key(0), utility, 2, 0)


def test_one_sample_has_no_error_bar():
    """One order of a game worth 14 to seller 0 told 24 +- 0."""
    utility = over_coalitions(voting([3, 2, 1, 1], 4))
    one = sampled.permutation_shapley(jax.random.key(0), utility, 4, 1)
    assert np.isfinite(one.values).all() and np.isinf(one.error).all()
    assert np.isfinite(sampled.permutation_shapley(jax.random.key(0), utility, 4, 2).error).all()
    assert np.isinf(sampled.truncated_shapley(jax.random.key(0), utility, 4, 1).error).all()
    for count in (1, 3, 40):
        found = sampled.banzhaf_msr(jax.random.key(1), utility, 4, count)
        masks = np.asarray(jax.random.bernoulli(jax.random.key(1), 0.5, (count, 4)))
        thin = np.minimum(masks.sum(0), (~masks).sum(0)) < 2
        np.testing.assert_array_equal(np.isinf(found.error), thin)
        assert np.isfinite(found.values).all()


def test_weights_of_sizes_are_those_of_binomials():
    for num in (1, 2, 7, 20):
        shapley = [1 / (num * math.comb(num - 1, k)) for k in range(num)]
        np.testing.assert_allclose(values.beta_weights(num, 1.0, 1.0), shapley, rtol=1e-6)
