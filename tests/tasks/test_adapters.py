"""Networks of four libraries as tasks: the same contract, dropout, dtypes and what is refused."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.flatten_util import ravel_pytree

from d2m_jax.core.choices import digest
from d2m_jax.tasks import losses, measures
from d2m_jax.tasks.adapters import from_equinox, from_flax, from_haiku
from d2m_jax.tasks.task import Metric
from tests.tasks import networks
from tests.tasks.networks import CLASSES, FEATURES, SAMPLE


def linen(**more):
    return from_flax(networks.Linen(), sample=SAMPLE, **more)


def nnx_fresh(**more):
    return from_flax(networks.Nnx, sample=SAMPLE, **more)


def nnx_made(**more):
    return from_flax(networks.Nnx(rngs=nnx.Rngs(3)), sample=SAMPLE, **more)


def equinox_fresh(**more):
    pytest.importorskip("equinox")
    return from_equinox(networks.equinox_net, sample=SAMPLE, **more)


def equinox_made(**more):
    pytest.importorskip("equinox")
    return from_equinox(networks.equinox_net(jax.random.key(3)), sample=SAMPLE, **more)


def haiku(**more):
    hk = pytest.importorskip("haiku")
    net = hk.transform(networks.haiku_net)
    return from_haiku(net, sample=SAMPLE, train_keyword="is_training", **more)


def haiku_with_state(**more):
    hk = pytest.importorskip("haiku")
    net = hk.transform_with_state(networks.haiku_net)
    return from_haiku(net, sample=SAMPLE, train_keyword="is_training", **more)


MADE = [linen, nnx_fresh, nnx_made, equinox_fresh, equinox_made, haiku, haiku_with_state]
every = pytest.mark.parametrize("make", MADE, ids=lambda make: make.__name__)


@pytest.mark.few(3)
@every
def test_contract(make):
    task = make()
    assert (task.loss, task.metric) == (losses.cross_entropy, measures.accuracy)
    assert task.num_classes == CLASSES
    params = task.init(jax.random.key(0))
    flat, unravel = ravel_pytree(params)
    assert flat.size == (FEATURES + 1) * 6 + 7 * CLASSES and flat.dtype == jnp.float32
    outputs = task.apply(unravel(flat), SAMPLE, None)
    assert outputs.shape == (8, CLASSES) and task.loss(outputs, SAMPLE).shape == (8,)
    again = ravel_pytree(task.init(jax.random.key(0)))[0]
    np.testing.assert_array_equal(flat, again)
    other = ravel_pytree(task.init(jax.random.key(1)))[0]
    assert (flat != other).any() == (make not in (nnx_made, equinox_made))


@every
def test_dropout_needs_a_key_and_only_a_key(make):
    task = make()
    params, apply = task.init(jax.random.key(0)), jax.jit(task.apply)
    calm = apply(params, SAMPLE, None)
    np.testing.assert_array_equal(calm, apply(params, SAMPLE, None))
    one, two = (apply(params, SAMPLE, jax.random.key(seed)) for seed in (0, 1))
    np.testing.assert_array_equal(one, apply(params, SAMPLE, jax.random.key(0)))
    assert (one != calm).any() and (one != two).any()
    draws = jax.vmap(lambda key: task.apply(params, SAMPLE, key))(
        jax.random.split(jax.random.key(2), 4000)
    )
    np.testing.assert_allclose(draws.mean(0), calm, atol=0.15)  # half of the units, twice as much
    rows = {"inputs": np.ones_like(SAMPLE["inputs"]), "labels": SAMPLE["labels"]}
    assert len(np.unique(apply(params, rows, jax.random.key(0)), axis=0)) > 1


@pytest.mark.few(1)
@every
def test_learns_over_vmapped_sellers(make):
    task = make()
    flat, unravel = ravel_pytree(task.init(jax.random.key(0)))

    def loss(theta, batch, key):
        return task.loss(task.apply(unravel(theta), batch, key), batch).mean()

    batches = jax.tree.map(lambda leaf: jnp.stack([jnp.asarray(leaf)] * 3), SAMPLE)

    @jax.jit
    def step(theta, key):
        keys = jax.random.split(key, 3)
        updates = jax.vmap(jax.grad(loss), (None, 0, 0))(theta, batches, keys)
        return theta - 0.5 * updates.mean(0)

    start = flat
    for seed in range(60):
        flat = step(flat, jax.random.key(seed))
    assert loss(flat, SAMPLE, None) < 0.6 * loss(start, SAMPLE, None)


def test_the_outputs_are_those_of_the_library():
    task, module = linen(), networks.Linen()
    params, x = task.init(jax.random.key(5)), SAMPLE["inputs"]
    np.testing.assert_array_equal(
        task.apply(params, SAMPLE, None), module.apply(params, x, deterministic=True)
    )
    key = jax.random.key(1)
    np.testing.assert_array_equal(
        task.apply(params, SAMPLE, key),
        module.apply(params, x, deterministic=False, rngs={"dropout": key}),
    )
    model = networks.Nnx(rngs=nnx.Rngs(jax.random.key(5)))
    model.eval()
    task = nnx_fresh()
    got = task.apply(task.init(jax.random.key(5)), SAMPLE, None)
    np.testing.assert_allclose(got, model(x), rtol=1e-6)


def test_a_given_model_is_left_as_it_is():
    model = networks.Nnx(rngs=nnx.Rngs(3))
    task = from_flax(model, sample=SAMPLE)
    task.apply(task.init(jax.random.key(0)), SAMPLE, None)
    assert not model.dropout.deterministic
    first = task.init(jax.random.key(0))["first"]["kernel"]
    np.testing.assert_array_equal(first, model.first.kernel[...])


NORMS = {
    "linen": (lambda: from_flax(networks.LinenNorm(), sample=SAMPLE), "batch_stats"),
    "nnx": (lambda: from_flax(networks.NnxNorm, sample=SAMPLE), "BatchStat norm.mean"),
    "nnx made": (
        lambda: from_flax(networks.NnxNorm(rngs=nnx.Rngs(0)), sample=SAMPLE),
        "BatchStat norm.mean",
    ),
}


@pytest.mark.parametrize("case", NORMS)
def test_batch_norm_is_refused_by_name(case):
    make, found = NORMS[case]
    with pytest.raises(ValueError, match=rf"{found}.*LayerNorm or GroupNorm") as caught:
        make()
    assert "\n" not in str(caught.value) and "fails on" not in str(caught.value)


def test_batch_norm_of_equinox_is_refused_by_name():
    eqx = pytest.importorskip("equinox")
    whole = eqx.nn.make_with_state(networks.equinox_norm)
    for model in (networks.equinox_norm, whole, networks.equinox_norm(jax.random.key(0))):
        with pytest.raises(ValueError, match=r"(BatchNorm .*|State .*)LayerNorm or GroupNorm"):
            from_equinox(model, sample=SAMPLE)


def test_batch_norm_of_haiku_is_refused_by_name():
    hk = pytest.importorskip("haiku")
    with pytest.raises(ValueError, match=r"haiku state.*LayerNorm or GroupNorm"):
        from_haiku(hk.transform(networks.haiku_norm), sample=SAMPLE)
    with pytest.raises(ValueError, match=r"state of batch_norm/~/mean_ema.*LayerNorm or GroupNorm"):
        from_haiku(hk.transform_with_state(networks.haiku_norm), sample=SAMPLE)


def test_other_variables_are_refused():
    class Counts(nnx.Module):
        def __init__(self, *, rngs):
            self.weight = nnx.Param(jnp.ones(FEATURES))
            self.calls = nnx.Variable(jnp.zeros(()))

        def __call__(self, x):
            return x * self.weight[...]

    with pytest.raises(ValueError, match="Variable calls"):
        from_flax(Counts, sample=SAMPLE)


def test_parameters_that_are_not_floating_are_refused():
    class Whole(nn.Module):
        @nn.compact
        def __call__(self, x):
            return x * self.param("count", lambda key: jnp.arange(FEATURES))[None]

    with pytest.raises(ValueError, match=r"\['count'\] of int32.*numpy arrays"):
        from_flax(Whole(), sample=SAMPLE)
    with pytest.raises(ValueError, match="nothing to train"):
        from_flax(nn.Sequential([nn.relu]), sample=SAMPLE)


def test_integers_in_an_equinox_model_are_refused():
    eqx = pytest.importorskip("equinox")

    class Whole(eqx.Module):
        count: jax.Array

        def __call__(self, x):
            return x * self.count

    with pytest.raises(ValueError, match=r"\.count of int32"):
        from_equinox(Whole(jnp.arange(FEATURES)), sample=SAMPLE)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float64])
def test_dtypes_are_kept(dtype):
    with jax.enable_x64(dtype == jnp.float64):
        task = from_flax(networks.Linen(dtype=dtype), sample=SAMPLE)
        params = task.init(jax.random.key(0))
        assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype(dtype)}
        gradient = jax.grad(lambda p: task.loss(task.apply(p, SAMPLE, None), SAMPLE).mean())(params)
        assert {leaf.dtype for leaf in jax.tree.leaves(gradient)} == {jnp.dtype(dtype)}
        wide = from_flax(
            functools.partial(nnx.Linear, FEATURES, CLASSES, param_dtype=dtype), sample=SAMPLE
        )
        assert wide.init(jax.random.key(0))["kernel"].dtype == dtype


@pytest.mark.parametrize(
    "labels, width, loss, metric, num_classes",
    [
        (np.arange(8) % 3, 3, losses.cross_entropy, "accuracy", 3),
        ((np.arange(8) % 3).astype(np.uint8), 4, losses.cross_entropy, "accuracy", 4),
        (np.linspace(0, 1, 8), 1, losses.squared_error, "r2", 0),
        (np.ones((8, 2), np.float32), 2, losses.squared_error, "r2", 0),
        (np.arange(8) % 2, 1, losses.binary_cross_entropy, "label_accuracy", 2),
        (np.ones((8, 4), bool), 4, losses.binary_cross_entropy, "label_accuracy", 2),
    ],
)
def test_defaults(labels, width, loss, metric, num_classes):
    task = from_flax(nn.Dense(width), sample={**SAMPLE, "labels": labels})
    assert (task.loss, task.metric.name, task.num_classes) == (loss, metric, num_classes)
    own = Metric("own", of_set=lambda outputs, batch: jnp.float32(1))
    kept = from_flax(nn.Dense(width), sample={**SAMPLE, "labels": labels}, metric=own)
    assert (kept.loss, kept.metric) == (loss, own)


def test_whole_batches_and_other_entries():
    class Pair(nn.Module):
        @nn.compact
        def __call__(self, batch):
            return nn.Dense(1)(batch["left"])[:, 0] + batch["right"]

    batch = {"left": np.ones((4, 2), np.float32), "right": np.ones(4, np.float32)}

    def loss(outputs, batch):
        return jnp.abs(outputs - batch["right"])

    metric = Metric("near", per_example=lambda outputs, batch: jnp.exp(-loss(outputs, batch)))
    task = from_flax(Pair(), sample=batch, loss=loss, metric=metric, inputs=None)
    assert task.apply(task.init(jax.random.key(0)), batch, None).shape == (4,)
    assert task.num_classes == 0
    first = Metric("first", per_example=lambda outputs, batch: outputs[:, 0])
    named = from_flax(
        nn.Dense(4), sample=batch, loss=first.per_example, metric=first, inputs="left"
    )
    assert named.apply(named.init(jax.random.key(0)), batch, None).shape == (4, 4)
    with pytest.raises(ValueError, match=r"needs loss= and metric="):
        from_flax(Pair(), sample=batch, inputs=None)
    with pytest.raises(ValueError, match=r"no entry 'inputs'"):
        from_flax(Pair(), sample=batch)


def test_a_keyword_of_ones_own():
    class Noisy(nn.Module):
        @nn.compact
        def __call__(self, x, noisy=True):
            return nn.Dense(CLASSES)(nn.Dropout(0.9, deterministic=not noisy)(x))

    task = from_flax(Noisy(), sample=SAMPLE, train_keyword="noisy")
    params = task.init(jax.random.key(0))
    calm = task.apply(params, SAMPLE, None)
    assert (calm != task.apply(params, SAMPLE, jax.random.key(0))).any()
    with pytest.raises(ValueError, match=r"Noisy fails on inputs"):
        from_flax(Noisy(), sample=SAMPLE)  # draws in evaluation, without a key


SENTENCES = [
    ({}, {"inputs": np.ones((8, 4), np.float32)}, r"Nnx fails on inputs float32\[B,4\]"),
    ({}, {"inputs": 3.0}, r"arrays with a leading axis"),
    ({}, {"labels": np.arange(8)}, r"3 classes, labels 0 to 2, but .* label 7"),
    ({}, {"labels": np.ones((8, 2), int)}, r"do not belong"),
    ({}, {"labels": np.ones(8)}, r"do not belong"),
    ({"num_classes": 5}, {}, r"5 classes need as many logits, not 3"),
    (
        {"loss": lambda x, b: x.mean()},
        {},
        r"the loss of task 'Nnx' must give floating",
    ),
    (
        {"metric": Metric("own", of_set=lambda x, b: x)},
        {},
        r"metric 'own' of task 'Nnx' must give numbers of shape \(\)",
    ),
    ({"metric": Metric("own")}, {}, r"either per_example or of_set"),
]


@pytest.mark.parametrize("options, changed, said", SENTENCES)
def test_what_does_not_fit_is_one_sentence(options, changed, said):
    with pytest.raises(ValueError, match=said) as caught:
        from_flax(networks.Nnx, sample={**SAMPLE, **changed}, **options)
    assert "\n" not in str(caught.value)


def test_wrong_things_are_one_sentence():
    with pytest.raises(ValueError, match=r"linen or nnx module, not int"):
        from_flax(3, sample=SAMPLE)
    with pytest.raises(ValueError, match=r"makes .*, which is no nnx module"):
        from_flax(lambda rngs: np.ones(3), sample=SAMPLE)
    with pytest.raises(ValueError, match=r"leading axis of the batch"):
        from_flax(nn.Sequential([nn.Dense(2), lambda x: x.sum(0)]), sample=SAMPLE)
    pytest.importorskip("haiku")
    with pytest.raises(ValueError, match=r"what hk.transform returns"):
        from_haiku(networks.haiku_net, sample=SAMPLE)
    pytest.importorskip("equinox")
    with pytest.raises(ValueError, match=r"no equinox model"):
        from_equinox(lambda key: 3.0, sample=SAMPLE)


def test_shapes_alone_are_a_sample():
    sample = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), SAMPLE)
    assert from_flax(networks.Linen(), sample=sample).num_classes == CLASSES


def test_digest_knows_the_network():
    def task(width):
        return from_flax(networks.Linen(width), sample=SAMPLE)

    assert digest(task(6)) == digest(task(6)) != digest(task(7))
    fresh = [
        digest(from_flax(functools.partial(networks.Nnx, width), sample=SAMPLE))
        for width in (6, 6, 7)
    ]
    assert fresh[0] == fresh[1] != fresh[2]
