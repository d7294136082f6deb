"""What does not belong to a market is refused in one sentence, in its first trace at the latest."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from d2m_jax import HParams, Spec, make_market
from d2m_jax.config.spec import DataSpec
from d2m_jax.data import from_arrays
from d2m_jax.market import Market, deal
from tests.worlds import digits

KEY = jax.random.key(0)
SPEC = Spec(model="logreg", num_sellers=8, num_sampled=4, num_rounds=2, eval_every=2)


@pytest.fixture(scope="module")
def market() -> Market:
    """A small market of digits."""
    return make_market(SPEC, digits()[0])


def said_of(market: Market, key: Any, data: Any) -> str:
    with pytest.raises(ValueError) as said:
        jax.eval_shape(market.run, key, market.numbers(HParams()), data)
    assert "\n" not in str(said.value)
    return str(said.value)


def test_keys(market: Market) -> None:
    data = digits()[1]
    assert "key must be one random key, such as jax.random.key(0)" in said_of(market, 0, data)
    assert "must be one random key" in said_of(market, jax.random.split(KEY), data)
    legacy = jax.eval_shape(
        market.init, jax.random.PRNGKey(0), market.numbers(HParams()), digits()[1]
    )
    assert legacy.round.shape == ()


def test_data_of_something_else(market: Market) -> None:
    assert "data must be FederatedData" in said_of(market, KEY, None)
    found = said_of(market, KEY, digits(4)[1])
    assert "dealt to 4 sellers and the market has num_sellers = 8" in found
    rng = np.random.default_rng(0)
    table = from_arrays(rng.normal(size=(300, 5)), rng.integers(0, 3, 300))
    dealt = deal(table, DataSpec(partition="iid", num_validation=20), 8)
    assert "task 'logreg' does not take examples of inputs float32[B,5]" in said_of(
        market, KEY, dealt
    )


@pytest.mark.parametrize(
    ("spec", "what", "words"),
    [
        (Spec(), "digits", "make_market takes a data set, its Problem or a Task, not str"),
        (Spec(), np.ones(3), "not ndarray"),
        (Spec(model=lambda: 0), None, "must know the data set"),
    ],
)
def test_what_makes_no_market(spec: Spec, what: Any, words: str) -> None:
    with pytest.raises(ValueError) as said:
        make_market(spec, what)
    assert words in str(said.value) and "\n" not in str(said.value)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (lambda: 0, "is called with 1 arguments, which it does not take"),
        (lambda problem: 0, "model '<lambda>' must make a Task of the Problem, not int"),
    ],
)
def test_models_that_make_no_task(model: Any, words: str) -> None:
    with pytest.raises(ValueError) as said:
        make_market(Spec(model=model), digits()[0])
    assert words in str(said.value) and "\n" not in str(said.value)


def test_data_of_the_same_shape_are_taken(market: Market) -> None:
    rest = market.numbers(HParams()), digits()[1]
    assert jax.eval_shape(market.init, KEY, *rest).round.dtype == jnp.int32
