"""Built-in networks for texts and tables: shapes, padding, causality, learning, refusals."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from d2m_jax.tasks.flat import flatten
from d2m_jax.tasks.losses import binary_cross_entropy, cross_entropy, squared_error
from d2m_jax.tasks.problem import Problem
from d2m_jax.tasks.tables import table_mlp
from d2m_jax.tasks.text import char_lstm, text_bow, text_cnn

INT, FLOAT = np.dtype(np.int32), np.dtype(np.float32)
CHARACTERS = Problem("text", (9,), INT, 11, (9,), vocabulary=11)
QUESTIONS = Problem("text", (7,), INT, 3, (), vocabulary=20)
TABLE = Problem("table", (5,), FLOAT, 3)
small_lstm = functools.partial(char_lstm, embedding=4, hidden=16)
BUILT = [
    (small_lstm, CHARACTERS),
    (text_bow, QUESTIONS),
    (text_cnn, QUESTIONS),
    (table_mlp, TABLE),
    (functools.partial(table_mlp, layer_norm=True), TABLE),
]


def batch_of(problem, count=24, seed=0):
    """Labels that can be learnt: the token itself, the first word, the largest column."""
    rng = np.random.default_rng(seed)
    if problem.kind == "table":
        rows = rng.normal(size=(count, *problem.input_shape)).astype(np.float32)
        return {"inputs": rows, "labels": rows[:, : problem.num_classes].argmax(1)}
    tokens = rng.integers(1, problem.vocabulary, (count, *problem.input_shape), dtype=np.int32)
    labels = tokens if problem.label_shape else tokens[:, 0] % problem.num_classes
    return {"inputs": tokens, "labels": labels}


@pytest.mark.parametrize(
    "build, problem, count",
    [
        (char_lstm, Problem("text", (40,), INT, 65, (40,), 65), 79_049),
        (text_bow, Problem("text", (20,), INT, 6, (), 2000), 64_198),
        (text_cnn, Problem("text", (20,), INT, 6, (), 2000), 75_142),
        (table_mlp, Problem("table", (13,), FLOAT, 2), 13 * 64 + 64 + 64 * 65 + 130),
    ],
)
def test_parameter_counts(build, problem, count):
    assert flatten(build(problem)).num_params == count


@pytest.mark.few(3)
@pytest.mark.parametrize("build, problem", BUILT)
def test_sellers_together_and_alone(build, problem):
    model = flatten(build(problem))
    theta, batches = model.init(jax.random.key(0)), [batch_of(problem, 4, seed) for seed in (0, 1)]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *batches)
    together = jax.jit(model.gradients)(theta, stacked)
    if model.map_sellers == "map":
        alone = jax.jit(jax.vmap(model.gradient, (None, 0)))(theta, stacked)
    else:
        gradient = jax.jit(model.gradient)
        alone = jnp.stack([gradient(theta, batch) for batch in batches])
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-6)


@pytest.mark.few(2)
@pytest.mark.parametrize("build, problem", BUILT)
def test_learns_by_sgd(build, problem):
    model, batch = flatten(build(problem)), batch_of(problem)
    theta = model.init(jax.random.key(0))

    @jax.jit
    def steps(theta):
        def step(carry, _):
            theta, memory = carry
            memory = 0.9 * memory + model.gradient(theta, batch)
            return (theta - 0.3 * memory, memory), None

        return jax.lax.scan(step, (theta, jnp.zeros_like(theta)), length=100)[0][0]

    outputs = model.apply(steps(theta), batch)
    assert model.metric.per_example(outputs, batch).mean() > 0.95


@pytest.mark.parametrize("build, problem", BUILT)
def test_traces_clean(build, problem):
    for double in (False, True):
        with jax.enable_x64(double), jax.numpy_dtype_promotion("strict"):
            model = flatten(build(problem))
            theta = model.init(jax.random.key(0))
            assert theta.dtype == jnp.float32
            gradient = jax.eval_shape(model.gradient, theta, batch_of(problem))
            assert gradient.dtype == jnp.float32


def test_a_character_sees_the_past_alone():
    model = flatten(small_lstm(CHARACTERS))
    theta = model.init(jax.random.key(0))
    tokens = batch_of(CHARACTERS)["inputs"]
    changed = tokens.copy()
    changed[:, 5] = tokens[:, 5] % 10 + 1
    one, two = (model.apply(theta, {"inputs": x}) for x in (tokens, changed))
    np.testing.assert_array_equal(one[:, :5], two[:, :5])
    assert (one[:, 5:] != two[:, 5:]).any(-1).all()


@pytest.mark.parametrize("build", [text_bow, text_cnn])
def test_padding_is_no_word(build):
    tokens = np.array([[3, 5, 2, 0, 0, 0, 0]], np.int32)
    longer = Problem("text", (12,), INT, 3, (), vocabulary=20)
    task, wide = build(QUESTIONS), build(longer)
    params = task.init(jax.random.key(0))
    padded = np.pad(tokens, ((0, 0), (0, 5)))
    one = task.apply(params, {"inputs": tokens}, None)
    two = wide.apply(params, {"inputs": padded}, None)
    np.testing.assert_allclose(one, two, rtol=1e-6)
    nothing = task.apply(params, {"inputs": np.zeros((1, 7), np.int32)}, None)
    assert np.isfinite(nothing).all()


@pytest.mark.parametrize(
    "problem, shape, loss, metric",
    [
        (TABLE, (4, 3), cross_entropy, "accuracy"),
        (Problem("table", (5,), FLOAT, 0), (4,), squared_error, "r2"),
        (Problem("table", (5,), FLOAT, 0, (2,)), (4, 2), squared_error, "r2"),
        (Problem("table", (5,), FLOAT, 3, (3,)), (4, 3), binary_cross_entropy, "label_accuracy"),
    ],
)
def test_heads_of_a_table(problem, shape, loss, metric):
    task = table_mlp(problem)
    outputs = task.apply(
        task.init(jax.random.key(0)), {"inputs": np.ones((4, 5), np.float32)}, None
    )
    assert outputs.shape == shape
    assert (task.loss, task.metric.name, task.kind) == (loss, metric, "table")
    one_of_many = problem.num_classes and problem.label_shape == ()
    assert task.num_classes == (problem.num_classes if one_of_many else 0)


@pytest.mark.parametrize(
    "build, problem, said",
    [
        (char_lstm, QUESTIONS, r"a class for every position"),
        (char_lstm, CHARACTERS._replace(vocabulary=0), r"char_lstm takes texts"),
        (text_bow, CHARACTERS, r"one per position"),
        (text_cnn, QUESTIONS._replace(input_dtype=FLOAT), r"text_cnn takes texts"),
        (table_mlp, QUESTIONS, r"rows of numbers, not text"),
        (table_mlp, Problem("images", (8, 8, 1), FLOAT, 3), r"rows of numbers, not images"),
    ],
)
def test_refuses(build, problem, said):
    with pytest.raises(ValueError, match=said):
        build(problem)
