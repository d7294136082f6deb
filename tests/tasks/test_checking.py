"""Tasks that are none are refused in one sentence, before anything compiles."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from d2m_jax import HParams, Spec, make_market, tasks
from d2m_jax.config.spec import DataSpec
from d2m_jax.data import from_arrays
from d2m_jax.market import deal
from d2m_jax.tasks import METRICS, Metric, Task

RNG = np.random.default_rng(0)
DATASET = from_arrays(RNG.normal(size=(200, 3)).astype(np.float32), RNG.integers(0, 2, 200))


def init(key: Any) -> Any:
    return {"w": jnp.zeros((3, 2)), "b": jnp.zeros(2)}


def apply(params: Any, batch: Any, key: Any = None) -> Any:
    return batch["inputs"] @ params["w"] + params["b"][None]


def loss(outputs: Any, batch: Any) -> Any:
    return jnp.square(outputs).sum(-1)


OWN = Task(init, apply, loss, METRICS["accuracy"], name="mine")


def each(outputs: Any, batch: Any) -> Any:
    return jnp.ones(outputs.shape[0])


WRONG = [
    ({"loss": lambda o, b: jnp.square(o).sum(-1, keepdims=True)}, "floating numbers of shape (7,)"),
    (
        {"loss": lambda o, b: jnp.square(o).mean()},
        "the loss of task 'mine' must give floating ",
    ),
    ({"loss": lambda o, b: (o > 0).any(-1)}, "not bool of shape (7,)"),
    ({"loss": lambda o: o}, "the loss of task 'mine' is called with 2 arguments"),
    (
        {"metric": Metric("m", per_example=lambda o, b: o)},
        "metric 'm' of task 'mine' must give n",
    ),
    (
        {"metric": Metric("m", per_example=lambda o, b: o.mean())},
        "(7,), not float32 of shape ()",
    ),
    (
        {"metric": Metric("m", of_set=each)},
        "metric 'm' of task 'mine' must give numbers of",
    ),
    ({"metric": Metric("m", per_example=each, finish=lambda m: m[None])}, "`finish` of metric 'm'"),
    (
        {"apply": lambda p, b, k: b["images"]},
        "task 'mine' does not take examples of in",
    ),
]
FIELDS = [
    ({"metric": Metric("none")}, "metric 'none' must have either per_example or of_set"),
    ({"metric": "accuracy"}, "the metric of task 'mine' must be a Metric"),
    ({"metric": each}, "the metric of task 'mine' must be a Metric"),
    ({"metric": Metric("m", per_example=3)}, "per_example of metric 'm' must be a function"),  # type: ignore[arg-type]
    ({"map_sellers": "foo"}, "map_sellers of task 'mine' must be one of vmap, map, not 'foo'"),
    ({"kind": "foo"}, "kind of task 'mine' must be one of images, table, text, arrays, not 'foo'"),
    ({"num_classes": 2.0}, "num_classes of task 'mine' must be a count, not 2.0"),
    ({"loss": None}, "loss of task 'mine' must be a function, not None"),
    ({"units": 3}, "units of task 'mine' must be a function or None, not 3"),
]


def said_of(call: Any) -> str:
    with pytest.raises(ValueError) as said:
        call()
    assert "\n" not in str(said.value)
    return str(said.value)


@pytest.mark.parametrize(("changes", "words"), WRONG + FIELDS)
def test_a_market_of_a_data_set_looks_at_once(changes: dict[str, Any], words: str) -> None:
    spec = Spec(model=OWN._replace(**changes))
    assert words in said_of(lambda: make_market(spec, DATASET))


@pytest.mark.parametrize(("changes", "words"), FIELDS)
def test_fields_are_checked_without_data(changes: dict[str, Any], words: str) -> None:
    assert words in said_of(lambda: make_market(Spec(), OWN._replace(**changes)))


@pytest.mark.parametrize(("changes", "words"), WRONG)
def test_shapes_are_checked_in_the_first_trace(changes: dict[str, Any], words: str) -> None:
    market = make_market(Spec(num_sellers=4, num_sampled=2), OWN._replace(**changes))
    data = deal(DATASET, DataSpec(partition="iid", num_validation=20), 4)
    numbers = market.numbers(HParams())
    assert words in said_of(lambda: jax.eval_shape(market.init, jax.random.key(0), numbers, data))


def test_a_metric_of_the_spec_is_one() -> None:
    assert "the metric of task 'mine' must be a Metric" in said_of(
        lambda: make_market(Spec(metric=each), OWN)
    )


def test_a_metric_outside_its_range_is_refused_where_it_is_known() -> None:
    metric = Metric("points", per_example=lambda o, b: 3.0 + each(o, b))
    model = tasks.flatten(OWN._replace(metric=metric))
    theta, test = model.init(jax.random.key(0)), jax.tree.map(jnp.asarray, DATASET.test)
    said = said_of(lambda: tasks.evaluate(model, theta, test))
    assert said == "metric 'points' must lie in [0, 1], more is better, and is 4: scale it"
    jax.eval_shape(lambda: tasks.evaluate(model, theta, test))  # a trace cannot look
