"""The auction as it is played: registration of everybody, then the three formats.

The rules of the auction are the ledger's; here is only what the parties do. Read first:
`bidding.py`; next: `engine.py`.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from d2m_jax import ledger as books
from d2m_jax.config.hparams import Money
from d2m_jax.core.trees import choose
from d2m_jax.core.types import Key
from d2m_jax.ledger import Layout, Ledger, Rules
from d2m_jax.market.bidding import Plan, limits_of, plan_of
from d2m_jax.market.roles import ANYBODY, REQUEST_TAGS, Roles

MODEL = 1  # digest of the model that the buyers of the simulated job ask for
EXAMPLES = (2, 3)  # content and salt of the digest of their metric


class Auction(NamedTuple):
    """What happened in an auction."""

    limits: jax.Array  # [U] units, the shaded value: how far each buyer goes
    highest: jax.Array  # [U] units, each buyer's highest or revealed bid, 0 for none
    num_bids: jax.Array  # [] int32, accepted bids or seals


def enrol(
    ledger: Ledger,
    rules: Rules,
    layout: Layout,
    money: Money,
    roles: Roles,
    sizes: jax.Array,
    commitments: jax.Array | None = None,
) -> Ledger:
    """Every seller and node that is not registered yet registers with its stake and terms.

    Args:
        ledger: before.
        rules: terms.
        layout: accounts.
        money: gives the stakes, and the terms of the sellers.
        roles: gives the tags that sellers claim.
        sizes: [N] int32 examples that each seller claims.
        commitments: [N] int32 digests of what each holds; by default its number.

    Returns:
        The ledger after N + C registrations; those that the ledger refuses change nothing.
    """
    if commitments is None:
        commitments = jnp.arange(layout.num_sellers, dtype=jnp.int32)
    ledger, _ = books.register_sellers(
        ledger,
        rules,
        tags=roles.tags,
        sizes=sizes,
        commitments=commitments,
        deposits=money.seller_stake,
        asks=money.seller_ask,
        max_taus_bps=money.seller_max_tau_bps,
    )
    return books.register_nodes(ledger, rules, stakes=money.node_stake)[0]


def sealed(
    key: Key,
    ledger: Ledger,
    rules: Rules,
    layout: Layout,
    money: Money,
    tau_bps: jax.Array,
    *,
    job: int | jax.Array,
    tags: int | jax.Array = REQUEST_TAGS,
    num_blocks: int,
) -> tuple[Ledger, Auction]:
    """Every buyer seals a bid and a deposit; after the window they reveal; the second price.

    Truthful bidding is dominant: what others do changes only whether and at which price a buyer
    wins, never by its own bid.

    Args:
        key: consumed; decides who speaks first, and the salts.
        ledger: before, with a free job slot.
        rules: terms, `sealed` = 1.
        layout: accounts.
        money: values, shading and conduct of the buyers, [U] each.
        tau_bps: [] int32 threshold that the buyers ask for.
        job: slot.
        tags: what the job asks of sellers' data.
        num_blocks: static, of the ascending format.

    Returns:
        The ledger with the auction closed and matched (if anybody bid), and what happened.
    """
    del num_blocks
    metric = books.digest_of(*EXAMPLES)
    order_key, salt_key = jax.random.split(key)
    plan = plan_of(money, ledger, rules, layout)
    most = jnp.iinfo(jnp.int32).max
    salts = jax.random.randint(salt_key, (layout.num_buyers,), 0, most, jnp.int32)
    order = jax.random.permutation(order_key, layout.num_buyers).astype(jnp.int32)

    def content(buyer: jax.Array) -> dict[str, Any]:
        said = {"amount": plan.tops[buyer], "tau_bps": tau_bps, "model": MODEL, "metric": metric}
        return {"job": job, "buyer": buyer, "salt": salts[buyer], **said}

    def sealing(ledger: Ledger, buyer: jax.Array) -> tuple[Ledger, jax.Array]:
        ledger = _wait(
            ledger, rules, job, jnp.where(plan.waits[buyer], rules.auction_window - 1, 0)
        )
        new, receipt = books.seal(
            ledger,
            rules,
            buyer=buyer,
            job=job,
            tags=tags,
            deposit=jnp.where(plan.tops[buyer] > 0, plan.deposits[buyer], 0),  # 0 is refused
            commitment=books.commitment_of(**content(buyer)),
        )
        return new, receipt == books.Reason.OK

    def revealing(ledger: Ledger, buyer: jax.Array) -> tuple[Ledger, None]:
        new, _ = books.reveal(ledger, rules, **content(buyer))
        is_needed = _is_needed(ledger.jobs.bids[job], plan, buyer)
        return choose(is_needed & ~plan.keeps[buyer], new, ledger), None

    ledger, took = jax.lax.scan(sealing, ledger, _last(order, plan.waits))
    ledger = _wait(ledger, rules, job, rules.auction_window)
    ledger, _ = jax.lax.scan(revealing, ledger, _last(order, plan.watches))
    ledger = _wait(ledger, rules, job, rules.auction_window + rules.reveal_window)
    ledger, _ = books.close_auction(ledger, rules, actor=ANYBODY, job=job)
    bids = ledger.jobs.bids[job]
    return ledger, Auction(limits_of(money), bids, took.sum(dtype=jnp.int32))


def first_price(
    key: Key,
    ledger: Ledger,
    rules: Rules,
    layout: Layout,
    money: Money,
    tau_bps: jax.Array,
    *,
    job: int | jax.Array,
    tags: int | jax.Array = REQUEST_TAGS,
    num_blocks: int,
) -> tuple[Ledger, Auction]:
    """As `sealed`, under rules by which the winner pays its own bid: shading pays."""
    rest = (rules, layout, money, tau_bps)
    return sealed(key, ledger, *rest, job=job, tags=tags, num_blocks=num_blocks)


def _wait(ledger: Ledger, rules: Rules, job: int | jax.Array, blocks: jax.Array) -> Ledger:
    """Lets time pass until so many blocks since the last progress of the job; not if it is idle."""
    is_open = ledger.jobs.phase[job] == books.Phase.AUCTION
    left = jnp.maximum(blocks - (ledger.block - ledger.jobs.since[job]), 0)
    return books.advance(ledger, rules, blocks=jnp.where(is_open, left, 0))[0]


def _last(order: jax.Array, late: jax.Array) -> jax.Array:
    """The order [U], those that are later [U] after the others."""
    return order[jnp.argsort(late[order], stable=True)]


def _is_needed(bids: jax.Array, plan: Plan, buyer: jax.Array) -> jax.Array:
    """[] bool: who looks before it reveals has a reason to: of two accounts one is to win.

    Args:
        bids: [U] revealed so far.
        plan: of all.
        buyer: whose turn it is.
    """
    second = jnp.arange(bids.shape[0], dtype=jnp.int32) == (buyer + 1) % bids.shape[0]
    best, of_second = bids.max(), jnp.where(second, bids, 0).max()
    is_second, is_owner = plan.watches[buyer] == 1, plan.watches[buyer] == 2
    is_lost = is_second & (plan.tops[buyer] <= best)
    return ~is_lost & ~(is_owner & (of_second > 0) & (of_second == best))


def ascending(
    key: Key,
    ledger: Ledger,
    rules: Rules,
    layout: Layout,
    money: Money,
    tau_bps: jax.Array,
    *,
    job: int | jax.Array,
    tags: int | jax.Array = REQUEST_TAGS,
    num_blocks: int,
) -> tuple[Ledger, Auction]:
    """Open bids among the buyers of one tag set, until nobody has raised for a whole window.

    In each block the buyers speak once, in random order. Who does not lead goes one increment above
    the leader, or as far as its limit: a bid that cannot lead costs nothing and tells the second
    price, so that nobody gains by a jump. The price is the second highest limit, or somewhat less
    where an increment goes past it.

    Args:
        key: consumed; decides who speaks first in each block.
        ledger: before, with a free job slot.
        rules: terms, `sealed` = 0.
        layout: accounts.
        money: values, shading and conduct of the buyers, [U] each.
        tau_bps: [] int32 threshold that the buyers ask for.
        job: slot.
        tags: what the job asks of sellers' data.
        num_blocks: static, blocks in which buyers act; later ones pass in silence.

    Returns:
        The ledger with the auction closed and matched (if anybody bid), and what happened.
    """
    plan = plan_of(money, ledger, rules, layout)

    def turn(ledger: Ledger, buyer: jax.Array) -> tuple[Ledger, jax.Array]:
        new, receipt = books.bid(
            ledger,
            rules,
            buyer=buyer,
            job=job,
            tags=tags,
            amount=_offer(ledger, rules, plan, job, buyer),
            tau_bps=tau_bps,
            model=MODEL,
            metric=books.digest_of(*EXAMPLES),
        )
        return new, receipt == books.Reason.OK

    def block(ledger: Ledger, block_key: Key) -> tuple[Ledger, jax.Array]:
        order = jax.random.permutation(block_key, layout.num_buyers).astype(jnp.int32)
        ledger, took = jax.lax.scan(turn, ledger, order)
        ledger, _ = books.advance(ledger, rules, blocks=1)
        return ledger, took.sum(dtype=jnp.int32)

    ledger, bids = jax.lax.scan(block, ledger, jax.random.split(key, num_blocks))
    ledger = _wait(ledger, rules, job, rules.auction_window)
    ledger, _ = books.close_auction(ledger, rules, actor=ANYBODY, job=job)
    highest = ledger.jobs.bids[job]
    return ledger, Auction(limits_of(money), highest, bids.sum(dtype=jnp.int32))


def _offer(
    ledger: Ledger, rules: Rules, plan: Plan, job: int | jax.Array, buyer: jax.Array
) -> jax.Array:
    """[] units: what a buyer bids when it speaks; 0, which the ledger refuses, for nothing."""
    row = jax.tree.map(lambda x: x[job], ledger.jobs)
    top, best = plan.tops[buyer], row.bids.max()
    step = jnp.maximum(books.mul_bps(best, rules.min_increment_bps), 1)
    above = jnp.where(best > top - step, top, best + step)
    least = books.minimum_bid(ledger, rules, job, buyer)
    offer = jnp.where(plan.at_once[buyer], top, jnp.minimum(jnp.maximum(above, least), top))
    is_last_block = ledger.block - row.since >= rules.auction_window - 1
    is_silent = plan.waits[buyer] & ~(is_last_block & (row.phase == books.Phase.AUCTION))
    leads = (row.buyer == buyer) | ((plan.watches[buyer] == 2) & (row.buyer == buyer + 1))
    is_silent |= plan.quiet[buyer] & (top <= best)
    return jnp.where(leads | is_silent, 0, offer)


# `(key, ledger, rules, layout, money, tau_bps, *, job, num_blocks, **numbers) -> (ledger, Auction)`
# of one job; of several also with the keyword `tags`.
HoldAuction: TypeAlias = Callable[..., tuple[Ledger, Auction]]
AUCTIONS: dict[str, HoldAuction] = {
    "sealed": sealed,
    "ascending": ascending,
    "first_price": first_price,
}
# What the ledger's rules must say; an own auction takes them as they are.
FORMATS: dict[str, dict[str, int]] = {
    "sealed": {"sealed": 1, "second_price": 1},
    "ascending": {"sealed": 0, "second_price": 1},
    "first_price": {"sealed": 1, "second_price": 0},
}


def format_of(auction: object) -> dict[str, int]:
    """The rules that a named auction fixes; none for an own one."""
    return FORMATS.get(auction, {}) if isinstance(auction, str) else {}


def in_format(rules: Rules, auction: str) -> Rules:
    """The rules of a named auction."""
    return replace(rules, **{k: jnp.int32(v) for k, v in FORMATS[auction].items()})
