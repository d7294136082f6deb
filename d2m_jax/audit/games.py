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
from d2m_jax.core.choices import lookup
from d2m_jax.core.money import money_type
from d2m_jax.core.trees import choose
from d2m_jax.core.types import Count, Key, Number
from d2m_jax.incentives.peers import agreement_pay
from d2m_jax.ledger import Layout, Ledger, Rules
from d2m_jax.ledger.contents import round_content, verification_content
from d2m_jax.ledger.rules import BPS
from d2m_jax.market.auction import AUCTIONS, EXAMPLES, enrol, in_format
from d2m_jax.market.bidding import owners_of
from d2m_jax.market.closing import open_examples, settle_or_refund
from d2m_jax.market.decisions import as_decision
from d2m_jax.market.disputes import revote
from d2m_jax.market.hearing import Dispute, Matter, hear_all
from d2m_jax.market.jobs import in_turn
from d2m_jax.market.roles import ANYBODY, REQUEST_TAGS, Roles


class AuctionGame(NamedTuple):
    """What one auction comes to."""

    utility: jax.Array  # [U] units: 1[win] (value - price) - what was burned, of both accounts
    winner: jax.Array  # [] int32: who owns the account that wins, -1 nobody
    price: jax.Array  # [] units


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
        values: [U] units; that of a second account is its owner's.
        bids_bps: [U] int32, limit over value.
        conduct: [U] int32, codes of `Bidding`.
        rules: terms of the ledger; those of the format are set here.
        auction: static, name of a format.
        num_blocks: static, of the ascending format.
    """
    num = values.shape[0]
    layout, terms = Layout(num, 1, 1), in_format(rules, auction)
    funds = jnp.full(num, 2**28 // num, money_type())
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
    utility = jnp.zeros(num, worth.dtype).at[owner].add(worth)
    winner = jnp.where(job.buyer >= 0, owner[job.buyer], books.NOBODY)
    return AuctionGame(utility, winner, job.price)


class NodeGame(NamedTuple):
    """Payoffs of nodes, [C] each, and how the disputes ended, if there were any."""

    money: jax.Array  # units, rewards minus slashed stake
    executed: jax.Array  # int32, executions really computed
    wins: jax.Array  # int32, votes for a wrong result that was accepted, adaptive lies included
    seats: jax.Array  # int32, units of work in which the node sat and was judged
    disputed: jax.Array  # [] int32, units
    upheld: jax.Array  # [] int32, units whose result was overturned
    buyer: jax.Array  # [] units, what the buyer gains by the disputes


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
    votes_on_metric: bool = True,
    false_dispute: Number = 0.0,
) -> NodeGame:
    """What compute nodes earn in one job, by the real vote and the real ledger, without learning.

    The rounds of a job and its metric are voted on and booked; every wrong result that was accepted
    is disputed and decided as in a market (`market/hearing.py`), by default on the buyer's
    complaint and by a fresh, larger set of the same pool: if it finds the right result, all nodes
    that voted for the wrong one lose their stakes; if it finds the wrong one, none of them does,
    but who contradicts it in the fresh set, as in a round. Who executed again is paid by who loses.
    Undecided disputes pay nobody.

    Args:
        key: consumed.
        behaviour: [C] int32.
        params: of CONE.
        rules: terms; the number of rounds is set here.
        stake: of every node.
        vigilance: probability of disputes after a wrong acceptance.
        num_rounds: static, R; there are R + 1 units of work.
        price: of the job, of which rules take the compute pool.
        options: static names for `cone.decide`.
        dispute: what decides about a wrong result, its numbers bound.
        savings: of every node, beside its stake; a challenger pays its bond out of them.
        votes_on_metric: static; without, the true metric is there for nothing.
        false_dispute: probability that the buyer disputes a job in which all is right.

    Returns:
        `NodeGame`.
    """
    num_nodes = behaviour.shape[0]
    layout = Layout(1, 1, num_nodes, num_units=num_rounds + 1)
    free = dataclasses.replace(
        rules,
        **{name: jnp.full_like(getattr(rules, name), value) for name, value in FREE.items()},
        num_rounds=jnp.int32(num_rounds),
        node_stake=jnp.asarray(stake, rules.node_stake.dtype),
    )
    vote_key, notice_key, again_key = jax.random.split(key, 3)
    lie_key = jax.random.fold_in(notice_key, 1)
    ledger, start = _matched(layout, free, price, stake, jnp.asarray(stake) + savings, behaviour)

    def decide(key: Key, ledger: Ledger, params: cone.ConeParams) -> cone.Consensus:
        pledges = books.electorate(ledger, 0)
        return cone.decide(key, behaviour, pledges > 0, params, stake=pledges, **(options or {}))

    def unit(ledger: Ledger, i: jax.Array) -> tuple[Ledger, tuple[jax.Array, ...]]:
        vote = decide(jax.random.fold_in(vote_key, i), ledger, params)
        ledger = _book(ledger, free, vote, _content(ledger, free, i))
        return ledger, (vote.drawn, vote.accepted > 0, vote.outcome, vote.executions)

    units = jnp.arange(num_rounds + votes_on_metric)
    ledger, (sat, is_wrong, outcome, sizes) = jax.lax.scan(unit, ledger, units)
    if not votes_on_metric:
        nobody = decide(vote_key, ledger, params)._replace(
            accepted=jnp.int32(0),
            outcome=jnp.zeros(num_nodes, jnp.int32),
            digests=jnp.zeros(num_nodes, jnp.int32),
        )
        ledger = _book(ledger, free, nobody, _content(ledger, free, jnp.int32(num_rounds)))
    matched = outcome == cone.Outcome.MATCHED
    larger = cone.larger(params, sizes[-1], num_nodes)
    matter = Matter(
        ledger=ledger,
        rules=free,
        job=0,
        unit=jnp.int32(num_rounds),
        may_lie=False,
        honest=behaviour == Behaviour.HONEST,
        loser=jnp.int32(0),  # the buyer
        vigilance=vigilance,
        false_dispute=false_dispute,
        lots=(jax.random.uniform(notice_key), jax.random.uniform(lie_key)),
        again=lambda key, ledger: decide(key, ledger, larger),
        content=lambda unit, accepted: _content(ledger, free, unit),
        block_time=params.t_block,
    )
    after, heard = hear_all(again_key, matter, dispute)
    works = (behaviour == Behaviour.HONEST) | (behaviour == Behaviour.ADAPTIVE)
    executions = jnp.concatenate([sat, heard.executed])
    quiet, after = (settle_or_refund(x, free, partial(in_turn, 1)) for x in (ledger, after))
    return NodeGame(
        money=books.wealth(after)[layout.nodes] - start,
        executed=jnp.where(works, executions.sum(0, dtype=jnp.int32), 0),
        wins=(matched & is_wrong[:, None]).sum(0, dtype=jnp.int32),
        seats=(outcome != cone.Outcome.NOT_DRAWN).sum(0, dtype=jnp.int32),
        disputed=heard.disputed.sum(dtype=jnp.int32),
        upheld=heard.upheld.sum(dtype=jnp.int32),
        buyer=(books.wealth(after) - books.wealth(quiet))[0],
    )


# Rules of a job that is there for its nodes: one seller without a deposit, one bid.
FREE = {"seller_deposit": 0, "min_sellers": 1, "sealed": 0, "second_price": 0}


def _matched(
    layout: Layout,
    rules: Rules,
    price: int,
    stake: Count,
    node_funds: jax.Array,
    behaviour: jax.Array,
) -> tuple[Ledger, jax.Array]:
    """A job whose examples are open, and the wealth [C] of the nodes before they pledged."""
    ledger = books.new_ledger(layout, buyer_funds=2 * price, seller_funds=0, node_funds=node_funds)
    nobody = jnp.zeros(1, bool)
    money = Money(seller_stake=0, node_stake=stake, seller_ask=0)
    roles = Roles(nobody, nobody, nobody, behaviour)
    ledger = enrol(ledger, rules, layout, money, roles, jnp.ones(1, jnp.int32))
    start = books.wealth(ledger)[layout.nodes]
    ledger, _ = books.bid(
        ledger,
        rules,
        buyer=0,
        job=0,
        tags=REQUEST_TAGS,
        amount=price,
        tau_bps=BPS,
        metric=books.digest_of(*EXAMPLES),
    )
    ledger, _ = books.advance(ledger, rules, blocks=rules.auction_window)
    ledger, _ = books.close_auction(ledger, rules, actor=ANYBODY, job=0)
    return open_examples(ledger, rules, 0), start


def _content(ledger: Ledger, rules: Rules, unit: jax.Array) -> jax.Array:
    """[L] int32: of a unit; the metric is as high as can be, and the seller has all the weight."""
    nothing, nobody, jobs = jnp.int32(0), jnp.zeros(1, jnp.int32), ledger.jobs
    asked = jobs.model[0], jobs.metric[0]
    verified = verification_content(jnp.int32(BPS), nothing, *asked, jnp.ones_like(nobody), nobody)
    trained = round_content(nothing, nobody)
    return jnp.where(unit == books.rounds_of(ledger, rules), verified, trained)


def _book(ledger: Ledger, rules: Rules, vote: cone.Consensus, content: jax.Array) -> Ledger:
    """The vote on the unit that the job waits for is booked."""
    said = as_decision(ledger, 0, vote, content)
    trained, _ = books.book_round(ledger, rules, actor=ANYBODY, job=0, decision=said)
    verified, _ = books.book_verification(ledger, rules, actor=ANYBODY, job=0, decision=said)
    return choose(ledger.jobs.phase[0] == books.Phase.VERIFY, verified, trained)


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
    watchers: Count,
    units: int,
    scheme: str | jax.Array = "first",
    accounts: Count = 1,
    most: int = 0,
) -> WatchGame:
    """Whether it pays to recompute what the others may recompute as well, unit by unit.

    A unit has a planted error with probability `planted`, else a real lie with probability
    `lying`. Every watcher looks at it with its own probability. How it is paid is the scheme:
    "first", the first of those that look, in a random order, has the prize of a wrong unit;
    "jackpot", each of k has prize / 2^(k - 1); "peer", all verdicts are held against those of the
    next watcher, and the prize is the scale of `peers.agreement_pay`.

    Args:
        key: consumed.
        own: probability with which this watcher looks.
        others: probability of each other one.
        lying, planted, prize, cost, gain, loss: see `incentives/watching.py`.
        watchers: h; at least two under "peer".
        units: static.
        scheme: one of `WATCH_PAYS`, or its place there, which is not to be batched.
        accounts: names under which this watcher claims what it has looked at once.
        most: static, at least h, where h is traced.

    Raises:
        ValueError: an unknown scheme.
    """
    schemes = list(WATCH_PAYS.values())
    if isinstance(scheme, str):
        schemes = [lookup(WATCH_PAYS, scheme, "scheme of pay for watchers")]
    seats = most or int(watchers)
    kinds, looks, order = jax.random.split(key, 3)
    u = jax.random.uniform(kinds, (units, 2))
    is_planted = u[:, 0] < planted
    is_lie = ~is_planted & (u[:, 1] < lying)
    chance = jnp.full(seats, others, jnp.float32).at[0].set(own)
    chance = jnp.where(jnp.arange(seats) < watchers, chance, 0.0)
    looking = jax.random.uniform(looks, (units, seats)) < chance[None]
    found = looking.any(1)
    code = 0 if isinstance(scheme, str) else scheme
    prizes = jax.lax.switch(code, schemes, order, looking, is_planted | is_lie, accounts)
    paid = prize * prizes - cost * looking[:, 0].mean(dtype=jnp.float32)
    to_liar = jnp.where(is_lie, jnp.where(found, -loss, gain), 0.0)
    return WatchGame(paid, (is_lie & ~found).mean(dtype=jnp.float32), to_liar.mean())


def _first_finder(key: Key, looking: jax.Array, is_wrong: jax.Array, accounts: Count) -> jax.Array:
    """[] prizes per unit of watcher 0: those of the units in which it stands first."""
    place = jax.random.uniform(key, looking.shape)
    best = 1.0 - (1.0 - place[:, 0]) ** (1.0 / jnp.asarray(accounts, jnp.float32))
    place = place.at[:, 0].set(best)  # of so many names
    rank = jnp.where(looking, place, 2.0)
    first = looking[:, 0] & (rank.argmin(1) == 0)
    return (first & is_wrong).mean(dtype=jnp.float32)


def _jackpot(key: Key, looking: jax.Array, is_wrong: jax.Array, accounts: Count) -> jax.Array:
    """[] prizes per unit of watcher 0: half as much for each who found it, too."""
    del key
    names = jnp.asarray(accounts, jnp.float32)
    finders = looking.sum(1, dtype=jnp.float32) + names - 1.0
    each = names * 2.0 ** (1.0 - finders)
    return jnp.where(looking[:, 0] & is_wrong, each, 0.0).mean()


def _peer(key: Key, looking: jax.Array, is_wrong: jax.Array, accounts: Count) -> jax.Array:
    """[] score of watcher 0 against its peer; who has not looked says that all is right.

    Names of one owner are one here: who is matched with itself is not played.
    """
    del key, accounts
    said = (looking & is_wrong[:, None]).astype(jnp.int32)
    return agreement_pay(said[:, 0], said[:, 1], jnp.eye(2, dtype=bool))


WATCH_PAYS = {"first": _first_finder, "jackpot": _jackpot, "peer": _peer}
