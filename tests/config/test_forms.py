"""Counts, switches and numbers that are none: one sentence, from Python as from scripts."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import pytest

from d2m_jax import HParams, Spec, as_arrays, make_market, validate
from d2m_jax.config.hparams import Learning
from d2m_jax.config.shapes import COUNTS, check_shapes
from d2m_jax.config.spec import DataSpec
from d2m_jax.market import Market
from tests import worlds


@pytest.fixture(scope="module")
def market() -> Market:
    """A market with an attack that has numbers."""
    return make_market(Spec(model="logreg", attack="alie"), worlds.digits()[0])


def one_sentence(said: pytest.ExceptionInfo[ValueError], words: str) -> None:
    assert words in str(said.value) and "\n" not in str(said.value)


@pytest.mark.parametrize("name", COUNTS)
@pytest.mark.parametrize("value", [2.5, float("nan"), True, "x", None])
def test_a_count_is_a_whole_number(name: str, value: Any) -> None:
    with pytest.raises(ValueError) as said:
        check_shapes(dataclasses.replace(Spec(), **{name: value}))
    one_sentence(said, f"{name} must be a whole number, not {value!r}")


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("secure_group", "2", "secure_group must be a whole number, not '2'"),
        ("secure_group", -1, "secure_group must not be negative"),
        ("scaffold", "no", "scaffold must be True or False, not 'no'"),
        ("partial", 1, "partial must be True or False, not 1"),
        ("rice", None, "rice must be True or False, not None"),
        ("pre_aggregators", "nnm", "pre_aggregators must be a tuple, not 'nnm'"),
        ("pre_aggregators", len, "pre_aggregators must be a tuple, not <built-in"),
        ("attack_options", 3, "attack_options must be a tuple, not 3"),
    ],
)
def test_other_fields_of_a_spec(field: str, value: Any, words: str) -> None:
    with pytest.raises(ValueError) as said:
        make_market(dataclasses.replace(Spec(), **{field: value}), worlds.digits()[0])
    one_sentence(said, words)


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ({"attack": {"z": None}}, "attack.z must be a number, not None"),
        ({"attack": {"z": [1.0, 2.0]}}, "attack.z must be a number, not [1.0, 2.0]"),
        ({"attack": {"z": 1j}}, "attack.z must be a number, not 1j"),
        ({"attack": {"z": True}}, "attack.z must be a number, not True"),
        ({"attack": {"z": jnp.bool_(True)}}, "attack.z must be a number, not Array(True"),
        ({"attack": 3}, "attack must be a dictionary of numbers, not 3"),
        ({"tau": None}, "tau must be a number, not None"),
        ({"tau": "high"}, "tau must be a number, not 'high'"),
        ({"learning": {"lr": 1.0}}, "learning must be Learning(...), not {'lr': 1.0}"),
        ({"learning": Learning(lr=None)}, "learning.lr must be a number, not None"),  # type: ignore
        ({"rules": [1]}, "rules must be a dictionary of numbers, not [1]"),
        ({"money": HParams().money.replace(buyer_values=3)}, "money.buyer_values must be a tuple"),
    ],
)
def test_numbers_that_are_none(market: Market, numbers: dict[str, Any], words: str) -> None:
    for take in (market.numbers, as_arrays):
        with pytest.raises(ValueError) as said:
            take(HParams(**numbers))
        one_sentence(said, words)


def test_numbers_must_be_hparams(market: Market) -> None:
    for take in (market.numbers, as_arrays):
        with pytest.raises(ValueError) as said:
            take({"tau": 0.3})  # type: ignore[arg-type]
        one_sentence(said, "the numbers of a market are HParams, such as HParams(tau=0.3), not dic")
    with pytest.raises(ValueError) as said:
        market.numbers(HParams(tau=jnp.ones(3)))
    one_sentence(said, "tau must be one number, not an array of shape (3,)")


@pytest.mark.parametrize(
    ("hparams", "words"),
    [
        (HParams(attack={"y": 1.0}), "unknown number of attack 'alie' 'y'"),
        (HParams(rules={"fee": 1}), "unknown rule of the ledger 'fee'"),
        (
            HParams(money=HParams().money.replace(buyer_values=(1, 2))),
            "money.buyer_values has 2 entries for num_buyers = 4",
        ),
    ],
)
def test_names_are_checked_under_a_trace(market: Market, hparams: HParams, words: str) -> None:
    with pytest.raises(ValueError) as said:
        jax.eval_shape(market.run, jax.random.key(0), as_arrays_of(hparams), None)
    one_sentence(said, words)


def as_arrays_of(hparams: HParams) -> HParams:
    return jax.tree.map(jnp.float32, hparams)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("alpha", float("nan"), "data.alpha must be a positive number, not nan"),
        ("alpha", -1, "data.alpha must be a positive number, not -1"),
        ("alpha", "x", "data.alpha must be a positive number"),
        ("sigma", -0.5, "data.sigma must be a number of at least 0"),
        ("gamma", 1.5, "data.gamma must be between 0 and 1"),
        ("classes_per_seller", 0, "data.classes_per_seller must be at least 1, not 0"),
        ("min_samples", 0, "data.min_samples must be at least 1"),
        ("num_root", -1, "data.num_root must not be negative"),
        ("max_train", 2.5, "data.max_train must be a whole number"),
        ("num_validation", 3.5, "num_validation must be a whole number, not 3.5"),
        ("seed", -1, "data.seed must not be negative"),
    ],
)
def test_numbers_of_the_data_are_checked_in_a_plan(field: str, value: Any, words: str) -> None:
    with pytest.raises(ValueError) as said:
        validate(Spec(), HParams(), dataclasses.replace(DataSpec(), **{field: value}))
    one_sentence(said, words)
