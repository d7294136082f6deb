"""What a user's type checker sees: mypy reads this file in `make lint`, nobody runs it.

A line that must be refused says so; mypy complains about a refusal that is not needed.
"""

import jax

from d2m_jax import HParams, Market, Spec, Task, make_market
from d2m_jax.config.population import Population
from d2m_jax.data import Dataset, build
from d2m_jax.tasks import METRICS


def other_numbers(hparams: HParams) -> HParams:
    """A changed copy keeps its type."""
    return hparams.replace(tau=0.8, population=Population(num_byzantine=3))


def own_market(dataset: Dataset, task: Task) -> Market:
    """A task stands where a model's name would."""
    return make_market(Spec(model=task._replace(metric=METRICS["f1"])), dataset)


def play(market: Market, dataset: Dataset) -> float:
    """Functions of a market know their arguments."""
    data = build(dataset, num_sellers=market.spec.num_sellers)
    outcome = market.run(jax.random.key(0), market.numbers(HParams()), data)
    market.run(1, 2)  # type: ignore[call-arg, arg-type]
    market.init(jax.random.key(0), data, HParams())  # type: ignore[arg-type]
    return float(outcome.test_metric)
