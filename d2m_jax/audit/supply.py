"""Blocking the supply: a rich buyer wins jobs that it does not want, so that a rival finds nobody.

Only what is sold and matched is played, nothing is trained; a world costs microseconds. What the
blocker pays in the end is the nodes' part of its prices (`ledger/auction.pools_of`) and `work_bps`
of the sellers', for work that it asked for. Read first: `market/opening.py`.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from d2m_jax.config.hparams import HParams
from d2m_jax.core.money import mul_bps, total
from d2m_jax.core.types import Key
from d2m_jax.ledger import Phase
from d2m_jax.market.auction import enrol
from d2m_jax.market.engine import Market
from d2m_jax.market.opening import first_ledger, sell
from d2m_jax.market.roles import ALL_TAGS, Roles


class Blocking(NamedTuple):
    """What became of the last job, and of the others that the blocker bid for."""

    starved: jax.Array  # [] bool, the rival's auction ended without sellers or nodes
    won: jax.Array  # [] int32, jobs of the blocker that found both
    tied_up: jax.Array  # [] units, what these jobs cost unless they are refunded
    lost: jax.Array  # [] units, for work: not even a missed tau brings them back


def block_supply(market: Market, key: Key, hparams: HParams) -> Blocking:
    """One world in which every seller's data fits every job.

    The buyers of the last job are the rival and whoever bids against it; all others are the
    blocker's.

    Args:
        market: of several jobs.
        key: consumed; decides which auction closes first.
        hparams: `money.seller_stake` says for how many jobs each seller has deposits, and
            `money.seller_ask` for how little it works.
    """
    spec, rules = market.spec, market.parts.rules(hparams)
    nobody = jnp.zeros(spec.num_listings, bool)
    roles = Roles(
        byzantine=nobody,
        tag_liar=nobody,
        stranger=nobody,
        behaviour=jnp.zeros(spec.num_nodes, jnp.int32),
        holds=jnp.full(spec.num_listings, ALL_TAGS, jnp.int32),
    )
    ledger = first_ledger(market.layout, hparams.money)
    sizes = jnp.ones(spec.num_listings, jnp.int32)
    ledger = enrol(ledger, rules, market.layout, hparams.money, roles, sizes)
    jobs = sell(market.parts, key, ledger, hparams)[0].jobs
    work = mul_bps(jobs.seller_pool, rules.work_bps)
    works = jobs.phase[:-1] == Phase.MATCHED
    return Blocking(
        starved=jobs.phase[-1] == Phase.ABORTED,
        won=works.sum(dtype=jnp.int32),
        tied_up=total(jnp.where(works, jobs.price[:-1], 0)),
        lost=total(jnp.where(works, (jobs.compute_pool + work)[:-1], 0)),
    )


def starved_share(num_blocking: int, capacity: int) -> float:
    """How often the rival is starved: when `capacity` of the blocker's jobs close before its own.

    The order is drawn uniformly, so the rival's place is uniform among `num_blocking + 1`; a seller
    is used up when as many jobs have it as it has deposits.
    """
    return max(num_blocking + 1 - capacity, 0) / (num_blocking + 1)
