"""How buyers bid: honest, or in one of the ways in which somebody could hope to gain.

A code per buyer, so that an audit may vary them in one program. Read next: `auction.py`.
"""

import enum
from typing import NamedTuple

import jax
import jax.numpy as jnp

from d2m_jax.config.hparams import Money
from d2m_jax.core.money import scaled_amount
from d2m_jax.ledger import Layout, Ledger, Rules


class Bidding(enum.IntEnum):
    """The conduct of a buyer, `money.buyer_conduct`."""

    TRUTHFUL = 0  # its limit; in an ascending auction step by step
    JUMP = 1  # its limit at once
    ALL_CASH = 2  # all its money at once
    SNIPE = 3  # its limit in the last block in which it can
    SHILL = 4  # bids also through the account after it, and needs only one of the two to win
    UNREVEALED = 5  # seals its limit and keeps it sealed
    RING = 6  # of all who do so only the one with the highest limit bids
    QUIET = 7  # as truthful, but in an ascending auction silent once it cannot lead
    SECOND = 8  # second account of the buyer before it: half of its limit at once, if that wins


class Plan(NamedTuple):
    """What every buyer does, [U] each."""

    tops: jax.Array  # units, how far it goes; 0: it does not bid
    deposits: jax.Array  # units, what it puts down with a seal
    at_once: jax.Array  # bool, bids its top at once
    waits: jax.Array  # bool, until the last block
    keeps: jax.Array  # bool, never reveals
    quiet: jax.Array  # bool, does not bid where it cannot lead
    watches: jax.Array  # int32 place among the reveals; 0: at once, later ones look at the others


def limits_of(money: Money) -> jax.Array:
    """[U] units: how far each buyer goes, its value times its shading."""
    return scaled_amount(jnp.stack(money.buyer_values), jnp.stack(money.buyer_shading_bps))


def conduct_of(money: Money) -> jax.Array:
    """[U] int32: codes of `Bidding`; without any all buyers are truthful."""
    honest = (jnp.int32(Bidding.TRUTHFUL),) * len(money.buyer_values)
    return jnp.stack(money.buyer_conduct or honest)


def owners_of(conduct: jax.Array) -> jax.Array:
    """[U] int32: whose account it is; that of a SECOND belongs to the buyer before it."""
    accounts = jnp.arange(conduct.shape[0], dtype=jnp.int32)
    return jnp.where(conduct == Bidding.SECOND, accounts - 1, accounts) % conduct.shape[0]


def plan_of(money: Money, ledger: Ledger, rules: Rules, layout: Layout) -> Plan:
    """What the buyers do with the cash that they have.

    An honest buyer puts down all its cash with a seal: a deposit above the bid hides the bid. Who
    cannot pay the reserve does not bid.
    """
    limits, conduct = limits_of(money), conduct_of(money)
    cash = ledger.balances[layout.buyers]
    is_second, is_ring = conduct == Bidding.SECOND, conduct == Bidding.RING
    tops = jnp.where(is_second, limits[owners_of(conduct)] // 2, limits)
    tops = jnp.minimum(jnp.where(conduct == Bidding.ALL_CASH, cash, tops), cash)
    speaks = jnp.arange(layout.num_buyers) == jnp.argmax(jnp.where(is_ring, tops, -1))
    tops = jnp.where(is_ring & ~speaks, 0, tops)
    tops = jnp.where(tops < jnp.maximum(rules.reserve, 1), 0, tops)
    frugal = is_second | (conduct == Bidding.SHILL) | (conduct == Bidding.UNREVEALED)
    hurried = (conduct == Bidding.JUMP) | (conduct == Bidding.ALL_CASH)
    return Plan(
        tops=tops,
        deposits=jnp.where(frugal, tops, cash),
        at_once=hurried | is_second | (conduct == Bidding.SNIPE),
        waits=conduct == Bidding.SNIPE,
        keeps=conduct == Bidding.UNREVEALED,
        quiet=conduct == Bidding.QUIET,
        watches=jnp.where(is_second, 1, jnp.where(conduct == Bidding.SHILL, 2, 0)),
    )
