"""Markets one after another on one ledger, between which parties revise their strategies.

Read first: `deviations.py`, `incentives/dynamics.py`. Not here: plots (`report/phase.py`).
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from d2m_jax import as_arrays, make_market
from d2m_jax.attacks import Attack
from d2m_jax.audit import deviations
from d2m_jax.audit.strategies import EFFORT, repertoire, seller_strategies
from d2m_jax.cone import Behaviour
from d2m_jax.config.hparams import HParams
from d2m_jax.config.parsing import Config
from d2m_jax.config.population import Population
from d2m_jax.core.choices import lookup
from d2m_jax.core.types import Key
from d2m_jax.data import FederatedData
from d2m_jax.incentives import dynamics
from d2m_jax.ledger import Ledger
from d2m_jax.market.engine import Market, market_of
from d2m_jax.market.world import load_world

Carry = tuple[Ledger, jax.Array, jax.Array, jax.Array, jax.Array]  # codes [N], [C], means [P], [Q]
Record = dict[str, Any]


class Pressure(NamedTuple):
    """What drives strategies from one epoch to the next."""

    dynamics: str  # name in `DYNAMICS`
    seller_rate: float  # 1 / units: how strongly income counts
    node_rate: float
    inertia: float  # probability that a party does not revise
    mutation: float  # probability that a revision is at random
    training_cost: float  # units per round of honest training
    outside_gain: float  # units that an accepted wrong result is worth to each bad node


class History(NamedTuple):
    """All epochs of all starts."""

    record: Record  # shares, parties left, jobs settled and delivered: [starts, epochs, ...]
    starts: list[tuple[float, float]]  # shares of honest sellers and of honest nodes
    sellers: list[str]  # strategies
    nodes: list[str]


def prepare_epoch(ledger: Ledger, market: Market, hparams: HParams) -> Ledger:
    """Fresh money for the buyers; parties in good standing stake anew what was slashed."""
    layout, money = market.layout, hparams.money
    accounts = jnp.arange(ledger.balances.shape[0])
    wanted = jnp.where(accounts < layout.nodes.start, money.seller_stake, money.node_stake)
    stakes_again = ledger.registered & ~ledger.banned & (accounts >= layout.num_buyers)
    missing = jnp.where(stakes_again, jnp.maximum(wanted - ledger.stakes, 0), 0)
    missing = jnp.minimum(missing, ledger.balances)
    balances = jnp.where(accounts < layout.num_buyers, money.buyer_funds, ledger.balances - missing)
    return dataclasses.replace(
        ledger, balances=ledger.units(balances), stakes=ledger.stakes + missing
    )


def make_epoch(
    market: Market,
    strategies: Mapping[str, Attack],
    node_codes: Sequence[int],
    data: FederatedData,
    pressure: Pressure,
) -> Callable[[Carry, Key, HParams], tuple[Carry, Record]]:
    """(carry, key, hparams) -> (carry, record): one market and one revision."""
    spread = lookup(dynamics.DYNAMICS, pressure.dynamics, "dynamics")
    names = list(strategies)
    effort = jnp.asarray([EFFORT.get(name, 1.0) for name in names])
    behaviours, layout = jnp.asarray(node_codes, jnp.int32), market.layout

    def revised(
        key: Key, codes: jax.Array, means: jax.Array, alive: jax.Array, rate: float
    ) -> jax.Array:
        shares = dynamics.shares_of(codes, alive, means.shape[0])
        after = spread(shares, means, rate)
        options = {"inertia": pressure.inertia, "mutation": pressure.mutation}
        return dynamics.revise(key, codes, after, alive, **options)

    def epoch(carry: Carry, key: Key, hparams: HParams) -> tuple[Carry, Record]:
        ledger, sellers, nodes, seller_means, node_means = carry
        run_key, seller_key, node_key = jax.random.split(key, 3)
        ledger = prepare_epoch(ledger, market, hparams)
        roles = deviations.roles_of(sellers, behaviours[nodes])
        playing = market_of(market.parts._replace(attack=repertoire(strategies, sellers)))
        outcome = playing.run(run_key, hparams, data, ledger, roles)
        paid = deviations.payoffs(outcome, layout)
        income = paid.sellers - pressure.training_cost * effort[sellers] * paid.rounds
        wrong = (outcome.rounds.accepted_digest > 0).any()
        earned = paid.nodes + pressure.outside_gain * (wrong & (nodes != 0))
        after = outcome.ledger
        lives = ~after.banned & (after.stakes + after.balances >= hparams.rules["node_stake"])
        alive, awake = lives[layout.sellers], lives[layout.nodes]
        seller_means = dynamics.payoffs_per_head(sellers, income, alive, seller_means, 0.5)
        node_means = dynamics.payoffs_per_head(nodes, earned, awake, node_means, 0.5)
        record = {
            "seller_shares": dynamics.shares_of(sellers, alive, len(names)),
            "node_shares": dynamics.shares_of(nodes, awake, len(node_codes)),
            "sellers_left": alive.sum(),
            "nodes_left": awake.sum(),
            "settled": paid.settled,
            "delivered": paid.settled & (outcome.closing.metric >= hparams.tau),
            "accuracy": paid.accuracy,
        }
        sellers = revised(seller_key, sellers, seller_means, alive, pressure.seller_rate)
        nodes = revised(node_key, nodes, node_means, awake, pressure.node_rate)
        return (after, sellers, nodes, seller_means, node_means), record

    return epoch


def first_codes(key: Key, count: int, honest: jax.Array, num: int) -> jax.Array:
    """[count] codes: the honest share exactly, the others spread evenly over the rest."""
    order = jax.random.permutation(key, count)
    is_honest = order < jnp.round(honest * count)
    return jnp.where(is_honest, 0, 1 + order % max(num - 1, 1)).astype(jnp.int32)


def codes_of(nodes: Sequence[str]) -> list[int]:
    """The behaviour of every node strategy, honesty first.

    Raises:
        ValueError: an unknown name.
    """
    kinds = {kind.name.lower(): int(kind) for kind in Behaviour}
    return [lookup(kinds, name, "node strategy") for name in ("honest", *nodes)]


def evolve(
    config: Config,
    sellers: tuple[str, ...],
    nodes: tuple[str, ...],
    starts: list[tuple[float, float]],
    pressure: Pressure,
    *,
    seed: int,
    epochs: Iterable[int],
    data_dir: str | None = None,
) -> History:
    """Runs market after market from every start; all starts side by side.

    Args:
        config: the market of an epoch; its own bad parties are not there.
        sellers: strategies beside honesty, names as in `known()`.
        nodes: strategies beside honesty, names as in `Behaviour`.
        starts: shares of honest sellers and of honest nodes.
        pressure: how strategies spread.
        seed: of the run.
        epochs: 0, 1, ...: one market each.
        data_dir: folder of the official archives.

    Raises:
        ValueError: an unknown strategy, or data that cannot be had.
    """
    spec, strategies = config.spec, seller_strategies(sellers)
    names, codes = list(strategies), codes_of(nodes)
    dataset, data = load_world(config.data, spec.num_sellers, data_dir, unit_slots=spec.unit_slots)
    market = make_market(spec, dataset)
    changes = {"population": Population(), "tolerated_f": 1, "attack": {}}  # of strategies: theirs
    hparams = as_arrays(config.hparams.replace(**changes))
    keys = jax.random.split(jax.random.key(seed), len(starts))

    def begin(key: Key, start: jax.Array) -> Carry:
        seller_key, node_key, key = jax.random.split(key, 3)
        first = first_codes(seller_key, spec.num_listings, start[0], len(names))
        pool = first_codes(node_key, spec.num_nodes, start[1], len(codes))
        roles = deviations.roles_of(first, jnp.asarray(codes, jnp.int32)[pool])
        opening = market.init(key, hparams, data, None, roles).opening
        return opening, first, pool, jnp.zeros(len(names)), jnp.zeros(len(codes))

    epoch = make_epoch(market, strategies, codes, data, pressure)
    step = jax.jit(jax.vmap(epoch, in_axes=(0, 0, None)))
    carry = jax.jit(jax.vmap(begin))(keys, jnp.asarray(starts))
    records = []
    for i in epochs:
        epoch_keys = jax.vmap(lambda key, i=i: jax.random.fold_in(key, i))(keys)
        carry, record = step(carry, epoch_keys, hparams)
        records.append(jax.device_get(record))
    stacked = jax.tree.map(lambda *x: np.stack(x, 1), *records)
    return History(stacked, starts, names, ["honest", *nodes])


def tabulate(history: History) -> pd.DataFrame:
    """A row per start and epoch."""
    record, rows = history.record, []
    for i, (sellers, nodes) in enumerate(history.starts):
        for epoch in range(record["accuracy"].shape[1]):
            row: dict[str, Any] = {"start_sellers": sellers, "start_nodes": nodes, "epoch": epoch}
            shares = record["seller_shares"][i, epoch], record["node_shares"][i, epoch]
            row |= {f"seller {name}": x for name, x in zip(history.sellers, shares[0])}
            row |= {f"node {name}": x for name, x in zip(history.nodes, shares[1])}
            for name in ("sellers_left", "nodes_left", "settled", "delivered", "accuracy"):
                row[name] = record[name][i, epoch].item()
            rows.append(row)
    return pd.DataFrame(rows)
