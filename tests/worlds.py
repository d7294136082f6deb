"""Small worlds that many tests share: one compiled program, many numbers."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax

from d2m_jax import HParams, Spec, as_arrays, make_market
from d2m_jax.config.hparams import MARKET_RULES, Conduct, Learning, Money
from d2m_jax.config.parsing import Config
from d2m_jax.config.population import Population
from d2m_jax.config.spec import DataSpec
from d2m_jax.data import Dataset, FederatedData, load
from d2m_jax.market import Market, MarketOutcome, collect, deal, load_world
from d2m_jax.market import compiled as programs_of

SPEC = Spec(
    model="logreg",
    num_sellers=8,
    num_sampled=6,
    num_rounds=12,
    eval_every=6,
    batch_size=16,
    attack="sign_flip",
    num_buyers=3,
    num_blocks=12,
    num_nodes=24,
)


@functools.cache
def digits(num_sellers: int = 8) -> tuple[Dataset, FederatedData]:
    """The built-in digits, dealt evenly."""
    dataset = load("digits")
    return dataset, deal(dataset, DataSpec(partition="iid", num_validation=100), num_sellers)


@functools.cache
def market(spec: Spec = SPEC) -> Market:
    """The market of a spec on digits."""
    return make_market(spec, digits()[0])


def in_parts(market: Market) -> Callable[..., MarketOutcome]:
    """Its `run` as three programs: worlds that differ in one of them compile only that one anew."""
    return functools.partial(collect, programs_of(market))


@functools.cache
def compiled(spec: Spec = SPEC) -> Callable[..., MarketOutcome]:
    """`run` of a spec on digits, in parts."""
    return in_parts(market(spec))


def numbers(
    *,
    tau: float = 0.6,
    population: dict[str, int] | None = None,
    conduct: dict[str, float] | None = None,
    learning: dict[str, float] | None = None,
    money: dict[str, Any] | None = None,
    rules: dict[str, int] | None = None,
    attack: dict[str, float] | None = None,
    **others: Any,
) -> HParams:
    """HParams of the small world with some numbers changed."""
    base = {"buyer_values": (900_000, 700_000, 500_000), "buyer_shading_bps": (10_000,) * 3}
    hparams = HParams(
        tau=tau,
        attack=attack or {"scale": 10.0},
        population=Population(**(population or {})),
        conduct=Conduct(**(conduct or {})),
        learning=Learning(**{"lr": 0.3, **(learning or {})}),
        money=Money(**{**base, **(money or {})}),
        rules={**MARKET_RULES, **(rules or {})},
    )
    return dataclasses.replace(hparams, **others)


def play(hparams: HParams, seed: int = 0, spec: Spec = SPEC, **kwargs: Any) -> MarketOutcome:
    """Runs the small world."""
    _, data = digits()
    return compiled(spec)(jax.random.key(seed), as_arrays(hparams), data, **kwargs)


def play_config(config: Config) -> tuple[Market, MarketOutcome]:
    """The market of a whole configuration on the built-in digits, and its outcome on the host."""
    dataset, data = load_world(config.data, config.spec.num_sellers)
    made = make_market(config.spec, dataset)
    return made, in_parts(made)(jax.random.key(config.seed), made.numbers(config.hparams), data)
