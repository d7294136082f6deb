import jax
import jax.numpy as jnp
import numpy as np
import pytest

from d2m_jax import models, sellers
from d2m_jax.data import normalize
from d2m_jax.privacy import partial, secure
from tests.worlds import digits

UPDATES = jax.random.normal(jax.random.key(0), (6, 500))
STEP = 2.0**-12


def test_masks_cancel_and_groups_can_be_read():
    uploads = jax.jit(lambda key: secure.masked_uploads(key, UPDATES, 3, STEP))(jax.random.key(1))
    means, whole = secure.group_means(uploads, jnp.ones(6, bool), 3, STEP)
    np.testing.assert_allclose(means, UPDATES.reshape(2, 3, 500).mean(1), atol=STEP)
    assert whole.all()


def test_a_single_upload_looks_uniform_and_says_nothing():
    run = jax.jit(lambda key, updates: secure.masked_uploads(key, updates, 3, STEP))
    one = np.asarray(run(jax.random.key(1), UPDATES), np.float64)
    assert one.mean() / 2**32 == pytest.approx(0.5, abs=0.02)
    counts = np.histogram(one, bins=16, range=(0, 2**32))[0]
    assert counts.min() > 0.7 * counts.mean()
    flat = UPDATES.ravel()
    assert abs(np.corrcoef(one.ravel(), flat)[0, 1]) < 0.05


def test_the_masks_of_one_member_differ_and_sum_to_zero():
    masks = np.asarray(secure.pair_masks(jax.random.key(0), 4, 50))
    assert not masks.sum(0, dtype=np.uint32).any()
    assert (masks[0] != masks[1]).mean() > 0.99


def test_a_group_with_an_absent_member_is_lost_whole():
    uploads = secure.masked_uploads(jax.random.key(1), UPDATES, 3, STEP)
    means, whole = secure.group_means(uploads, jnp.arange(6) != 4, 3, STEP)
    np.testing.assert_array_equal(whole, [True, False])
    assert not means[1].any()


@pytest.mark.parametrize(
    "rule, sampled, group, message",
    [
        ("krum", 6, 6, "'krum' needs single updates"),
        ("mean", 6, 1, "hides nothing"),
        ("median", 6, 4, "does not divide"),
        ("corrected_osmd", 6, 3, "judges single sellers"),
    ],
)
def test_what_does_not_go_together_is_refused(rule, sampled, group, message):
    with pytest.raises(ValueError, match=message):
        secure.check_secure(rule, sampled, group)


def test_what_goes_together_is_allowed():
    secure.check_secure("mean", 6, 6)
    secure.check_secure("median", 6, 2)


def test_aggregate_of_parts_by_hand():
    updates = jnp.array([[1.0, 2.0, 9.0], [3.0, 9.0, 9.0]])
    parts = jnp.array([[True, True, False], [True, False, False]])
    got = partial.aggregate_parts(updates, parts, jnp.array([1.0, 3.0]))
    np.testing.assert_allclose(got, [(1 + 9) / 4, 2, 0])
    whole = partial.aggregate_parts(updates, jnp.ones((2, 3), bool), jnp.array([1.0, 3.0]))
    np.testing.assert_allclose(whole, np.average(updates, axis=0, weights=[1, 3]))


def test_parts_are_whole_units_at_the_asked_density():
    shapes = [(8,), (5, 8), (3,), (8, 3)]  # hidden bias, kernel, output bias, kernel
    groups = partial.unit_groups(shapes, 8)
    parts = np.asarray(partial.draw_parts(jax.random.key(0), 400, groups, 9, 0.5))
    assert parts[:, 48:51].all()  # everybody sees the output bias
    unit = parts[:, :8]
    np.testing.assert_array_equal(parts[:, 8:48].reshape(400, 5, 8), np.repeat(unit[:, None], 5, 1))
    np.testing.assert_array_equal(
        parts[:, 51:].reshape(400, 8, 3), np.repeat(unit[..., None], 3, 2)
    )
    assert unit.mean() == pytest.approx(0.5, abs=0.03)
    assert partial.exposure(jnp.asarray(parts)).mean() == pytest.approx(0.52, abs=0.03)
    with pytest.raises(ValueError, match="with 8 hidden units"):
        partial.unit_groups([(5, 7)], 8)
    for density in (0.0, 1.5):
        with pytest.raises(ValueError, match="density must lie in"):
            partial.draw_parts(jax.random.key(0), 2, groups, 9, density)


def test_groups_where_hidden_and_outputs_are_as_many():
    groups = partial.unit_groups([(3,), (2, 3), (3,), (3, 3)], 3)
    want = [1, 2, 3, *[1, 2, 3] * 2, 0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    np.testing.assert_array_equal(groups, want)


def test_half_models_train_nearly_as_well_as_whole_ones():
    """Federated training in which each seller sees and moves its own part of the network only."""
    raw, data = digits()
    model = models.make_model("mlp", raw.train_images.shape[1:], 10)
    groups = partial.unit_groups([(100,), (64, 100), (10,), (100, 10)], 100)
    assert groups.shape == (model.num_params,)

    def normal(images):
        return normalize(data, images)

    @jax.jit
    def trained(density):
        def step(theta, key):
            part_key, batch_key = jax.random.split(key)
            parts = partial.draw_parts(part_key, 8, groups, 101, density)

            def one(seller, part):
                batch = sellers.draw_batch(
                    jax.random.fold_in(batch_key, seller), data, seller, 32, normal
                )
                return model.gradient(jnp.where(part, theta, 0.0), *batch)

            updates = jax.vmap(one)(jnp.arange(8), parts)
            return theta - 0.3 * partial.aggregate_parts(updates, parts, jnp.ones(8)), None

        keys = jax.random.split(jax.random.key(1), 60)
        theta, _ = jax.lax.scan(step, model.init(jax.random.key(0)), keys)
        return models.evaluate(model, theta, data.test, normal)[0]

    whole, half = float(trained(1.0)), float(trained(0.5))
    assert whole > 0.9
    assert half > whole - 0.05
