"""A market that goes on: requests arrive over time, jobs of an epoch start and end together.

    epochs, ledger = serve(market, key, hparams, data, arrives, num_epochs=5)

An epoch is one market of J jobs on the ledger of the epoch before: bans, stakes, reputation and
balances go along. In each, those buyers bid that wait for their job; who wins it is served, whether
or not the metric reaches tau, the others bid again. A job without enough sellers leaves its buyer
in the queue. Read first: `jobs.py`.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from d2m_jax.config.hparams import HParams
from d2m_jax.core.types import Key
from d2m_jax.data import FederatedData
from d2m_jax.ledger import Ledger, Phase
from d2m_jax.market.engine import Market
from d2m_jax.market.keys import opening_keys
from d2m_jax.market.opening import first_ledger
from d2m_jax.market.requests import asked_tags
from d2m_jax.market.roles import Roles, draw_roles
from d2m_jax.market.state import MarketOutcome


class Epochs(NamedTuple):
    """What happened in each epoch; stacked over E by `serve`."""

    waiting: jax.Array  # [U] bool, buyers that bid
    buyer: jax.Array  # [J] int32, who won, -1 nobody
    phase: jax.Array  # [J] int32, how the job ended
    price: jax.Array  # [J] units
    seller_paid: jax.Array  # [J] units
    compute_paid: jax.Array  # [J] units
    matched: jax.Array  # [J, N] bool, who served whom
    metric: jax.Array  # [J] float32, of the last model, on test examples
    executions: jax.Array  # [J] int32, of rounds of training
    steps: jax.Array  # [] int32, executions that a node could have done meanwhile
    blocks: jax.Array  # [] int32, how long it took


def serve(
    market: Market,
    key: Key,
    hparams: HParams,
    data: FederatedData,
    arrives: jax.Array,
    *,
    num_epochs: int,
    ledger: Ledger | None = None,
    roles: Roles | None = None,
) -> tuple[Epochs, Ledger]:
    """Works off a queue of requests, one per buyer, as one scan over epochs.

    Args:
        market: of any number of jobs.
        key: of the run.
        hparams: from `market.numbers` or `as_arrays`; `requests.wants` says which job each buyer
            waits for, `money.buyer_values` what it is worth to it.
        data: of all parties.
        arrives: [U] int32, the epoch in which each buyer's request arrives.
        num_epochs: E, static.
        ledger: of an earlier market.
        roles: who misbehaves; by default drawn once for all epochs.
    """
    spec, money = market.spec, hparams.money
    if roles is None:
        drawn = opening_keys(key).roles
        roles = draw_roles(drawn, hparams.population, spec, asked_tags(spec, hparams))
    if ledger is None:
        ledger = first_ledger(market.layout, money)
    values = jnp.stack(money.buyer_values)

    def epoch(
        carry: tuple[Ledger, jax.Array], now: tuple[jax.Array, Key]
    ) -> tuple[tuple[Ledger, jax.Array], Epochs]:
        (ledger, served), (number, key) = carry, now
        waiting = (arrives <= number) & ~served
        bidding = money.replace(buyer_values=tuple(jnp.where(waiting, values, 0)))
        numbers = hparams.replace(money=bidding)
        outcome = market.run(key, numbers, data, ledger, roles)
        jobs = outcome.ledger.jobs
        done = (jobs.phase == Phase.SETTLED) | (jobs.phase == Phase.REFUNDED)
        who = jnp.where(done, jobs.buyer, spec.num_buyers)
        served = served.at[who].set(True, mode="drop")
        return (outcome.ledger, served), epoch_of(market, hparams, ledger, waiting, outcome)

    keys = jax.random.split(key, num_epochs)
    nobody = jnp.zeros(spec.num_buyers, bool)
    numbers = jnp.arange(num_epochs, dtype=jnp.int32)
    (last, _), epochs = jax.lax.scan(epoch, (ledger, nobody), (numbers, keys))
    return epochs, last


def epoch_of(
    market: Market, hparams: HParams, before: Ledger, waiting: jax.Array, outcome: MarketOutcome
) -> Epochs:
    """What there is to say of an epoch."""
    jobs, info, num_jobs = outcome.ledger.jobs, outcome.rounds, market.spec.num_jobs
    rounds = info.round.shape[0]
    seconds = info.latency.reshape(rounds, num_jobs).max(axis=1).sum()
    step = jnp.asarray(hparams.cone.t_exec) + 2 * jnp.asarray(hparams.cone.t_block)
    return Epochs(
        waiting=waiting,
        buyer=jobs.buyer,
        phase=jobs.phase,
        price=jobs.price,
        seller_paid=jobs.seller_paid,
        compute_paid=jobs.compute_paid,
        matched=jobs.matched,
        metric=outcome.evaluations.test_metric.reshape(-1, num_jobs)[-1],
        executions=info.executions.reshape(rounds, num_jobs).sum(axis=0),
        steps=jnp.round(seconds / step).astype(jnp.int32),
        blocks=outcome.ledger.block - before.block,
    )


class Figures(NamedTuple):
    """What a queue came to, over all epochs."""

    revenue: int  # units, prices of jobs that were delivered
    welfare: int  # units, what these jobs were worth to their buyers
    best: int  # units, the most that could be worth: `best_welfare`
    served: int  # buyers, delivered or refunded
    waiting: float  # epochs that those waited, in the mean
    left: int  # buyers that still wait
    slots: float  # share of the slots that held a job
    sellers: float  # share of the sellers that served, in the mean
    nodes: float  # share of the nodes' time spent on rounds


def best_welfare(
    values: np.ndarray, wants: np.ndarray, arrives: np.ndarray, num_epochs: int, num_jobs: int
) -> int:
    """Units: the most that all slots of all epochs can be worth, an assignment of the requests.

    It takes for granted that every job finds sellers and reaches its tau.

    Args:
        values: [U] units.
        wants: [U] the job that each buyer waits for.
        arrives: [U] epochs.
        num_epochs: E.
        num_jobs: J.
    """
    from scipy.optimize import linear_sum_assignment  # slow to import, and no market needs it

    epoch, job = (grid.ravel() for grid in np.indices((num_epochs, num_jobs)))
    fits = (arrives[:, None] <= epoch) & (wants[:, None] == job)
    worth = np.asarray(values, np.int64)[:, None] * fits
    return int(worth[linear_sum_assignment(worth, maximize=True)].sum())


def figures_of(
    epochs: Epochs,
    values: Sequence[int] | np.ndarray,
    wants: Sequence[int] | np.ndarray,
    arrives: Sequence[int] | np.ndarray,
    num_nodes: int,
) -> Figures:
    """Revenue, waiting time, utilisation and welfare of a queue; on the host.

    Args:
        epochs: of `serve`, [E, ...].
        values: [U] units.
        wants: [U] the job that each buyer waits for.
        arrives: [U] epochs.
        num_nodes: C.
    """
    values, wants, arrives = (np.asarray(given) for given in (values, wants, arrives))
    seen: Any = jax.tree.map(np.asarray, epochs)
    settled = seen.phase == Phase.SETTLED
    done = settled | (seen.phase == Phase.REFUNDED)
    when = np.nonzero(done)[0]
    steps = np.maximum(seen.steps, 1) * num_nodes
    return Figures(
        revenue=int(seen.price[settled].sum(dtype=np.int64)),
        welfare=int(values.astype(np.int64)[seen.buyer[settled]].sum()),
        best=best_welfare(values, wants, arrives, *seen.phase.shape),
        served=int(done.sum()),
        waiting=float((when - arrives[seen.buyer[done]]).mean()) if done.any() else 0.0,
        left=int((arrives < len(seen.phase)).sum() - done.sum()),
        slots=float(done.mean()),
        sellers=float(seen.matched.any(axis=1).mean()),
        nodes=float((seen.executions.sum(axis=1) / steps).mean()),
    )
