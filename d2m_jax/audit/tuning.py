"""Which terms of the mechanism are best against deviators that learn?

Every point of a grid of deposits, fees, shares and windows, under every measure of work: what all
parties together have of an honest market, what the treasury has, and what the best learned seller
and the best learned coalition of nodes gain by deviating. Read first: `learned/training.py`.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from d2m_jax import HParams, as_arrays, make_market
from d2m_jax import ledger as books
from d2m_jax.audit.deviations import roles_of
from d2m_jax.audit.effort_rows import by_measure
from d2m_jax.audit.learned.nodes import node_coalition
from d2m_jax.audit.learned.sellers import HONEST, seller_game
from d2m_jax.audit.learned.sellers import tell as tell_seller
from d2m_jax.audit.learned.training import Effort, Game, Learned, learn_at
from d2m_jax.audit.settings import Settings, Stage, keys_of
from d2m_jax.config.parsing import Config
from d2m_jax.core.types import Key, PyTree
from d2m_jax.incentives import regret
from d2m_jax.incentives.pareto import best_tradeoffs
from d2m_jax.market.disputes import bisection
from d2m_jax.market.engine import Market, market_of
from d2m_jax.market.world import load_world
from d2m_jax.report.tuning_plots import plot_tuning

GRID: dict[str, tuple[int, ...]] = {
    "seller_deposit": (0, 30_000, 70_000),
    "fee_bps": (300, 1_500),
    "seller_bps": (6_000, 8_000),
    "window": (20, 40, 80),
}
MEASURES = ("gain", "unique")
OF_SELLERS, OF_NODES = ("seller_deposit", "seller_bps"), ("fee_bps", "seller_bps", "window")
CENSORSHIP, WATCHERS, WATCHING = (
    0.8,
    4.0,
    0.389,
)  # of the court, with p* of `incentives/watching.py`
COALITION = 0.55  # share of the nodes
FILE = "tuning.csv"
Point = Mapping[str, Any]  # a number of every parameter, or a column


class Costs(NamedTuple):
    """What a job costs its parties beside money that changes hands; our choice."""

    training: float  # units per round of a seller
    execution: float  # units per execution of a node
    capital: float = 0.01  # of what is pledged, per job
    delay: float = 1e-4  # of the buyer's value, per block of the window


def points_of(grid: Mapping[str, Sequence[int]]) -> dict[str, np.ndarray]:
    """A column per parameter, a row per point."""
    rows = np.asarray(list(itertools.product(*grid.values())))
    return dict(zip(grid, rows.T))


def with_terms(hparams: HParams, point: Point) -> HParams:
    """The numbers of a market under the terms of a point; a window is the court's alone."""
    rules = {name: value for name, value in point.items() if name != "window"}
    return hparams.replace(rules={**hparams.rules, **rules}, attack={}, contribution={})


def honest_market(market: Market, costs: Costs) -> Any:
    """`(key, point, hparams, data) -> (welfare, revenue)` of a market in which all are honest.

    Welfare is the buyer's value of a delivered model, less all work, pledged capital and delay:
    money that changes hands cancels.
    """
    spec, layout = market.spec, market.layout

    def one(key: Key, point: Point, hparams: HParams, data: PyTree) -> tuple[jax.Array, jax.Array]:
        given = with_terms(hparams, point)
        nobody = jnp.zeros(spec.num_sellers, jnp.int32), jnp.zeros(spec.num_nodes, jnp.int32)
        outcome = market.run(key, given, data, roles=roles_of(*nobody))
        is_sold = outcome.phase == books.Phase.SETTLED
        winner = outcome.ledger.jobs.buyer[0]
        worth = jnp.where(is_sold, jnp.stack(given.money.buyer_values)[winner], 0)
        worth = worth.astype(jnp.float32)
        info, rules = outcome.rounds, given.rules
        work = costs.training * info.present.sum() + costs.execution * info.executions.sum()
        pledged = outcome.ledger.jobs.matched[0].sum() * rules["seller_deposit"]
        pledged += spec.num_nodes * rules["node_stake"]
        waiting = costs.delay * worth * point["window"]
        welfare = worth - work - costs.capital * pledged - waiting
        fee = outcome.ledger.balances - outcome.opening.balances
        return welfare, fee[layout.treasury].astype(jnp.float32)

    return one


def everywhere(one: Callable[..., PyTree], batch: int) -> Callable[..., PyTree]:
    """`(keys [K], points [P], ...) -> leaves [P, K]` of `one(key, point, ...)`, batch by batch.

    Args:
        one: of one world at one point.
        batch: worlds side by side.
    """

    def run(keys: jax.Array, points: Point, *shared: PyTree) -> PyTree:
        def at(point: Point) -> PyTree:
            def alone(key: Key) -> PyTree:
                return one(key, point, *shared)

            return jax.lax.map(alone, keys, batch_size=min(batch, len(keys)))

        return jax.lax.map(at, points)

    return jax.jit(run)


def seller_at(market: Market, hparams: HParams, data: PyTree, measure: int, cost: float) -> Game:
    """One seller that learns, under `(point, (measure, hparams, data))`."""
    parts = market.parts

    def payoff(policy: jax.Array, keys: jax.Array, given: PyTree) -> jax.Array:
        point, (code, numbers, arrays) = given
        scored = market_of(parts._replace(contribution=by_measure(MEASURES, code)))
        terms = with_terms(numbers, point)
        game = seller_game(scored, terms, arrays, training_cost=cost)
        return game.payoff(policy, keys, (terms, arrays))

    shared = jnp.int32(measure), hparams, data
    return Game("seller", HONEST, payoff, tell_seller, HONEST, 1.0, shared)


def nodes_at(market: Market, hparams: HParams, settings: Settings) -> Game:
    """A coalition of nodes that learns, under `(point, hparams)`; bisection hears its lies."""
    spec = market.spec
    members = round(COALITION * spec.num_nodes)

    def coalition(point: Point, numbers: HParams) -> Game:
        terms = market.parts.rules(with_terms(numbers, point))
        window = point["window"]
        way = partial(
            bisection, watchers=WATCHERS, watching=WATCHING, censorship=CENSORSHIP,
            window=window, budget=window,
        )  # fmt: skip
        return node_coalition(
            terms, numbers.cone, num_nodes=spec.num_nodes, members=members,
            num_rounds=spec.num_rounds, execution_cost=settings.execution_cost,
            outside_gain=settings.outside_gain, dispute=way, savings=80_000,
        )  # fmt: skip

    def payoff(policy: jax.Array, keys: jax.Array, given: PyTree) -> jax.Array:
        return coalition(*given).payoff(policy, keys, ())

    plain = coalition({**hparams.rules, "window": 40}, hparams)
    return plain._replace(payoff=payoff, given=hparams)


def gains_at(
    key: Key, game: Game, effort: Effort, points: dict[str, np.ndarray], names: Sequence[str],
    judged_on: int, batch: int | None = None,
) -> tuple[pd.DataFrame, list[Learned]]:  # fmt: skip
    """Learned gain and half width of its interval at every point, learnt once per distinct terms.

    Args:
        key: consumed.
        game: of one role.
        effort: of the search.
        points: columns.
        names: of the parameters that this role sees.
        judged_on: fresh worlds.
        batch: games side by side; None: all.
    """
    table = pd.DataFrame({name: points[name] for name in names})
    seen = table.drop_duplicates().reset_index(drop=True)
    given = {name: jnp.asarray(seen[name].to_numpy(), jnp.int32) for name in names}
    found = learn_at(key, game, effort, given, judged_on=judged_on, batch=batch)
    regrets = [regret(one.payoffs) for one in found]
    seen["gain"] = [one.value for one in regrets]
    seen["margin"] = [float(one.margins[1]) for one in regrets]
    seen["does"] = [game.tell(one.policy) for one in found]
    return table.merge(seen, on=list(names), how="left"), found


def tune(stage: Stage, config: Config, hparams: HParams) -> pd.DataFrame:
    """The table of all points under both measures, with the Pareto front marked."""
    settings, spec = stage.settings, config.spec
    dataset, data = load_world(config.data, spec.num_sellers, settings.data_dir)
    market = make_market(spec, dataset)
    numbers = as_arrays(hparams.replace(tolerated_f=1))
    effort = Effort(settings.generations, settings.candidates, 4, settings.restarts)
    points, judged_on = points_of(GRID), settings.more_worlds
    costs = Costs(settings.training_cost, settings.execution_cost)
    steps = stage.progress.add_task("tuning", total=2 + len(MEASURES))
    keys = keys_of(settings.worlds, 60)
    run = everywhere(honest_market(market, costs), settings.batch)
    columns = {name: jnp.asarray(column, jnp.int32) for name, column in points.items()}
    welfare, revenue = (np.asarray(x).mean(1) for x in run(keys, columns, numbers, data))
    stage.progress.advance(steps)
    nodes, _ = gains_at(
        jax.random.key(61), nodes_at(market, numbers, settings), effort, points, OF_NODES, judged_on
    )
    stage.progress.advance(steps)
    tables = []
    for code, measure in enumerate(MEASURES):
        game = seller_at(market, numbers, data, code, settings.training_cost)
        sellers, _ = gains_at(
            jax.random.key(62), game, effort, points, OF_SELLERS, judged_on, settings.batch
        )
        stage.progress.advance(steps)
        tables.append(pd.DataFrame({
            "measure": measure, **points, "welfare": welfare, "revenue": revenue,
            "seller gain": sellers["gain"], "seller margin": sellers["margin"],
            "node gain": nodes["gain"], "node margin": nodes["margin"],
            "seller does": sellers["does"], "nodes do": nodes["does"],
        }))  # fmt: skip
    table = pd.concat(tables, ignore_index=True)
    table["deviation gain"] = table[["seller gain", "node gain"]].max(axis=1).clip(lower=0)
    table["front"] = front_of(table)
    return table


def front_of(table: pd.DataFrame) -> np.ndarray:
    """[P] bool: nothing has more welfare and revenue and less gain by deviating."""
    values = np.stack([table["welfare"], table["revenue"], -table["deviation gain"]], 1)
    return best_tradeoffs(values)


def audit_tuning(stage: Stage, config: Config, hparams: HParams) -> None:
    """Writes `tuning.csv` and its plot."""
    table = tune(stage, config, hparams)
    if stage.audit.out:
        table.to_csv(stage.audit.out / FILE, index=False, float_format="%.6g")
        plot_tuning(table, stage.audit.out / "tuning.png")
