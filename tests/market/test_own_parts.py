"""Own parts that break their promise: one sentence with their name, in the trace of the market."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import optax
import pytest

from d2m_jax import HParams, as_arrays, make_market
from d2m_jax.sampling import Defence
from tests.worlds import SPEC, digits

PLAIN = dataclasses.replace(SPEC, sampler="uniform", attack="none")
MEDIAN = {"aggregator": "median"}


def said_of(**changes: Any) -> str:
    """What a market with these parts says while it is traced."""
    data = digits()[1]
    with pytest.raises(ValueError) as said:
        market = make_market(dataclasses.replace(PLAIN, **changes), digits()[0])
        jax.eval_shape(market.run, jax.random.key(0), numbers(), data)
    assert "\n" not in str(said.value)
    return str(said.value)


def numbers() -> HParams:
    """Numbers for three buyers."""
    money = HParams().money
    return as_arrays(
        HParams(
            money=money.replace(
                buyer_values=money.buyer_values[:3], buyer_shading_bps=money.buyer_shading_bps[:3]
            )
        )
    )


def mine(result: Any) -> Any:
    """A part with any signature that gives the same result always."""

    def mine(*args: Any, **given: Any) -> Any:
        return result(*args) if callable(result) else result

    return mine


def one_name(updates: jax.Array, f: Any) -> jax.Array:
    """A rule without a mask."""
    return updates[0]


@pytest.mark.few(8)
@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"aggregator": one_name}, "aggregator 'one_name' is called with 2 arguments, mask=, wh"),
        ({"aggregator": mine(lambda u, f: u)}, "aggregator 'mine' must give floating numbers of"),
        ({"aggregator": mine(1.0)}, "aggregator 'mine' must give floating numbers of shape (650,)"),
        ({"aggregator": mine(None)}, "aggregator 'mine' must give floating numbers of shape (650,"),
        ({"aggregator": mine(lambda u, f: u[0] > 0)}, "not bool of shape (650,)"),
        ({"attack": mine(lambda k, u, b: u[1:])}, "attack 'mine' must give floating numbers of "),
        ({"attack": mine(lambda k, u, b: u[:1])}, "of shape (6, 650), not float32 of shape (1, 65"),
        ({"attack": lambda key: key}, "attack '<lambda>' is called with 3 arguments, context="),
        ({"contribution": mine(1.0)}, "contribution 'mine' must give floating numbers of shape (6"),
        ({"contribution": mine(jnp.ones(8))}, "shape (6,), not float32 of shape (8,)"),
        ({"contribution": lambda: 0}, "contribution '<lambda>' is called with 1 arguments"),
        ({"attack_schedule": mine(True)}, "attack schedule 'mine' must give booleans of shape (8"),
        ({"attack_schedule": mine(jnp.ones(8))}, "booleans of shape (8,), not float32 of shape (8"),
        ({"auction": mine(lambda k, ledger, *_: ledger)}, "auction 'mine' must give 2 results (a "),
        ({"auction": mine(lambda k, ledger, *_: (ledger, 0))}, "not int as result 2"),
        (
            {**MEDIAN, "pre_aggregators": (mine(lambda u, f: (u,)),)},
            "pre-aggregator 'mine' must give 3 results (",
        ),
        (
            {**MEDIAN, "pre_aggregators": (mine(lambda u, f: (u, f, u)),)},
            "the mask of pre-aggregator 'mine' must give booleans of shape (6,)",
        ),
        ({"stop_rule": mine(lambda tally, _: tally.size)}, "stop rule 'mine' must give 2 results"),
        ({"stop_rule": mine(lambda tally, _: (tally.size,))}, "not 1 results"),
        ({"sortition": mine(None)}, "sortition 'mine' must give Sets("),
        ({"set_schedule": mine(1)}, "set schedule 'mine' must give integers of shape ("),
        (
            {"payment": mine(1)},
            "payment 'mine' (`to_weights` makes weights of scores) must give",
        ),
        ({"sampler": mine(3)}, "sampler 'mine' must be a Defence or make one of the number of s"),
        ({"sampler": mine(3), **MEDIAN}, "sampler 'mine' must be a Defence or make one of"),
        ({"sampler": lambda a, b: a}, "sampler '<lambda>' is called with 1 arguments"),
        (
            {"sampler": mine(Defence(mine(()), mine(1), mine(1)))},
            "`sample` of sampler 'mine' must give Selection(indices: integers of shape (6,)",
        ),
        ({"client_momentum": mine(lambda b, *_: b)}, "client momentum 'mine' must give 2 results"),
        (
            {"client_momentum": mine(lambda b, s, u, beta: (b, u[0]))},
            "not float32 of shape (650,) as result 2",
        ),
        ({"availability": mine(True)}, "availability 'mine' must give booleans of shape (8,)"),
        ({"delay": mine(1.0)}, "delay 'mine' must give integers of shape (6,)"),
        ({"server_optimizer": mine(1)}, "server optimiser 'mine' must make an optax.Gradient"),
        ({"server_optimizer": optax.sgd(0.1)}, "must be a function of the numbers of learning"),
        ({"server_optimizer": lambda: 1}, "server optimiser '<lambda>' is called with 1 arguments"),
        (
            {"server_optimizer": mine(optax.GradientTransformation(mine(()), mine(1.0)))},
            "server optimiser 'mine' must give 2 results",
        ),
    ],
)
def test_a_part_that_breaks_its_promise(changes: dict[str, Any], sentence: str) -> None:
    assert sentence in said_of(**changes)
