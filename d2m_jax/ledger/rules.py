"""The numbers of the market's contract, all traced: a sweep may vary any of them.

Every default is our choice (the D2M paper states none). Read next: `state.py`.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from d2m_jax.core.money import BPS, INT_MAX, largest, units


@struct.dataclass
class Rules:
    """Terms that hold for every job. Build it with `make_rules`.

    Each field is a [] int32, but `AMOUNTS` are money, of the type of the ledger's.
    """

    # auction
    sealed: jax.Array  # 1: buyers seal their bids and reveal them; 0: ascending open bids
    second_price: jax.Array  # 0: the winner pays its bid; 1: max(reserve, best of the others)
    reserve: jax.Array  # smallest bid and smallest deposit of a seal, at least 1
    min_increment_bps: jax.Array  # ascending: least raise over the own bid, and 1 unit
    auction_window: jax.Array  # blocks from the first seal, or from the last bid
    reveal_window: jax.Array  # sealed: blocks after the auction window
    unrevealed_bps: jax.Array  # sealed: of the deposit, burned if the bid is not revealed
    # split of the price; the compute pool takes what is left
    seller_bps: jax.Array  # of the price, for the sellers
    fee_bps: jax.Array  # of the price, for the treasury
    # matching
    seller_deposit: jax.Array  # what a matched seller pledges to a job
    min_sellers: jax.Array  # fewer matched sellers abort the job
    min_reputation_bps: jax.Array  # of a seller that is matched
    # compute
    num_rounds: jax.Array  # R: the compute pool is spread over so many rounds and a verification
    node_stake: jax.Array  # what a node pledges to a job, at least 1
    by_stake: jax.Array  # 1: a node pledges all of its free stake, at least node_stake
    min_nodes: jax.Array  # fewer nodes that pledge abort the job, at least 1
    reward_cap: jax.Array  # most that a node earns in one unit; INT_MAX: no cap
    # penalties, as shares of what is pledged to the job
    slash_wrong_bps: jax.Array  # another digest than the accepted one
    slash_silent_bps: jax.Array  # no reveal
    slash_harm_bps: jax.Array  # seller with evidence of harm
    burn_bps: jax.Array  # of everything slashed; the rest goes to the injured side
    # disputes and time
    bisection: jax.Array  # 1: the court decides disputes; 0: the vote of a fresh set
    bond_bps: jax.Array  # of the price, at least 1 unit
    content_window: jax.Array  # blocks from the last draw to open an accepted digest, at least 1
    challenge_window: jax.Array  # blocks
    timeout: jax.Array  # blocks without progress
    withdrawal_delay: jax.Array  # blocks between request and withdrawal
    # a missed threshold
    partial_payment: jax.Array  # 1: sellers get the share of the way from the base metric to tau
    refund_fee: jax.Array  # 1: the fee goes back to the buyer
    work_bps: jax.Array  # of the seller pool, paid at least for accepted work
    # reputation: r <- (1 - gain) r + gain * [accepted], kept at or above the floor
    reputation_gain_bps: jax.Array  # weight of the latest verdict
    reputation_floor_bps: jax.Array  # least reputation


DEFAULT_RULES: dict[str, int] = {
    "sealed": 1,
    "second_price": 1,
    "reserve": 100,
    "min_increment_bps": 500,
    "auction_window": 20,
    "reveal_window": 10,
    "unrevealed_bps": 2_000,
    "seller_bps": 7_000,
    "fee_bps": 500,
    "seller_deposit": 1_000,
    "min_sellers": 4,
    "min_reputation_bps": 1_000,
    "num_rounds": 20,
    "node_stake": 1_000,
    "by_stake": 0,
    "min_nodes": 1,
    "reward_cap": INT_MAX,
    "slash_wrong_bps": 10_000,
    "slash_silent_bps": 1_000,
    "slash_harm_bps": 10_000,
    "burn_bps": 5_000,
    "bisection": 0,
    "bond_bps": 500,
    "content_window": 20,
    "challenge_window": 10,
    "timeout": 200,
    "withdrawal_delay": 300,
    "partial_payment": 0,
    "refund_fee": 1,
    "work_bps": 2_000,
    "reputation_gain_bps": 1_000,
    "reputation_floor_bps": 500,
}

_FLAGS = ("sealed", "second_price", "by_stake", "bisection", "partial_payment", "refund_fee")
_POSITIVE = ("reserve", "num_rounds", "node_stake", "min_nodes", "content_window")


AMOUNTS = ("reserve", "seller_deposit", "node_stake", "reward_cap")  # in units of money


def make_rules(**overrides: int | jax.Array) -> Rules:
    """The default rules with some numbers changed, as arrays; amounts of the type of new money.

    Example: `make_rules(second_price=0, num_rounds=50)`.

    Raises:
        ValueError: an unknown name, or a value (of those that are not tracers) out of range.
    """
    unknown = sorted(set(overrides) - set(DEFAULT_RULES))
    if unknown:
        raise ValueError(f"unknown rule {unknown[0]!r}; valid names: {', '.join(DEFAULT_RULES)}")
    values = {**DEFAULT_RULES, **overrides}
    check_rules({k: v for k, v in values.items() if not isinstance(v, jax.core.Tracer)})
    return Rules(
        **{
            name: units(value) if name in AMOUNTS else jnp.asarray(value, jnp.int32)
            for name, value in values.items()
        }
    )


def _is_surely_right(name: str, value: Any) -> bool:
    """Whether this is a whole number that the rule may have, whatever the type of money."""
    top = INT_MAX if name in AMOUNTS else _top(name)
    return type(value) is int and (name in _POSITIVE) <= value <= top


def _top(name: str) -> int:
    """The largest value of a rule."""
    if name in AMOUNTS:
        return largest()
    return BPS if name.endswith("_bps") else 1 if name in _FLAGS else INT_MAX


def check_rules(values: dict[str, int | jax.Array] | Rules) -> None:
    """Checks ranges on the host (also of rules stacked along a sweep).

    Raises:
        ValueError: one sentence that names the first number out of range.
    """
    if isinstance(values, Rules):
        values = {f.name: getattr(values, f.name) for f in dataclasses.fields(values)}
    odd = {name: np.asarray(x) for name, x in values.items() if not _is_surely_right(name, x)}
    for name, array in odd.items():
        if (array % 1 != 0).any():
            raise ValueError(f"rule {name} must be a whole number, got {values[name]}")
    odd = {name: array.astype(np.int64) for name, array in odd.items()}
    for name, array in odd.items():
        top = _top(name)
        low = 1 if name in _POSITIVE else 0
        if (array < low).any() or (array > top).any():
            raise ValueError(f"rule {name} must lie in [{low}, {top}], got {values[name]}")
    pairs = "seller_bps", "fee_bps", "withdrawal_delay", "timeout"
    v = {name: odd.get(name, np.asarray(values[name])) for name in pairs if name in values}
    if {"seller_bps", "fee_bps"} <= v.keys() and (v["seller_bps"] + v["fee_bps"] > BPS).any():
        raise ValueError("rules seller_bps and fee_bps together must not exceed 10000")
    if {"withdrawal_delay", "timeout"} <= v.keys() and (v["withdrawal_delay"] < v["timeout"]).any():
        raise ValueError(
            "rule withdrawal_delay must be at least timeout: else a node withdraws unjudged"
        )
