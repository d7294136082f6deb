"""Two games of the market that need no learning: the auction and the vote. Pure functions.

They run the real auction, the real vote and the real ledger, thousands at a time. Whole markets are
in `deviations.py`; statistics of payoffs in `incentives/best_response.py`.
"""

import dataclasses
from collections.abc import Mapping
from functools import partial
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
from d2m_jax.market.auction import AUCTIONS, EXAMPLES, enrol, in_format
from d2m_jax.market.bidding import owners_of
from d2m_jax.market.closing import open_examples, settle_or_refund
from d2m_jax.market.disputes import Dispute, Matter, revote
from d2m_jax.market.jobs import in_turn
from d2m_jax.market.roles import REQUEST_TAGS, Roles


class AuctionGame(NamedTuple):
    """What one auction comes to."""

    utility: jax.Array  # [U] int32: 1[win] (value - price) - what was burned, of both accounts
    winner: jax.Array  # [] int32: who owns the account that wins, -1 nobody
    price: jax.Array  # [] int32


def auction_game(
    key: Key,
    values: jax.Array,
    bids_bps: jax.Array,
    conduct: jax.Array,
    rules: Rules,
    *,
    auction: str = "sealed",
    num_blocks: int = 1,
) -> AuctionGame:
    """One auction whose job is then delivered, without sellers and learning.

    Args:
        key: consumed; order of the bids.
        values: [U] int32; that of a second account is its owner's.
        bids_bps: [U] int32, limit over value.
        conduct: [U] int32, codes of `Bidding`.
        rules: terms of the ledger; those of the format are set here.
        auction: static, name of a format.
        num_blocks: static, of the ascending format.
    """
    num = values.shape[0]
    layout, terms = Layout(num, 1, 1), in_format(rules, auction)
    funds = jnp.full(num, 2**28 // num, jnp.int32)
    ledger = books.new_ledger(layout, buyer_funds=funds, seller_funds=0, node_funds=0)
    money = Money(
        buyer_values=tuple(values), buyer_shading_bps=tuple(bids_bps), buyer_conduct=tuple(conduct)
    )
    ledger, _ = AUCTIONS[auction](
        key, ledger, terms, layout, money, jnp.int32(BPS), job=0, num_blocks=num_blocks
    )
    job, accounts = jax.tree.map(lambda x: x[0], ledger.jobs), jnp.arange(num, dtype=jnp.int32)
    owner = owners_of(conduct)
    worth = jnp.where(accounts == job.buyer, values[owner] - job.price, 0)
    worth += ledger.balances[layout.buyers] - funds  # without sellers the winner is paid back
    utility = jnp.zeros(num, jnp.int32).at[owner].add(worth)
    winner = jnp.where(job.buyer >= 0, owner[job.buyer], books.NOBODY)
    return AuctionGame(utility, winner, job.price)


class NodeGame(NamedTuple):
    """Payoffs of nodes, [C] each, and how the dispute ended, if there was one."""

    money: jax.Array  # int32, rewards minus slashed stake
    executed: jax.Array  # int32, executions really computed
    wins: jax.Array  # int32, votes for a wrong result that was accepted, adaptive lies included
    seats: jax.Array  # int32, units of work in which the node sat and was judged
    disputed: jax.Array  # [] bool
    upheld: jax.Array  # [] bool
    buyer: jax.Array  # [] int32, what the buyer gained by the dispute


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
    dispute: Dispute = revote,
    savings: Count = 0,
) -> NodeGame:
    """What compute nodes earn in one job, by the real vote and the real ledger, without learning.

    The rounds of a job are voted on and settled; if a wrong result was accepted, it is disputed and
    decided as in a market (`market/disputes.py`), by default on the buyer's complaint and by a
    fresh, larger set of the same pool: if it finds the right result, all nodes that voted for the
    wrong one lose their stakes; if it finds the wrong one, none of them does, but who contradicts
    it in the fresh set, as in a round. Who executed again is paid by who loses. Undecided disputes
    pay nobody.

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
        dispute: what decides about a wrong result, its numbers bound.
        savings: of every node, beside its stake; a challenger pays its bond out of them.

    Returns:
        `NodeGame`.
    """
    num_nodes = behaviour.shape[0]
    layout = Layout(1, 1, num_nodes)
    node_funds = jnp.asarray(stake) + savings
    ledger = books.new_ledger(layout, buyer_funds=2 * price, seller_funds=0, node_funds=node_funds)
    nobody = jnp.zeros(1, bool)
    roles = Roles(nobody, nobody, nobody, behaviour)
    money = Money(seller_stake=0, node_stake=stake, seller_ask=0)
    free = dataclasses.replace(
        rules,
        seller_deposit=jnp.int32(0),
        min_sellers=jnp.int32(1),
        sealed=jnp.int32(0),
        second_price=jnp.int32(0),
        node_stake=jnp.int32(stake),
    )
    ledger = enrol(ledger, free, layout, money, roles, jnp.ones(1, jnp.int32))
    start = books.wealth(ledger)[layout.nodes]
    ledger, _ = books.bid(
        ledger,
        free,
        buyer=0,
        job=0,
        tags=REQUEST_TAGS,
        amount=price,
        tau_bps=BPS,
        metric=books.digest_of(*EXAMPLES),
    )
    ledger, _ = books.advance(ledger, free, blocks=rules.auction_window)
    ledger, _ = books.close_auction(ledger, free, actor=layout.treasury, job=0)
    works = (behaviour == Behaviour.HONEST) | (behaviour == Behaviour.ADAPTIVE)
    vote_key, notice_key, again_key = jax.random.split(key, 3)

    def decide(key: Key, ledger: Ledger, params: cone.ConeParams) -> cone.Consensus:
        can, stakes = books.pledged_nodes(ledger, 0), ledger.jobs.pledged[0]
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
    ledger = open_examples(ledger, free, 0)
    told, _ = books.report_metric(
        ledger, free, actor=layout.treasury, job=0, metric_bps=BPS, weights=jnp.zeros(1, jnp.int32)
    )
    larger = cone.larger(params, sizes[-1], layout.num_nodes)
    matter = Matter(
        ledger=told,
        rules=free,
        job=0,
        round=jnp.int32(0),
        wrong=guilty,
        only_metric=jnp.bool_(False),
        honest=behaviour == Behaviour.HONEST,
        voters=seats > 0,
        loser=jnp.int32(0),  # the buyer
        vigilance=vigilance,
        false_dispute=0.0,
        lots=(jax.random.uniform(notice_key), jnp.float32(1)),
        again=lambda key, ledger: decide(key, ledger, larger),
        block_time=params.t_block,
    )
    heard = dispute(again_key, matter)
    executed += heard.executed & works
    buyer = (books.wealth(heard.ledger) - books.wealth(told))[0]
    ledger = settle_or_refund(heard.ledger, free, partial(in_turn, 1))
    gained = books.wealth(ledger)[layout.nodes] - start
    return NodeGame(gained, executed, wins, seats, heard.disputed, heard.upheld, buyer)


class WatchGame(NamedTuple):
    """One watcher's view of a row of units of work; means per unit."""

    payoff: jax.Array  # [] float32, of the watcher
    survival: jax.Array  # [] float32, units with a real lie that nobody noticed
    liar: jax.Array  # [] float32, payoff of the liar


def watch_game(
    key: Key,
    own: Number,
    others: Number,
    *,
    lying: Number,
    planted: Number,
    prize: Number,
    cost: Number,
    gain: Number,
    loss: Number,
    watchers: int,
    units: int,
) -> WatchGame:
    """Whether it pays to recompute what the others may recompute as well, unit by unit.

    A unit has a planted error with probability `planted`, else a real lie with probability
    `lying`. Every watcher looks at it with its own probability; of those that look, the first in a
    random order finds what is wrong and has the prize.

    Args:
        key: consumed.
        own: probability with which this watcher looks.
        others: probability of each other one.
        lying, planted, prize, cost, gain, loss: see `incentives/watching.py`.
        watchers: static, h.
        units: static.
    """
    kinds, looks, order = jax.random.split(key, 3)
    u = jax.random.uniform(kinds, (units, 2))
    is_planted = u[:, 0] < planted
    is_lie = ~is_planted & (u[:, 1] < lying)
    chance = jnp.full(watchers, others, jnp.float32).at[0].set(own)
    looking = jax.random.uniform(looks, (units, watchers)) < chance[None]
    rank = jnp.where(looking, jax.random.uniform(order, (units, watchers)), 2.0)
    first = looking[:, 0] & (rank.argmin(1) == 0)
    found = looking.any(1)
    paid = jnp.where(first & (is_planted | is_lie), prize, 0.0) - cost * looking[:, 0]
    to_liar = jnp.where(is_lie, jnp.where(found, -loss, gain), 0.0)
    return WatchGame(paid.mean(), (is_lie & ~found).mean(dtype=jnp.float32), to_liar.mean())
