import jax
import jax.numpy as jnp
import numpy as np
import pytest

from d2m_jax.incentives import dynamics

VALUE, FIGHT = 2.0, 6.0  # hawk-dove: the stable share of hawks is VALUE / FIGHT
HAWK_DOVE = jnp.array([[(VALUE - FIGHT) / 2, VALUE], [0.0, VALUE / 2]])


@pytest.mark.parametrize("start", [0.05, 0.5, 0.95])
def test_replicator_finds_the_stable_mixture_of_hawks_and_doves(start):
    def step(shares, _):
        return dynamics.replicator(shares, HAWK_DOVE @ shares, 0.2), None

    shares, _ = jax.lax.scan(step, jnp.array([start, 1 - start]), None, length=300)
    np.testing.assert_allclose(shares, [VALUE / FIGHT, 1 - VALUE / FIGHT], atol=1e-3)


def test_replicator_never_revives_and_keeps_an_empty_population():
    after = dynamics.replicator(jnp.array([0.0, 1.0]), jnp.array([100.0, 0.0]), 1.0)
    np.testing.assert_array_equal(after, [0, 1])
    np.testing.assert_array_equal(dynamics.replicator(jnp.zeros(2), jnp.ones(2), 1.0), [0, 0])


def test_logit_by_hand():
    got = dynamics.logit(jnp.array([1.0, 0.0]), jnp.array([0.0, 2.0]), np.log(3) / 2)
    np.testing.assert_allclose(got, [0.25, 0.75], rtol=1e-6)


def test_counts_and_means_by_hand():
    codes, alive = jnp.array([0, 2, 2, 1]), jnp.array([True, True, True, False])
    np.testing.assert_allclose(dynamics.shares_of(codes, alive, 3), [1 / 3, 0, 2 / 3])
    means = dynamics.payoffs_per_head(
        codes, jnp.array([4.0, 1.0, 3.0, 9.0]), alive, jnp.array([0.0, 5.0, 0.0]), 0.5
    )
    np.testing.assert_allclose(means, [2, 5, 1])


def test_revision_follows_the_target_and_leaves_the_dead_alone():
    codes = jnp.zeros(4000, jnp.int32)
    alive = jnp.arange(4000) < 3000
    run = jax.jit(
        lambda key: dynamics.revise(
            key, codes, jnp.array([0.2, 0.8]), alive, inertia=0.5, mutation=0.1
        )
    )
    new = np.asarray(run(jax.random.key(0)))
    assert not new[3000:].any()
    assert new[:3000].mean() == pytest.approx(0.5 * (0.9 * 0.8 + 0.05), abs=0.03)
