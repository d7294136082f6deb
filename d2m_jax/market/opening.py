"""How the jobs of a market begin: auctions, sellers, fresh models. Read next: `round.py`.

Not here: who registers (`auction.enrol`) and what the jobs ask for (`requests.py`).
"""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp

from d2m_jax import ledger as books
from d2m_jax import privacy, tasks
from d2m_jax.attacks.market import claimed_sizes
from d2m_jax.config.hparams import HParams, Money
from d2m_jax.core.types import Key
from d2m_jax.data import FederatedData
from d2m_jax.ledger import Layout, Ledger
from d2m_jax.ledger.rules import BPS
from d2m_jax.market.auction import Auction
from d2m_jax.market.jobs import in_turn
from d2m_jax.market.lateness import no_memory
from d2m_jax.market.openings import examine
from d2m_jax.market.parts import Parts
from d2m_jax.market.requests import asked_tags, asked_taus, money_for
from d2m_jax.market.roles import Roles
from d2m_jax.market.scene import LearningState
from d2m_jax.market.server import server_optimizer
from d2m_jax.market.state import JOB, Slot
from d2m_jax.sellers import scaffold


def first_ledger(layout: Layout, money: Money) -> Ledger:
    """A ledger with the funds that the parties bring, in which nobody has acted."""
    return books.new_ledger(
        layout,
        buyer_funds=money.buyer_funds,
        seller_funds=money.seller_funds,
        node_funds=money.node_funds,
    )


def claims_of(
    data: FederatedData, held: jax.Array, roles: Roles, hparams: HParams
) -> tuple[jax.Array, jax.Array | None]:
    """The [N] sizes and commitments that sellers register; a unit has one size, and no lie in it.

    Args:
        data: of all parties.
        held: [N] int32 examples that each listing holds.
        roles: who lies about it.
        hparams: by how much.
    """
    if data.units is not None:
        return held, data.units.commitments
    return claimed_sizes(held, roles.byzantine, hparams.conduct.size_lie_bps), None


def examine_units(parts: Parts, key: Key, hparams: HParams, data: FederatedData) -> Any:
    """What the units show, and which do not hold what they say; () where accounts sell."""
    if data.units is None:
        return ()
    tolerated = hparams.conduct.tolerated_openings
    shown = examine(parts.model, key, data, parts.spec.openings, tolerated)
    return privacy.release(shown, "verdicts on sellers")


def sell(parts: Parts, key: Key, ledger: Ledger, hparams: HParams) -> tuple[Ledger, Auction]:
    """The auction of every job, and its sellers.

    Several jobs are sold side by side, each to the buyers that want it: every auction starts in the
    same block, and training when the last has closed. Which one closes first, and so has the first
    choice of the sellers, is drawn.
    """
    spec, layout, rules = parts.spec, parts.layout, parts.rules(hparams)
    tags, taus = asked_tags(spec, hparams), asked_taus(spec, hparams)
    start = ledger.block

    def sell_one(
        job: Slot, ledger: Ledger, key: Key, tags: jax.Array, tau: jax.Array
    ) -> tuple[Ledger, tuple[Auction, jax.Array]]:
        ledger, auction = parts.auction(
            key,
            replace(ledger, block=start),
            rules,
            layout,
            money_for(spec, hparams, job),
            jnp.round(tau * BPS).astype(jnp.int32),
            job=job,
            num_blocks=spec.num_blocks,
            **({} if spec.num_jobs == 1 else {"tags": tags}),  # one job: those of the auction
            **hparams.auction,
        )
        return ledger, (auction, ledger.block)

    if spec.num_jobs == 1:
        ledger, (auction, _) = sell_one(JOB, ledger, key, tags[JOB], taus[JOB])
        return ledger, auction
    order_key, key = jax.random.split(key)
    order = jax.random.permutation(order_key, spec.num_jobs).astype(jnp.int32)
    keys = jax.random.split(key, spec.num_jobs)
    ledger, (auctions, ends) = in_turn(
        spec.num_jobs, sell_one, ledger, keys, tags, taus, order=order
    )
    return replace(ledger, block=ends.max()), auctions


def begin_job(
    parts: Parts,
    hparams: HParams,
    ledger: Ledger,
    job: Slot,
    state: None,
    data: FederatedData,
    key: Key,
) -> tuple[LearningState, jax.Array]:
    """A fresh model with empty memories, and its metric on the verdict examples."""
    del job, state
    learning = begin_learning(parts, key, hparams, ledger)
    base, _ = tasks.evaluate(parts.model, learning.theta, data.verdict, data.stats)
    return learning, privacy.release(base, "metric")


def begin_learning(parts: Parts, key: Key, hparams: HParams, ledger: Ledger) -> LearningState:
    """A fresh model, and empty memories."""
    spec, model = parts.spec, parts.model
    theta = model.init(key)
    claimed = ledger.sizes.astype(jnp.float32)
    lam = claimed / jnp.maximum(claimed.sum(), 1.0)
    all_sellers = spec.num_listings, model.num_params
    attack = parts.attack
    versions, late = no_memory(parts, theta)
    return LearningState(
        theta=theta,
        server=server_optimizer(spec.server_optimizer, hparams.learning).init(theta),
        previous=jnp.zeros_like(theta),
        momentum=jnp.zeros(all_sellers, theta.dtype) if parts.momentum else (),
        controls=scaffold.init(*all_sellers, theta.dtype) if spec.scaffold else (),
        defence=parts.defence(hparams).init(*all_sellers, lam),
        attack=attack.init_state(model.num_params) if attack.init_state else (),
        versions=versions,
        late=late,
    )
