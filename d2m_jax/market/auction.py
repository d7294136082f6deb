"""The auction as it is played: registration of everybody, then buyers that outbid each other.

The rules of the auction are the ledger's; here is only what the parties do. Read next:
`engine.py`.
"""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from d2m_jax import ledger as books
from d2m_jax.attacks.market import scaled_amount
from d2m_jax.config.hparams import Money
from d2m_jax.core.types import Key
from d2m_jax.ledger import Layout, Ledger, Rules
from d2m_jax.market.roles import REQUEST_TAGS, Roles


class Auction(NamedTuple):
    """What happened in an auction."""

    limits: jax.Array  # [U] int32, the shaded value: how far each buyer goes
    highest: jax.Array  # [U] int32, each buyer's last accepted bid, 0 for none
    num_bids: jax.Array  # [] int32, accepted bids


def enrol(
    ledger: Ledger, rules: Rules, layout: Layout, money: Money, roles: Roles, sizes: jax.Array
) -> Ledger:
    """Every seller and node that is not registered yet registers with its stake.

    Args:
        ledger: before.
        rules: terms.
        layout: accounts.
        money: gives the stakes.
        roles: gives the tags that sellers claim.
        sizes: [N] int32 examples that each seller claims.

    Returns:
        The ledger after N + C registrations; those that the ledger refuses change nothing.
    """

    def seller(ledger: Ledger, index: jax.Array) -> tuple[Ledger, jax.Array]:
        return books.register_seller(
            ledger,
            rules,
            actor=layout.seller(index),
            tags=roles.tags[index],
            size=sizes[index],
            commitment=index,
            deposit=money.seller_stake,
        )

    def node(ledger: Ledger, index: jax.Array) -> tuple[Ledger, jax.Array]:
        return books.register_node(ledger, rules, actor=layout.node(index), stake=money.node_stake)

    ledger, _ = jax.lax.scan(seller, ledger, jnp.arange(layout.num_sellers, dtype=jnp.int32))
    ledger, _ = jax.lax.scan(node, ledger, jnp.arange(layout.num_nodes, dtype=jnp.int32))
    return ledger


def limits_of(money: Money) -> jax.Array:
    """[U] int32: how far each buyer goes, its value times its shading."""
    return scaled_amount(jnp.stack(money.buyer_values), jnp.stack(money.buyer_shading_bps))


def hold_auction(
    key: Key,
    ledger: Ledger,
    rules: Rules,
    layout: Layout,
    money: Money,
    tau_bps: jax.Array,
    *,
    job: int | jax.Array,
    num_blocks: int,
    jump: bool = False,
) -> tuple[Ledger, Auction]:
    """Open ascending auction among the buyers of one tag set, until the window is over.

    In every block each buyer, in random order, bids the least that the ledger accepts if that is
    within its limit, its shaded value. Bidding up to one's value is then optimal whatever the
    others do, and the price is about the second highest value. With `jump` a buyer bids its whole
    limit at once: the sealed auction of the textbooks, if the winner pays its bid (first price).

    Args:
        key: consumed; decides who speaks first in each block.
        ledger: before, with a free job slot.
        rules: terms.
        layout: accounts.
        money: values and shading of the buyers, [U] each.
        tau_bps: [] int32 threshold that the buyers ask for.
        job: slot.
        num_blocks: static, blocks in which buyers act; later ones pass in silence.
        jump: static, whether buyers bid their limit at once.

    Returns:
        The ledger with the auction closed (if anybody bid), and what happened.
    """
    limits = limits_of(money)

    def turn(
        carry: tuple[Ledger, jax.Array], buyer: jax.Array
    ) -> tuple[tuple[Ledger, jax.Array], jax.Array]:
        ledger, highest = carry
        offer = books.minimum_bid(ledger, rules, job)
        # A buyer that has reached its limit stays silent: a bid of 0 is refused by the ledger.
        offer = jnp.where(offer <= limits[buyer], limits[buyer] if jump else offer, 0)
        ledger, receipt = books.bid(
            ledger,
            rules,
            buyer=buyer,
            job=job,
            tags=REQUEST_TAGS,
            amount=offer,
            tau_bps=tau_bps,
        )
        took = receipt == books.Reason.OK
        return (ledger, highest.at[buyer].max(jnp.where(took, offer, 0))), took

    def block(
        carry: tuple[Ledger, jax.Array], block_key: Key
    ) -> tuple[tuple[Ledger, jax.Array], jax.Array]:
        order = jax.random.permutation(block_key, layout.num_buyers).astype(jnp.int32)
        (ledger, highest), took = jax.lax.scan(turn, carry, order)
        ledger, _ = books.advance(ledger, rules, blocks=1)
        return (ledger, highest), took.sum(dtype=jnp.int32)

    nothing = jnp.zeros(layout.num_buyers, jnp.int32)
    (ledger, highest), bids = jax.lax.scan(
        block, (ledger, nothing), jax.random.split(key, num_blocks)
    )
    late = jnp.maximum(rules.auction_window - num_blocks, 0)
    ledger, _ = books.advance(ledger, rules, blocks=late)
    ledger, _ = books.close_auction(ledger, rules, actor=layout.treasury, job=job)
    return ledger, Auction(limits, highest, bids.sum(dtype=jnp.int32))


def jump(
    key: Key,
    ledger: Ledger,
    rules: Rules,
    layout: Layout,
    money: Money,
    tau_bps: jax.Array,
    *,
    job: int | jax.Array,
    num_blocks: int,
) -> tuple[Ledger, Auction]:
    """As `hold_auction`, but every buyer bids its whole limit at once."""
    rest = (rules, layout, money, tau_bps)
    return hold_auction(key, ledger, *rest, job=job, num_blocks=num_blocks, jump=True)


# `(key, ledger, rules, layout, money, tau_bps, *, job, num_blocks, **numbers) -> (ledger, Auction)`
HoldAuction: TypeAlias = Callable[..., tuple[Ledger, Auction]]
AUCTIONS: dict[str, HoldAuction] = {"ascending": hold_auction, "jump": jump}
