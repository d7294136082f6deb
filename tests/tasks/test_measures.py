"""Every metric against scikit-learn in float64: random, tied, unknown, degenerate and NaN."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn import metrics as sk

from d2m_jax.tasks.measures import METRICS, measure

CLASSES = ("accuracy", "balanced_accuracy", "f1", "auc", "exp_nll")
NUMBERS = ("r2", "one_minus_error")
MANY = ("subset_accuracy", "label_accuracy", "micro_f1")


def softmax(logits):
    shifted = np.exp(logits - logits.max(-1, keepdims=True))
    return shifted / shifted.sum(-1, keepdims=True)


def auc(labels, logits):
    if logits.shape[-1] == 2:
        return sk.roc_auc_score(labels, logits[:, 1] - logits[:, 0])
    chances = softmax(logits)
    present = [c for c in range(logits.shape[-1]) if 0 < (labels == c).sum() < len(labels)]
    return np.mean([sk.roc_auc_score(labels == c, chances[:, c]) for c in present])


def label_range(labels, values):
    columns = zip(labels.reshape(len(labels), -1).T, values.reshape(len(labels), -1).T)
    return np.mean([max(0, 1 - sk.mean_absolute_error(y, x) / np.ptp(y)) for y, x in columns])


def r2(labels, values):
    return np.clip(sk.r2_score(labels, values), 0, 1)


REFERENCE = {
    "accuracy": lambda y, x: sk.accuracy_score(y, x.argmax(-1)),
    "balanced_accuracy": lambda y, x: sk.balanced_accuracy_score(y, x.argmax(-1)),
    "f1": lambda y, x: sk.f1_score(y, x.argmax(-1), average="macro"),
    "auc": auc,
    "exp_nll": lambda y, x: np.exp(-sk.log_loss(y, softmax(x), labels=range(x.shape[-1]))),
    "r2": r2,
    "one_minus_error": label_range,
    "subset_accuracy": lambda y, x: sk.accuracy_score(y, x > 0),
    "label_accuracy": lambda y, x: 1 - sk.hamming_loss(y, x > 0),
    "micro_f1": lambda y, x: sk.f1_score(y, x > 0, average="micro"),
}


def logits_and_labels(seed, count, num_classes, tied):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(count, num_classes))
    if tied:  # among the rows, and half of the time within one
        rows = np.arange(5)[:, None] % 2 == 0
        logits = np.where(rows, np.round(logits[:5]), logits[:5])[rng.integers(0, 5, count)]
    weights = np.arange(num_classes) + 0.3  # unequal, the first is rare or absent
    labels = rng.choice(num_classes, count, p=weights / weights.sum())
    return logits, labels


def of(name, outputs, labels):
    batch = {"labels": jnp.asarray(labels)}
    return jax.jit(measure, static_argnums=0)(METRICS[name], jnp.asarray(outputs), batch)


def check(name, outputs, labels):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn warns of classes that are only predicted
        want = REFERENCE[name](labels, outputs)
    outputs, labels = (a.astype(np.float32) if a.dtype == float else a for a in (outputs, labels))
    np.testing.assert_allclose(of(name, outputs, labels), want, rtol=3e-6, atol=3e-7)


def test_every_metric_has_a_reference():
    assert set(METRICS) == set(REFERENCE) == {*CLASSES, *NUMBERS, *MANY}
    assert all(name == metric.name for name, metric in METRICS.items())
    assert all((m.per_example is None) != (m.of_set is None) for m in METRICS.values())


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("num_classes", [2, 3, 7])
@pytest.mark.parametrize("tied", [False, True])
def test_classes(name, num_classes, tied):
    for seed in range(4):
        logits, labels = logits_and_labels(seed, 60, num_classes, tied)
        if len(set(labels)) > 1:
            check(name, logits, labels)


@pytest.mark.parametrize("name", CLASSES)
def test_positions_and_unknown_labels(name):
    logits, labels = logits_and_labels(1, 60, 4, tied=True)
    unknown = np.where(np.random.default_rng(0).random(60) < 0.3, -1, labels)
    kept = unknown >= 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        want = REFERENCE[name](labels[kept], logits[kept])
    if name in ("accuracy", "exp_nll"):  # the mean of an example, then of the set
        unknown = np.array([-1, 2, 0, 1, -1, -1])
        logits, right = logits[:6], logits[:6].argmax(-1) == unknown
        losses = -np.log(softmax(logits))[np.arange(6), unknown]
        of_set = (losses[1:3].mean() + losses[3]) / 2
        want = {"accuracy": (right[1:3].mean() + right[3]) / 2, "exp_nll": np.exp(-of_set)}[name]
        got = of(name, logits.reshape(2, 3, 4).astype(np.float32), unknown.reshape(2, 3))
    else:
        got = of(name, logits.reshape(12, 5, 4).astype(np.float32), unknown.reshape(12, 5))
    np.testing.assert_allclose(got, want, rtol=3e-6)


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("shape", [(40,), (40, 3)])
@pytest.mark.parametrize("noise", [0.0, 0.1, 1.0, 5.0])
def test_numbers(name, shape, noise):
    rng = np.random.default_rng(5)
    labels = rng.normal(1e3, 3.0, shape)
    check(name, labels + noise * rng.normal(size=shape), labels)


def test_numbers_take_one_output():
    labels = np.arange(5.0, dtype=np.float32)
    for name in NUMBERS:
        column = of(name, labels[:, None] + 0.5, labels)
        np.testing.assert_allclose(column, of(name, labels + 0.5, labels))


@pytest.mark.parametrize("name", MANY)
@pytest.mark.parametrize("tied", [False, True])
def test_many_labels(name, tied):
    rng = np.random.default_rng(2)
    logits = rng.normal(size=(50, 3))
    check(name, np.round(logits) if tied else logits, rng.integers(0, 2, (50, 3)))


def test_unknown_labels_of_many():
    labels, logits = np.array([[1, -1], [0, 0]]), np.array([[1.0, 2.0], [-1.0, 1.0]])
    assert float(of("subset_accuracy", logits, labels)) == 0.5
    assert float(of("label_accuracy", logits, labels)) == 0.75
    np.testing.assert_allclose(of("micro_f1", logits, labels), 2 / 3, rtol=1e-6)
    nothing = of("subset_accuracy", logits, np.full((2, 2), -1))
    assert float(nothing) == 0.0


@pytest.mark.parametrize("num_classes", [1, 2])
def test_auc_of_one_logit_and_of_two(num_classes):
    logits, labels = logits_and_labels(3, 50, 2, tied=True)
    single = (logits[:, 1] - logits[:, 0]).astype(np.float32)
    outputs = single if num_classes == 1 else single[:, None]
    np.testing.assert_allclose(of("auc", outputs, labels), auc(labels, logits), rtol=1e-6)


def test_auc_of_infinite_scores():
    scores = np.array([np.inf, np.inf, -np.inf, 0.0], np.float32)
    assert float(of("auc", scores, np.array([1, 0, 0, 1]))) == pytest.approx((1.5 / 2 + 1 / 2) / 2)


@pytest.mark.parametrize(
    "name, right, wrong",
    [
        ("accuracy", 1, 0),
        ("balanced_accuracy", 1, 0),
        ("f1", 1, 0),
        ("auc", 0.5, 0.5),
        ("exp_nll", 1, 0),
    ],
)
def test_a_set_of_one_class(name, right, wrong):
    logits = np.array([[50.0, 0.0, -50.0]] * 4, np.float32)
    assert float(of(name, logits, np.zeros(4, int))) == pytest.approx(right)
    assert float(of(name, logits, np.full(4, 2))) == pytest.approx(wrong, abs=1e-7)


def test_a_set_without_known_labels():
    logits, labels = np.ones((4, 3), np.float32), np.full(4, -1)
    values = {name: float(of(name, logits, labels)) for name in CLASSES}
    assert values == {"accuracy": 0, "balanced_accuracy": 0, "f1": 0, "auc": 0.5, "exp_nll": 1}


def test_labels_that_are_all_alike():
    labels = np.full(7, 0.1, np.float32)
    assert float(of("r2", labels, labels)) == float(of("one_minus_error", labels, labels)) == 1
    missed = labels + np.float32(0.5)
    assert float(of("r2", missed, labels)) == float(of("one_minus_error", missed, labels)) == 0
    nobody, silent = np.zeros((3, 2), int), -np.ones((3, 2), np.float32)
    assert (
        float(of("micro_f1", silent, nobody))
        == 0
        == sk.f1_score(nobody, silent > 0, average="micro", zero_division=0)
    )


@pytest.mark.parametrize("name", METRICS)
def test_nan_is_wrong_and_never_nan(name):
    if name in CLASSES:
        good, labels = 9 * np.eye(4, dtype=np.float32), np.arange(4)
    elif name in NUMBERS:
        good, labels = np.arange(4, dtype=np.float32)[:, None], np.arange(4, dtype=np.float32)
    else:
        labels = np.array([[1, 0], [0, 1], [1, 1], [1, 0]])
        good = (9.0 * labels - 4).astype(np.float32)
    assert float(of(name, good, labels)) > 0.99
    assert float(of(name, np.full_like(good, np.nan), labels)) == 0
    partly = good.copy()
    partly[0] = np.nan
    assert 0 <= float(of(name, partly, labels)) <= 0.85


@pytest.mark.parametrize("name", METRICS)
def test_strict_vmapped_and_in_double_precision(name):
    rng = np.random.default_rng(0)
    if name in CLASSES:
        outputs, labels = rng.normal(size=(3, 8, 3)), rng.integers(0, 3, (3, 8))
    elif name in NUMBERS:
        outputs, labels = rng.normal(size=(3, 8)), rng.normal(size=(3, 8))
    else:
        outputs, labels = rng.normal(size=(3, 8, 2)), rng.integers(0, 2, (3, 8, 2))
    for double in (False, True):
        with jax.enable_x64(double), jax.numpy_dtype_promotion("strict"):
            arrays = jnp.asarray(outputs), {"labels": jnp.asarray(labels)}
            got = jax.jit(jax.vmap(lambda x, b: measure(METRICS[name], x, b)))(*arrays)
        want = [float(of(name, x, y)) for x, y in zip(outputs, labels)]
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


def test_shapes_that_do_not_fit_are_one_sentence():
    logits, labels = np.ones((4, 3), np.float32), np.zeros((4, 2), int)
    with pytest.raises(ValueError, match=r"one axis more than the labels"):
        of("accuracy", logits, labels)
    with pytest.raises(ValueError, match=r"integers, not float32"):
        of("f1", logits, np.zeros(4, np.float32))
    with pytest.raises(ValueError, match=r"one output for each label"):
        of("r2", logits, labels)
    with pytest.raises(ValueError, match=r'dictionary with "labels"'):
        METRICS["accuracy"].per_example(logits, {"y": labels})
