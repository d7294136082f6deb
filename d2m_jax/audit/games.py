"""Two games of the market that need no learning: the auction and the vote. Pure functions.

They run the real auction, the real vote and the real ledger, thousands at a time. Whole markets are
in `deviations.py`; statistics of payoffs in `incentives/best_response.py`.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from d2m_jax import cone
from d2m_jax import ledger as books
from d2m_jax.cone import Behaviour
from d2m_jax.config.hparams import Money
from d2m_jax.core.types import Count, Key, Number
from d2m_jax.ledger import Layout, Ledger, Rules
from d2m_jax.ledger.rules import BPS
from d2m_jax.market.auction import enrol, hold_auction
from d2m_jax.market.closing import hear
from d2m_jax.market.roles import REQUEST_TAGS, Roles


def auction_game(
    key: Key,
    values: jax.Array,
    bids_bps: jax.Array,
    rules: Rules,
    *,
    num_blocks: int,
    jump: bool,
) -> jax.Array:
    """Utility of every buyer of one auction whose job is then delivered: 1[win] (value - price).

    Args:
        key: consumed; order of the bids.
        values: [U] int32.
        bids_bps: [U] int32, limit over value.
        rules: terms of the ledger.
        num_blocks: static.
        jump: static; sealed bids, see `hold_auction`.

    Returns:
        [U] int32.
    """
    num = values.shape[0]
    layout = Layout(num, 1, 1)
    funds = jnp.full(num, 2**28 // num, jnp.int32)
    ledger = books.new_ledger(layout, buyer_funds=funds, seller_funds=0, node_funds=0)
    money = Money(buyer_values=tuple(values), buyer_shading_bps=tuple(bids_bps))
    ledger, _ = hold_auction(
        key, ledger, rules, layout, money, jnp.int32(BPS), job=0, num_blocks=num_blocks, jump=jump
    )
    job = jax.tree.map(lambda x: x[0], ledger.jobs)
    won = (jnp.arange(num) == job.buyer) & (job.phase == books.Phase.CLOSED)
    return jnp.where(won, values - job.price, 0)


class NodeGame(NamedTuple):
    """Payoffs of nodes, [C] each."""

    money: jax.Array  # int32, rewards minus slashed stake
    executed: jax.Array  # int32, executions really computed
    wins: jax.Array  # int32, votes for a wrong result that was accepted, adaptive lies included
    seats: jax.Array  # int32, units of work in which the node sat and was judged


def node_game(
    key: Key,
    behaviour: jax.Array,
    params: cone.ConeParams,
    rules: Rules,
    stake: Count,
    vigilance: Number,
    *,
    num_rounds: int,
    price: int = 1_000_000,
    options: Mapping[str, Any] | None = None,
) -> NodeGame:
    """What compute nodes earn in one job, by the real vote and the real ledger, without learning.

    The rounds of a job are voted on and settled; if a wrong result was accepted, the buyer disputes
    with probability `vigilance`. As in `closing.py` (the same function books it) a fresh, larger
    set of the same pool decides: if it finds the right result, all nodes that voted for the wrong
    one lose their stakes; if it finds the wrong one, none of them does, but who contradicts it in
    the fresh set, as in a round. Who executed again is paid by who loses. Undecided disputes pay
    nobody.

    Args:
        key: consumed.
        behaviour: [C] int32.
        params: of CONE.
        rules: terms; `num_rounds` must be at least one more than here.
        stake: of every node.
        vigilance: probability of a dispute after a wrong acceptance.
        num_rounds: static, units of work.
        price: of the job, of which rules take the compute pool.
        options: static names for `cone.decide`.

    Returns:
        `NodeGame`.
    """
    num_nodes = behaviour.shape[0]
    layout = Layout(1, 1, num_nodes)
    ledger = books.new_ledger(layout, buyer_funds=2 * price, seller_funds=0, node_funds=stake)
    nobody = jnp.zeros(1, bool)
    roles = Roles(nobody, nobody, nobody, behaviour)
    money = Money(seller_stake=0, node_stake=stake)
    free = dataclasses.replace(
        rules, seller_deposit=jnp.int32(0), min_sellers=jnp.int32(1), second_price=jnp.int32(0)
    )
    ledger = enrol(ledger, free, layout, money, roles, jnp.ones(1, jnp.int32))
    ledger, _ = books.bid(
        ledger, free, buyer=0, job=0, tags=REQUEST_TAGS, amount=price, tau_bps=BPS
    )
    ledger, _ = books.advance(ledger, free, blocks=rules.auction_window)
    ledger, _ = books.close_auction(ledger, free, actor=layout.treasury, job=0)
    ledger, _ = books.match(ledger, free, actor=layout.treasury, job=0)
    start = books.wealth(ledger)[layout.nodes]
    works = (behaviour == Behaviour.HONEST) | (behaviour == Behaviour.ADAPTIVE)
    vote_key, notice_key, again_key = jax.random.split(key, 3)

    def decide(key: Key, ledger: Ledger, params: cone.ConeParams) -> cone.Consensus:
        can, stakes = books.eligible_nodes(ledger, free), ledger.stakes[layout.nodes]
        return cone.decide(key, behaviour, can, params, stake=stakes, **(options or {}))

    def unit(ledger: Ledger, i: jax.Array) -> tuple[Ledger, tuple[jax.Array, ...]]:
        vote = decide(jax.random.fold_in(vote_key, i), ledger, params)
        ledger, _ = books.settle_round(
            ledger, free, actor=layout.treasury, job=0, outcomes=vote.outcome
        )
        sat = vote.outcome != cone.Outcome.NOT_DRAWN
        won = (vote.outcome == cone.Outcome.MATCHED) & (vote.accepted > 0)
        return ledger, (sat & works, won, sat, vote.executions)

    ledger, (*parts, sizes) = jax.lax.scan(unit, ledger, jnp.arange(num_rounds))
    executed, wins, seats = (part.sum(0, dtype=jnp.int32) for part in parts)
    guilty = wins > 0
    told, _ = books.report_metric(
        ledger, free, actor=layout.treasury, job=0, metric_bps=BPS, weights=jnp.zeros(1, jnp.int32)
    )
    opened, receipt = books.open_dispute(
        told, free, actor=0, job=0, accused=layout.node(jnp.argmax(guilty)), disputed_round=0
    )
    again = decide(again_key, opened, cone.larger(params, sizes[-1], layout.num_nodes))
    judged, _ = hear(opened, free, again, guilty, jnp.bool(False), job=0)
    noticed = guilty.any() & (jax.random.uniform(notice_key) < vigilance)
    disputed = noticed & (receipt == books.Reason.OK)
    ledger = jax.tree.map(lambda a, b: jnp.where(disputed, a, b), judged, ledger)
    executed += disputed & works & (again.outcome != cone.Outcome.NOT_DRAWN)
    return NodeGame(books.wealth(ledger)[layout.nodes] - start, executed, wins, seats)
