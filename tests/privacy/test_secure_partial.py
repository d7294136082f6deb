import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from d2m_jax import make_market, sellers, tasks, validate
from d2m_jax.config.hparams import Privacy
from d2m_jax.privacy import partial, secure
from d2m_jax.tasks.units import unit_groups
from tests.worlds import SPEC, digits, numbers, play

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
        ("median", 4_096, 2_048, "secure sums of 2,048 sellers may wrap"),
        ("corrected_osmd", 6, 3, "judges single sellers"),
    ],
)
def test_what_does_not_go_together_is_refused(rule, sampled, group, message):
    with pytest.raises(ValueError, match=message):
        secure.check_secure(rule, sampled, group)


def test_sums_at_the_cut_do_not_wrap_and_larger_groups_are_refused():
    full = jnp.full((secure.LARGEST_GROUP, 1), 1e9)
    everybody = jnp.ones(secure.LARGEST_GROUP, bool)
    uploads = secure.encode(full, 1.0)
    mean, _ = secure.group_means(uploads, everybody, secure.LARGEST_GROUP, 1.0)
    assert float(mean[0, 0]) == 2.0**20
    more = jnp.zeros((2_048, 1))
    for call in (
        lambda: secure.masked_uploads(jax.random.key(0), more, 2_048, 1.0),
        lambda: secure.group_means(more.astype(jnp.uint32), more[:, 0] == 0, 2_048, 1.0),
    ):
        with pytest.raises(ValueError, match="may wrap"):
            call()


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
    shapes = [(8,), (8, 5), (3,), (3, 8)]  # hidden bias, kernel, output bias, kernel
    groups = unit_groups(shapes, 8)
    parts = np.asarray(partial.draw_parts(jax.random.key(0), 400, groups, 9, 0.5))
    assert parts[:, 48:51].all()  # everybody sees the output bias
    unit = parts[:, :8]
    np.testing.assert_array_equal(
        parts[:, 8:48].reshape(400, 8, 5), np.repeat(unit[..., None], 5, 2)
    )
    np.testing.assert_array_equal(parts[:, 51:].reshape(400, 3, 8), np.repeat(unit[:, None], 3, 1))
    assert unit.mean() == pytest.approx(0.5, abs=0.03)
    assert partial.exposure(jnp.asarray(parts)).mean() == pytest.approx(0.52, abs=0.03)
    with pytest.raises(ValueError, match="with 8 hidden units"):
        unit_groups([(5, 7)], 8)
    for density in (0.0, 1.5):
        with pytest.raises(ValueError, match="density must lie in"):
            partial.draw_parts(jax.random.key(0), 2, groups, 9, density)


def test_groups_where_hidden_and_outputs_are_as_many():
    groups = unit_groups([(3,), (3, 2), (3,), (3, 3)], 3)
    want = [1, 2, 3, 1, 1, 2, 2, 3, 3, 0, 0, 0, *[1, 2, 3] * 3]
    np.testing.assert_array_equal(groups, want)


@pytest.mark.slow
def test_half_models_train_nearly_as_well_as_whole_ones():
    """Federated training in which each seller sees and moves its own part of the network only."""
    dataset, data = digits()
    model = tasks.make_model("mlp", dataset)
    groups = unit_groups([(100,), (100, 64), (10,), (10, 100)], 100)
    assert groups.shape == (model.num_params,)

    @jax.jit
    def trained(density):
        def step(theta, key):
            part_key, batch_key = jax.random.split(key)
            parts = partial.draw_parts(part_key, 8, groups, 101, density)

            def one(seller, part):
                batch = sellers.draw_batch(
                    jax.random.fold_in(batch_key, seller), data, seller, 32, model.prepare
                )
                return model.gradient(jnp.where(part, theta, 0.0), batch)

            updates = jax.vmap(one)(jnp.arange(8), parts)
            return theta - 0.3 * partial.aggregate_parts(updates, parts, jnp.ones(8)), None

        keys = jax.random.split(jax.random.key(1), 60)
        theta, _ = jax.lax.scan(step, model.init(jax.random.key(0)), keys)
        return tasks.evaluate(model, theta, data.test, data.stats)[0]

    whole, half = float(trained(1.0)), float(trained(0.5))
    assert whole > 0.9
    assert half > whole - 0.05


def test_spread_rows_average_to_the_coverage_weighted_mean():
    parts = jax.random.bernoulli(jax.random.key(1), 0.4, UPDATES.shape)
    use = jnp.array([True, True, False, True, True, False])
    rows = partial.spread_parts(UPDATES, parts, use)
    want = partial.aggregate_parts(UPDATES, parts, use.astype(jnp.float32))
    np.testing.assert_allclose(rows[use].mean(0), want, atol=1e-5)
    assert not rows[~use].any() and not np.asarray(rows)[~np.asarray(parts)].any()


def test_the_units_of_a_network_are_those_that_its_outputs_depend_on():
    """A unit's parameters at zero is the network without it; with none of them, a constant."""
    dataset, data = digits()
    model = tasks.make_model("mlp", dataset)
    groups, num = model.units()
    assert num == 101 and groups.shape == (model.num_params,)
    np.testing.assert_array_equal(np.bincount(groups), [10, *[1 + 64 + 10] * 100])
    batch = model.prepare(jax.tree.map(lambda leaf: leaf[:5], data.pool), data.stats)
    theta = model.init(jax.random.key(0)) + 0.01
    without = model.apply(jnp.where(groups == 0, theta, 0.0), batch)
    np.testing.assert_array_equal(without, np.tile(without[:1], (5, 1)))
    whole = model.apply(theta, batch)
    alone = [model.apply(jnp.where((groups == 0) | (groups == g), theta, 0.0), batch) - without
             for g in range(1, num)]  # fmt: skip
    np.testing.assert_allclose(sum(alone) + without, whole, atol=1e-4)
    assert tasks.make_model("logreg", dataset).units is None


PLAIN = dataclasses.replace(
    SPEC,
    model="mlp",
    sampler="uniform",
    aggregator="mean",
    attack="nan",
    num_rounds=2,
    eval_every=2,
)


def run(changes, byzantine=0, **private):
    hparams = numbers(population={"num_byzantine": byzantine}, privacy=Privacy(**private))
    spec = dataclasses.replace(PLAIN, **changes)
    return play(dataclasses.replace(hparams, attack={}), spec=spec)


@pytest.mark.slow
def test_a_market_of_secure_sums_learns_the_same_and_loses_a_group_with_its_member():
    plain, summed = run({}), run({"secure_group": 3})
    np.testing.assert_allclose(summed.theta, plain.theta, atol=1e-3)
    assert np.asarray(summed.rounds.accepted).all()
    bad = run({"secure_group": 3}, byzantine=2)
    refused = np.asarray(bad.rounds.refused)
    used = np.asarray(bad.rounds.accepted).reshape(2, 2, 3)
    assert refused.sum() > 0
    np.testing.assert_array_equal(used.all(2), used.any(2))  # whole groups
    lost = (~used.all(2)).sum(1)
    assert ((lost > 0) == (refused > 0)).all() and (lost <= refused).all()


@pytest.mark.slow
def test_a_market_of_partial_models_is_the_plain_one_at_density_one():
    plain, whole = run({}), run({"partial": True}, density=1.0)
    half = run({"partial": True}, density=0.5)
    np.testing.assert_allclose(whole.theta, plain.theta, atol=1e-5)
    assert np.abs(np.asarray(half.theta) - np.asarray(plain.theta)).max() > 1e-3
    assert np.isfinite(half.theta).all() and np.asarray(half.rounds.accepted).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"partial": True, "aggregator": "krum"}, "partial models need aggregator 'mean', not"),
        ({"partial": True, "model": "logreg"}, "hidden units, and 'logreg' does not .* 'mlp'"),
        ({"partial": True, "sampler": "osmd"}, "partial models need sampler 'uniform'"),
        ({"partial": True, "secure_group": 3}, "cannot be combined"),
        ({"secure_group": 6, "aggregator": "krum"}, "'krum' needs single updates"),
        ({"secure_group": 4}, "4 does not divide the 6"),
        ({"secure_group": 3, "contribution": "path"}, "'path' needs single updates"),
        ({"secure_group": 3, "aggregator": "foolsgold"}, "knows sellers apart"),
        ({"secure_group": 3, "aggregator": "own"}, "a named aggregator"),
    ],
)
def test_a_market_whose_choices_do_not_go_together_is_refused(changes, message):
    spec = dataclasses.replace(PLAIN, **changes)
    with pytest.raises(ValueError, match=message):
        make_market(spec, digits()[0])
    if spec.model == "mlp":  # what does not depend on the model is refused before there is data
        with pytest.raises(ValueError, match=message):
            validate(spec, numbers())
